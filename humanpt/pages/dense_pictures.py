"""A dense pose drawn out: parts in colours, and lines of equal U and V along the body.

Letters: S size of a picture, T size of a tile, P labelled points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from humanpt.data.image import Rgb
from humanpt.pages.case_pictures import FINE, TILE, in_a_row
from humanpt.pages.sheets import parts_in_colour

Floats = NDArray[np.float32]
LEVELS = np.linspace(1 / 7, 6 / 7, 6)  # of U and V at which a line is drawn


@dataclass(frozen=True, kw_only=True, eq=False)
class DenseCase:
    """One picture with its dense pose; parts are numbered from 1, as DensePose does, 0 is everything else."""

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
    tiles = [crop, in_parts(crop, _part(case.predicted_part)), with_lines(crop, case.predicted_part, case.predicted_uv)]
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
    """A dark grey picture with lines of equal U and V inside of each part, from violet to yellow.

    Args:
        picture: (T, T, 3).
        part: (S, S) numbers of parts.
        uv: (S, S, 2).
    """
    size = TILE * FINE
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    drawn = np.asarray(cv2.resize(grey, (size, size)) * 0.4, np.uint8)
    colours = (matplotlib.colormaps["viridis"](np.linspace(0.25, 1, len(LEVELS)))[:, :3] * 255).tolist()
    numbers = [number for number in np.unique(part).tolist() if number > 0]
    for number in numbers:
        inside = cv2.resize((part == number).astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR) > 0.5
        within = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        for values in (uv[..., 0], uv[..., 1]):
            smooth = cv2.resize(_spread_out(values, part == number), (size, size), interpolation=cv2.INTER_CUBIC)
            for level, colour in zip(LEVELS, colours, strict=True):
                lines, _ = cv2.findContours((smooth > level).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
                layer = np.zeros((size, size), np.uint8)
                cv2.drawContours(layer, lines, -1, 1, 2)
                drawn[(layer > 0) & within] = colour
    return np.asarray(cv2.resize(drawn, (TILE, TILE), interpolation=cv2.INTER_AREA), np.uint8)


def part_colours(names: Sequence[str]) -> list[tuple[str, str]]:
    """Name and colour of each part, as a page names colours."""
    shades = parts_in_colour(np.arange(len(names))[None])[0]
    return [
        (name.replace("_", " "), "#" + "".join(f"{value:02x}" for value in shade))
        for name, shade in zip(names, shades.tolist(), strict=True)
    ]


def _spread_out(values: Floats, inside: NDArray[np.bool_]) -> Floats:
    """Values (S, S) that go on outside of a part as at its nearest place, so that enlarging mixes no zeros in."""
    nearest = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return np.asarray(values[tuple(nearest)], np.float32)


def _with_points(picture: Rgb, points: Floats, part: NDArray[np.int64]) -> Rgb:
    drawn = picture.copy()
    for (x, y), shade in zip(points.tolist(), parts_in_colour(part[None] - 1)[0].tolist(), strict=True):
        cv2.circle(drawn, (round(x), round(y)), 3, shade, -1, cv2.LINE_AA)
    return drawn


def _part(part: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(cv2.resize(part.astype(np.uint8), (TILE, TILE), interpolation=cv2.INTER_NEAREST), np.int64)


def _sized(values: NDArray[Any], how: int) -> NDArray[Any]:
    return np.asarray(cv2.resize(values, (TILE, TILE), interpolation=how), values.dtype)
