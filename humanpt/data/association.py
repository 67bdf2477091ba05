"""Which boxes of several cameras show the same person or hand.

With calibrated cameras two boxes may be one subject if their centres are nearly the same point in space: triangulated,
in front of both cameras, and missing by little when projected back; and if they are of like size there. What was seen
of two tracks before counts too, so that people who cross are told apart by where they came from. Groups grow from the
surest pair on, one box per camera.

Without calibration time is all there is: a camera that sees exactly one subject of a kind sees the one that the others
see; where it sees several, none of them is used.

Letters: C cameras, N boxes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from humanpt.data.sources.camera import CameraModel
from humanpt.detect.detector import BoxKind

Doubles = NDArray[np.float64]

MEMORY = 0.8  # share of what was seen before in the cost of two tracks
RESIZE = 2.5  # largest ratio of the sizes in space of two boxes of one subject: a box may miss the legs
APART = 1.0  # what is told of two boxes that cannot be one subject, as a share of the box


@dataclass(frozen=True, kw_only=True, eq=False)
class Sighting:
    """One box in one camera at one instant."""

    camera: int
    """Index of the camera."""
    index: int
    """Index among the camera's detections."""
    track: int
    """The camera's own track."""
    kind: BoxKind
    """What it holds."""
    box: NDArray[np.float32]
    """(4,) straight edges in pixels."""


Group = dict[int, Sighting]
"""One subject: its sighting by camera."""


class Association:
    """Groups the sightings of a capture, instant by instant.

    Args:
        cameras: the C cameras; without a pose in any of them, time alone is used.
        tolerance: farthest that two centres may miss each other, as a share of the box's longer side.
    """

    def __init__(self, cameras: Sequence[CameraModel | None], tolerance: float) -> None:
        placed = [camera for camera in cameras if camera is not None and camera.cam_from_world is not None]
        self._cameras = placed if len(placed) == len(cameras) else None
        self._tolerance = tolerance
        self._costs: dict[tuple[int, int, int, int], float] = {}
        self._subjects: dict[tuple[int, int], int] = {}
        self.count = 0
        """Subjects told apart so far."""
        self.crowded = 0
        """Sightings left out because their camera saw several, without calibration."""

    def update(self, sightings: Sequence[Sighting]) -> dict[int, Group]:
        """Group the sightings of one instant; subject number to group. A subject seen by one camera alone is there too.

        Args:
            sightings: of all cameras, each camera's tracks unique.
        """
        groups = self._by_time(sightings) if self._cameras is None else self._by_place(sightings)
        numbered: dict[int, Group] = {}
        for group in sorted(groups, key=len, reverse=True):
            numbered[self._number(group, numbered)] = group
        return numbered

    def _number(self, group: Group, taken: dict[int, Group]) -> int:
        """The subject of a group: whom most of its tracks were before, else a new one."""
        votes = Counter(
            number
            for sighting in group.values()
            if (number := self._subjects.get((sighting.camera, sighting.track))) is not None and number not in taken
        )
        if votes:
            number = min(votes, key=lambda known: (-votes[known], known))
        else:
            number = self.count
            self.count += 1
        for sighting in group.values():
            self._subjects[sighting.camera, sighting.track] = number
        return number

    def _by_time(self, sightings: Sequence[Sighting]) -> list[Group]:
        groups: list[Group] = []
        for kind in sorted({sighting.kind for sighting in sightings}):
            group: Group = {}
            for camera in sorted({sighting.camera for sighting in sightings}):
                seen = [sighting for sighting in sightings if sighting.camera == camera and sighting.kind == kind]
                if len(seen) == 1:
                    group[camera] = seen[0]
                self.crowded += len(seen) if len(seen) > 1 else 0
            if group:
                groups.append(group)
        return groups

    def _by_place(self, sightings: Sequence[Sighting]) -> list[Group]:
        costs: dict[tuple[int, int], float] = {}
        for i, first in enumerate(sightings):
            for j in range(i + 1, len(sightings)):
                second = sightings[j]
                if first.camera != second.camera and _alike(first.kind, second.kind):
                    costs[i, j] = self._cost(first, second)
        groups: list[set[int]] = [{i} for i in range(len(sightings))]
        for (i, j), cost in sorted(costs.items(), key=lambda item: item[1]):
            if cost > self._tolerance:
                break
            one, two = (next(group for group in groups if k in group) for k in (i, j))
            if one is two or {sightings[k].camera for k in one} & {sightings[k].camera for k in two}:
                continue
            across = [costs.get((min(a, b), max(a, b)), APART) for a in one for b in two]
            if np.mean(across) <= self._tolerance:
                groups.remove(two)
                one |= two
        return [{sightings[k].camera: sightings[k] for k in sorted(group)} for group in groups]

    def _cost(self, first: Sighting, second: Sighting) -> float:
        """How far two sightings are from being one subject, now and before, as a share of the box."""
        assert self._cameras is not None
        a, b = (first, second) if first.camera < second.camera else (second, first)
        now = min(APART, mismatch(self._cameras[a.camera], a.box, self._cameras[b.camera], b.box))
        key = (a.camera, a.track, b.camera, b.track)
        before = self._costs.get(key)
        self._costs[key] = now if before is None else MEMORY * before + (1 - MEMORY) * now
        return self._costs[key]


def mismatch(camera1: CameraModel, box1: NDArray[np.float32], camera2: CameraModel, box2: NDArray[np.float32]) -> float:
    """How far the centres of two boxes are from being one point, as a share of each box's longer side; the larger.

    Infinite if the point would lie behind a camera, or the boxes differ in size there by more than `RESIZE`.

    Args:
        camera1, camera2: with poses.
        box1, box2: (4,) straight edges in pixels.
    """
    cameras, boxes = (camera1, camera2), (box1.astype(np.float64), box2.astype(np.float64))
    centres = [(box[:2] + box[2:]) / 2 for box in boxes]
    point = triangulated(cameras, centres)
    sizes = []
    missed = 0.0
    for camera, box, centre in zip(cameras, boxes, centres, strict=True):
        seen = camera.projection @ np.append(point, 1.0)
        if not seen[2] > 0:
            return float("inf")
        side = float((box[2:] - box[:2]).max())
        missed = max(missed, float(np.linalg.norm(seen[:2] / seen[2] - centre)) / max(side, 1e-6))
        sizes.append(side * float(seen[2]) / float(np.sqrt(camera.intrinsics[0, 0] * camera.intrinsics[1, 1])))
    return float("inf") if max(sizes) > RESIZE * min(sizes) else missed


def triangulated(cameras: Sequence[CameraModel], pixels: Sequence[Doubles]) -> Doubles:
    """(3,) the world point that two cameras with poses see at straight pixels, (2,) each."""
    # Rays instead of pixels: the equations of both cameras then weigh alike, whatever their focal lengths.
    rays = [
        (np.linalg.inv(camera.intrinsics) @ np.append(pixel, 1.0))[:2, None]
        for camera, pixel in zip(cameras, pixels, strict=True)
    ]
    poses = []
    for camera in cameras:
        assert camera.cam_from_world is not None
        poses.append(np.ascontiguousarray(camera.cam_from_world[:3]))
    point = np.asarray(cv2.triangulatePoints(*poses, *rays), np.float64)[:, 0]
    return point[:3] / (point[3] if abs(point[3]) > 1e-12 else 1e-12)


def _alike(first: BoxKind, second: BoxKind) -> bool:
    """Whether two boxes of these kinds can be one subject."""
    return first == second or ("hand" in (first, second) and "body" not in (first, second))
