"""Crops for labels that live in the picture, such as classes and maps: a square, moved and coloured by chance.

Unlike the crops of `turned_crops`, these keep the picture's own camera, so that a pixel of the crop is a place of the
picture after one scale and one shift.

Letters: S side of a crop in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from humanpt.data.augment import AugmentConfig, Draw, view
from humanpt.data.image import Rgb, warp_square
from humanpt.errors import ConfigError

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """How far a training crop may be from the one that the labels name."""

    scale: float = 0.2
    """The side is multiplied by a factor drawn from 1 / (1 + scale) to 1 + scale."""
    shift: float = 0.1
    """The middle moves by up to this share of the side along each axis."""
    brightness: float = 0.4
    """Colours are multiplied by a factor drawn from 1 - brightness to 1 + brightness."""
    contrast: float = 0.4
    """Distances from the picture's mean grey are multiplied by a factor drawn likewise."""
    saturation: float = 0.4
    """Distances from the pixel's own grey are multiplied by a factor drawn likewise."""

    def __post_init__(self) -> None:
        for name in ("scale", "shift", "brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must lie from 0 (none) to 1")


class CropDraw(NamedTuple):
    """A crop and its colours."""

    square: Floats
    """(4,) edges x0, y0, x1, y1 in pixels of the picture; may leave it."""
    colours: tuple[float, float, float]
    """Factors of brightness, contrast and saturation."""


def draw_crop(square: NDArray[np.floating], config: CropConfig, rng: np.random.Generator) -> CropDraw:
    """Draw a crop near a square (4,); always six numbers, so that later draws do not depend on the strengths."""
    size, across, down, *colours = (2 * rng.random(6) - 1).tolist()
    side = float(square[2] - square[0])
    middle = (square[:2] + square[2:]) / 2 + config.shift * side * np.array([across, down])
    half = side * (1 + config.scale) ** size / 2
    strengths = (config.brightness, config.contrast, config.saturation)
    brightness, contrast, saturation = (1 + s * colour for s, colour in zip(strengths, colours, strict=True))
    return CropDraw(
        np.concatenate([middle - half, middle + half]).astype(np.float32), (brightness, contrast, saturation)
    )


def plain_crop(square: NDArray[np.floating]) -> CropDraw:
    """The very square with its colours as they are, for evaluation."""
    return CropDraw(np.asarray(square, np.float32), (1.0, 1.0, 1.0))


def take(rgb: Rgb, draw: CropDraw, size: int) -> Rgb:
    """Cut a crop (S, S, 3) out of a picture (H, W, 3) and colour it; grey where it leaves the picture."""
    return view(
        warp_square(rgb, draw.square, size), AugmentConfig(crop_size=size, crop_share=1.0), Draw(0, 0, *draw.colours)
    )


def to_crop(pixels: NDArray[np.floating], square: Floats, size: int) -> Floats:
    """Pixels (..., 2) of the picture as pixels of the crop."""
    return np.asarray((pixels - square[:2]) * (size / (square[2:] - square[:2])) - 0.5, np.float32)


def to_picture(pixels: NDArray[np.floating], square: Floats, size: int) -> Floats:
    """Pixels (..., 2) of the crop as pixels of the picture: `to_crop` undone."""
    return np.asarray((pixels + 0.5) * ((square[2:] - square[:2]) / size) + square[:2], np.float32)


def nearest_pixels(square: Floats, size: int, height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Which pixel of a picture is nearest to each pixel of a crop, to cut labels that cannot be mixed.

    Returns:
        (S, S) numbers of pixels of the picture, row by row, those outside of it moved to its border; and (S, S) whether
        the crop's pixel lies in the picture.
    """
    steps = np.arange(size)
    places = np.rint(to_picture(np.stack([steps, steps], axis=-1), square, size)).astype(np.int64)  # x and y
    columns, rows = places.T
    inside = np.outer((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
    return np.add.outer(rows.clip(0, height - 1) * width, columns.clip(0, width - 1)), inside


def whole_square(height: int, width: int) -> Floats:
    """(4,): the smallest square around a whole picture, its middle in the middle."""
    half, middle = max(height, width) / 2, np.array([(width - 1) / 2, (height - 1) / 2])
    return np.concatenate([middle - half, middle + half]).astype(np.float32)
