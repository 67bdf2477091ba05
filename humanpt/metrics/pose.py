"""Distances of key points and vertices, as the field reports them.

Letters: K key points, joints or vertices, T moments, H thresholds.
"""

from __future__ import annotations

import torch
from torch import Tensor

from humanpt.geometry.alignment import fit_similarity


def point_errors(predicted: Tensor, true: Tensor) -> Tensor:
    """The distance of each point from where it should be.

    Args:
        predicted: (..., K, 3).
        true: the same shape, unit and axes.

    Returns:
        (..., K) in the unit of the points.

    Raises:
        ValueError: if the shapes differ.
    """
    if predicted.shape != true.shape:
        raise ValueError(f"predictions of shape {tuple(predicted.shape)} for a truth of {tuple(true.shape)}")
    error: Tensor = (predicted - true).norm(dim=-1)
    return error


def mpjpe(predicted: Tensor, true: Tensor) -> Tensor:
    """Mean distance of key points (MPJPE) or vertices (PVE); root-relative where both are given so.

    Args:
        predicted: (..., K, 3).
        true: the same shape, unit and axes.

    Returns:
        (...) in the unit of the points.

    Raises:
        ValueError: if the shapes differ.
    """
    return point_errors(predicted, true).mean(dim=-1)


def aligned(predicted: Tensor, true: Tensor, *, mirror: bool = False) -> Tensor:
    """Predictions after the rotation, scale and shift that bring each nearest to its truth.

    Args:
        predicted: (..., K, 3).
        true: the same shape and unit.
        mirror: allow a reflection too, as FreiHAND's own script does.

    Returns:
        (..., K, 3).
    """
    return fit_similarity(predicted, true, mirror=mirror).apply(predicted)


def pa_mpjpe(predicted: Tensor, true: Tensor, *, mirror: bool = False) -> Tensor:
    """MPJPE after the rotation, scale and shift that bring each prediction nearest to its truth.

    Nothing is mirrored unless `mirror` allows it. Args, returns and raises as `mpjpe`.
    """
    return mpjpe(aligned(predicted, true, mirror=mirror), true)


def acceleration_errors(predicted: Tensor, true: Tensor, rate: float | None = None) -> Tensor:
    """How far the accelerations of points are from the true ones, by second differences.

    Args:
        predicted: (T, K, 3) of consecutive moments.
        true: the same shape, unit and axes.
        rate: moments in a second; None counts time in frames.

    Returns:
        (T - 2, K) in the unit of the points per second squared, or per frame squared.

    Raises:
        ValueError: if the shapes differ or there are fewer than 3 moments.

    Source: Kanazawa et al., Learning 3D Human Dynamics from Video, CVPR 2019 (per frame squared).
    """
    if len(predicted) < 3:
        raise ValueError(f"{len(predicted)} moments have no acceleration; it takes 3")
    changes = [points[2:] - 2 * points[1:-1] + points[:-2] for points in (predicted, true)]
    return point_errors(changes[0], changes[1]) * (1.0 if rate is None else rate**2)


def pck_curve(errors: Tensor, thresholds: Tensor) -> Tensor:
    """The share of points within each threshold (PCK), unknown ones (NaN) left out.

    Args:
        errors: any shape.
        thresholds: (H,) in the unit of the errors, ascending; an error that equals one lies within.

    Returns:
        (H,) shares, NaN without any known error.
    """
    known = errors[~errors.isnan()]
    below = torch.searchsorted(known.sort().values, thresholds.to(known.dtype), right=True)
    return below.to(errors.dtype) / len(known) if len(known) else thresholds.new_full((len(thresholds),), torch.nan)


def area_under(curve: Tensor, thresholds: Tensor) -> Tensor:
    """The area under PCK curves by the trapezium rule, as a share of the whole (AUC).

    Args:
        curve: (..., H) shares.
        thresholds: (H,) ascending.

    Returns:
        (...) from 0 to 1.
    """
    return torch.trapezoid(curve, thresholds, dim=-1) / (thresholds[-1] - thresholds[0])
