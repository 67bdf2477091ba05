"""Calibrations written with OpenCV's FileStorage: YAML, XML or JSON, under the names that people use.

OpenCV fixes how a matrix is written, not what it is called. Read are

- one file per camera, named after it, or one file with a map per camera: `camera_matrix` (also `cameraMatrix`, `K`,
  `intrinsics`), `distortion_coefficients` (`distCoeffs`, `dist`, `D`), `image_width` and `image_height` (`image_size`,
  `size`), and the pose of x = R X + t: `R` (`Rot`, `rotation`, `rvec`; a matrix or a rotation vector) and `T` (`t`,
  `tvec`, `translation`), or `cam_from_world` (`extrinsics`), 3 x 4 or 4 x 4. The names of OpenCV's calibration sample
  come first;
- EasyMocap's pair intri.yml and extri.yml: a list `names`, then `K_NAME`, `dist_NAME`, `R_NAME` (a vector) or
  `Rot_NAME` (a matrix), `T_NAME`;
- the pair intrinsics.yml and extrinsics.yml of OpenCV's stereo sample: `M1`, `D1`, `M2`, `D2`, `R`, `T`, the first
  camera being the world.

None of these fixes a unit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from humanpt.data.sources.camera import Calibration, CameraModel, build, numbers, pose
from humanpt.errors import InputError

MATRIX = ("camera_matrix", "cameraMatrix", "K", "intrinsics", "intrinsic", "M", "matrix")
LENS = ("distortion_coefficients", "distCoeffs", "dist_coeffs", "dist", "D", "distortion", "distortions")
TURN = ("R", "Rot", "rotation", "rotation_matrix", "rvec")
SHIFT = ("T", "t", "tvec", "translation", "translation_vector")
WHOLE = ("cam_from_world", "extrinsics", "extrinsic", "RT", "extrinsic_matrix")
SIZE = ("image_size", "size", "resolution", "imageSize")
PAIRS = (("intri", "extri"), ("intrinsics", "extrinsics"))


def read_storage(path: Path) -> Any:
    """What a YAML, XML or JSON file holds, as dicts, lists, arrays, numbers and texts.

    Raises:
        InputError: if it cannot be parsed.
    """
    if path.suffix.lower() == ".json":
        try:
            return _plain(json.loads(path.read_text(encoding="utf-8-sig")))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: is not JSON ({error}); export the calibration again") from None
    logged = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
        document = _node(storage.root())
        storage.release()
    except (cv2.error, SystemError) as error:
        reason = str(error).rsplit("error: ", 1)[-1].strip().splitlines()[0][:80]
        raise InputError(f"{path}: OpenCV cannot read it ({reason}); it must begin with %YAML:1.0 or <?xml") from None
    finally:
        cv2.utils.logging.setLogLevel(logged)
    return document


def read_opencv(path: Path) -> Calibration:
    """Read one file, or a folder with a file per camera or one of the two pairs of files; units stay as they are.

    Raises:
        InputError: if there is no camera in it, or one is damaged.
    """
    if path.is_file():
        document = read_storage(path)
        if not isinstance(document, Mapping):
            raise InputError(f"{path}: holds no named matrices; give an OpenCV, Panoptic or AIST++ calibration")
        return Calibration(path=path, form="OpenCV", cameras=_of_file(document, path))
    files = storage_files(path)
    for first, second in PAIRS:
        pair = [file for stem in (first, second) for file in files if file.stem.lower() == stem]
        if len(pair) == 2:
            form = "EasyMocap" if first == "intri" else "OpenCV"
            both = {**read_storage(pair[0]), **read_storage(pair[1])}
            cameras = _easymocap(both, path) if first == "intri" else _stereo(both, path)
            return Calibration(path=path, form=form, cameras=cameras)
    cameras = {name: camera for file in files for name, camera in _of_file(read_storage(file), file).items()}
    return Calibration(path=path, form="OpenCV", cameras=cameras)


def storage_files(folder: Path) -> list[Path]:
    """The YAML, XML and JSON files of a folder."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in (".yml", ".yaml", ".xml", ".json"))


def _of_file(document: Any, path: Path) -> dict[str, CameraModel]:
    """The camera of one file, or those of its maps."""
    if not isinstance(document, Mapping):
        raise InputError(f"{path}: holds no named matrices; give an OpenCV calibration")
    if _first(document, MATRIX) is not None:
        name = str(document.get("name") or document.get("camera_name") or path.stem)
        return {name: _camera(name, document, str(path))}
    if {"M1", "M2"} & document.keys():
        return _stereo(document, path)
    if "names" in document:
        return _easymocap(document, path)
    inner = document.get("cameras", document)
    if isinstance(inner, Mapping):
        entries = [(str(entry.get("name", key)), entry) for key, entry in inner.items() if isinstance(entry, Mapping)]
    else:
        entries = [(str(entry.get("name", n)), entry) for n, entry in enumerate(inner) if isinstance(entry, Mapping)]
    cameras = {n: _camera(n, e, f"{path}, camera {n}") for n, e in entries if _first(e, MATRIX) is not None}
    if not cameras:
        raise InputError(f"{path}: has no camera_matrix (nor cameraMatrix, K, M1); it must be a calibration")
    return cameras


def _camera(name: str, entry: Mapping[str, Any], where: str) -> CameraModel:
    size = _first(entry, SIZE)
    if size is None and {"image_width", "image_height"} <= entry.keys():
        size = [entry["image_width"], entry["image_height"]]
    turn, shift, whole = _first(entry, TURN), _first(entry, SHIFT), _first(entry, WHOLE)
    placed = None
    if whole is not None:
        matrix = numbers(whole, where, "the pose")
        if matrix.shape not in ((3, 4), (4, 4)):
            raise InputError(f"{where}: the pose is {matrix.shape}; it must be 3 x 4 or 4 x 4")
        placed = pose(matrix[:3, :3], matrix[:3, 3], where)
    elif turn is not None and shift is not None:
        placed = pose(turn, shift, where)
    elif turn is not None or shift is not None:
        raise InputError(f"{where}: has {'R but no T' if shift is None else 'T but no R'}; write both")
    lens = _first(entry, LENS)
    return build(
        name,
        where,
        matrix=_first(entry, MATRIX),
        distortion=() if lens is None else lens,
        fisheye=str(entry.get("model", entry.get("distortion_model", ""))).lower() in ("fisheye", "equidistant"),
        cam_from_world=placed,
        size=size,
    )


def _easymocap(document: Mapping[str, Any], path: Path) -> dict[str, CameraModel]:
    cameras = {}
    for name in (str(name) for name in document.get("names", [])):
        where = f"{path}, camera {name}"
        turn = document.get(f"Rot_{name}", document.get(f"R_{name}"))
        shift = document.get(f"T_{name}")
        if turn is None or shift is None or f"K_{name}" not in document:
            raise InputError(f"{where}: has not all of K_{name}, Rot_{name} and T_{name}; write both files again")
        size = [document[f"{side}_{name}"] for side in "WH"] if f"W_{name}" in document else None
        lens = document.get(f"dist_{name}", document.get(f"D_{name}", ()))
        matrix = document[f"K_{name}"]
        cameras[name] = build(
            name, where, matrix=matrix, distortion=lens, cam_from_world=pose(turn, shift, where), size=size
        )
    return cameras


def _stereo(document: Mapping[str, Any], path: Path) -> dict[str, CameraModel]:
    missing = [name for name in ("M1", "D1", "M2", "D2", "R", "T") if name not in document]
    if missing:
        raise InputError(f"{path}: a stereo calibration has M1, D1, M2, D2, R and T; there is no {missing[0]}")
    size = _first(document, SIZE)
    poses = (np.eye(4), pose(document["R"], document["T"], str(path)))
    return {
        name: build(
            name,
            f"{path}, camera {name}",
            matrix=document[f"M{name}"],
            distortion=document[f"D{name}"],
            cam_from_world=place,
            size=size,
        )
        for name, place in zip("12", poses, strict=True)
    }


def _first(entry: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((entry[name] for name in names if name in entry), None)


def _plain(value: Any) -> Any:
    """JSON with OpenCV's way of writing a matrix turned into arrays."""
    if isinstance(value, dict):
        if value.get("type_id") == "opencv-matrix":
            return np.array(value["data"], np.float64).reshape(value["rows"], value["cols"])
        if value.get("type_id") == "opencv-nd-matrix":
            return np.array(value["data"], np.float64).reshape(value["sizes"])
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _node(node: Any) -> Any:
    """A FileStorage node and all below it."""
    if node.isMap():
        keys = node.keys()
        if {"dt", "data"} <= set(keys) and {"rows", "sizes"} & set(keys):
            matrix = node.mat()
            return np.zeros(0) if matrix is None else np.asarray(matrix)  # None is an empty matrix
        return {key: _node(node.getNode(key)) for key in keys}
    if node.isSeq():
        return [_node(node.at(index)) for index in range(node.size())]
    if node.isString():
        return node.string()
    return node.real() if node.isReal() or node.isInt() else None
