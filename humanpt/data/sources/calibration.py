"""Which calibration format a file or folder has, and where the calibration of a capture lies.

| Format | Recognised by | Unit |
|---|---|---|
| Qualisys | `.qca.txt`, or XML with `<calibration>` | millimetres |
| Pose2Sim, caliscope, Anipose | `.toml` | metres |
| COLMAP | a folder with cameras.txt and images.txt | free |
| CMU Panoptic | JSON: `cameras` with `distCoef` | centimetres |
| AIST++ | JSON: a list with `rotation` and `translation` | centimetres |
| InterHand2.6M | JSON: captures with `campos` and `camrot` | millimetres |
| Shelf, Campus | JSON: a map of cameras with `fx` and `T` | millimetres |
| OpenCV, EasyMocap | `.yml`, `.yaml`, `.xml`, other JSON | free |
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from humanpt.data.sources.camera import Calibration, Unit, in_metres
from humanpt.data.sources.colmap import read_colmap
from humanpt.data.sources.opencv import read_opencv, read_storage, storage_files
from humanpt.data.sources.qualisys import read_qualisys
from humanpt.data.sources.studios import (
    is_aist,
    is_interhand,
    is_panoptic,
    is_shelf,
    read_aist,
    read_interhand,
    read_panoptic,
    read_shelf,
)
from humanpt.data.sources.toml_cameras import read_toml
from humanpt.errors import InputError
from humanpt.files import exists

UNITS: dict[str, Unit] = {
    "Qualisys": "mm",
    "Pose2Sim": "m",
    "caliscope": "m",
    "CMU Panoptic": "cm",
    "AIST++": "cm",
    "InterHand2.6M": "mm",
    "Shelf or Campus": "mm",
}
BOARDS = ("calibration", "calib", "calibrations")
"""Folders whose clips, if any, show calibration boards."""
FOLDERS = (
    *BOARDS,
    "calibration/extrinsic/capture_volume",
    "capture_volume",
    "cameras",
    "camera",
    "sparse/0",
    "sparse",
    "colmap",
)
"""Where a capture keeps its calibration, if not beside its clips."""
SETTINGS = ("config", "project_settings", "charuco", "calib_settings", "summary", "package")
"""Names of TOML and JSON files that lie beside captures and are no calibration."""


def read_calibration(path: Path, unit: Unit | Literal["auto"] = "auto", capture: str | None = None) -> Calibration:
    """Read the cameras of a file or folder, in metres and OpenCV's axes.

    Args:
        unit: the unit of its distances; "auto" is the format's own, and metres where it has none.
        capture: which capture of an InterHand2.6M file is meant.

    Raises:
        InputError: if it is missing, of another kind, has no camera, or what it says cannot be; one line.
    """
    if not exists(path):
        raise InputError(f"{path}: no such calibration; check the path")
    calibration = _read(path, capture)
    if not calibration.cameras:
        raise InputError(f"{path}: no camera in it; export the {calibration.form} calibration again")
    return in_metres(calibration, UNITS.get(calibration.form), unit)


def _read(path: Path, capture: str | None) -> Calibration:
    if path.is_dir():
        found = find_calibration(path)
        if (path / "cameras.txt").is_file() or (path / "images.txt").is_file():
            return read_colmap(path)
        if found is None:
            raise InputError(f"{path}: no calibration in this folder; the formats are listed in docs/captures.md")
        return read_opencv(path) if found == path else _read(found, capture)
    ending = path.suffix.lower()
    if ending == ".toml":
        return read_toml(path)
    if ending == ".txt" and path.name in ("cameras.txt", "images.txt"):
        return read_colmap(path.parent)
    if ending == ".txt" or (ending == ".xml" and b"<calibration" in path.read_bytes()[:1000]):
        return read_qualisys(path)
    if ending == ".json":
        document = read_storage(path)
        if is_panoptic(document):
            return read_panoptic(document, path)
        if is_aist(document):
            return read_aist(document, path)
        if is_interhand(document):
            return read_interhand(document, path, capture)
        if is_shelf(document):
            return read_shelf(document, path)
        return read_opencv(path)
    if ending in (".yml", ".yaml", ".xml"):
        return read_opencv(path)
    raise InputError(f"{path}: calibrations are read from .toml, .json, .yml, .xml, .qca.txt and COLMAP's text")


def find_calibration(folder: Path, *, deep: bool = True) -> Path | None:
    """The calibration that lies in a folder, or in one of the usual folders below it.

    Returns:
        The file; the folder that holds it, where it consists of several files; None if there is none.
    """
    if (folder / "cameras.txt").is_file() and (folder / "images.txt").is_file():
        return folder
    for pattern in ("*.qca.txt", "*.toml"):
        files = [file for file in sorted(folder.glob(pattern)) if file.stem.lower() not in SETTINGS]
        if files:
            return next((file for file in files if "calib" in file.name.lower()), files[0])
    files = [file for file in storage_files(folder) if file.stem.lower() not in SETTINGS]
    if files:
        named = [file for file in files if "calib" in file.name.lower() or "camera" in file.name.lower()]
        return files[0] if len(files) == 1 else named[0] if len(named) == 1 else folder
    if deep:
        for name in FOLDERS:
            if (folder / name).is_dir() and (found := find_calibration(folder / name, deep=False)):
                return found
    return None
