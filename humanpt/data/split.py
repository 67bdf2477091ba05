"""Samples for training and samples held out, parted by whole groups: recordings, identities, scenes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def spread(indices: Indices, most: int) -> Indices:
    """So many of the indices at most, spread evenly over them: neighbours in a set are alike."""
    places = np.linspace(0, len(indices), min(len(indices), most), endpoint=False).astype(np.int64)
    return indices[places]


def split_groups(groups: Indices, heldout_share: float, seed: int) -> tuple[Indices, Indices]:
    """Part samples into those for training and those held out, by whole groups.

    The held-out share is as near to the one wanted as whole groups allow, but with a share above 0 and two or more
    groups at least one is held out and at least one is not. The same groups and seed give the same split.

    Args:
        groups: (N,) the group of each sample, numbered from 0.
        heldout_share: wanted share of the samples, from 0 to below 1.
        seed: from 0; another seed holds out others where there is a choice.

    Returns:
        Sorted indices (T,) of training and (H,) of held-out samples.

    Raises:
        ValueError: if the share is out of range.
    """
    if not 0 <= heldout_share < 1:
        raise ValueError(f"heldout_share is {heldout_share}, must be from 0 to below 1")
    sizes = np.bincount(groups)
    present = np.flatnonzero(sizes)
    chosen: list[int] = []
    if heldout_share > 0 and len(present) > 1:
        shuffled = np.random.default_rng(seed).permutation(present)
        chosen = [int(shuffled[k]) for k in _nearest_sum(sizes[shuffled].tolist(), heldout_share * len(groups))]
    held_out = np.isin(groups, chosen)
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _nearest_sum(sizes: Sequence[int], target: float) -> list[int]:
    """Indices of some but not all of the (positive) sizes, whose sum is nearest to the target."""
    # Sums beyond twice the target are farther off than taking nothing; nothing is no choice, hence the smallest size.
    limit = min(sum(sizes) - 1, max(round(2 * target), min(sizes)))
    last = np.full(limit + 1, -1, np.int64)  # the last of the sizes that make up each sum, -1 where none do
    reached = np.zeros(limit + 1, np.bool_)
    reached[0] = True
    for k, size in enumerate(sizes):
        if size <= limit:
            new = reached[: limit + 1 - size] & ~reached[size:]
            last[size:][new] = k
            reached[size:] |= new
        if 0 < round(target) <= limit and reached[round(target)]:
            break
    sums = np.flatnonzero(last >= 0)
    total = int(sums[np.argmin(np.abs(sums - target))])
    chosen = []
    while total:
        chosen.append(int(last[total]))
        total -= sizes[chosen[-1]]
    return chosen
