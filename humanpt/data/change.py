"""How much a subject changed between two crops, measured without key points.

The specification speaks of the mean shift of jointly visible 2D joints over the box size, boxes aligned. Nobody has
joints before the first model is trained, so every pixel of the subject takes the place of a joint: both crops are
brought to the same small size, which aligns the boxes, dense optical flow (DIS, medium preset) finds where each pixel
of the subject went, and the mean length of that flow over the subject, as a share of the box's longer side, is the
`change`. A pixel is `visible` in both when the flow there and back cancel and its surroundings look alike at both
ends (local correlation above one half); the share of such pixels stands for joint visibility. On unrelated pictures
it is 0.15 to 0.27, since flow always finds something, on poses seconds apart about one half.

Against the true joints of a generated walk seen by two cameras the ratio of the medians is 1.0 and the rank correlation
0.8 to 0.9 (docs/pairs.md); a picture difference or a gradient histogram ranks worse, and neither has a unit.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 96  # side of the grey crops that the flow compares, in pixels


class ChangeMeter:
    """Compares aligned grey crops of a subject.

    Args:
        margin: side of the crop over the longer side of the box, as for `square_around`.
    """

    def __init__(self, margin: float) -> None:
        self.margin = margin
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._grid = np.stack(np.meshgrid(*[np.arange(SIZE, dtype=np.float32)] * 2), axis=-1)

    @staticmethod
    def view(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(S, S, 3) RGB crop to the small grey (SIZE, SIZE) picture that `follow` compares."""
        return np.asarray(
            cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        )

    def follow(self, view1: NDArray[np.uint8], view2: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Where each pixel of the first view went in the second: (SIZE, SIZE, 2) flow in pixels, x and y."""
        nothing_yet: Any = None
        return np.asarray(self._flow.calc(view1, view2, nothing_yet), np.float32)

    def amount(self, flow: NDArray[np.float32], mask1: NDArray[np.bool_]) -> float:
        """Mean length of the flow over the subject, as a share of the box's longer side.

        Args:
            flow: from `follow`.
            mask1: (h, w) subject mask over the first crop, any size; where it is empty the whole crop counts.
        """
        return float(_lengths(flow)[_enlarge(mask1)].mean()) * self.margin / SIZE

    def visible(
        self,
        flow: NDArray[np.float32],
        view1: NDArray[np.uint8],
        view2: NDArray[np.uint8],
        mask1: NDArray[np.bool_],
    ) -> float:
        """Share of the subject's pixels that are found again in the second view; arguments as above."""
        back = _carry(self.follow(view2, view1), self._grid + flow)
        # A tenth of the way and a pixel and a half: the usual slack of a forward-backward check.
        returned = _lengths(flow + back) < 0.1 * _lengths(flow) + 1.5
        alike = _correlation(view1, _carry(view2, self._grid + flow)) > 0.5
        return float((returned & alike)[_enlarge(mask1)].mean())


def _lengths(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.hypot(flow[..., 0], flow[..., 1]), np.float32)


def _carry(picture: NDArray[Any], places: NDArray[np.float32]) -> NDArray[Any]:
    """What a picture shows at (SIZE, SIZE, 2) places."""
    xs, ys = np.ascontiguousarray(places[..., 0]), np.ascontiguousarray(places[..., 1])
    return np.asarray(cv2.remap(picture, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _enlarge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    large = cv2.resize(mask.astype(np.uint8), (SIZE, SIZE), interpolation=cv2.INTER_NEAREST) > 0
    return np.asarray(large) if large.any() else np.ones((SIZE, SIZE), np.bool_)


def _correlation(view1: NDArray[np.uint8], view2: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Correlation of two grey pictures in a window of 11 x 11 pixels around every pixel; 0 where both are flat."""
    first, second = view1.astype(np.float32), view2.astype(np.float32)

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(values, (11, 11)), np.float32)

    mean1, mean2 = mean(first), mean(second)
    variance1, variance2 = mean(first * first) - mean1**2, mean(second * second) - mean2**2
    shared = mean(first * second) - mean1 * mean2
    # Four grey levels squared is what compression does to a flat wall.
    return np.asarray(shared / np.sqrt(np.maximum(variance1, 4) * np.maximum(variance2, 4)), np.float32)
