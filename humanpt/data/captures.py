"""Captures: one scene filmed by several cameras at once, a clip per camera, with or without a calibration.

A capture is a folder. Its clips are the videos and frame folders in it, at any depth if there is a calibration, else
those directly in one folder; the calibration lies beside them, above them, or in a folder of a usual name
(`sources/calibration.py`). Clips find their cameras by name: `cam01.mp4`, `cam_1`, `int_cam01_img` and `camera 01` all
mean the same one, and so do `hd_00_03.mp4` and `00_03`, or `gBR_sBM_c02_d04_mBR0_ch01.mp4` and `c02`.
"""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from humanpt.data.clips import FoundClip, find_clips, natural_key
from humanpt.data.harvest import HarvestConfig
from humanpt.data.sources.calibration import find_calibration, read_calibration
from humanpt.data.sources.camera import Calibration, CameraModel
from humanpt.errors import ConfigError, InputError
from humanpt.files import exists


@dataclass(frozen=True, kw_only=True)
class CaptureRules:
    """How several cameras become cross-view pairs; the numbers are ours, see docs/captures.md."""

    calibration: str = ""
    """The calibration's file or folder; empty to look for it in the capture."""
    unit: Literal["auto", "m", "cm", "mm"] = "auto"
    """Unit of the calibration's distances; auto is what its format documents, and metres where it documents none."""
    strays: Literal["refuse", "skip"] = "refuse"
    """What to do about a video without a calibrated camera, and a calibrated camera without a video."""
    sync: Literal["motion", "none"] = "motion"
    """Whether clock offsets between the cameras are estimated from the motion, or taken for zero."""
    sync_seconds: float = 120.0
    """How much of each clip the offsets are estimated from."""
    max_offset: float = 10.0
    """Largest clock offset looked for, in seconds."""
    min_offset: float = 0.05
    """Offsets that come out smaller are taken for zero: two views of one motion differ by as much."""
    min_confidence: float = 0.2
    """Least confidence of an offset that is used; clips of different scenes reach 0.17."""
    max_skew: float = 0.021
    """Frames further than this from the instant do not belong to it, in seconds; half a frame at 24 per second."""
    min_angle: float = 10.0
    """Smallest rotation between the two cameras of a pair, in degrees."""
    max_angle: float = 75.0
    """Largest rotation between the two cameras of a pair, in degrees."""
    max_mismatch: float = 0.25
    """Farthest that two boxes' centres may miss each other in 3D, reprojected, as a share of the box's longer side."""
    per_instant: int = 4
    """Most pairs of one subject at one instant."""
    min_change: float = 0.05
    """Least change of the subject, in either view, between two instants paired by the same two cameras."""
    frame_rate: float = 25.0
    """Frames per second of frame folders, which carry no times."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_angle < self.max_angle <= 180:
            raise ConfigError(
                f"capture: angles must satisfy 0 <= min < max <= 180, got {self.min_angle} and {self.max_angle} degrees"
            )
        for name in ("sync_seconds", "max_offset", "max_skew", "max_mismatch", "frame_rate"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"capture.{name} is {getattr(self, name)}; it must be positive")
        if self.min_offset < 0 or self.min_change < 0 or not 0 <= self.min_confidence <= 1:
            raise ConfigError("capture: min_offset and min_change must not be negative, min_confidence from 0 to 1")
        if self.per_instant < 1:
            raise ConfigError(f"capture.per_instant is {self.per_instant}; it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class CaptureConfig(HarvestConfig):
    """How a capture becomes cross-view pairs: everything about clips, and what concerns several cameras."""

    capture: CaptureRules = field(default_factory=CaptureRules)
    """The rules for several cameras."""


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """One camera's clip."""

    name: str
    """The camera, unique within the capture."""
    clip: FoundClip
    """Its video or frame folder."""
    camera: CameraModel | None
    """Its calibration, for pictures of the size it was made with; None if there is none."""


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
    def calibrated(self) -> bool:
        """Whether the place of every camera is known."""
        return all(view.camera is not None and view.camera.cam_from_world is not None for view in self.views)


def find_captures(inputs: Sequence[Path], rules: CaptureRules | None = None) -> list[Capture]:
    """Find the captures in folders, in natural order.

    Args:
        inputs: folders of captures, or captures.
        rules: where the calibration is and what its unit is, and what to do about strays.

    Raises:
        InputError: if a path is missing or no folder, has fewer than two clips, or clips and calibration do not fit.
    """
    rules = rules or CaptureRules()
    captures = []
    for source in inputs:
        if not exists(source):
            raise InputError(f"{source}: no such folder; check the path")
        if not source.is_dir():
            raise InputError(f"{source}: is a file; a capture is a folder with a video or frame folder per camera")
        found = list(_search(source, source, rules))
        if not found:
            clips = len(find_clips([source]))
            raise InputError(
                f"{source}: {clips} clip{'s' * (clips != 1)} and no two in one folder; "
                "a capture has at least two, one per camera"
            )
        captures += found
    return captures


def _search(folder: Path, source: Path, rules: CaptureRules) -> Iterator[Capture]:
    """The captures in a folder and below."""
    given = Path(rules.calibration) if rules.calibration else find_calibration(folder)
    clips = _clips_below(folder, source)
    if given is not None and clips:
        groups = _groups(clips)
        for group in groups:
            place = folder if len(groups) == 1 else group[0].path.parent
            yield _calibrated(place, source, group, read_calibration(given, rules.unit), rules)
        return
    direct = [clip for clip in clips if clip.path.parent == folder]
    if len(direct) >= 2:
        names = _view_names(direct)
        views = tuple(View(name=name, clip=clip, camera=None) for name, clip in zip(names, direct, strict=True))
        yield Capture(name=_name(folder, source), path=folder, views=views)
        return
    for inner in sorted((path for path in folder.iterdir() if path.is_dir()), key=natural_key):
        if not inner.name.startswith("."):
            yield from _search(inner, source, rules)


def _clips_below(folder: Path, source: Path) -> list[FoundClip]:
    """The clips in a folder, with names relative to the input."""
    try:
        found = find_clips([folder])
    except InputError:
        return []
    prefix = "" if folder == source else folder.relative_to(source).as_posix() + "/"
    return [dataclasses.replace(clip, name=prefix + clip.name) for clip in found]


def _groups(clips: Sequence[FoundClip]) -> list[list[FoundClip]]:
    """Clips by recording: names that come again in another folder are another recording under the same calibration."""
    folders: dict[Path, list[FoundClip]] = defaultdict(list)
    for clip in clips:
        folders[clip.path.parent].append(clip)
    names = [name for group in folders.values() for name in {clip.path.stem for clip in group}]
    again = len(names) > len(set(names)) and all(len(group) >= 2 for group in folders.values())
    return list(folders.values()) if again else [list(clips)]


def _view_names(clips: Sequence[FoundClip]) -> list[str]:
    """Short names that tell the clips apart: their file's, or the folder's where all files are called alike."""
    stems = [clip.path.name if clip.path.is_dir() else clip.path.stem for clip in clips]
    if len(set(stems)) == len(stems):
        return stems
    parents = [clip.path.parent.name for clip in clips]
    if len(set(parents)) == len(parents):
        return parents
    return [f"{parent}/{stem}" for parent, stem in zip(parents, stems, strict=True)]


def _calibrated(
    folder: Path, source: Path, clips: Sequence[FoundClip], calibration: Calibration, rules: CaptureRules
) -> Capture:
    """The capture of clips and their cameras."""
    names = _view_names(clips)
    match = match_names(names, list(calibration.cameras))
    where = calibration.path.name
    cameras = ", ".join(list(calibration.cameras)[:6]) + (", ..." if len(calibration.cameras) > 6 else "")
    notes = list(calibration.notes)
    unknown = [name for name in names if name not in match]
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
    views = tuple(
        View(name=match[name], clip=clip, camera=calibration.cameras[match[name]])
        for name, clip in zip(names, clips, strict=True)
        if name in match
    )
    return Capture(
        name=_name(folder, source),
        path=folder,
        views=views,
        calibration=f"{calibration.form} ({where})",
        notes=tuple(notes),
    )


def _name(folder: Path, source: Path) -> str:
    return source.resolve().name if folder == source else folder.relative_to(source).as_posix()


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


def _tokens(name: str) -> list[str]:
    """Words and numbers of a name: int_Cam01 gives int, cam, 1."""
    return [part.lstrip("0") or "0" if part.isdigit() else part for part in re.findall(r"[a-z]+|\d+", name.casefold())]


def _numbers(name: str) -> list[str]:
    return [token for token in _tokens(name) if token.isdigit()]


def _within(short: Sequence[str], long: Sequence[str]) -> bool:
    """Whether one list of words is a stretch of another."""
    return bool(short) and any(list(long[i : i + len(short)]) == list(short) for i in range(len(long)))
