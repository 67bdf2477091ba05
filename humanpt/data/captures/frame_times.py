"""When the frames of several cameras were taken, where something other than the clips' own clocks says so.

- `timestamps.csv` beside the clips, as caliscope reads it: `cam_id,frame_time` in seconds on one clock for all cameras,
  a line per frame in any order.
- Frame folders whose pictures have the same numbers in all folders (`00_00_00000123.jpg`): the same number is the same
  instant, also where pictures are missing.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humanpt.data.clips import OTHER_PICTURE_ENDINGS, PICTURE_ENDINGS, pictures_in
from humanpt.errors import InputError

STAMPS = "timestamps.csv"

FrameTimes = NDArray[np.float64]
"""(T,) common time of each frame by its number, in seconds, increasing."""


def stamped_frames(folder: Path, names: Sequence[str]) -> list[FrameTimes] | None:
    """The times that a folder's timestamps.csv gives, one array per clip; None if there is no such file.

    Args:
        folder: of the clips.
        names: of the clips; `cam_3` is camera 3.

    Raises:
        InputError: if the file is no such list, or has nothing about one of the clips.
    """
    path = folder / STAMPS
    if not path.is_file():
        return None
    times: dict[str, list[float]] = defaultdict(list)
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines)
        camera = next((name for name in ("cam_id", "port") if name in (rows.fieldnames or ())), None)
        if camera is None or "frame_time" not in (rows.fieldnames or ()):
            raise InputError(f"{path}: its columns must be cam_id and frame_time; correct or remove it")
        for row in rows:
            try:
                times[row[camera].strip()].append(float(row["frame_time"]))
            except (AttributeError, TypeError, ValueError):
                raise InputError(f"{path}, line {rows.line_num}: is not a camera and a time in seconds") from None
    first = min((min(of_camera) for of_camera in times.values()), default=0.0)
    found = []
    for name in names:
        of_clip = times.get(name) or times.get(_last_number(name) or "")
        if not of_clip:
            raise InputError(f"{path}: has nothing about {name} (its cameras are {', '.join(times)}); correct it")
        found.append(np.sort(np.array(of_clip)) - first)
    return found


def numbered_frames(folders: Sequence[Path], rate: float) -> list[FrameTimes] | None:
    """The times that the numbers in the names of pictures stand for, one array per folder.

    Args:
        folders: of frames, one per camera.
        rate: numbers per second.

    Returns:
        None if the pictures have no numbers, or the numbers of one folder are not increasing.
    """
    numbers = []
    for folder in folders:
        found = [_last_number(path.stem) for path in pictures_in(folder, PICTURE_ENDINGS + OTHER_PICTURE_ENDINGS)]
        if not found or None in found:
            return None
        numbers.append(np.array([int(number) for number in found if number is not None], np.float64))
    if any((np.diff(of_folder) <= 0).any() for of_folder in numbers):
        return None
    first = min(of_folder[0] for of_folder in numbers)
    return [(of_folder - first) / rate for of_folder in numbers]


def common_time(times: FrameTimes | None, number: int, timestamp: float, offset: float) -> float:
    """The common time of a frame: what is known of it, else its clip's own clock and that clock's offset."""
    if times is None:
        return timestamp + offset
    return float(times[number]) if number < len(times) else float("inf")  # a frame that the list has nothing about


def _last_number(name: str) -> str | None:
    found: Sequence[str] = re.findall(r"\d+", name)
    return str(int(found[-1])) if found else None
