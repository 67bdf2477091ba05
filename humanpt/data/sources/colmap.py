"""COLMAP's text model: cameras.txt and images.txt.

From COLMAP's documentation of its output: cameras.txt has `CAMERA_ID MODEL WIDTH HEIGHT PARAMS...`; images.txt two
lines per image, the first `IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME` with the pose of x = R X + t, the second its
points, possibly none. The first pixel's centre is (0.5, 0.5) there and (0, 0) here. The scale is free: it is metres
only if the model was scaled.

Each image is a camera: an image named after a video (`cam01.jpg`), or kept in a folder of its own
(`cam01/frame_000.jpg`; the first image counts, cameras stand still).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from humanpt.data.sources.camera import Calibration, CameraModel, Doubles, build, numbers, pose
from humanpt.errors import InputError

# What each parameter is: one focal length or two, the centre, then OpenCV's distortion in the order of the letters.
MODELS: dict[str, tuple[str, ...]] = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "FULL_OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    "OPENCV_FISHEYE": ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4"),
    "SIMPLE_RADIAL_FISHEYE": ("f", "cx", "cy", "k1"),
    "RADIAL_FISHEYE": ("f", "cx", "cy", "k1", "k2"),
}
PINHOLE_LENS = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
FISHEYE_LENS = ("k1", "k2", "k3", "k4")


def read_colmap(folder: Path) -> Calibration:
    """Read a text model; distances stay in the model's own scale.

    Raises:
        InputError: if a file is missing or a line of it is wrong.
    """
    lenses = dict(_lens(line, where) for line, where in _lines(folder / "cameras.txt"))
    cameras: dict[str, CameraModel] = {}
    # Of each pair of lines the second holds points; an image without any leaves it empty.
    for line, where in list(_lines(folder / "images.txt", keep_empty=True))[::2]:
        cells = line.split(maxsplit=9)
        if len(cells) != 10:
            raise InputError(f"{where}: {len(cells)} values; an image has id, quaternion, translation, camera and name")
        lens = lenses.get(cells[8])
        if lens is None:
            raise InputError(f"{where}: the camera {cells[8]} is not in cameras.txt; export both files again")
        picture = PurePosixPath(cells[9].replace("\\", "/"))
        name = picture.parent.as_posix() if len(picture.parts) > 1 else picture.stem
        if name not in cameras:
            place = numbers(cells[1:8], where, "the pose")
            cameras[name] = build(
                name, where, cam_from_world=pose(_rotation(place[:4], where), place[4:], where), **lens
            )
    return Calibration(path=folder, form="COLMAP", cameras=cameras)


def _lines(path: Path, *, keep_empty: bool = False) -> Iterator[tuple[str, str]]:
    """The lines that are no comments, each with the words for where it is."""
    if not path.is_file():
        raise InputError(f"{path}: is missing; export the model as text (colmap model_converter --output_type TXT)")
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.startswith("#") and (keep_empty or line.strip()):
            yield line.strip(), f"{path}, line {number}"


def _lens(line: str, where: str) -> tuple[str, dict[str, Any]]:
    identity, model, *rest = line.split()
    names = MODELS.get(model)
    if names is None:
        raise InputError(f"{where}: the camera model {model} is not read; undistort with colmap, or use OPENCV")
    values = numbers(rest, where, "the camera")
    if len(values) != 2 + len(names):
        raise InputError(f"{where}: {model} has width, height and {len(names)} parameters, found {len(values)} numbers")
    known = dict(zip(names, values[2:], strict=True))
    fx, fy = known.get("fx", known.get("f")), known.get("fy", known.get("f"))
    fisheye = model.endswith("FISHEYE")
    return identity, {
        "matrix": [[fx, 0, known["cx"] - 0.5], [0, fy, known["cy"] - 0.5], [0, 0, 1]],
        "distortion": [known.get(name, 0.0) for name in (FISHEYE_LENS if fisheye else PINHOLE_LENS)],
        "fisheye": fisheye,
        "size": values[:2],
    }


def _rotation(wxyz: Doubles, where: str) -> Doubles:
    length = float(np.linalg.norm(wxyz))
    if abs(length - 1) > 0.01:
        raise InputError(f"{where}: the quaternion has length {length:.3g}, not 1; export the model again")
    w, x, y, z = wxyz / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
