"""Loops that know torch and nothing of pictures."""
