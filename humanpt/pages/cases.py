"""Cases worth looking at: what one is made of, and which of a stream of samples are the best, usual and worst ones.

A scorer sees each sample once and keeps none of them. `CasePicker` is told the error of each and afterwards knows which
few to read again; it holds a bounded number of errors however long the stream is.

Letters: S size of a picture, K key points, V vertices, F faces.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from humanpt.data.image import Rgb

Floats = NDArray[np.float32]
Standing = Literal["best", "median", "worst"]
"""How a case does among all."""
STANDINGS: tuple[Standing, ...] = ("best", "median", "worst")


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One sample with its prediction, as a page shows it; points are metres in the axes of the crop's camera."""

    name: str
    """Of the sample, as its data set calls it."""
    picture: Rgb
    """(S, S, 3) the crop that the network was given."""
    intrinsics: Floats
    """(3, 3) camera matrix of the crop, pixels."""
    predicted_keypoints: Floats
    """(K, 3)."""
    true_keypoints: Floats | None = None
    """(K, 3), NaN where unknown; None where nothing is known."""
    predicted_vertices: Floats | None = None
    """(V, 3); None of a network that predicts key points alone."""
    true_vertices: Floats | None = None
    """(V, 3) of the same mesh; None where it is not known."""
    faces: NDArray[np.int64] | None = None
    """(F, 3) triangles of the mesh."""
    bones: Sequence[tuple[int, int]] = ()
    """Pairs of key points that a line joins."""
    errors: Mapping[str, float]
    """Figures of this sample alone by their names, such as pa_mpjpe_mm."""

    @property
    def has_both_meshes(self) -> bool:
        """Whether the predicted mesh can be compared with the true one."""
        return self.faces is not None and self.predicted_vertices is not None and self.true_vertices is not None


@dataclass(frozen=True, kw_only=True, eq=False)
class SurfaceErrors:
    """The mean error of each place of a mesh."""

    vertices: Floats
    """(V, 3) of the mesh at rest, metres, such as `BodyModel.canonical`."""
    faces: NDArray[np.int64]
    """(F, 3) its triangles."""
    errors_mm: Floats
    """(V,) mean error of each vertex, millimetres."""


Cases: TypeAlias = Mapping[Standing, Sequence[Case]]
"""What a page of an evaluation shows."""


class CasePicker:
    """Which samples of a stream are the best, the usual and the worst ones."""

    def __init__(self, *, best: int = 6, median: int = 6, worst: int = 50, remembered: int = 8192) -> None:
        """Begin.

        Args:
            best: samples of the least error wanted.
            median: samples nearest to the median wanted.
            worst: samples of the greatest error wanted.
            remembered: errors from which the median is taken: exact up to so many samples, and beyond that of an even
                draw of so many, the same at every reading of the same stream.
        """
        self._wanted = best, median, worst
        self._best: list[tuple[float, int]] = []  # heaps of (error or its negative, minus index), the poorest first
        self._worst: list[tuple[float, int]] = []
        self._remembered: list[tuple[float, int]] = []
        self._room = remembered
        self._draw = np.random.default_rng(0)
        self.count = 0
        """Samples that have an error."""
        self.unranked = 0
        """Samples whose error is not a number, for want of labels; they are never chosen."""

    def add(self, indices: Iterable[int], errors: Iterable[float]) -> None:
        """Go on with some samples: their numbers, and the error that ranks each (NaN where it has none)."""
        for index, error in zip(indices, errors, strict=True):
            self._one(int(index), float(error))

    def chosen(self) -> dict[Standing, list[int]]:
        """Numbers of the chosen samples, each but once: best first, around the median by their error, worst first.

        Of a stream too short for all of them half are the worst, and the rest is shared.
        """
        best, median, worst = self._wanted
        worst = min(worst, math.ceil(self.count / 2))
        best = min(best, (self.count - worst) // 2)
        lowest = [-index for _, index in sorted(self._best, reverse=True)][:best]
        highest = [-index for _, index in sorted(self._worst, reverse=True)][:worst]
        middle = float(np.median([error for error, _ in self._remembered])) if self._remembered else 0.0
        others = [some for some in self._remembered if some[1] not in {*lowest, *highest}]
        nearest = sorted(others, key=lambda some: (abs(some[0] - middle), some[1]))[:median]
        return {"best": lowest, "median": [index for _, index in sorted(nearest)], "worst": highest}

    def _one(self, index: int, error: float) -> None:
        if not math.isfinite(error):
            self.unranked += 1
            return
        best, _, worst = self._wanted
        _keep(self._best, (-error, -index), best)
        _keep(self._worst, (error, -index), worst)
        if self.count < self._room:
            self._remembered.append((error, index))
        else:  # Vitter's algorithm R: every sample so far stays with the same chance
            place = int(self._draw.integers(self.count + 1))
            if place < self._room:
                self._remembered[place] = error, index
        self.count += 1


def _keep(heap: list[tuple[float, int]], entry: tuple[float, int], most: int) -> None:
    """Put an entry into a heap of the so many greatest."""
    if len(heap) < most:
        heapq.heappush(heap, entry)
    elif most:
        heapq.heappushpop(heap, entry)
