"""Where the captures are.

A capture is a folder. Its clips are the videos and frame folders in it, at any depth if there is a calibration, else
those directly in one folder; the calibration lies beside them, above them, or in a folder of a usual name
(`sources/calibration.py`), whose own clips show calibration boards and are passed over. Several recordings may share a
calibration above them. Data sets whose layout is none of this have readers of their own (`sources/studio_roots.py`).
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from humanpt.data.captures.rules import CaptureRules
from humanpt.data.captures.views import Capture, View, calibrated_capture, frame_times, spread, view_names
from humanpt.data.clips import FoundClip, find_clips, natural_key
from humanpt.data.sources.calibration import BOARDS, find_calibration, read_calibration
from humanpt.data.sources.studio_roots import studio_captures
from humanpt.errors import InputError
from humanpt.files import exists


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
        found = studio_captures(source, rules)
        if found is None:
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
            calibration = read_calibration(given, rules.unit)
            yield calibrated_capture(place, _name(place, source), group, calibration, rules)
        return
    direct = [clip for clip in clips if clip.path.parent == folder]
    if len(direct) >= 2:
        views = tuple(
            View(name=name, clip=clip, camera=None, times=times)
            for name, clip, times in zip(view_names(direct), direct, frame_times(direct, rules), strict=True)
        )
        yield Capture(name=_name(folder, source), path=folder, views=tuple(spread(views, rules.max_cameras)))
        return
    for inner in sorted((path for path in folder.iterdir() if path.is_dir()), key=natural_key):
        if not inner.name.startswith(".") and inner.name not in BOARDS:
            yield from _search(inner, source, rules)


def _clips_below(folder: Path, source: Path) -> list[FoundClip]:
    """The clips in a folder, but for those of calibration boards, with names relative to the input."""
    try:
        found = find_clips([folder])
    except InputError:
        return []
    prefix = "" if folder == source else folder.relative_to(source).as_posix() + "/"
    return [
        dataclasses.replace(clip, name=prefix + clip.name)
        for clip in found
        if clip.path == folder or not set(BOARDS) & set(clip.path.relative_to(folder).parts[:-1])
    ]


def _groups(clips: Sequence[FoundClip]) -> list[list[FoundClip]]:
    """Clips by recording: names that come again in another folder are another recording under the same calibration."""
    folders: dict[Path, list[FoundClip]] = defaultdict(list)
    for clip in clips:
        folders[clip.path.parent].append(clip)
    names = [name for group in folders.values() for name in {clip.path.stem for clip in group}]
    again = len(names) > len(set(names)) and all(len(group) >= 2 for group in folders.values())
    return list(folders.values()) if again else [list(clips)]


def _name(folder: Path, source: Path) -> str:
    return source.resolve().name if folder == source else folder.relative_to(source).as_posix()
