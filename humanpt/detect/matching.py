"""Found boxes against true ones: which belong together, how many were found, how many were false."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Matches:
    """What became of the found boxes of one frame, the best first."""

    scores: Floats
    """(N,) scores of those that count."""
    met: NDArray[np.int64]
    """(N,) the true box that each met, -1 for a false one."""
    order: NDArray[np.int64]
    """(N,) places of these boxes among those given."""
    wanted: int
    """True boxes that were asked for."""

    @property
    def right(self) -> NDArray[np.bool_]:
        """(N,) whether each met a true box."""
        return self.met >= 0


def overlaps(first: Floats, second: Floats) -> NDArray[np.float64]:
    """(M, 4) and (N, 4) boxes to their (M, N) overlaps, intersection over union."""
    a, b = first.astype(np.float64)[:, None], second.astype(np.float64)[None]
    shared = np.prod(np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0), axis=2)
    union = np.prod(a[..., 2:] - a[..., :2], axis=2) + np.prod(b[..., 2:] - b[..., :2], axis=2) - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float64)


def match(
    boxes: Floats,
    scores: Floats,
    true_boxes: Floats,
    doubtful: NDArray[np.bool_],
    least: float = 0.4,
) -> Matches:
    """Give each found box, the best first, the free true box that it overlaps most, by `least` or more.

    A box that meets only a doubtful one counts neither as right nor as false.
    """
    order = np.argsort(-scores, kind="stable")
    overlap = overlaps(boxes[order], true_boxes)
    free = np.ones(len(true_boxes), bool)
    counted: list[int] = []
    met: list[int] = []
    for row in range(len(order)):
        wanted = np.where(free & ~doubtful, overlap[row], 0)
        if wanted.max(initial=0) >= least:
            free[int(wanted.argmax())] = False
            counted.append(row)
            met.append(int(wanted.argmax()))
        elif np.where(doubtful, overlap[row], 0).max(initial=0) < least:
            counted.append(row)
            met.append(-1)
    return Matches(
        scores=scores[order][counted],
        met=np.array(met, np.int64),
        order=order[counted],
        wanted=int((~doubtful).sum()),
    )


def recall_at(matches: list[Matches], false_per_frame: float) -> tuple[float, float]:
    """The recall at the lowest threshold that leaves at most so many false boxes per frame, and that threshold.

    Returns:
        NaN and 1 when nothing was to be found.
    """
    wanted = sum(one.wanted for one in matches)
    if not wanted:
        return float("nan"), 1.0
    scores = np.concatenate([one.scores for one in matches])
    right = np.concatenate([one.right for one in matches])
    order = np.argsort(-scores, kind="stable")
    false = np.cumsum(~right[order])
    allowed = int(np.searchsorted(false, false_per_frame * len(matches), side="right"))
    if allowed == 0:
        return 0.0, 1.0
    return float(right[order][:allowed].sum() / wanted), float(scores[order][allowed - 1])


def rates(matches: list[Matches], threshold: float) -> tuple[float, float]:
    """Recall and false boxes per frame of what scores at least `threshold`."""
    wanted = sum(one.wanted for one in matches)
    found = sum(int((one.right & (one.scores >= threshold)).sum()) for one in matches)
    false = sum(int((~one.right & (one.scores >= threshold)).sum()) for one in matches)
    return found / wanted if wanted else float("nan"), false / max(1, len(matches))
