"""Crops as a camera would take them that is turned towards the subject.

A crop away from the middle of a picture shows its subject obliquely: the same hand looks different at every place of
the picture. The crop camera has the same centre as the picture's, but its axis goes through the middle of the crop, and
its picture is a homography of the original: what is found in it holds in the picture's camera after one rotation. A
roll of the camera, its focal length and a shift of the square are all that augmentation needs, and stay exact.

Axes are OpenCV's, pixel (0, 0) is the centre of the top-left pixel.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from humanpt.data.image import OUTSIDE, Rgb

Doubles = NDArray[np.float64]


class TurnedCrop(NamedTuple):
    """A crop camera."""

    intrinsics: Doubles
    """(3, 3) of the crop, pixels; square pixels, and the principal point in the middle."""
    crop_from_cam: Doubles
    """(3, 3) rotation from the axes of the picture's camera to those of the crop's."""
    picture_from_crop: Doubles
    """(3, 3) homography from pixels of the crop to pixels of the picture."""
    shrink: float
    """Pixels of the picture per pixel of the crop, in the middle."""


def turned_crop(intrinsics: NDArray[Any], square: NDArray[Any], size: int, roll: float = 0.0) -> TurnedCrop:
    """The camera that looks at the middle of a square and shows about what the square does.

    The crop's focal length is the picture's, times the crop's pixels per pixel of the picture, over the cosine of the
    angle between the two cameras' axes: near the middle neither picture is larger across the direction of the turn.

    Args:
        intrinsics: (3, 3) of the picture, pixels.
        square: (4,) edges x0, y0, x1, y1 in pixels of the picture; may leave it.
        size: side of the crop in pixels.
        roll: radians by which the crop camera is turned about its axis, clockwise as its holder sees it, so that the
            picture turns counter-clockwise.

    Raises:
        ValueError: if the square is empty or not finite.
    """
    matrix, edges = np.asarray(intrinsics, np.float64), np.asarray(square, np.float64)
    side = float((edges[2:] - edges[:2]).mean())
    if not np.isfinite(edges).all() or side <= 0:
        raise ValueError(f"square is {edges.tolist()}, must be four finite edges x0, y0, x1, y1")
    ray = np.linalg.solve(matrix, np.array([*(edges[:2] + edges[2:]) / 2, 1.0]))
    shrink = side / size
    focal = np.sqrt(matrix[0, 0] * matrix[1, 1]) * np.linalg.norm(ray) / shrink
    middle = (size - 1) / 2
    of_crop = np.array([[focal, 0.0, middle], [0.0, focal, middle], [0.0, 0.0, 1.0]])
    cos, sin = np.cos(roll), np.sin(roll)
    crop_from_cam = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]]) @ _onto_axis(ray)
    return TurnedCrop(of_crop, crop_from_cam, matrix @ crop_from_cam.T @ np.linalg.inv(of_crop), shrink)


def take_crop(rgb: Rgb, crop: TurnedCrop, size: int) -> Rgb:
    """The picture that a crop camera takes, (size, size, 3).

    What shrinks is averaged over areas, so that it cannot alias; what lies outside the picture is a flat grey of 114,
    as in `data.image.warp_square`.

    Args:
        rgb: (H, W, 3) uint8, the whole picture.
        crop: from `turned_crop`.
        size: side of the crop in pixels, as given there.
    """
    finer = max(1, round(crop.shrink + 0.25))  # grid points per pixel and axis: about one per pixel of the picture
    crop_from_grid = np.array([[1 / finer, 0, 0.5 / finer - 0.5], [0, 1 / finer, 0.5 / finer - 0.5], [0, 0, 1.0]])
    grid: Any = cv2.warpPerspective(
        rgb,
        crop.picture_from_crop @ crop_from_grid,
        (size * finer, size * finer),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderValue=(OUTSIDE,) * 3,
    )
    if finer > 1:
        grid = cv2.resize(grid, (size, size), interpolation=cv2.INTER_AREA)
    return cast("Rgb", grid)


def map_pixels(pixels: NDArray[Any], crop: TurnedCrop) -> Doubles:
    """Pixels (K, 2) of the picture as pixels of the crop; NaN stays NaN."""
    homogeneous = np.column_stack([np.asarray(pixels, np.float64), np.ones(len(pixels))])
    mapped = homogeneous @ np.linalg.inv(crop.picture_from_crop).T
    return np.asarray(mapped[:, :2] / mapped[:, 2:])


def _onto_axis(ray: Doubles) -> Doubles:
    """(3, 3): the smallest rotation that brings a ray (3,) with z > 0 onto the z axis."""
    x, y, z = ray / np.linalg.norm(ray)
    cross = np.array([[0.0, 0.0, -x], [0.0, 0.0, -y], [x, y, 0.0]])  # of (y, -x, 0), the axis times the sine
    return np.asarray(np.eye(3) + cross + cross @ cross / (1 + z))
