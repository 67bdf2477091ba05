"""Rigid and similarity fits between point sets.

Letters: N points.
"""

from __future__ import annotations

from typing import NamedTuple

import roma
import torch
from torch import Tensor

from humanpt.geometry.rotations import nearest_rotation

LEAST_POINTS = 3
"""Points in space that decide a similarity."""


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


def enough_known(targets: Tensor) -> Tensor:
    """Which sets (..., N, 3) have as many known points, without NaN, as a fit takes: (...) bool."""
    return targets.isfinite().all(dim=-1).sum(dim=-1) >= LEAST_POINTS


def fit_known(points: Tensor, targets: Tensor, *, mirror: bool = False) -> Similarity:
    """`fit_similarity` by those points alone whose targets are known.

    Args:
        points: (..., N, 3).
        targets: (..., N, 3), NaN where not known; a set that is not `enough_known` gets scale 0.
        mirror: as there.
    """
    known = targets.isfinite().all(dim=-1, keepdim=True)
    count = known.sum(dim=-2, keepdim=True).clamp_min(1)

    def filled(some: Tensor) -> Tensor:
        """The others in the middle of those that are known, where they move no fit."""
        middle = torch.where(known, some, 0).sum(dim=-2, keepdim=True) / count
        return torch.where(known, some, middle)

    fit = fit_similarity(filled(points), filled(targets), mirror=mirror)
    return fit._replace(scale=torch.where(enough_known(targets), fit.scale, 0))
