"""Which boxes of several cameras show the same person or hand.

With calibrated cameras two boxes may be one subject if their centres are nearly the same point in space: triangulated,
in front of both cameras, and missing by little when projected back; and if they are of like size there. Two cameras
alone often cannot tell people of one height apart, as their rays meet all over the floor; so each such point is looked
for in all other cameras, and the group of boxes wins that fits best over all: how near they are, how like in size, how
many, and whether their tracks were one subject before.

Without calibration time is all there is: a camera that sees exactly one subject of a kind sees the one that the others
see; where it sees several, none of them is used.

Letters: C cameras, N boxes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from humanpt.data.sources.camera import CameraModel
from humanpt.detect.detector import BoxKind

Doubles = NDArray[np.float64]

MEMORY = 0.8  # share of what was seen before in the cost of two tracks
RESIZE = 2.0  # largest ratio of the sizes in space of two boxes of one subject: a box may miss the legs
APART = 1.0  # what is told of two boxes that cannot be one subject, as a share of the box
PARTNERS = 4  # of each sighting, from which a point is looked for in the other cameras
KEPT = 0.3  # what a member that was of the same subject before adds to a perfect fit of 1


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

    def could_see(self, group: Group) -> int:
        """How many cameras have the place of a group in their picture; without calibration those of the group."""
        if self._cameras is None or len(group) < 2:
            return len(group)
        seen_by = [self._cameras[camera] for camera in group]
        point = triangulate(seen_by, [sighting.box for sighting in group.values()])
        count = 0
        for number, camera in enumerate(self._cameras):
            x, y, depth = camera.projection @ np.append(point, 1.0)
            width, height = camera.size or (np.inf, np.inf)
            count += number in group or bool(depth > 0 and 0 <= x / depth < width and 0 <= y / depth < height)
        return count

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
        assert self._cameras is not None
        rays = _Rays([self._cameras[seen.camera] for seen in sightings], [seen.box for seen in sightings])
        costs = self._pair_costs(sightings, rays)
        left = list(range(len(sightings)))
        groups: list[Group] = []
        while left:
            best: tuple[float, list[int]] = (1.0, [left[0]])  # alone: what a perfect member counts
            for i, j in self._seeds(left, costs):
                found = self._gathered((i, j), left, sightings, rays, costs)
                best = max(best, found, key=lambda scored: scored[0])
            groups.append({sightings[k].camera: sightings[k] for k in sorted(best[1])})
            left = [k for k in left if k not in best[1]]
        return groups

    def _pair_costs(self, sightings: Sequence[Sighting], rays: _Rays) -> Doubles:
        """(N, N) how far each two sightings are from being one subject, now and before; infinite for what cannot be."""
        costs = np.full((len(sightings),) * 2, np.inf)
        pairs = [
            (i, j)
            for i, j in combinations(range(len(sightings)), 2)
            if sightings[i].camera != sightings[j].camera and _alike(sightings[i].kind, sightings[j].kind)
        ]
        for (i, j), now in zip(pairs, rays.mismatch(pairs).clip(max=APART).tolist(), strict=True):
            ends = sorted((sightings[k].camera, sightings[k].track) for k in (i, j))
            key = (*ends[0], *ends[1])
            before = self._costs.get(key, now)
            costs[i, j] = costs[j, i] = self._costs[key] = MEMORY * before + (1 - MEMORY) * now
        return costs

    def _seeds(self, left: Sequence[int], costs: Doubles) -> list[tuple[int, int]]:
        """Pairs to begin from: each sighting with its likeliest partners; the right one is rarely further down."""
        seeds = set()
        for i in left:
            able = sorted((j for j in left if costs[i, j] <= self._tolerance), key=lambda j: costs[i, j])
            seeds |= {(min(i, j), max(i, j)) for j in able[:PARTNERS]}
        return sorted(seeds)

    def _gathered(
        self,
        seed: tuple[int, int],
        left: Sequence[int],
        sightings: Sequence[Sighting],
        rays: _Rays,
        costs: Doubles,
    ) -> tuple[float, list[int]]:
        """What the point of two sightings is in all other cameras: how well it all fits, and the sightings."""
        members = list(seed)
        missed, _ = rays.missed(rays.point(members))
        able = [k for k in left if missed[k] <= self._tolerance and costs[k, members].max() <= 2 * self._tolerance]
        taken = {sightings[k].camera for k in members}
        for k in sorted(able, key=lambda k: missed[k]):
            if sightings[k].camera not in taken:
                taken.add(sightings[k].camera)
                members.append(k)
        missed, sizes = rays.missed(rays.point(members))
        errors, sizes = missed[members], sizes[members]
        if errors.max() > self._tolerance or sizes.max() > RESIZE * sizes.min():
            return 0.0, members
        unlike = np.abs(np.log(sizes / np.median(sizes))) / np.log(RESIZE)
        before = Counter(self._subjects.get((sightings[k].camera, sightings[k].track), -1 - k) for k in members)
        known = max(before.values()) if len(before) < len(members) else 0
        return float(np.sum(1 - errors / self._tolerance - unlike / 2) + KEPT * known), members


class _Rays:
    """The rays to the centres of all boxes of one instant.

    Points come from linear least squares on rays instead of pixels, so that all cameras weigh alike whatever their
    focal lengths. Source: Hartley and Zisserman, Multiple View Geometry, 2nd edition, section 12.2.
    """

    def __init__(self, seen_by: Sequence[CameraModel], edges: Sequence[NDArray[np.float32]]) -> None:
        boxes = np.array(edges, np.float64).reshape(-1, 4)
        self._projections = np.array([camera.projection for camera in seen_by]).reshape(-1, 3, 4)
        poses = np.array([camera.cam_from_world for camera in seen_by]).reshape(-1, 4, 4)
        matrices = np.array([camera.intrinsics for camera in seen_by]).reshape(-1, 3, 3)
        self._centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        self._sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=1e-6)
        self._focals = np.sqrt(matrices[:, 0, 0] * matrices[:, 1, 1])
        homogeneous = np.concatenate([self._centres, np.ones((len(boxes), 1))], axis=1)
        directions = np.linalg.solve(matrices, homogeneous[..., None])  # (N, 3, 1), z = 1
        self._rows = directions[:, :2] * poses[:, 2:3] - poses[:, :2]  # (N, 2, 4), zero on a point that is seen there

    def point(self, members: Sequence[int]) -> Doubles:
        """(3,) the world point that two or more sightings show."""
        return _null(self._rows[members].reshape(-1, 4))

    def missed(self, point: Doubles) -> tuple[Doubles, Doubles]:
        """(N,) how far each box's centre is from a point as a share of its longer side, and (N,) that side in metres.

        From a point behind a camera its boxes are infinitely far, and they have no size there.
        """
        seen = self._projections @ np.append(point, 1.0)  # (N, 3)
        before = seen[:, 2] > 0
        depth = np.where(before, seen[:, 2], 1.0)
        away = np.linalg.norm(seen[:, :2] / depth[:, None] - self._centres, axis=1) / self._sides
        return np.where(before, away, np.inf), np.where(before, self._sides * depth / self._focals, 1e-9)

    def mismatch(self, pairs: Sequence[tuple[int, int]]) -> Doubles:
        """(M,) how far the centres of two boxes are from being one point, as a share of each one's side; the larger.

        Infinite if the point would lie behind a camera, or the boxes differ in size there by more than `RESIZE`.
        """
        ends = np.array(pairs, int).reshape(-1, 2)
        points = _null(self._rows[ends].reshape(-1, 4, 4))  # (M, 3)
        homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=1)
        seen = np.einsum("meij,mj->mei", self._projections[ends], homogeneous)  # (M, 2, 3)
        depth = np.where(seen[..., 2] > 0, seen[..., 2], np.nan)
        away = np.linalg.norm(seen[..., :2] / depth[..., None] - self._centres[ends], axis=2) / self._sides[ends]
        sizes = self._sides[ends] * depth / self._focals[ends]
        fits = (sizes.max(axis=1) <= RESIZE * sizes.min(axis=1)) & np.isfinite(depth).all(axis=1)
        return np.where(fits, away.max(axis=1), np.inf)


def _null(rows: Doubles) -> Doubles:
    """(..., 3) points whose homogeneous form is nearest to zero on (..., R, 4) rows."""
    point = np.linalg.svd(rows)[2][..., -1, :]
    last = np.where(np.abs(point[..., 3:]) > 1e-12, point[..., 3:], 1e-12)
    return np.asarray(point[..., :3] / last, np.float64)


def triangulate(cameras: Sequence[CameraModel], boxes: Sequence[NDArray[np.float32]]) -> Doubles:
    """(3,) the world point that two or more cameras with poses see amid their boxes, (4,) straight edges each."""
    return _Rays(cameras, boxes).point(range(len(cameras)))


def misses(cameras: Sequence[CameraModel], boxes: Sequence[NDArray[np.float32]]) -> Doubles:
    """(C,) how far the centre of each camera's box is from the point that all see, as a share of its longer side."""
    rays = _Rays(cameras, boxes)
    return rays.missed(rays.point(range(len(cameras))))[0]


def mismatch(camera1: CameraModel, box1: NDArray[np.float32], camera2: CameraModel, box2: NDArray[np.float32]) -> float:
    """How far the centres of two boxes are from being one point in space, as a share of each one's side; the larger.

    Infinite if the point would lie behind a camera, or the boxes differ in size there by more than `RESIZE`.

    Args:
        camera1, camera2: with poses.
        box1, box2: (4,) straight edges in pixels.
    """
    return float(_Rays((camera1, camera2), (box1, box2)).mismatch([(0, 1)])[0])


def _alike(first: BoxKind, second: BoxKind) -> bool:
    """Whether two boxes of these kinds can be one subject."""
    return first == second or ("hand" in (first, second) and "body" not in (first, second))
