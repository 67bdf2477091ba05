"""The `auto` detector: our own network, helped by what moves and by the frame before.

The network looks at single frames. Three things that it cannot see let it do better on clips:
- A subject found a moment ago is still there: near its last box, a weaker answer is enough.
- Before a camera that stands still, what moves is somebody: inside what moves, too, a weaker answer is enough.
- Where the network finds nobody for a while and the camera stands still, what moves is taken for the body, as the
  `motion` detector does; `remark` says so. Hands are never guessed so: what moves is seldom a hand alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from humanpt.detect.detector import DetectConfig, Detections, Frame, Subject
from humanpt.detect.heatmap import OwnDetector
from humanpt.detect.matching import overlaps
from humanpt.detect.motion import MotionConfig, MotionDetector

WEAKER = 0.45  # part of the least score that is enough where something else speaks for a subject
STILL_THERE = 0.5  # overlap with a box of the frame before
MOVES = 0.35  # overlap of a body with what moves; of a hand it is enough that its middle moves
MEMORY = 0.4  # longest time to the frame before, in seconds
PATIENCE = 0.6  # time without anybody after which what moves is believed, in seconds


class AutoDetector:
    """Our own network and the motion detector together; see the top of this file.

    Args:
        subject: whose boxes are wanted.
        config: how the network is run.
        motion: how the background is learned.

    Raises:
        InputError: if the network's weights cannot be read.
    """

    name = "auto"
    _anybody: bool
    """Whether the network has found anybody in the clip."""
    _seen: float
    """When the last frame was in which somebody was found, in seconds."""
    _boxes: NDArray[np.float32]
    """(N, 4) who was found there."""

    def __init__(
        self, subject: Subject, config: DetectConfig | None = None, motion: MotionConfig | None = None
    ) -> None:
        self.config = config or DetectConfig()
        self.subject: Subject = subject
        self.own = OwnDetector(subject, self.config)
        self.motion = MotionDetector(subject, motion)
        self.remark: str | None = None
        self._forget()

    def start(self, clip_name: str, width: int, height: int) -> None:
        """Forget the last clip."""
        self.own.start(clip_name, width, height)
        self.motion.start(clip_name, width, height)
        self.remark = None
        self._forget()

    def detect(self, frame: Frame) -> Detections:
        """What the network finds, or what moves as long as it finds nobody."""
        found = self.own.look(frame, self.config.min_score * WEAKER)
        moving = self.motion.detect(frame)
        keep = found.scores >= self.config.min_score
        if frame.timestamp - self._seen <= MEMORY:
            keep |= overlaps(found.boxes, self._boxes).max(axis=1, initial=0) >= STILL_THERE
        keep |= self._moves(found, moving, frame)
        if keep.any():
            self._anybody, self._seen, self._boxes = True, frame.timestamp, found.boxes[keep]
            return _chosen(found, np.flatnonzero(keep), self.config.min_score)
        if self.subject == "hand" or self._anybody or frame.timestamp < PATIENCE or not len(moving):
            return Detections.none()
        self.remark = "the network found nobody at first, so whatever moved was taken for a person; see --detector own"
        return moving

    def _moves(self, found: Detections, moving: Detections, frame: Frame) -> NDArray[np.bool_]:
        """(N,) whether each subject is one of those that move."""
        if not len(found) or not len(moving):
            return np.zeros(len(found), np.bool_)
        if self.subject == "body":
            return np.asarray(overlaps(found.boxes, moving.boxes).max(axis=1) >= MOVES, np.bool_)
        middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2 + 0.5
        anywhere = np.any(np.stack([mask for mask in moving.masks if mask is not None]), axis=0)
        height, width = anywhere.shape
        column = np.clip(middles[:, 0] * width / frame.width, 0, width - 1).astype(int)
        row = np.clip(middles[:, 1] * height / frame.height, 0, height - 1).astype(int)
        return np.asarray(anywhere[row, column], np.bool_)

    def _forget(self) -> None:
        self._anybody = False
        self._seen = -np.inf
        self._boxes = np.zeros((0, 4), np.float32)


def _chosen(found: Detections, rows: NDArray[np.int64], least: float) -> Detections:
    """Some of the detections; those that something else spoke for get the least score that counts."""
    return Detections(
        boxes=found.boxes[rows],
        scores=np.maximum(found.scores[rows], np.float32(least)),
        kinds=tuple(found.kinds[row] for row in rows),
        masks=tuple(found.masks[row] for row in rows),
    )
