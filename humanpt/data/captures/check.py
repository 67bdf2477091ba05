"""What is wrong with a capture: before pairs are made of it, or when they look odd.

Each camera's largest box is followed over some instants. With a calibration the boxes of all cameras must meet in one
point (`association.py`). Where they do not, the fault is named that explains it: a mirrored picture, two clips swapped,
one camera that is not of this scene. The rest needs little or no calibration: who sees nobody, clocks, the same clip
twice, cameras at one place, no two cameras that could be paired.

Letters: C cameras, T instants.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from humanpt.data.captures.association import mismatch, misses, triangulate
from humanpt.data.captures.cross_view import remarks_on
from humanpt.data.captures.rules import CaptureConfig
from humanpt.data.captures.view_pairs import rotations
from humanpt.data.captures.views import Capture
from humanpt.data.captures.watch import Eye, open_eyes, set_clocks, watch
from humanpt.data.harvest import content_hash
from humanpt.data.sources.camera import CameraModel
from humanpt.workers import Tell

Boxes = NDArray[np.float32]
Row = Sequence[Boxes | None]
"""The largest box of each camera at one instant."""

INSTANTS = 300  # looked at, at most
COMPARED = 60  # of these, spread evenly, at which boxes are compared
LEAST_SEEN = 0.1  # share of its frames in which a camera should see somebody
LEAST_SHARED = 5  # instants that two cameras must share before a word is said about them
TOGETHER = 0.02  # metres and radians (of rotation) within which two cameras stand at one place
LEAST_APART = 0.05  # of the box; boxes of sound captures miss their common point by less
LEAST_WAY = 0.02  # of the box; how much a subject must move across for the direction to say anything
AGAINST = -0.5  # correlation of two ways across that are opposite; 0.8 to 1 on sound captures
BETTER = 0.5  # what another reading of the clips must bring the miss down to, as a share, to be told
LITTLE_BETTER = 0.85  # the same where something else speaks for it


@dataclass(kw_only=True)
class CameraCheck:
    """What was found out about one camera."""

    name: str
    clip: str
    seen: float
    """Share of its frames in which it sees somebody."""
    offset: float
    """Added to its clock to have the common time, in seconds."""
    measured_offset: float
    """What its motion says, used or not; NaN if it says nothing."""
    confidence: float
    """How sure the measured offset is, 0 to 1."""
    error: float = float("nan")
    """Median miss of its box's centre against the other cameras', as a share of the box; NaN without calibration."""
    error_pixels: float = float("nan")
    """The same in pixels."""
    centre: list[float] | None = None
    """Where it stands, in metres; None without calibration."""
    forward: list[float] | None = None
    """Where it looks, a unit vector of the world."""
    down: list[float] | None = None
    """Where its picture's lower edge is, a unit vector of the world."""


@dataclass(kw_only=True)
class PairCheck:
    """What was found out about two cameras."""

    cameras: tuple[str, str]
    angle: float
    """Rotation between them, in degrees; NaN without calibration."""
    baseline: float
    """Distance between them, in metres; NaN without calibration."""
    shared: int
    """Instants compared at which both see somebody."""
    error: float
    """Median miss of the boxes' centres, as a share of the box; NaN without calibration."""


@dataclass(kw_only=True)
class CaptureCheck:
    """What was found out about a capture."""

    name: str
    calibration: str
    """Format and file of the calibration; empty if there is none."""
    cameras: list[CameraCheck] = field(default_factory=list)
    pairs: list[PairCheck] = field(default_factory=list)
    subject: list[list[float]] = field(default_factory=list)
    """Where the subject was, at some instants: world points in metres."""
    problems: list[str] = field(default_factory=list)
    """What needs mending, one line each."""
    notes: list[str] = field(default_factory=list)
    """What can be lived with."""


def check_capture(capture: Capture, config: CaptureConfig, tell: Tell) -> CaptureCheck:
    """Watch a capture for a while and tell what is wrong with it.

    Args:
        capture: which.
        config: the detector, and the rules that pairs would have to keep.
        tell: called now and then with the number of frames done since the last call.

    Raises:
        InputError: if a clip cannot be read, or does not fit its camera.
    """
    cv2.setNumThreads(1)
    check = CaptureCheck(name=capture.name, calibration=capture.calibration, notes=list(capture.notes))
    eyes = open_eyes(capture, config, check.notes)
    set_clocks(capture, eyes, config)
    seen: list[list[Boxes | None]] = []
    with closing(watch(eyes, config, tell)) as instants:
        for _, sightings in instants:
            row: list[Boxes | None] = [None] * len(eyes)
            for sighting in sightings:
                held = row[sighting.camera]
                if held is None or _area(sighting.box) > _area(held):
                    row[sighting.camera] = sighting.box
            seen.append(row)
            if len(seen) == INSTANTS:
                break
    check.notes += remarks_on(capture, eyes, config.capture)
    check.cameras = [_camera(eye) for eye in eyes]
    kept = np.linspace(0, len(seen) - 1, min(COMPARED, len(seen))).round().astype(int)
    boxes = [seen[instant] for instant in kept.tolist()]
    _compare(check, eyes, boxes)
    check.problems += [
        *_blind(check.cameras),
        *_twins(check, eyes),
        *_no_pair(check, config),
        *_odd(eyes, boxes, config),
    ]
    return check


def _area(box: Boxes) -> float:
    return float((box[2:] - box[:2]).prod())


def _camera(eye: Eye) -> CameraCheck:
    told, camera = eye.told, eye.camera
    check = CameraCheck(
        name=told.name,
        clip=told.clip,
        seen=told.found / told.looked if told.looked else 0.0,
        offset=told.offset,
        measured_offset=told.measured_offset,
        confidence=told.confidence,
    )
    if camera is not None and camera.cam_from_world is not None:
        check.centre = camera.centre.tolist()
        check.forward, check.down = camera.cam_from_world[2, :3].tolist(), camera.cam_from_world[1, :3].tolist()
    return check


def _compare(check: CaptureCheck, eyes: Sequence[Eye], boxes: Sequence[Row]) -> None:
    """Fill in what each two cameras, and each camera against all others, miss each other by."""
    cameras = [eye.camera for eye in eyes]
    angles = rotations(cameras)
    missed: list[list[float]] = [[] for _ in eyes]
    for i, j in combinations(range(len(eyes)), 2):
        one, two = cameras[i], cameras[j]
        shared = [row for row in boxes if row[i] is not None and row[j] is not None]
        found = _misses(one, two, [(row[i], row[j]) for row in shared])
        baseline = float("nan")
        if one is not None and two is not None and one.cam_from_world is not None and two.cam_from_world is not None:
            baseline = float(np.linalg.norm(one.centre - two.centre))
        error = float(np.median(found)) if found else float("nan")
        names = (check.cameras[i].name, check.cameras[j].name)
        check.pairs.append(
            PairCheck(cameras=names, angle=float(angles[i, j]), baseline=baseline, shared=len(shared), error=error)
        )
        if len(found) >= LEAST_SHARED:
            missed[i].append(error)
            missed[j].append(error)
    for number, told in enumerate(check.cameras):
        sides = [float((box[2:] - box[:2]).max()) for row in boxes if (box := row[number]) is not None]
        if missed[number]:
            told.error = float(np.median(missed[number]))
            told.error_pixels = told.error * float(np.median(sides))
    placed = [camera for camera in cameras if camera is not None and camera.cam_from_world is not None]
    if len(placed) == len(cameras):
        for row in boxes:
            ends = [(camera, box) for camera, box in zip(placed, row, strict=True) if box is not None]
            if len(ends) >= 2:
                check.subject.append(triangulate(*zip(*ends, strict=True)).tolist())


def _misses(
    one: CameraModel | None, two: CameraModel | None, boxes: Sequence[tuple[Boxes | None, Boxes | None]]
) -> list[float]:
    """How far the boxes of two cameras miss each other, at most 1 each; nothing without poses."""
    if one is None or two is None or one.cam_from_world is None or two.cam_from_world is None:
        return []
    return [min(1.0, mismatch(one, a, two, b)) for a, b in boxes if a is not None and b is not None]


def _blind(cameras: Sequence[CameraCheck]) -> list[str]:
    return [
        f"camera {camera.name}: sees somebody in {camera.seen:.0%} of its frames; it looks elsewhere, or its clip is "
        "not of this scene"
        for camera in cameras
        if camera.seen < LEAST_SEEN
    ]


def _twins(check: CaptureCheck, eyes: Sequence[Eye]) -> list[str]:
    """Clips that are the same file, cameras that stand at one place."""
    problems = []
    digests = [content_hash(eye.view.clip.path) for eye in eyes]
    for (i, j), pair in zip(combinations(range(len(eyes)), 2), check.pairs, strict=True):
        first, second = pair.cameras
        if digests[i] == digests[j]:
            problems.append(f"cameras {first} and {second}: have the same clip; one of them is a copy")
        elif pair.baseline < TOGETHER and np.radians(pair.angle) < TOGETHER:
            problems.append(f"cameras {first} and {second}: stand at the same place; pairs of them are trivial")
    return problems


def _no_pair(check: CaptureCheck, config: CaptureConfig) -> list[str]:
    """Whether no two cameras could be paired at all."""
    rules = config.capture
    angles = [pair.angle for pair in check.pairs if np.isfinite(pair.angle)]
    if not angles or any(rules.min_angle <= angle <= rules.max_angle for angle in angles):
        return []
    told = ", ".join(f"{angle:.0f}" for angle in sorted(angles)[:6])
    return [
        f"no two cameras are {rules.min_angle:g} to {rules.max_angle:g} degrees apart (they are {told}); widen the "
        "rule with --set capture.max_angle"
    ]


def _odd(eyes: Sequence[Eye], boxes: Sequence[Row], config: CaptureConfig) -> list[str]:
    """The fault that explains best why all cameras' boxes do not meet in one point, if they do not.

    Pairs of cameras would not do: where all look at one place, a mirrored picture still meets any one other.
    """
    cameras = [eye.camera for eye in eyes if eye.camera is not None and eye.camera.cam_from_world is not None]
    if len(cameras) < len(eyes):
        return []
    names, count = [eye.told.name for eye in eyes], len(eyes)
    found = _apart(cameras, boxes)
    mirrors = [f"camera {name}: its picture seems mirrored; flip the clip, or film without mirroring" for name in names]
    explained: list[tuple[float, str]] = []
    for camera in range(count):
        read = [_mirrored(row, camera, eyes[camera].clip.width) for row in boxes]
        explained.append((_apart(cameras, read), mirrors[camera]))
    for first, second in combinations(range(count), 2):
        read = [_swapped(row, first, second) for row in boxes]
        line = f"cameras {names[first]} and {names[second]}: their clips seem swapped; rename them"
        explained.append((_apart(cameras, read), line))
    best, line = min(explained)
    if found > LEAST_APART and best < BETTER * found:
        return [line]
    # A way across that runs against the others' tells a mirror even where boxes are too rough for their distances to.
    agreement = [_sideways(cameras, boxes, camera) for camera in range(count)]
    camera = int(np.argmin(agreement))
    if agreement[camera] < AGAINST and explained[camera][0] < LITTLE_BETTER * found:
        return [mirrors[camera]]
    if count > 2:
        without = [_apart(cameras, [_swapped(row, camera, None) for row in boxes]) for camera in range(count)]
        camera = int(np.argmin(without))
        if found > 2 * LEAST_APART and without[camera] < BETTER * found:
            return [
                f"camera {names[camera]}: its boxes miss the point that the others agree on; its calibration, its clip "
                "or its clock is not the one of this scene, or it sees somebody else"
            ]
    if found > config.capture.max_mismatch:
        return [
            f"the cameras' boxes miss each other by {found:.2f} of their size; the calibration is not that of these "
            "clips, or the cameras see different people"
        ]
    return []


def _apart(cameras: Sequence[CameraModel], boxes: Sequence[Row]) -> float:
    """Median over instants of how far boxes lie from the point that all see, as a share of the box, at most 1."""
    found = []
    for row in boxes:
        ends = [(camera, box) for camera, box in zip(cameras, row, strict=True) if box is not None]
        if len(ends) >= 2:
            found.append(min(1.0, float(misses(*zip(*ends, strict=True)).mean())))
    return float(np.median(found)) if len(found) >= LEAST_SHARED else 0.0


def _sideways(cameras: Sequence[CameraModel], boxes: Sequence[Row], camera: int) -> float:
    """How the subject's way across one camera's picture correlates with what the others say of it; 1 if unknown."""
    told, seen, sides = [], [], []
    for row in boxes:
        ends = [(cameras[k], box) for k, box in enumerate(row) if box is not None and k != camera]
        box = row[camera]
        if box is not None and len(ends) >= 2:
            place = cameras[camera].projection @ np.append(triangulate(*zip(*ends, strict=True)), 1.0)
            told.append(place[0] / place[2])
            seen.append((box[0] + box[2]) / 2)
            sides.append((box[2:] - box[:2]).max())
    if len(seen) < 2 * LEAST_SHARED or min(np.std(told), np.std(seen)) < LEAST_WAY * np.median(sides):
        return 1.0
    return float(np.corrcoef(told, seen)[0, 1])


def _mirrored(row: Row, camera: int, width: int) -> Row:
    """What would have been seen if one camera's picture were not mirrored."""
    box = row[camera]
    turned = None if box is None else np.array([width - 1 - box[2], box[1], width - 1 - box[0], box[3]], np.float32)
    return [turned if other == camera else held for other, held in enumerate(row)]


def _swapped(row: Row, first: int, second: int | None) -> Row:
    """What would have been seen if two cameras had each other's clip; with None, if the first had seen nothing."""
    taken = list(row)
    taken[first] = None if second is None else row[second]
    if second is not None:
        taken[second] = row[first]
    return taken
