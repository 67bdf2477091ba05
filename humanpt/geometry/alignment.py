"""Rigid and similarity fits between point sets.

Letters: N points.
"""

from __future__ import annotations

from typing import NamedTuple

import roma
import torch
from torch import Tensor

from humanpt.geometry.rotations import nearest_rotation


class Similarity(NamedTuple):
    """A rotation, a scale and a shift: a point p goes to scale * rotation @ p + shift."""

    rotation: Tensor
    """(..., 3, 3), det +1; or -1 where mirroring was allowed and helps."""
    scale: Tensor
    """(...), from 0."""
    shift: Tensor
    """(..., 3), in the unit of the points."""

    def apply(self, points: Tensor) -> Tensor:
        """(..., N, 3) points to (..., N, 3), in their own precision under autocast too."""
        with torch.autocast(points.device.type, enabled=False):  # half a float moves a person by millimetres
            return self.scale[..., None, None] * (points @ self.rotation.mT) + self.shift[..., None, :]


def fit_similarity(points: Tensor, targets: Tensor, *, mirror: bool = False) -> Similarity:
    """The similarity that brings points nearest to their targets, in the sum of squared distances.

    In the precision of the points, under autocast too. Points that all coincide are brought to the centre of the
    targets, with scale 0.

    Args:
        points: (..., N, 3).
        targets: (..., N, 3), the same unit and order.
        mirror: allow it to mirror, as some benchmarks' own scripts do; it never does otherwise.

    Raises:
        ValueError: if the shapes differ or are no sets of points in space.

    Source: Umeyama, Least-squares estimation of transformation parameters between two point patterns, PAMI 1991.
    """
    if points.shape != targets.shape or points.ndim < 2 or points.shape[-1] != 3:
        raise ValueError(f"expected two (..., N, 3) sets, got {tuple(points.shape)} and {tuple(targets.shape)}")
    with torch.autocast(points.device.type, enabled=False):
        centre, target_centre = points.mean(dim=-2), targets.mean(dim=-2)
        spread = points - centre[..., None, :]
        covariance = (targets - target_centre[..., None, :]).mT @ spread  # (..., 3, 3), target axes by source axes
        rotation: Tensor = roma.procrustes(covariance) if mirror else nearest_rotation(covariance)
        tiny = torch.finfo(points.dtype).tiny
        scale = (rotation * covariance).sum(dim=(-2, -1)) / spread.square().sum(dim=(-2, -1)).clamp_min(tiny)
        shift = target_centre - scale[..., None] * (rotation @ centre[..., None])[..., 0]
        return Similarity(rotation, scale, shift)
