"""Generated people and hands: scenes, cameras, pairs and their exact truth."""
