"""A dense pose drawn out: parts in colours, and lines of equal U and V along the body.

Letters: S size of a picture, T size of a tile, P labelled points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray

from humanpt.body.skeletons import BODY_PARTS
from humanpt.data.image import Rgb
from humanpt.pages.case_pictures import TILE, in_a_row
from humanpt.pages.sheets import parts_in_colour

Floats = NDArray[np.float32]
LEVELS = np.linspace(0.1, 0.9, 9)  # of U and V at which a line is drawn


@dataclass(frozen=True, kw_only=True, eq=False)
class DenseCase:
    """One picture with its dense pose; parts are numbered 1 to 24 as DensePose does, 0 is what is no person."""

    name: str
    """Of the sample."""
    picture: Rgb
    """(S, S, 3) the crop."""
    predicted_part: NDArray[np.int64]
    """(S, S)."""
    predicted_uv: Floats
    """(S, S, 2) from 0 to 1 inside of the part."""
    true_part: NDArray[np.int64] | None = None
    """(S, S); None where only points are labelled."""
    true_uv: Floats | None = None
    """(S, S, 2)."""
    points: Floats | None = None
    """(P, 2) pixels of the labelled points."""
    points_part: NDArray[np.int64] | None = None
    """(P,) their parts."""
    errors: Mapping[str, float]
    """Figures of this sample alone; the first is what it was ranked by."""


def draw_dense(case: DenseCase) -> Rgb:
    """The tiles of a case in a row: the crop, parts, and lines of equal U and V; then the true parts or points."""
    crop = _sized(case.picture, cv2.INTER_AREA if len(case.picture) > TILE else cv2.INTER_CUBIC)
    part, uv = _part(case.predicted_part), _sized(case.predicted_uv, cv2.INTER_LINEAR)
    tiles = [crop, in_parts(crop, part), with_lines(crop, part, uv)]
    if case.true_part is not None:
        tiles.append(in_parts(crop, _part(case.true_part)))
    elif case.points is not None and case.points_part is not None:
        tiles.append(_with_points(crop, case.points * (TILE / len(case.picture)), case.points_part))
    return in_a_row(tiles)


def in_parts(picture: Rgb, part: NDArray[np.int64]) -> Rgb:
    """A picture with each part (S, S) of the person in its colour."""
    mixed = 0.25 * picture + 0.75 * parts_in_colour(part - 1)
    return np.where((part > 0)[..., None], mixed, picture).astype(np.uint8)


def with_lines(picture: Rgb, part: NDArray[np.int64], uv: Floats) -> Rgb:
    """A darkened picture with lines of equal U and V inside of each part, from dark to bright."""
    drawn = (picture * 0.55).astype(np.uint8)
    colours = matplotlib.colormaps["viridis"](LEVELS)[:, :3] * 255
    for number in range(1, len(BODY_PARTS) + 1):
        inside = part == number
        if not inside.any():
            continue
        for values in (uv[..., 0], uv[..., 1]):
            for level, colour in zip(LEVELS, colours, strict=True):
                above = (inside & (values > level)).astype(np.uint8)
                inner = cv2.erode(above, np.ones((3, 3), np.uint8)) == 0
                border = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
                drawn[(above > 0) & inner & border] = colour
    return drawn


def part_colours() -> list[tuple[str, str]]:
    """Name and colour of each part, as a page names colours."""
    shades = parts_in_colour(np.arange(len(BODY_PARTS))[None])[0]
    return [
        (name.replace("_", " "), "#" + "".join(f"{value:02x}" for value in shade))
        for name, shade in zip(BODY_PARTS, shades.tolist(), strict=True)
    ]


def _with_points(picture: Rgb, points: Floats, part: NDArray[np.int64]) -> Rgb:
    drawn = picture.copy()
    for (x, y), shade in zip(points.tolist(), parts_in_colour(part[None] - 1)[0].tolist(), strict=True):
        cv2.circle(drawn, (round(x), round(y)), 3, shade, -1, cv2.LINE_AA)
    return drawn


def _part(part: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(cv2.resize(part.astype(np.uint8), (TILE, TILE), interpolation=cv2.INTER_NEAREST), np.int64)


def _sized(values: NDArray[Any], how: int) -> NDArray[Any]:
    return np.asarray(cv2.resize(values, (TILE, TILE), interpolation=how), values.dtype)
