"""Colour and geometry of a training view: a random crop and colour jitter, drawn for each picture on its own.

No flip and no hue: the left hand and the colour of skin mean something. The homography and rotation of CroCo v1 are
left out, as its authors found them useless or harmful.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from humanpt.data.image import Rgb, resize_square
from humanpt.errors import ConfigError

# ITU-R BT.601 luma, the grey that contrast and saturation are measured against.
LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How a stored crop becomes what the network sees."""

    crop_size: int = 224
    """Side of the network's pictures in pixels."""
    crop_share: float = 0.875
    """Side of the crop over that of the stored picture, 224 / 256; pictures of another size are resized to keep it."""
    brightness: float = 0.4
    """Colours are multiplied by a factor drawn from 1 - brightness to 1 + brightness."""
    contrast: float = 0.4
    """Distances from the picture's mean grey are multiplied by a factor drawn likewise."""
    saturation: float = 0.4
    """Distances from the pixel's own grey are multiplied by a factor drawn likewise."""

    def __post_init__(self) -> None:
        if self.crop_size < 1:
            raise ConfigError(f"crop_size is {self.crop_size}; it is a side in pixels and must be positive")
        if not 0 < self.crop_share <= 1:
            raise ConfigError(
                f"crop_share is {self.crop_share}; it is a share of the stored side, above 0 and at most 1"
            )
        for name in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must lie from 0 (no jitter) to 1")

    @property
    def stored_size(self) -> int:
        """Side in pixels that a stored picture is brought to before the crop."""
        return round(self.crop_size / self.crop_share)


class Draw(NamedTuple):
    """What chance decides about a view; enough to make it again, here or on another device."""

    left: int
    """First column of the crop, in pixels of a picture of `stored_size`."""
    top: int
    """First row of the crop, likewise."""
    brightness: float
    """Factor of all colours."""
    contrast: float
    """Factor of the distances from the mean grey."""
    saturation: float
    """Factor of the distances from the pixel's own grey."""


class Window(NamedTuple):
    """Where a view lies in the stored picture, as shares of that picture's side."""

    left: float
    top: float
    side: float


def random_draw(config: AugmentConfig, rng: np.random.Generator) -> Draw:
    """Draw a place and colours; always five numbers, so that what is drawn next does not depend on the strengths."""
    left, top, brightness, contrast, saturation = rng.random(5).tolist()
    places = config.stored_size - config.crop_size + 1
    return Draw(
        int(left * places),
        int(top * places),
        1 + config.brightness * (2 * brightness - 1),
        1 + config.contrast * (2 * contrast - 1),
        1 + config.saturation * (2 * saturation - 1),
    )


def centre_draw(config: AugmentConfig) -> Draw:
    """The draw for evaluation: the central crop with its colours as they are."""
    middle = (config.stored_size - config.crop_size) // 2
    return Draw(middle, middle, 1.0, 1.0, 1.0)


def window_of(draw: Draw, config: AugmentConfig) -> Window:
    """Where the view of a draw lies in the stored picture."""
    stored = config.stored_size
    return Window(draw.left / stored, draw.top / stored, config.crop_size / stored)


def view(rgb: Rgb, config: AugmentConfig, draw: Draw) -> Rgb:
    """Cut a view out of a stored picture and colour it.

    Args:
        rgb: (S, S, 3) uint8 stored picture of any size S.
        config: sizes.
        draw: place and colours.

    Returns:
        (crop_size, crop_size, 3) uint8, contiguous.

    Raises:
        ValueError: if the picture is not (S, S, 3) uint8.
    """
    size = config.crop_size
    stored = resize_square(rgb, config.stored_size)
    # Contiguous, or OpenCV takes twice as long to colour it.
    crop = np.ascontiguousarray(stored[draw.top : draw.top + size, draw.left : draw.left + size])
    factors = (draw.brightness, draw.contrast, draw.saturation)
    return crop if factors == (1.0, 1.0, 1.0) else _jitter(crop, *factors)


def worn(rgb: Rgb, strength: float, rng: np.random.Generator) -> Rgb:
    """A picture as a poor camera would give it, or with something before it.

    Each of these happens to some pictures: less light or more, few pixels, grey, noise, compression, a covered part.

    Args:
        rgb: (S, S, 3) uint8.
        strength: how often and how strongly, from 0 (never) to 1.
        rng: what chance decides.

    Returns:
        (S, S, 3) uint8.
    """
    side = len(rgb)
    often = rng.random(6) < strength * np.array([0.5, 0.5, 0.1, 0.4, 0.4, 0.3])
    gamma, fewer, noise, quality, *box = rng.random(8).tolist()
    if often[0]:
        table = (255 * np.linspace(0, 1, 256) ** (2 ** (2 * gamma - 1))).astype(np.uint8)
        rgb = np.asarray(cv2.LUT(rgb, table), np.uint8)
    if often[1]:
        small = max(8, round(side / (1 + 2 * strength * fewer)))
        shrunk = cv2.resize(rgb, (small, small), interpolation=cv2.INTER_AREA)
        rgb = np.asarray(cv2.resize(shrunk, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)
    if often[2]:
        rgb = np.repeat(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)[..., None], 3, axis=2)
    if often[3]:
        drawn = rng.normal(0, 20 * strength * noise, rgb.shape)
        rgb = (rgb + drawn).round().clip(0, 255).astype(np.uint8)
    if often[4]:
        done = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, round(15 + 70 * quality)])[1]
        rgb = np.asarray(cv2.imdecode(done, cv2.IMREAD_COLOR), np.uint8)
    if often[5]:
        width, height = (round(side * (0.08 + 0.3 * share)) for share in box[:2])
        left, top = round((side - width) * box[2]), round((side - height) * box[3])
        rgb = rgb.copy()
        rgb[top : top + height, left : left + width] = rng.integers(0, 256, 3, np.uint8)
    return np.ascontiguousarray(rgb)


def centre_view(rgb: Rgb, config: AugmentConfig) -> Rgb:
    """The view for evaluation, of `centre_draw`; shapes as in `view`."""
    return view(rgb, config, centre_draw(config))


def patch_coverage(mask: NDArray[np.bool_] | None, window: Window, patches: int) -> NDArray[np.float32]:
    """How much of each patch of a view is the person.

    Args:
        mask: (M, M) bool over the whole stored picture, True on the person; None where it is not known.
        window: which part of the picture the view shows.
        patches: patches along one side of the view, n.

    Returns:
        (n, n) shares from 0 to 1, rows first; all NaN without a mask.
    """
    if mask is None:
        return np.full((patches, patches), np.nan, np.float32)
    if mask.ndim != 2 or mask.shape[0] != mask.shape[1]:
        raise ValueError(f"mask has shape {mask.shape}, must be square")
    rows = area_shares(window.top, window.side, patches, len(mask))
    columns = area_shares(window.left, window.side, patches, len(mask))
    return (rows @ mask.astype(np.float32) @ columns.T).astype(np.float32)


@lru_cache(maxsize=1024)  # crops begin at few places
def area_shares(start: float, side: float, patches: int, cells: int) -> NDArray[np.float32]:
    """Share of each of several equal patches of [start, start + side] that lies in each equal cell of [0, 1].

    Returns:
        (patches, cells), each row 1 in all where the patch lies within [0, 1].
    """
    edges = (start + side * np.arange(patches + 1) / patches) * cells
    cell = np.arange(cells)
    overlap = np.minimum(edges[1:, None], cell + 1) - np.maximum(edges[:-1, None], cell)
    shares = (overlap.clip(0) * (patches / (side * cells))).astype(np.float32)
    shares.flags.writeable = False
    return shares


def _jitter(rgb: Rgb, brightness: float, contrast: float, saturation: float) -> Rgb:
    # With S = saturation I + (1 - saturation) 1 luma^T and m the mean grey: out = c b S rgb + (1 - c) b m, in any order
    # of the three because no step rounds or clips before the last. One pass over uint8 instead of three over floats.
    mean_grey = float(LUMA @ cv2.mean(rgb)[:3])
    matrix = np.empty((3, 4))
    matrix[:, :3] = contrast * brightness * (saturation * np.eye(3) + (1 - saturation) * LUMA)
    matrix[:, 3] = (1 - contrast) * brightness * mean_grey
    return cv2.transform(rgb, matrix).astype(np.uint8, copy=False)
