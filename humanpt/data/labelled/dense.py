"""Pictures with labels of dense pose: which part of the surface a pixel shows, and where on it.

A part has a chart: coordinates u and v in [0, 1] that name a point of it. Parts are numbered from 1, in the order of
the layout's `part_names`; 0 is everything else.

Letters: P points, H and W the height and width of a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from humanpt.data.image import Rgb
from humanpt.data.records import Side, SubjectKind

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class DenseLayout:
    """What the labels of a set of dense poses are told in."""

    dataset: str
    """Name of the data set."""
    split: str
    """Which part of it, by the name that its owners use."""
    subject: SubjectKind
    """Whether people or hands are labelled."""
    part_names: tuple[str, ...]
    """The parts 1, 2, ... of the surface."""
    charts: str
    """Whose u and v these are: "densepose", or "canonical:MODEL" for those of body/charts.py on that model."""
    licence: str
    """Terms of the data set, in its owners' words."""
    site: str
    """Where its owners publish it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DensePoints:
    """Some pixels of a picture, and the points of the surface that they show."""

    pixels: Floats
    """(P, 2) x and y in pixels of the picture."""
    part: NDArray[np.int64]
    """(P,) part of the surface, from 1."""
    uv: Floats
    """(P, 2) place on the part's chart, in [0, 1]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DenseMaps:
    """The same for every pixel of a picture."""

    part: NDArray[np.int64]
    """(H, W) part of the surface, from 1; 0 where none is seen."""
    known: NDArray[np.bool_]
    """(H, W) False where the subject is seen but not its surface, in loose clothes; `part` says nothing there."""
    uv: Floats
    """(H, W, 2) place on the part's chart in [0, 1], 0 where no part is seen."""


class DenseSet(Protocol):
    """A data set of dense poses that has been found and checked; pickles, so that loader processes can read it.

    Where `maps` are known they say all; otherwise `points` and `mask` say what is known of the picture.
    """

    @property
    def layout(self) -> DenseLayout:
        """What its labels mean."""
        ...

    @property
    def groups(self) -> NDArray[np.int64]:
        """(N,) what a split never parts, numbered from 0."""
        ...

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """The name of a sample, unique and the same at every reading."""
        ...

    def side(self, index: int) -> Side:
        """Which hand; "none" for a body."""
        ...

    def square(self, index: int) -> Floats:
        """(4,) edges x0, y0, x1, y1 of the crop in pixels of the picture; may leave it."""
        ...

    def beside(self, index: int) -> tuple[int, ...]:
        """The other samples of the same picture."""
        ...

    def area(self, index: int) -> float | None:
        """Square pixels by which its owners tell people of middling size from large ones; None takes the mask's."""
        ...

    def picture(self, index: int) -> Rgb:
        """(H, W, 3) uint8, the whole picture.

        Raises:
            InputError: if it is missing or damaged.
        """
        ...

    def points(self, index: int) -> DensePoints:
        """The labelled points of a sample.

        Raises:
            InputError: if its labels are damaged.
        """
        ...

    def mask(self, index: int) -> NDArray[np.bool_] | None:
        """(H, W) where the picture shows the subject; None if unknown."""
        ...

    def maps(self, index: int) -> DenseMaps | None:
        """The labels of every pixel; None where only points are labelled."""
        ...
