"""Weighted looks into tables: what interpolation over faces, textures and grids comes down to.

torch sums a bag of rows in one pass, in order, whatever the number of threads: many times as quick as gathering each
row by itself, and repeatable to the bit.

Letters: R rows of a table, C channels, P places, T taps of each place.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag


def blend(rows: Tensor, taps: Tensor, weights: Tensor) -> Tensor:
    """Sum weighted rows of a table at every place.

    Args:
        rows: (R, C) float32.
        taps: (P, T) int64 or int32 row numbers.
        weights: (P, T) float32.

    Returns:
        (P, C).
    """
    if not len(taps):
        return rows.new_zeros(0, rows.shape[1])
    result: Tensor = embedding_bag(taps.contiguous(), rows, per_sample_weights=weights.contiguous(), mode="sum")
    return result


def pick(columns: Tensor, places: Tensor) -> Tensor:
    """Take columns of a table, (C, R) or (R,), at places (P,): (C, P) or (P,)."""
    return torch.index_select(columns, columns.ndim - 1, places)


def corners4(x: Tensor, y: Tensor) -> Tensor:
    """Return the bilinear weights (P, 4) of the corners 00, 10, 01, 11 for fractions x and y (P,)."""
    xy = x * y
    return torch.stack([1 - x - y + xy, x - xy, y - xy, xy], 1)
