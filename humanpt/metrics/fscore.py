"""F-scores of meshes: how much of a surface lies near the other, whatever vertex it is.

Distances between all vertices of two meshes come from one product of matrices in single precision, which is quick; the
few nearest distances so close to a threshold that rounding could decide are computed again in double precision. The
result is that of double precision throughout.

Letters: B pairs of meshes, V predicted and W true vertices, H thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

ROUNDING = 32 * torch.finfo(torch.float32).eps
"""Of a squared distance from the product, relative to the squared sizes that it comes from; a few times the worst."""


def f_scores(predicted: Tensor, true: Tensor, thresholds: Sequence[float]) -> Tensor:
    """The harmonic mean of the shares of predicted and of true vertices with a vertex of the other mesh near.

    Args:
        predicted: (B, V, 3).
        true: (B, W, 3), the same unit and axes.
        thresholds: nearest distances strictly below these count.

    Returns:
        (B, H) float64; 0 where neither mesh has a vertex near the other.

    Raises:
        ValueError: if the shapes are no such meshes.

    Source: Knapitsch et al., Tanks and Temples, 2017; for hands Zimmermann et al., FreiHAND, ICCV 2019.
    """
    if {predicted.ndim, true.ndim} != {3} or predicted.shape[::2] != true.shape[::2] or true.shape[2] != 3:
        raise ValueError(f"expected (B, V, 3) and (B, W, 3) meshes, got {tuple(predicted.shape)}, {tuple(true.shape)}")
    limits = torch.tensor(thresholds, dtype=torch.float64, device=true.device)
    shares = torch.stack([_near(*pair, limits) for pair in zip(predicted.double(), true.double(), strict=True)])
    total = shares.sum(dim=1)  # (B, H)
    return torch.where(total > 0, 2 * shares.prod(dim=1) / total.clamp_min(1e-300), 0.0)


def _near(predicted: Tensor, true: Tensor, limits: Tensor) -> Tensor:
    """(2, H) shares of the vertices (V, 3) near to (W, 3), and of those near to them."""
    centre = true.mean(dim=0)
    predicted, true = predicted - centre, true - centre
    sizes = [points.square().sum(dim=1, keepdim=True) for points in (predicted, true)]
    left = torch.cat([-2 * predicted, sizes[0], torch.ones_like(sizes[0])], dim=1).float()
    right = torch.cat([true, torch.ones_like(sizes[1]), sizes[1]], dim=1).float()
    squared = left @ right.T  # (V, W)
    slack = ROUNDING * float(sizes[0].max() + sizes[1].max())
    return torch.stack(
        [
            _share(squared.amin(dim=1), predicted, true, limits, slack),
            _share(squared.amin(dim=0), true, predicted, limits, slack),
        ]
    )


def _share(nearest: Tensor, points: Tensor, others: Tensor, limits: Tensor, slack: float) -> Tensor:
    """(H,) share of points whose nearest other is below each limit, from squared distances known but for the slack."""
    squared = nearest.double()
    unsure = ((squared[:, None] - limits.square()).abs() <= slack).any(dim=1)
    exact = torch.cdist(points[unsure], others, compute_mode="donot_use_mm_for_euclid_dist").amin(dim=1)
    distance = squared.clamp_min(0).sqrt().index_put((unsure,), exact)
    return (distance[:, None] < limits).double().mean(dim=0)
