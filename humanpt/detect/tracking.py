"""Boxes of one subject through time: overlap, constant velocity and an optimal assignment, no weights.

Each track predicts where its box is now, from its last box and a smoothed velocity of the centre. Detections are first
given to tracks by overlap with the prediction (IoU, scipy's assignment), then what remains by distance, if the track
was seen in the frame before. A pair of neighbouring frames in which the box moves or changes its size beyond reason is
a jump: a cut, or a detector that changed its mind. The track ends there and the detection begins a new one.

Kinds: a body never continues a hand, nor a left hand a right one. A hand of unknown side may continue either, and a
track that was unknown takes the side when it shows.

Detections with ids of their own (a boxes file with tracks) are believed: the same id and kind is the same track until
the end, across any gap and jump, and they take no part in the assignment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from humanpt.detect.detector import BoxKind, Detections
from humanpt.errors import ConfigError

Doubles = NDArray[np.float64]

NEVER = 1e6  # a cost that no allowed pair reaches; pairs at this cost are dropped after the assignment


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """When a detection continues a track."""

    min_iou: float = 0.2
    """Least overlap (IoU) of a detection with the box that the track predicts."""
    max_missed: float = 0.5
    """Longest time that a track waits for its subject to show again, in seconds."""
    max_jump: float = 1.0
    """Farthest that a centre may lie from its prediction in neighbouring frames, in box sizes (root of the area)."""
    max_resize: float = 1.6
    """Largest ratio of box sizes in neighbouring frames."""
    smoothing: float = 0.5
    """Share of the old velocity in the new one, 0 to below 1."""

    def __post_init__(self) -> None:
        if not 0 < self.min_iou < 1:
            raise ConfigError(f"track.min_iou is {self.min_iou}; it must lie between 0 and 1")
        if self.max_missed < 0:
            raise ConfigError(
                f"track.max_missed is {self.max_missed}; it is a time in seconds and must not be negative"
            )
        if self.max_jump <= 0 or self.max_resize <= 1:
            raise ConfigError("track.max_jump must be positive and track.max_resize greater than 1")
        if not 0 <= self.smoothing < 1:
            raise ConfigError(f"track.smoothing is {self.smoothing}; it lies from 0 to below 1")


@dataclass(frozen=True, kw_only=True)
class TrackedFrame:
    """The answer for one frame."""

    ids: tuple[int, ...]
    """The track of each detection, in the order of the detections; every detection has one."""
    ended: tuple[int, ...]
    """Tracks that will get no more boxes."""


class _Live:
    """A track that may go on."""

    def __init__(self, number: int, kind: BoxKind, box: Doubles, timestamp: float, step: int) -> None:
        self.number = number
        self.kind = kind
        self.box = box
        self.seen = timestamp
        self.step = step  # the update that saw it last
        self.velocity: Doubles | None = None  # (2,) pixels per second; unknown after one box

    def predict(self, timestamp: float) -> Doubles:
        """The box moved on by its velocity."""
        if self.velocity is None:
            return self.box
        return self.box + np.tile(self.velocity * (timestamp - self.seen), 2)

    def see(self, timestamp: float, box: Doubles, kind: BoxKind, step: int, smoothing: float) -> None:
        """Take in the box of the next frame."""
        elapsed = timestamp - self.seen
        if elapsed > 0:  # two frames of one time say nothing about speed
            velocity = (_centre(box) - _centre(self.box)) / elapsed
            self.velocity = (
                velocity if self.velocity is None else smoothing * self.velocity + (1 - smoothing) * velocity
            )
        self.box, self.seen, self.step = box, timestamp, step
        if self.kind == "hand":
            self.kind = kind


class Tracker:
    """Follows the subjects of one clip; make a new one for each clip.

    Attributes:
        tracks: tracks begun so far; each has the number of those before it as its id.
        jumps: tracks that were ended by a jump.
    """

    def __init__(self, config: TrackConfig | None = None) -> None:
        self.config = config or TrackConfig()
        self.tracks = 0
        self.jumps = 0
        self._live: list[_Live] = []
        self._given: dict[tuple[int, BoxKind], tuple[int, int]] = {}  # to its id, and the last update that saw it
        self._time = -np.inf
        self._step = 0

    def update(self, timestamp: float, detections: Detections) -> TrackedFrame:
        """Give each detection of the next frame to a track, old or new.

        Args:
            timestamp: of the frame, in seconds; frames come in order.
            detections: what was found in it; frames without detections should be given too, as they let tracks end.

        Raises:
            ValueError: if time runs backwards.
        """
        if not timestamp >= self._time:
            raise ValueError(f"frames must come in order of time, got {timestamp} s after {self._time} s")
        self._time = timestamp
        self._step += 1
        boxes = detections.boxes.astype(np.float64)
        ended = self._end([track for track in self._live if self._overdue(track)])
        ids: dict[int, int] = {}
        for index in range(len(detections)):
            self._follow_given(index, detections, ids)
        for track, index in self._pairs(boxes, detections, [i for i in range(len(detections)) if i not in ids]):
            if track.step == self._step - 1 and not self._plausible(track, boxes[index]):
                self.jumps += 1
                ended += self._end([track])
            else:
                track.see(timestamp, boxes[index], detections.kinds[index], self._step, self.config.smoothing)
                ids[index] = track.number
        for index in range(len(detections)):
            if index not in ids:
                ids[index] = self._begin(boxes[index], detections.kinds[index])
        return TrackedFrame(ids=tuple(ids[index] for index in range(len(detections))), ended=tuple(sorted(ended)))

    def finish(self) -> tuple[int, ...]:
        """The clip is over: end all tracks and return those that had not ended."""
        given = [number for number, _ in self._given.values()]
        self._given.clear()
        return tuple(sorted(self._end(list(self._live)) + given))

    def _overdue(self, track: _Live) -> bool:
        return self._time - track.seen > self.config.max_missed and track.step < self._step - 1

    def _follow_given(self, index: int, detections: Detections, ids: dict[int, int]) -> None:
        """Continue or begin the track of a detection that brings its id."""
        given, kind = detections.ids[index], detections.kinds[index]
        if given is None:
            return
        number, step = self._given.get((given, kind), (self.tracks, -1))
        if step == self._step:
            raise ValueError(f"two detections of one frame ({self._time} s) are both {kind} with the id {given}")
        self.tracks += number == self.tracks
        self._given[given, kind] = number, self._step
        ids[index] = number

    def _pairs(self, boxes: Doubles, detections: Detections, free: list[int]) -> list[tuple[_Live, int]]:
        """Tracks and detections that belong together, or would but for a jump."""
        tracks = self._live
        predicted = np.array([track.predict(self._time) for track in tracks]).reshape(-1, 4)
        same_kind = np.array([[_may_be(t.kind, detections.kinds[i]) for i in free] for t in tracks], bool)
        overlap = _iou(predicted, boxes[free])
        pairs = _assign(
            np.where(same_kind.reshape(overlap.shape) & (overlap >= self.config.min_iou), 1 - overlap, NEVER)
        )
        taken, given = {row for row, _ in pairs}, {column for _, column in pairs}
        sizes = np.array([_size(track.box) for track in tracks])
        distance = np.linalg.norm(_centre(predicted)[:, None] - _centre(boxes[free])[None], axis=2) / sizes[:, None]
        recent = np.array([track.step == self._step - 1 and row not in taken for row, track in enumerate(tracks)], bool)
        open_ = np.array([column not in given for column in range(len(free))], bool)
        allowed = same_kind.reshape(overlap.shape) & recent[:, None] & open_[None]
        pairs += _assign(np.where(allowed, np.minimum(distance, NEVER / 2), NEVER))
        return [(tracks[row], free[column]) for row, column in pairs]

    def _plausible(self, track: _Live, box: Doubles) -> bool:
        size, new_size = _size(track.box), _size(box)
        moved = float(np.linalg.norm(_centre(box) - _centre(track.predict(self._time))))
        return moved <= self.config.max_jump * size and max(size, new_size) <= self.config.max_resize * min(
            size, new_size
        )

    def _begin(self, box: Doubles, kind: BoxKind) -> int:
        self._live.append(_Live(self.tracks, kind, box, self._time, self._step))
        self.tracks += 1
        return self.tracks - 1

    def _end(self, tracks: list[_Live]) -> list[int]:
        self._live = [track for track in self._live if track not in tracks]
        return [track.number for track in tracks]


def _may_be(first: BoxKind, second: BoxKind) -> bool:
    """Whether two boxes of these kinds can be the same subject."""
    return first == second or ("hand" in (first, second) and "body" not in (first, second))


def _centre(boxes: Doubles) -> Doubles:
    """(..., 4) edges to (..., 2) centres."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def _size(box: Doubles) -> float:
    """Square root of a box's area, in pixels."""
    return float(np.sqrt(max(1e-6, (box[2] - box[0]) * (box[3] - box[1]))))


def _iou(first: Doubles, second: Doubles) -> Doubles:
    """(M, 4) and (N, 4) boxes to their (M, N) overlaps, intersection over union."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas, others = np.prod(first[:, 2:] - first[:, :2], axis=1), np.prod(second[:, 2:] - second[:, :2], axis=1)
    union = areas[:, None] + others[None] - shared
    overlap: Doubles = shared / np.maximum(union, 1e-9)
    return overlap


def _assign(cost: Doubles) -> list[tuple[int, int]]:
    """Rows and columns paired at the least total cost, pairs at `NEVER` left out."""
    rows, columns = linear_sum_assignment(cost)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if cost[row, column] < NEVER]
