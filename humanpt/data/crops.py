"""Square crops around a person or hand, and the way back to the full picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from humanpt.data.image import warp_mask
from humanpt.data.records import MASK_SIZE


def square_around(box: NDArray[np.float32], margin: float) -> NDArray[np.float32]:
    """The square crop of a subject box.

    Args:
        box: (4,) xyxy edges in source pixels.
        margin: side of the square over the longer side of the box.

    Returns:
        (4,) xyxy edges of the square, same centre as the box; it may reach out of the picture.
    """
    centre = (box[:2] + box[2:]) / 2
    half = margin * (box[2:] - box[:2]).max() / 2
    return np.concatenate([centre - half, centre + half]).astype(np.float32)


def share_inside(square: NDArray[np.float32], width: int, height: int) -> float:
    """How much of a square lies inside a width x height picture, as a share of the square's area."""
    left, top = np.maximum(square[:2], -0.5)
    right, bottom = np.minimum(square[2:], (width - 0.5, height - 0.5))
    area = float((square[2:] - square[:2]).prod())
    return max(0.0, float(right - left)) * max(0.0, float(bottom - top)) / area if area > 0 else 0.0


def mask_in_square(
    mask: NDArray[np.bool_] | None,
    box: NDArray[np.float32],
    square: NDArray[np.float32],
    image_size: tuple[int, int],
) -> NDArray[np.bool_]:
    """The subject's mask as its crop sees it.

    Args:
        mask: picture-shaped mask at any resolution, stretched over the whole picture; None fills the box instead.
        box: (4,) subject box; what the mask shows outside of it belongs to somebody else.
        square: (4,) edges of the crop in source pixels.
        image_size: (width, height) of the source picture.

    Returns:
        (64, 64) boolean grid over the crop, row-major, True on the subject.
    """
    cell = (square[2] - square[0]) / MASK_SIZE
    centres = (np.arange(MASK_SIZE, dtype=np.float32) + np.float32(0.5)) * cell
    xs, ys = square[0] + centres, square[1] + centres
    inside = np.outer((ys >= box[1]) & (ys <= box[3]), (xs >= box[0]) & (xs <= box[2]))
    return inside if mask is None else inside & warp_mask(mask, square, MASK_SIZE, image_size)
