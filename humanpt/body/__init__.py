"""Parametric people."""
