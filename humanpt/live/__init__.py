"""Hands and bodies live: from a camera, a clip or pictures to meshes, on a screen, a page or in files."""
