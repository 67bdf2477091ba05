"""How far predictions are from the truth, as the field reports it.

Letters: K joints or key points.
"""

from __future__ import annotations

from torch import Tensor

from humanpt.geometry.alignment import fit_similarity


def mpjpe(predicted: Tensor, true: Tensor) -> Tensor:
    """Mean distance of key points (MPJPE); root-relative where both are given so.

    Args:
        predicted: (..., K, 3).
        true: the same shape, unit and axes.

    Returns:
        (...) in the unit of the points.

    Raises:
        ValueError: if the shapes differ.
    """
    if predicted.shape != true.shape:
        raise ValueError(f"predictions of shape {tuple(predicted.shape)} for a truth of {tuple(true.shape)}")
    error: Tensor = (predicted - true).norm(dim=-1).mean(dim=-1)
    return error


def pa_mpjpe(predicted: Tensor, true: Tensor) -> Tensor:
    """MPJPE after the rotation, scale and shift that bring each prediction nearest to its truth; nothing is mirrored.

    Args, returns and raises as `mpjpe`.
    """
    return mpjpe(fit_similarity(predicted, true).apply(predicted), true)
