"""Pictures from meshes, without OpenGL."""
