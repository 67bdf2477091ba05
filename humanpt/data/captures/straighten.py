"""From the picture as filmed to what a pinhole camera would have seen: boxes, crops and masks.

Nothing but the crop is resampled, and that once: each of its points is looked up where the lens put it. A camera
without distortion goes the plain way of `crops.py` and `image.py`.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanpt.data.crops import mask_in_square
from humanpt.data.image import OUTSIDE, warp_square
from humanpt.data.records import MASK_SIZE
from humanpt.data.sources.camera import CameraModel

STEPS = 9  # points per side of a box
FINER = 2  # points per mask cell and axis


def straight_box(box: NDArray[np.float32], camera: CameraModel | None) -> NDArray[np.float32]:
    """(4,) edges of a box as filmed to the edges of the straight box around it."""
    if camera is None or camera.straight:
        return box
    steps = np.linspace(0, 1, STEPS)
    xs, ys = box[0] + steps * (box[2] - box[0]), box[1] + steps * (box[3] - box[1])
    edges = [
        np.column_stack([x, y])
        for x, y in (
            (xs, np.full(STEPS, box[1])),
            (xs, np.full(STEPS, box[3])),
            (np.full(STEPS, box[0]), ys),
            (np.full(STEPS, box[2]), ys),
        )
    ]
    points = camera.undistort(np.concatenate(edges))
    return np.concatenate([points.min(axis=0), points.max(axis=0)]).astype(np.float32)


def straight_crop(
    rgb: NDArray[np.uint8], square: NDArray[np.float32], size: int, camera: CameraModel | None
) -> NDArray[np.uint8]:
    """The (size, size, 3) crop of a straight square out of the picture as filmed; grey beyond it, as `warp_square`."""
    if camera is None or camera.straight:
        return warp_square(rgb, square, size)
    finer = max(1, int(np.ceil((square[2] - square[0]) / size - 1e-6)))  # at least a point per source pixel
    xs, ys = _lookup(square, size * finer, camera)
    grid: Any = cv2.remap(rgb, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(OUTSIDE,) * 3)
    if finer > 1:
        grid = cv2.resize(grid, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(grid, np.uint8)


def straight_mask(
    mask: NDArray[np.bool_] | None,
    box: NDArray[np.float32],
    square: NDArray[np.float32],
    image_size: tuple[int, int],
    camera: CameraModel | None,
) -> NDArray[np.bool_]:
    """The (64, 64) mask of a crop, from a mask over the picture as filmed; arguments as for `mask_in_square`.

    `box` and `square` are straight.
    """
    if camera is None or camera.straight or mask is None:
        return mask_in_square(mask, box, square, image_size)
    xs, ys = _lookup(square, MASK_SIZE * FINER, camera)
    height, width = mask.shape
    columns = np.floor((xs + 0.5) * width / image_size[0]).astype(int)
    rows = np.floor((ys + 0.5) * height / image_size[1]).astype(int)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    found = mask[rows.clip(0, height - 1), columns.clip(0, width - 1)] & inside
    covered = found.reshape(MASK_SIZE, FINER, MASK_SIZE, FINER).mean(axis=(1, 3)) >= 0.5
    return np.asarray(covered & mask_in_square(None, box, square, image_size))


def _lookup(square: NDArray[np.float32], count: int, camera: CameraModel) -> tuple[NDArray[np.float32], ...]:
    """Where the camera filmed each point of a grid over a straight square: (count, count) x and y, -1e6 for nowhere."""
    step = float(square[2] - square[0]) / count
    # A camera whose pixels are the points of the grid.
    shrink = np.array([[1 / step, 0, -square[0] / step - 0.5], [0, 1 / step, -square[1] / step - 0.5], [0, 0, 1]])
    grid = shrink @ camera.intrinsics
    make: Any = cv2.fisheye.initUndistortRectifyMap if camera.fisheye else cv2.initUndistortRectifyMap
    xs, ys = make(camera.intrinsics, camera.distortion, np.eye(3), grid, (count, count), cv2.CV_32FC1)
    corners = np.array([[x, y, 1.0] for x in square[[0, 2]] for y in square[[1, 3]]])
    rays = corners @ np.linalg.inv(camera.intrinsics).T
    if np.hypot(rays[:, 0], rays[:, 1]).max() > camera.widest:
        places = np.column_stack([np.tile(np.arange(count), count), np.repeat(np.arange(count), count)])
        rays = np.column_stack([places, np.ones(len(places))]) @ np.linalg.inv(grid).T
        beyond = (np.hypot(rays[:, 0], rays[:, 1]) > camera.widest).reshape(count, count)
        xs, ys = np.where(beyond, np.float32(-1e6), xs), np.where(beyond, np.float32(-1e6), ys)
    return np.asarray(xs, np.float32), np.asarray(ys, np.float32)
