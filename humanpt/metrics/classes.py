"""How well pictures are told apart.

Letters: N pictures, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def confusion(predicted: Tensor, true: Tensor, classes: int) -> Tensor:
    """How often each class was taken for which.

    Args:
        predicted: (N,) integers from 0 to classes - 1.
        true: (N,) likewise.
        classes: how many there are.

    Returns:
        (C, C) int64 counts, true classes by predicted ones.

    Raises:
        ValueError: if the shapes differ or a class is out of range.
    """
    if predicted.shape != true.shape or predicted.ndim != 1:
        raise ValueError(f"expected two (N,) lists of classes, got {tuple(predicted.shape)} and {tuple(true.shape)}")
    both = torch.cat([predicted, true])
    if len(both) and not 0 <= int(both.min()) <= int(both.max()) < classes:
        raise ValueError(f"classes from {int(both.min())} to {int(both.max())}; there are {classes}, from 0")
    return torch.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)


def top1(counts: Tensor) -> float:
    """The share of pictures told right, from a confusion (C, C); NaN without any."""
    return float(counts.diagonal().sum() / counts.sum()) if counts.sum() else float("nan")


def per_class(counts: Tensor) -> Tensor:
    """(C,) share of each class told right, from a confusion (C, C); NaN for a class without pictures."""
    return counts.diagonal().double() / counts.sum(dim=1)


def mean_per_class(counts: Tensor) -> float:
    """The mean of `per_class` over the classes that there are pictures of."""
    return float(per_class(counts).nanmean())
