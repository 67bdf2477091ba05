"""Qualisys Track Manager's calibration (.qca.txt, XML inside).

As documented by Qualisys' own file: focal lengths, centres and sensor edges are in 1/64 pixel; the transform has the
position in millimetres and a rotation whose columns are the camera's axes in the world, with y up and z towards the
camera: R = diag(1, -1, -1) times it as stored, x = R (X - C). Distortion is k1, k2, p1, p2 of OpenCV's model. Checked
on the Pose2Sim sample by triangulation (tests/data/sources).
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from humanpt.data.sources.camera import Calibration, build, numbers, pose
from humanpt.errors import InputError

SUBPIXELS = 64.0
TRANSFORM = [f"r{row}{column}" for row in (1, 2, 3) for column in (1, 2, 3)]
INTRINSIC = ("focalLengthU", "focalLengthV", "centerPointU", "centerPointV", "skew")
LENS = ("radialDistortion1", "radialDistortion2", "tangentalDistortion1", "tangentalDistortion2", "radialDistortion3")


def read_qualisys(path: Path) -> Calibration:
    """Read a .qca.txt file; distances stay in millimetres.

    Raises:
        InputError: if it is damaged or has no camera.
    """
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except ElementTree.ParseError as error:
        raise InputError(f"{path}: is no Qualisys calibration ({error}); export it again") from None
    cameras = {}
    for entry in root.iter("camera"):
        name = entry.get("serial") or entry.get("name") or ""
        where = f"{path}, camera {name}"
        if entry.get("active") == "0":
            continue
        transform, intrinsic = entry.find("transform"), entry.find("intrinsic")
        video = entry.find("fov_video")
        if transform is None or intrinsic is None:
            raise InputError(f"{where}: has no {'transform' if transform is None else 'intrinsic'}; export it again")
        turn, place = (_values(transform, names, where) for names in (TRANSFORM, ("x", "y", "z")))
        rotation = np.diag([1.0, -1.0, -1.0]) @ turn.reshape(3, 3)
        fu, fv, cu, cv, skew = _values(intrinsic, INTRINSIC, where) / SUBPIXELS
        size = None
        if video is not None:
            left, top, right, bottom = _values(video, ("left", "top", "right", "bottom"), where)
            size = (right - left + 1, bottom - top + 1)
        cameras[name] = build(
            name,
            where,
            matrix=[[fu, skew, cu], [0, fv, cv], [0, 0, 1]],
            distortion=_values(intrinsic, LENS, where),
            cam_from_world=pose(rotation, -rotation @ place, where),
            size=size,
        )
    return Calibration(path=path, form="Qualisys", cameras=cameras)


def _values(element: ElementTree.Element, names: tuple[str, ...] | list[str], where: str) -> np.ndarray:
    texts = [element.get(name, "0" if name in ("skew", "radialDistortion3") else None) for name in names]
    if None in texts:
        raise InputError(f"{where}: {element.tag} has no {names[texts.index(None)]}; export it again")
    return numbers(texts, where, element.tag)
