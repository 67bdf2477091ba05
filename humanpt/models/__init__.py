"""Modules alone: tensors in, tensors out."""
