"""Captures by several cameras, and the cross-view pairs in them."""
