"""`humanpt doctor CAPTURE`: what is wrong with captures by several cameras."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from humanpt.data.captures.check import CaptureCheck, check_capture
from humanpt.data.captures.find import find_captures
from humanpt.data.captures.rules import CaptureConfig
from humanpt.data.clips import find_clips
from humanpt.errors import HumanptError, InputError
from humanpt.files import finite


def holds_clips(folder: Path) -> bool:
    """Whether a folder has videos or frame folders in it, so that it may be a capture."""
    try:
        return bool(find_clips([folder]))
    except InputError:
        return False


def look_at_captures(folder: Path, plan: Path | None = None) -> dict[str, Any]:
    """Watch the captures in a folder and tell what is wrong with them.

    Args:
        folder: a capture, or a folder of captures.
        plan: SVG file for a plan of the cameras; with several captures its name gets their numbers.

    Returns:
        What was found, ready for JSON.

    Raises:
        InputError: if clips and calibration do not fit together.
        OutputError: if the plan cannot be written.
    """
    config = CaptureConfig()
    captures = find_captures([folder], config.capture)
    checks: list[CaptureCheck] = []
    problems: list[str] = []
    plans: list[str] = []
    for number, capture in enumerate(captures, start=1):
        try:
            check = check_capture(capture, config, lambda frames: None)
        except HumanptError as error:
            problems.append(str(error))
            continue
        checks.append(check)
        problems += [f"{check.name}: {problem}" for problem in check.problems]
        if plan is not None and sum(camera.centre is not None for camera in check.cameras) >= 2:
            from humanpt.pages.camera_layout import write_camera_layout  # matplotlib is slow to load

            file = plan if len(captures) == 1 else plan.with_stem(f"{plan.stem}-{number}")
            write_camera_layout(file, check)
            plans.append(str(file))
    return {
        "kind": "captures",
        "entries": [_entry(check, number) for check in checks for number in range(len(check.cameras))],
        "captures": [finite(dataclasses.asdict(check)) for check in checks],
        "notes": [f"{check.name}: {note}" for check in checks for note in check.notes],
        "plans": plans,
        "problems": problems,
    }


def _entry(check: CaptureCheck, number: int) -> dict[str, Any]:
    """One camera in a few words."""
    camera = check.cameras[number]
    angles = [pair.angle for pair in check.pairs if camera.name in pair.cameras and pair.angle == pair.angle]
    return {
        "capture": check.name,
        "camera": camera.name,
        "sees somebody": f"{camera.seen:.0%}",
        "clock": f"{camera.offset:+.3f} s (confidence {camera.confidence:.2f})",
        "misses the others": f"{camera.error:.2f} of the box" if camera.error == camera.error else None,
        "nearest camera": f"{min(angles):.0f} degrees" if angles else None,
    }
