"""JSON calibrations of well-known data sets: CMU Panoptic, AIST++, InterHand2.6M, Shelf and Campus.

CMU Panoptic (calibration_SEQUENCE.json): `cameras` with `name`, `resolution`, `K`, `distCoef` (OpenCV's five), `R`,
`t` of x = R X + t, centimetres. A camera's video is `hd_00_01.mp4` or `vga_01_01.mp4`, its frame folder `00_01`.

AIST++ (cameras/settingN.json): a list of cameras with `name` (c01 to c09), `size`, `matrix`, `rotation` (a rotation
vector), `translation`, `distortions`; centimetres (its own estimation starts from cameras 500 away and 170 high).

InterHand2.6M (…_camera.json): per capture `campos`, `camrot`, `focal`, `princpt`, each by camera; millimetres,
x = R (X - C), no distortion.

Shelf and Campus, as multi-view pose estimators pass them on (calibration_shelf.json): a map of cameras "0", "1", ...
with `fx`, `fy`, `cx`, `cy`, `k` (three radial terms), `p` (two tangential ones), `R`, and in `T` the camera's centre,
millimetres, x = R (X - T); the frames are in Camera0, Camera1, ... Checked on Shelf's own truth (tests/data/sources).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from humanpt.data.sources.camera import Calibration, build, numbers, pose
from humanpt.errors import InputError


def is_panoptic(document: Any) -> bool:
    """Whether a JSON document looks like CMU Panoptic's."""
    cameras = document.get("cameras") if isinstance(document, dict) else None
    return isinstance(cameras, list) and bool(cameras) and isinstance(cameras[0], dict) and "distCoef" in cameras[0]


def read_panoptic(document: dict[str, Any], path: Path) -> Calibration:
    """CMU Panoptic's cameras, in centimetres.

    Raises:
        InputError: if a camera lacks something.
    """
    cameras = {}
    for number, entry in enumerate(document["cameras"]):
        name = str(entry.get("name", number))
        where = f"{path}, camera {name}"
        _need(entry, ("resolution", "K", "distCoef", "R", "t"), where)
        cameras[name] = build(
            name,
            where,
            matrix=entry["K"],
            distortion=entry["distCoef"],
            cam_from_world=pose(entry["R"], entry["t"], where),
            size=entry["resolution"],
        )
    return Calibration(path=path, form="CMU Panoptic", cameras=cameras, studio=True)


def is_aist(document: Any) -> bool:
    """Whether a JSON document looks like AIST++'s."""
    return (
        isinstance(document, list)
        and bool(document)
        and isinstance(document[0], dict)
        and {"matrix", "rotation", "translation"} <= document[0].keys()
    )


def read_aist(document: list[dict[str, Any]], path: Path) -> Calibration:
    """AIST++'s cameras, in centimetres.

    Raises:
        InputError: if a camera lacks something.
    """
    cameras = {}
    for number, entry in enumerate(document):
        name = str(entry.get("name", number))
        where = f"{path}, camera {name}"
        _need(entry, ("size", "matrix", "rotation", "translation", "distortions"), where)
        cameras[name] = build(
            name,
            where,
            matrix=entry["matrix"],
            distortion=entry["distortions"],
            cam_from_world=pose(entry["rotation"], entry["translation"], where),
            size=entry["size"],
        )
    return Calibration(path=path, form="AIST++", cameras=cameras, studio=True)


def is_interhand(document: Any) -> bool:
    """Whether a JSON document looks like InterHand2.6M's cameras."""
    first = next(iter(document.values()), None) if isinstance(document, dict) else None
    return isinstance(first, dict) and {"campos", "camrot", "focal", "princpt"} <= first.keys()


def read_interhand(document: dict[str, Any], path: Path, capture: str | None = None) -> Calibration:
    """InterHand2.6M's cameras, in millimetres.

    Args:
        capture: which capture of the file; may be left out if there is only one.

    Raises:
        InputError: if the capture is not in the file, or a camera lacks something.
    """
    if capture is None and len(document) == 1:
        capture = next(iter(document))
    if capture not in document:
        names = ", ".join(list(document)[:5])
        raise InputError(f"{path}: has the captures {names}, not {capture}; keep one capture to a file, or name it")
    entry = document[capture]
    cameras = {}
    for name, place in entry["campos"].items():
        where = f"{path}, capture {capture}, camera {name}"
        if not all(name in entry[key] for key in ("camrot", "focal", "princpt")):
            raise InputError(f"{where}: has a position but not all of camrot, focal and princpt; download it again")
        rotation = numbers(entry["camrot"][name], where, "camrot").reshape(-1, 3)
        (fx, fy), (cx, cy) = (numbers(entry[key][name], where, key) for key in ("focal", "princpt"))
        shift = -rotation @ numbers(place, where, "campos")
        matrix = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
        cameras[name] = build(name, where, matrix=matrix, cam_from_world=pose(rotation, shift, where))
    return Calibration(path=path, form="InterHand2.6M", cameras=cameras, studio=True)


def is_shelf(document: Any) -> bool:
    """Whether a JSON document looks like Shelf's or Campus's."""
    first = next(iter(document.values()), None) if isinstance(document, dict) else None
    return isinstance(first, dict) and {"fx", "fy", "cx", "cy", "R", "T"} <= first.keys()


def read_shelf(document: dict[str, Any], path: Path) -> Calibration:
    """Shelf's and Campus's cameras, in millimetres.

    Raises:
        InputError: if a camera lacks something.
    """
    cameras = {}
    for name, entry in document.items():
        where = f"{path}, camera {name}"
        _need(entry, ("fx", "fy", "cx", "cy", "R", "T"), where)
        rotation = numbers(entry["R"], where, "R").reshape(-1, 3)
        shift = -rotation @ numbers(entry["T"], where, "T").ravel()
        k = [*numbers(entry.get("k", [0, 0, 0]), where, "k").ravel(), 0, 0, 0]
        p = [*numbers(entry.get("p", [0, 0]), where, "p").ravel(), 0, 0]
        cameras[name] = build(
            name,
            where,
            matrix=[[entry["fx"], 0, entry["cx"]], [0, entry["fy"], entry["cy"]], [0, 0, 1]],
            distortion=[k[0], k[1], p[0], p[1], k[2]],
            cam_from_world=pose(rotation, shift, where),
        )
    return Calibration(path=path, form="Shelf or Campus", cameras=cameras)


def _need(entry: dict[str, Any], names: tuple[str, ...], where: str) -> None:
    missing = [name for name in names if name not in entry]
    if missing:
        raise InputError(f"{where}: has no {missing[0]}; download the calibration again")
