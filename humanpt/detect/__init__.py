"""Where the people and hands are."""
