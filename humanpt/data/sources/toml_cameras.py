"""TOML calibrations, one table per camera: Pose2Sim, caliscope, Anipose.

All hold the camera matrix, OpenCV's distortion, and the pose of x = R X + t, as a rotation vector or (newer caliscope)
a matrix. Pose2Sim writes `[cam_01]` with a `name` and metres; caliscope `[cameras.0]` (older: `[cam_0]`) with a `port`
or `cam_id` and metres, its videos being `port_0.mp4` or `cam_0.mp4`; Anipose `[cam_0]` with a `name` and the unit of
the user's board. Pose2Sim's documentation and caliscope's sample projects.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from humanpt.data.sources.camera import Calibration, CameraModel, build, pose
from humanpt.errors import InputError


def read_toml(path: Path) -> Calibration:
    """Read a TOML calibration; distances stay as they are, which should be metres.

    Raises:
        InputError: if it is no TOML, or a camera in it is damaged.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not TOML ({error}); export the calibration again") from None
    nested = document.get("cameras")
    tables = nested if isinstance(nested, dict) else document
    cameras: dict[str, CameraModel] = {}
    notes = []
    for key, table in tables.items():
        if not isinstance(table, dict) or "size" not in table:
            continue  # metadata, charuco and the like
        name = str(table.get("name", key))
        if table.get("ignore") or "matrix" not in table or "rotation" not in table:
            notes.append(f"{path.name}: camera {name} was never placed and is left out")
            continue
        cameras[name] = _camera(name, table, f"{path}, [{key}]")
    caliscope = isinstance(nested, dict) or any("port" in table for table in tables.values() if isinstance(table, dict))
    return Calibration(path=path, form="caliscope" if caliscope else "Pose2Sim", cameras=cameras, notes=tuple(notes))


def _camera(name: str, table: dict[str, Any], where: str) -> CameraModel:
    if "translation" not in table:
        raise InputError(f"{where}: has a rotation but no translation; export the calibration again")
    return build(
        name,
        where,
        matrix=table["matrix"],
        distortion=table.get("distortions", ()),
        fisheye=bool(table.get("fisheye", False)),
        cam_from_world=pose(table["rotation"], table["translation"], where),
        size=table["size"],
    )
