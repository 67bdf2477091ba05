"""Motion capture: reading it, and putting it on a body model."""
