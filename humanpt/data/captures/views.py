"""Captures: one scene filmed by several cameras at once, a clip per camera; and which clip is which camera's.

Clips find their cameras by name: `cam01.mp4`, `cam_1`, `int_cam01_img` and `camera 01` all mean the same one, and so do
`hd_00_03.mp4` and `00_03`, or `gBR_sBM_c02_d04_mBR0_ch01.mp4` and `c02`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from humanpt.data.captures.frame_times import FrameTimes, numbered_frames, stamped_frames
from humanpt.data.captures.rules import CaptureRules
from humanpt.data.clips import FoundClip
from humanpt.data.sources.camera import Calibration, CameraModel
from humanpt.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """One camera's clip."""

    name: str
    """The camera, unique within the capture."""
    clip: FoundClip
    """Its video or frame folder."""
    camera: CameraModel | None
    """Its calibration, for pictures of the size it was made with; None if there is none."""
    times: FrameTimes | None = None
    """Common time of each frame, where something other than the clip's own clock says it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Capture:
    """Several cameras' clips of one scene."""

    name: str
    """Its path relative to the input it was found in, with forward slashes."""
    path: Path
    """Its folder."""
    views: tuple[View, ...]
    """At least two, in natural order of their names."""
    calibration: str = ""
    """Format and file of the calibration, for people; empty if there is none."""
    notes: tuple[str, ...] = ()
    """What was left out."""

    @property
    def timed(self) -> bool:
        """Whether the time of every frame is known without asking the clips' own clocks."""
        return all(view.times is not None for view in self.views)

    @property
    def calibrated(self) -> bool:
        """Whether the place of every camera is known."""
        return all(view.camera is not None and view.camera.cam_from_world is not None for view in self.views)


def view_names(clips: Sequence[FoundClip]) -> list[str]:
    """Short names that tell the clips apart: their file's, or the folder's where all files are called alike."""
    stems = [clip.path.name if clip.path.is_dir() else clip.path.stem for clip in clips]
    if len(set(stems)) == len(stems):
        return stems
    parents = [clip.path.parent.name for clip in clips]
    if len(set(parents)) == len(parents):
        return parents
    return [f"{parent}/{stem}" for parent, stem in zip(parents, stems, strict=True)]


def calibrated_capture(
    folder: Path, name: str, clips: Sequence[FoundClip], calibration: Calibration, rules: CaptureRules
) -> Capture:
    """The capture of clips and their cameras.

    Args:
        folder: where it is.
        name: what it is called.
        clips: one per camera.
        calibration: of the cameras.
        rules: what to do about strays.

    Raises:
        InputError: if fewer than two clips have a camera, or one has none, or a camera has no clip.
    """
    names = view_names(clips)
    match = match_names(names, list(calibration.cameras))
    where = calibration.path.name
    cameras = ", ".join(list(calibration.cameras)[:6]) + (", ..." if len(calibration.cameras) > 6 else "")
    notes = list(calibration.notes)
    unknown = [called for called in names if called not in match]
    if len(match) < 2:
        if len(names) < 2:
            raise InputError(f"{folder}: has one clip ({clips[0].name}); a capture needs at least two, one per camera")
        raise InputError(
            f"{calibration.path}: its cameras ({cameras}) and the clips ({', '.join(names[:6])}) share fewer than two "
            "names; name the clips after the cameras"
        )
    if unknown:
        if rules.strays == "refuse":
            raise InputError(
                f"{folder}: clip {unknown[0]} has no camera in {where} ({cameras}); rename or calibrate it, or leave "
                "it out with --set capture.strays=skip"
            )
        notes.append(f"left out, no camera in {where}: {', '.join(unknown)}")
    unseen = [camera for camera in calibration.cameras if camera not in match.values()]
    if unseen and not calibration.studio:
        if rules.strays == "refuse":
            raise InputError(
                f"{calibration.path}: camera {unseen[0]} has no video in {folder}; add it (named like the camera), or "
                "leave it out with --set capture.strays=skip"
            )
        notes.append(f"calibrated, but without video: {', '.join(unseen)}")
    used = [(match[called], clip) for called, clip in zip(names, clips, strict=True) if called in match]
    times = frame_times([clip for _, clip in used], rules)
    views = [
        View(name=camera, clip=clip, camera=calibration.cameras[camera], times=of_clip)
        for (camera, clip), of_clip in zip(used, times, strict=True)
    ]
    if len(views) > rules.max_cameras:
        notes.append(f"{rules.max_cameras} of {len(views)} cameras taken, far apart; capture.max_cameras takes more")
    return Capture(
        name=name,
        path=folder,
        views=tuple(spread(views, rules.max_cameras)),
        calibration=f"{calibration.form} ({where})",
        notes=tuple(notes),
    )


def spread(views: Sequence[View], count: int) -> list[View]:
    """At most so many of the views, as far from each other as can be had, in their order.

    Each next one is the farthest from all taken before it; without poses they are taken evenly.
    """
    if len(views) <= count:
        return list(views)
    placed = [view.camera for view in views if view.camera is not None and view.camera.cam_from_world is not None]
    if len(placed) < len(views):
        return [views[int(k)] for k in np.linspace(0, len(views) - 1, count).round()]
    centres = np.array([camera.centre for camera in placed])
    taken = [0]
    away = np.linalg.norm(centres - centres[0], axis=1)
    while len(taken) < count:
        taken.append(int(np.argmax(away)))
        away = np.minimum(away, np.linalg.norm(centres - centres[taken[-1]], axis=1))
    return [views[k] for k in sorted(taken)]


def frame_times(clips: Sequence[FoundClip], rules: CaptureRules) -> list[FrameTimes | None]:
    """When the frames of each clip were taken, None where only its own clock can tell.

    Raises:
        InputError: if there is a list of times that does not fit the clips.
    """
    folders = {clip.path.parent for clip in clips}
    stamped = stamped_frames(folders.pop(), view_names(clips)) if len(folders) == 1 else None
    if stamped is not None:
        return list(stamped)
    numbered = None
    if all(clip.path.is_dir() for clip in clips):
        numbered = numbered_frames([clip.path for clip in clips], rules.frame_rate)
    return list(numbered) if numbered is not None else [None] * len(clips)


def match_names(clips: Sequence[str], cameras: Sequence[str]) -> dict[str, str]:
    """Which camera each clip is, by name: the first way of reading the names that gives the most pairs.

    Returns:
        Clip name to camera name, one to one; names that fit none or several are left out.
    """
    ways = (
        lambda clip, camera: clip.casefold() == camera.casefold(),
        lambda clip, camera: _tokens(clip) == _tokens(camera),
        lambda clip, camera: _within(_tokens(camera), _tokens(clip)) or _within(_tokens(clip), _tokens(camera)),
        lambda clip, camera: _numbers(clip)[-1:] == _numbers(camera)[-1:] != [],
    )
    best: dict[str, str] = {}
    for fits in ways:
        of_clip = {clip: [camera for camera in cameras if fits(clip, camera)] for clip in clips}
        taken = [found[0] for found in of_clip.values() if len(found) == 1]
        pairs = {clip: found[0] for clip, found in of_clip.items() if len(found) == 1 and taken.count(found[0]) == 1}
        if len(pairs) > len(best):
            best = pairs
    return best


@lru_cache(maxsize=4096)
def _tokens(name: str) -> list[str]:
    """Words and numbers of a name: int_Cam01 gives int, cam, 1."""
    return [part.lstrip("0") or "0" if part.isdigit() else part for part in re.findall(r"[a-z]+|\d+", name.casefold())]


def _numbers(name: str) -> list[str]:
    return [token for token in _tokens(name) if token.isdigit()]


def _within(short: Sequence[str], long: Sequence[str]) -> bool:
    """Whether one list of words is a stretch of another."""
    return bool(short) and any(list(long[i : i + len(short)]) == list(short) for i in range(len(long)))
