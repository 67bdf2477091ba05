"""Pure functions on batched tensors: rotations, cameras, two views."""
