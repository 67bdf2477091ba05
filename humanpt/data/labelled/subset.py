"""A part of the labels: fixed subsets, each of which holds every smaller one.

A sample's rank follows from a hash of the seed and its name alone, so that a subset is the same whatever the order of
the samples, on any machine.

Letters: N samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humanpt.files import write_json

Indices = NDArray[np.int64]


def labelled_share(
    names: Sequence[str], share: float, seed: int, classes: Sequence[int] | NDArray[np.int64] | None = None
) -> Indices:
    """Take a share of some samples: those of the lowest ranks.

    With the same seed 1 % of the samples lie within 10 % of them. At least one sample is taken.

    Args:
        names: N names, unique.
        share: wanted share, above 0 and at most 1.
        seed: from 0; another one ranks otherwise.
        classes: N classes; the share of each is then taken, at least one sample of it.

    Returns:
        Sorted indices into `names`.

    Raises:
        ValueError: if the share is out of range, or there are more or fewer classes than names.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; it lies above 0 and is at most 1")
    kinds = np.zeros(len(names), np.int64) if classes is None else np.asarray(classes, np.int64)
    if len(kinds) != len(names):
        raise ValueError(f"{len(kinds)} classes for {len(names)} names")
    ranks = [_rank(name, seed) for name in names]
    taken: list[int] = []
    for kind in np.unique(kinds):
        members = np.flatnonzero(kinds == kind).tolist()
        count = max(1, round(share * len(members)))
        taken += sorted(members, key=lambda index: (ranks[index], names[index]))[:count]
    return np.array(sorted(taken), np.int64)


def write_labels(path: Path, names: Sequence[str], share: float, seed: int) -> None:
    """Write down which samples were trained on, and how they were chosen.

    Raises:
        OutputError: if the file cannot be written.
    """
    write_json(path, {"share": share, "seed": seed, "count": len(names), "names": list(names)})


def _rank(name: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16).digest()
