"""The `motion` detector: what moves before a camera that stands still is the subject.

A background model (OpenCV's KNN) marks the pixels that do not belong to the scene. People do not move all over at
once, so the marks fade over `memory` seconds instead of vanishing with the frame, and near marks grow together. A
subject once seen stays: its box gives way inwards only slowly, takes in parts of it that move on their own, and is
held for a while when nothing moves, since what stops before a still camera has not gone away.

A hand-held camera's small sway is taken out first: corners of a reference frame are followed into the new one and the
picture is turned back onto the reference. Where that fails (a pan, a cut, a change of light) the model starts anew,
which `remark` tells; nothing is reported until it has seen `warm_up` frames.

It cannot tell a person from a moving curtain, a ball or a shadow, and a part that never moves is not in its box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanpt.detect.detector import Detections, Frame, Subject
from humanpt.errors import ConfigError

STILL = 0.35  # pixels of the small picture; less than this is tracking noise, measured below 0.1 on tripod clips
MAX_SWAY = 0.12  # of the longer side; beyond it too little of the reference is left to compare with
STILL_SHARE = 0.3  # of the corners; the subject may hide or carry the others
PRIMING = 4  # looks that KNN needs at a picture before it knows any background
Grey = NDArray[np.uint8]
Plane = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MotionConfig:
    """How the background is learned and how marks become subjects."""

    longest: int = 320
    """Longest side of the picture that the model sees, in pixels."""
    memory: float = 0.6
    """Time for which a pixel that moved still counts as the subject's, in seconds."""
    history: int = 300
    """Frames the background model remembers."""
    threshold: float = 400.0
    """Squared colour distance above which a pixel is not the background's."""
    warm_up: int = 2
    """Frames the background model sees before anything is reported."""
    shrink: float = 0.3
    """How fast a box edge may move inwards, in box sizes per second; outwards it moves at once."""
    hold: float = 1.0
    """How long the box of a subject that stopped moving is still reported, in seconds."""
    min_area: float = 0.006
    """Smallest subject, as a share of the picture's area."""
    max_area: float = 0.6
    """Largest share of the picture that may move; beyond it the camera moved, the shot was cut or the light changed."""
    join: float = 0.04
    """Gaps up to this size inside one subject are closed, as a share of the picture's longest side."""
    secondary: float = 0.15
    """Subjects smaller than this share of the largest one are taken for shadows and things."""

    def __post_init__(self) -> None:
        if not 0 < self.min_area < self.max_area <= 1:
            raise ConfigError(f"motion: areas must satisfy 0 < min < max <= 1, got {self.min_area} and {self.max_area}")
        if self.memory < 0 or self.warm_up < 1 or self.longest < 32:
            raise ConfigError("motion: memory must not be negative, warm_up at least 1 and longest at least 32")


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """Somebody that moved, in pixels of the small picture."""

    box: Plane  # (4,) edges from the picture's corner
    mask: NDArray[np.bool_]
    moved: float  # when a part of it was last seen to move, in seconds
    seen: float  # the frame that this is about

    @property
    def area(self) -> float:
        return float((self.box[2:] - self.box[:2]).prod())


class _Sway:
    """How a hand-held camera moved since a reference frame."""

    def __init__(self, reference: Grey) -> None:
        self._reference = reference
        # Far apart and of any strength, so that a figure with strong texture does not take them all.
        corners: Any = cv2.goodFeaturesToTrack(reference, 100, 0.002, 18)
        # Without corners there is nothing to follow: such a picture is taken for one from a tripod.
        self._corners: Any = corners if corners is not None and len(corners) >= 12 else None
        self._followed: Any = self._corners

    def reference_from(self, grey: Grey) -> Plane | None:
        """The 2 x 3 map from this frame's pixels to the reference's: the identity when it stood still.

        Returns:
            None when the two frames no longer have enough in common.
        """
        if self._corners is None:
            return np.eye(2, 3)
        followed: Any
        found: Any
        followed, found, _ = cv2.calcOpticalFlowPyrLK(
            self._reference,
            grey,
            self._corners,
            self._followed.copy(),
            winSize=(11, 11),
            maxLevel=2,
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        good = found.ravel() == 1
        if good.sum() < 0.3 * len(good):
            return None
        self._followed = np.where(found[..., None] == 1, followed, self._corners)
        moved = np.linalg.norm((followed - self._corners)[good].reshape(-1, 2), axis=1)
        if (moved < STILL).mean() > STILL_SHARE:
            return np.eye(2, 3)
        turn: Any
        inliers: Any
        turn, inliers = cv2.estimateAffinePartial2D(followed[good], self._corners[good], ransacReprojThreshold=1.0)
        if turn is None or inliers.sum() < 0.4 * len(good):
            return None
        middle = np.array(grey.shape[::-1]) / 2
        shift = np.linalg.norm(turn[:, :2] @ middle + turn[:, 2] - middle)
        return np.asarray(turn, np.float64) if shift < MAX_SWAY * max(grey.shape) else None


class MotionDetector:
    """Background subtraction with a fading memory; see the top of this file.

    Args:
        subject: the kind given to every box; motion alone cannot tell one from the other.
        config: thresholds.
    """

    name = "motion"
    remark: str | None = None
    _sway: _Sway | None
    _last_moved: Plane | None
    """When each pixel last moved, in seconds; of the reference frame."""
    _known: list[_Subject]
    _seen: int

    def __init__(self, subject: Subject, config: MotionConfig | None = None) -> None:
        self.subject: Subject = subject
        self.config = config or MotionConfig()
        self.resets = 0
        self._forget()

    def start(self, clip_name: str, width: int, height: int) -> None:
        """Forget the last clip."""
        self.resets = 0
        self.remark = None
        self._forget()

    def detect(self, frame: Frame) -> Detections:
        """Boxes and masks of what moved in the last `memory` seconds; empty while the model is warming up."""
        small = frame.small(self.config.longest)
        grey: Any = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        reference_from_frame = self._sway.reference_from(grey) if self._sway else None
        if reference_from_frame is None:
            return self._restart(grey, small)
        still = np.array_equal(reference_from_frame, np.eye(2, 3))
        view = small if still else _warp(small, reference_from_frame)
        moving = np.asarray(self._model.apply(cv2.GaussianBlur(view, (5, 5), 0))) == 255  # 127 marks shadows
        self._seen += 1
        if self._seen <= self.config.warm_up:
            return Detections.none()
        if moving.mean() > self.config.max_area:
            return self._restart(grey, small)
        if self._last_moved is None:
            self._last_moved = np.full(moving.shape, -np.inf)
        specks_gone = cv2.morphologyEx(moving.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        self._last_moved[np.asarray(specks_gone) > 0] = frame.timestamp
        recent = (self._last_moved >= frame.timestamp - self.config.memory).astype(np.uint8)
        if not still:
            recent = _warp(recent, np.asarray(cv2.invertAffineTransform(reference_from_frame)), mask=True)
        return self._subjects(recent, frame)

    def _subjects(self, recent: Grey, frame: Frame) -> Detections:
        """The subjects of this frame, the largest first: those known, after what moved, and new ones."""
        labels, boxes, areas = self._blobs(recent)
        owners = [self._owner(box) for box in boxes]
        subjects = []
        for number, known in enumerate(self._known):
            parts = [i for i, owner in enumerate(owners) if owner == number]
            if parts or frame.timestamp - known.moved <= self.config.hold:
                subjects.append(self._updated(known, parts, boxes, labels, frame.timestamp))
        for i, owner in enumerate(owners):
            if owner is None and areas[i] >= self.config.secondary * areas.max():
                subjects.append(
                    _Subject(box=boxes[i], mask=labels == i + 1, moved=frame.timestamp, seen=frame.timestamp)
                )
        self._known = sorted(subjects, key=lambda subject: -subject.area)
        if not subjects:
            return Detections.none()
        height, width = recent.shape
        scale = np.array([frame.width / width, frame.height / height] * 2)
        edges = np.stack([subject.box for subject in self._known]) * scale - 0.5
        covered = [float(subject.mask.sum()) / max(1.0, subject.area) for subject in self._known]
        return Detections(
            boxes=edges.astype(np.float32),
            scores=np.clip(covered, 0, 1).astype(np.float32),
            kinds=(self.subject,) * len(subjects),
            masks=tuple(subject.mask for subject in self._known),
            mask_kind="motion",
        )

    def _blobs(self, recent: Grey) -> tuple[NDArray[np.int32], Plane, Plane]:
        """Connected areas of recent motion: their labels from 1, (N, 4) boxes from the picture's corner, and areas."""
        reach = max(3, round(self.config.join * max(recent.shape))) | 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        padded = cv2.copyMakeBorder(recent, reach, reach, reach, reach, cv2.BORDER_CONSTANT)
        closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc)[reach:-reach, reach:-reach]
        _, labels, stats, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(closed))
        large = np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= self.config.min_area * recent.size) + 1
        renumbered = np.zeros(len(stats), np.int32)
        renumbered[large] = np.arange(1, len(large) + 1)
        left_top = stats[large, :2].astype(np.float64)
        boxes = np.hstack([left_top, left_top + stats[large, 2:4]])
        return renumbered[labels], boxes, stats[large, cv2.CC_STAT_AREA].astype(np.float64)

    def _owner(self, box: Plane) -> int | None:
        """The known subject that a moving part belongs to: the one that shares most of the smaller of the two boxes."""
        shares = []
        for known in self._known:
            low, high = np.maximum(box[:2], known.box[:2]), np.minimum(box[2:], known.box[2:])
            shares.append(np.maximum(high - low, 0).prod() / max(1.0, min((box[2:] - box[:2]).prod(), known.area)))
        return int(np.argmax(shares)) if shares and max(shares) > 0.5 else None

    def _updated(
        self, known: _Subject, parts: list[int], boxes: Plane, labels: NDArray[np.int32], now: float
    ) -> _Subject:
        """A known subject after its moving parts, possibly none, were seen."""
        if not parts:
            return _Subject(box=known.box, mask=known.mask, moved=known.moved, seen=now)
        give = self.config.shrink * (known.box[2:] - known.box[:2]).max() * (now - known.seen)
        low = np.minimum(boxes[parts, :2].min(axis=0), known.box[:2] + give)
        high = np.maximum(boxes[parts, 2:].max(axis=0), known.box[2:] - give)
        mask = np.isin(labels, [part + 1 for part in parts])
        return _Subject(box=np.concatenate([low, high]), mask=mask, moved=now, seen=now)

    def _restart(self, grey: Grey, small: Grey) -> Detections:
        """Take this frame as the first of a fresh model."""
        if self._sway is not None:
            self.resets += 1
            self.remark = f"the camera moved or the shot was cut; motion started anew, times: {self.resets}"
        self._forget()
        self._sway = _Sway(grey)
        for _ in range(PRIMING):
            self._model.apply(cv2.GaussianBlur(small, (5, 5), 0))
        self._seen = 1
        return Detections.none()

    def _forget(self) -> None:
        self._model = cv2.createBackgroundSubtractorKNN(self.config.history, self.config.threshold, True)
        self._seen = 0
        self._sway = None
        self._last_moved = None
        self._known = []


def _warp(picture: Grey, turn: Plane, mask: bool = False) -> Grey:
    """Move a picture by a 2 x 3 map, its own edge repeated outside; a mask without new values, empty outside."""
    how = cv2.INTER_NEAREST if mask else cv2.INTER_LINEAR
    border = cv2.BORDER_CONSTANT if mask else cv2.BORDER_REPLICATE
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.warpAffine(picture, turn, size, flags=how, borderMode=border), np.uint8)
