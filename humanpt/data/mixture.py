"""Mixing groups of samples: which group a stream position belongs to, a pure function of the position.

Positions are spread by the quota method of apportionment (Balinski and Young, The Quota Method of Apportionment, 1975):
of the first n positions every group holds its share of n, rounded up or down.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from humanpt.data.order import Order

PERIOD = 10_000
"""Positions after which the pattern of groups begins anew; shares are kept to one part in so many."""


class Mixture:
    """An endless stream over several groups, each in shuffled epochs of its own.

    Args:
        groups: the members of each group, none empty.
        shares: positive weights of the groups; only their ratios matter.
        seed: of the shuffles, from 0.

    Raises:
        ValueError: if a group is empty or a share not positive.
    """

    def __init__(self, groups: Sequence[NDArray[np.int64]], shares: Sequence[float], seed: int) -> None:
        if not groups or len(groups) != len(shares) or not all(map(len, groups)) or not min(shares) > 0:
            raise ValueError(f"groups of {[len(group) for group in groups]} members with shares {list(shares)}")
        # A seed for each group: else groups of one size would be visited in one order, like beside like.
        self._streams = [(group, Order(len(group), seed + (number << 32))) for number, group in enumerate(groups)]
        self._quotas = quotas(shares, PERIOD)
        self._group = spread_evenly(self._quotas)
        self._rank = np.zeros(PERIOD, np.int64)  # how many of its group came before, in this period
        for group, quota in enumerate(self._quotas):
            self._rank[self._group == group] = np.arange(quota)

    def locate(self, position: int) -> int:
        """The member at a stream position, from 0."""
        period, place = divmod(position, PERIOD)
        group = int(self._group[place])
        members, order = self._streams[group]
        _, index = order.locate(period * self._quotas[group] + int(self._rank[place]))
        return int(members[index])


def quotas(shares: Sequence[float], total: int) -> list[int]:
    """Whole numbers that sum to `total`, as near to the shares as can be (largest remainders), none of them 0."""
    exact = np.array(shares) / sum(shares) * total
    parts = np.floor(exact + 1e-9).astype(int)
    parts[np.argsort(parts - exact, kind="stable")[: total - int(parts.sum())]] += 1
    for group in np.flatnonzero(parts == 0):
        parts[parts.argmax()] -= 1
        parts[group] += 1
    return [int(part) for part in parts]


def spread_evenly(counts: Sequence[int]) -> NDArray[np.int16]:
    """(sum of counts,) group numbers, each as often as its count, in every stretch as near to its share as can be."""
    total = sum(counts)
    taken = [0] * len(counts)
    spread = np.empty(total, np.int16)
    for place in range(total):
        # Of those who are owed a part of this place, the one who must be served soonest lest it fall behind.
        owed = [g for g, count in enumerate(counts) if taken[g] * total < count * (place + 1)]
        group = min(owed, key=lambda g: -(-(taken[g] + 1) * total // counts[g]))
        spread[place] = group
        taken[group] += 1
    return spread


def joint_shares(
    counts: NDArray[np.int64], rows: Sequence[float] | None, columns: Sequence[float] | None
) -> NDArray[np.float64] | None:
    """Shares of a table's cells that have the wanted sums and are otherwise in proportion to the counts.

    Args:
        counts: (R, C) how many samples each cell holds; an empty cell gets nothing.
        rows: R wanted sums of rows, 1 in all; None leaves them as they come.
        columns: C wanted sums of columns, likewise.

    Returns:
        (R, C) shares, 1 in all; None where no such table exists.

    Source: iterative proportional fitting, Deming and Stephan, Annals of Mathematical Statistics 11 (1940).
    """
    cells: NDArray[np.float64] = counts / counts.sum()
    wanted = [(axis, np.array(sums)) for axis, sums in ((1, rows), (0, columns)) if sums is not None]
    for _ in range(1000):
        for axis, sums in wanted:
            found = cells.sum(axis=axis)
            if (found[sums > 0] <= 0).any():
                return None
            cells = cells * np.expand_dims(np.divide(sums, found, out=np.zeros_like(found), where=found > 0), axis)
        if all(np.abs(cells.sum(axis=axis) - sums).max() < 1 / PERIOD for axis, sums in wanted):
            return cells
    return None
