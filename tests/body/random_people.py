"""Random shapes and poses for any body model."""

import torch

from humanpt.geometry.rotations import rotvec_to_rotmat


def random_people(model, count, *, seed=0, angle=0.4, dtype=torch.float32):
    """Shapes (count, S) in [0, 1], poses (count, J, 3, 3) of moderate angles, and shifts (count, 3)."""
    random = torch.Generator().manual_seed(seed)
    shape = torch.rand(count, len(model.layout.shape_names), generator=random, dtype=torch.float64)
    turns = torch.randn(count, len(model.layout.joint_names), 3, generator=random, dtype=torch.float64) * angle
    transl = torch.randn(count, 3, generator=random, dtype=torch.float64)
    return shape.to(dtype), rotvec_to_rotmat(turns).to(dtype), transl.to(dtype)
