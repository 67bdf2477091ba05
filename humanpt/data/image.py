"""Read, encode, resize and warp pictures.

Pictures are RGB uint8 (H, W, 3). Pixel (0, 0) is the centre of the top-left pixel, so a W x H picture spans
[-0.5, W - 0.5] x [-0.5, H - 0.5]; boxes and squares are edges x0, y0, x1, y1 in that frame.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import simplejpeg
from numpy.typing import ArrayLike, NDArray

from humanpt.errors import InputError

Rgb = NDArray[np.uint8]

# What a crop shows beyond the border of its source. Repeating the border would draw longer limbs and trunks, wrong
# shapes to learn from; a flat grey says only that nothing is known there, as it does in crops at inference.
OUTSIDE = 114


def encode_jpeg(rgb: Rgb, quality: int = 90) -> bytes:
    """Encode a picture as a JPEG file (4:2:0).

    Args:
        rgb: (H, W, 3) uint8.
        quality: 1 to 100.

    Raises:
        ValueError: if the picture is not (H, W, 3) uint8 or the quality is out of range.
    """
    _check_rgb(rgb)
    if not 1 <= quality <= 100:
        raise ValueError(f"JPEG quality is {quality}, must be 1 to 100")
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)[1].tobytes()


SHRINKS = (1, 2, 4, 8)


def decode_jpeg(data: bytes | memoryview, shrink: int = 1) -> Rgb:
    """Decode a JPEG file to (H, W, 3) uint8, without turning it by its EXIF note.

    Args:
        data: the file.
        shrink: 1, 2, 4 or 8: the picture comes at that part of its size, rounded up, decoded from fewer coefficients.

    Raises:
        ValueError: if the bytes are no JPEG file, or only part of one.
    """
    # Bit for bit the picture that OpenCV decodes, in two thirds of the time: RGB straight away, and no copy.
    try:
        least = {}
        if shrink > 1:
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
            least = {"min_height": -(-height // shrink), "min_width": -(-width // shrink)}
        return cast("Rgb", simplejpeg.decode_jpeg(data, "RGB", min_factor=shrink, **least))
    except ValueError:
        raise ValueError(f"{len(data)} bytes that are no picture") from None


def largest_shrink(side: int, least: int | None) -> int:
    """The largest `shrink` of `decode_jpeg` that divides a side and leaves at least so many pixels, by default all."""
    fitting = [shrink for shrink in SHRINKS if side % shrink == 0 and side // shrink >= (least or side)]
    return max(fitting, default=1)


def read_image(path: Path) -> Rgb:
    """Read a picture file of any usual kind as (H, W, 3) uint8, upright by its EXIF note.

    Grey pictures get three equal channels, transparency is dropped, 16 bits become 8.

    Raises:
        InputError: if the file is missing, unreadable, or no picture.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    try:
        bgr: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except (cv2.error, ValueError):  # an empty buffer, or a header that promises an impossible size
        bgr = None
    if bgr is None:
        raise InputError(f"{path}: not a picture that OpenCV reads; give a JPEG, PNG, WebP, TIFF or BMP file")
    return cast("Rgb", cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def resize_square(rgb: Rgb, size: int) -> Rgb:
    """Resize a square picture to (size, size, 3): averaged over areas when it shrinks, linear when it grows.

    Raises:
        ValueError: if the picture is not square.
    """
    _check_rgb(rgb)
    side = len(rgb)
    if rgb.shape[1] != side:
        raise ValueError(f"picture has shape {rgb.shape}, must be square")
    if side == size:
        return rgb
    if side < size:
        return cv2.resize(rgb, (size, size), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
    while side % 2 == 0 and side >= 2 * size:  # OpenCV averages whole pixels several times as fast as parts of pixels
        side //= 2
        rgb = cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return cv2.resize(rgb, (size, size), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def warp_square(rgb: Rgb, square: ArrayLike, size: int) -> Rgb:
    """Cut an axis-aligned square out of a picture and bring it to (size, size, 3).

    What shrinks is averaged over areas, so that it cannot alias; what grows is interpolated linearly. What lies outside
    the picture is a flat grey of 114.

    Args:
        rgb: (H, W, 3) uint8.
        square: (4,) edges x0, y0, x1, y1 in pixels of the picture; may leave it.
        size: side of the result in pixels.

    Raises:
        ValueError: if the square is empty, not finite or not square, or the shapes do not fit.
    """
    _check_rgb(rgb)
    return _resample(rgb, _edges(square), size, OUTSIDE)


def warp_mask(
    mask: NDArray[np.bool_], square: ArrayLike, size: int, picture_size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Cut the same square as `warp_square` out of a mask: (size, size), True where at least half of a pixel is.

    Args:
        mask: (h, w) bool of any resolution, stretched over the whole picture.
        square: (4,) edges x0, y0, x1, y1 in pixels of the picture; outside of it nothing is True.
        size: side of the result in pixels.
        picture_size: width and height in pixels of the picture that the mask covers.

    Raises:
        ValueError: as for `warp_square`.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_ or not mask.size:
        raise ValueError(f"mask is {mask.dtype} {mask.shape}, must be bool (h, w)")
    stretch = np.array([mask.shape[1] / picture_size[0], mask.shape[0] / picture_size[1]] * 2)
    edges = (_edges(square) + 0.5) * stretch - 0.5
    return _resample(mask.astype(np.uint8) * np.uint8(255), edges, size, 0) > 127


def _resample(image: NDArray[np.uint8], edges: NDArray[np.float64], size: int, outside: int) -> NDArray[np.uint8]:
    # First linearly onto a grid of `finer` points per result pixel and axis, at least one per source pixel: that is all
    # of the shift and of the odd scale, and exact on a linear ramp. Then the mean of each block of finer x finer grid
    # points: OpenCV takes means of whole points several times as fast as of parts.
    scale = (edges[2:] - edges[:2]) / size  # source pixels per result pixel, x and y
    finer = np.ceil(scale - 1e-6).clip(1)
    pitch = scale / finer
    start = edges[:2] + pitch / 2  # centre of the first point of the grid
    source_from_grid = np.array([[pitch[0], 0.0, start[0]], [0.0, pitch[1], start[1]]])
    points = (size * finer).astype(int).tolist()
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    grid: Any = cv2.warpAffine(image, source_from_grid, points, flags=flags, borderValue=(outside,) * 3)
    if points != [size, size]:
        grid = cv2.resize(grid, (size, size), interpolation=cv2.INTER_AREA)
    return cast("NDArray[np.uint8]", grid)


def _edges(square: ArrayLike) -> NDArray[np.float64]:
    edges = np.asarray(square, np.float64)
    if edges.shape != (4,) or not np.isfinite(edges).all():
        raise ValueError(f"square is {edges.tolist()}, must be four finite edges x0, y0, x1, y1")
    width, height = edges[2:] - edges[:2]
    if width <= 0 or not math.isclose(width, height, rel_tol=1e-3):
        raise ValueError(f"square is {edges.tolist()}, {width} wide and {height} high")
    return edges


def _check_rgb(rgb: Rgb) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
        raise ValueError(f"picture is {rgb.dtype} {rgb.shape}, must be uint8 (H, W, 3)")
