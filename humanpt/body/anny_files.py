"""The compact file of an Anny model: arrays and their meaning in one .npz, read without pickle.

Letters: V vertices, F triangles, J joints, K key points, C coefficients, R products, W joints of a vertex, T points of
the texture.

Arrays, in metres and humanpt's axes:
    template (V, 3), basis (C, V, 3): rest vertices; heads (J, 3), heads_basis (C, J, 3): rest joint centres.
    frames (J, 3, 3), frames_basis (C, J, 3, 3): the nearest rotation turns a bone from the reference to the rest pose.
    corners (R, S): knot of each shape value in each product, the number of knots where it does not matter.
    projection (R, C): coefficients of the basis from the products.
    skin_weights, skin_joints (V, W): linear blend skinning.
    keypoint_indices (2, M), keypoint_weights (M,): key points as sums over vertices, then joints.
    faces (F, 3), uv_points (T, 2), uv_faces (F, 3).
A basis may be stored in whole multiples of `basis_step` metres, see `_pack`.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from humanpt.body.model import BodyLayout
from humanpt.errors import InputError
from humanpt.files import whole_file

VERSION = 1

Curve = tuple[list[float], list[float]]


@dataclass(frozen=True, kw_only=True, eq=False)
class AnnyFile:
    """What a compact file holds."""

    layout: BodyLayout
    """What the numbers mean."""

    knots: list[list[float]]
    """Per shape value, the rising values at which its tents have their tops."""

    ages: dict[str, list[float]]
    """Age in `years` and the shape value `age` that goes with it."""

    spreads: dict[str, dict[str, tuple[Curve, Curve]]]
    """Per sex and shape value, the two parameters of a beta distribution as curves over the shape value `age`."""

    arrays: dict[str, np.ndarray]
    """The arrays named above; every basis in float32."""


def read(path: Path) -> AnnyFile:
    """Read a compact file.

    Raises:
        InputError: if it is damaged or of another version.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        text = json.loads(str(arrays.pop("meaning")))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: not a whole body model file ({error}); remove it and it is made anew") from None
    if text["version"] != VERSION:
        raise InputError(f"{path}: a body model file of version {text['version']}, not {VERSION}; remove it")
    step = arrays.pop("basis_step", None)
    if step is not None:
        arrays["basis"] = _unpack(arrays["basis"], float(step))
    return AnnyFile(
        layout=_layout(text["layout"]), knots=text["knots"], ages=text["ages"], spreads=text["spreads"], arrays=arrays
    )


def write(path: Path, file: AnnyFile, *, step: float | None = None) -> None:
    """Write a compact file, whole or not at all.

    Args:
        step: if given, the basis is rounded to whole multiples of so many metres.

    Raises:
        OutputError: if the folder cannot be written or the disk is full.
    """
    arrays: dict[str, Any] = dict(file.arrays)
    if step is not None:
        arrays["basis"] = _pack(arrays["basis"], step)
        arrays["basis_step"] = np.float64(step)
    meaning = {
        "version": VERSION,
        "layout": dataclasses.asdict(file.layout),
        "knots": file.knots,
        "ages": file.ages,
        "spreads": file.spreads,
    }
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, meaning=np.array(json.dumps(meaning)), **arrays)


def mirror(file: AnnyFile) -> AnnyFile:
    """The other hand: x becomes -x, triangles keep their outside, bones change their side."""
    arrays = dict(file.arrays)
    flip = np.array([-1, 1, 1], dtype=np.float32)
    for name in ("template", "basis", "heads", "heads_basis"):
        arrays[name] = arrays[name] * flip
    for name in ("frames", "frames_basis"):
        arrays[name] = arrays[name] * flip * flip[:, None]
    for name in ("faces", "uv_faces"):
        arrays[name] = arrays[name][:, [0, 2, 1]]
    layout = dataclasses.replace(
        file.layout,
        side="left",
        rig=file.layout.rig.replace(".R", ".L"),
        topology=file.layout.topology.replace(".R", ".L"),
        joint_names=tuple(name.replace(".R", ".L") for name in file.layout.joint_names),
    )
    return dataclasses.replace(file, layout=layout, arrays=arrays)


def _pack(basis: np.ndarray, step: float) -> np.ndarray:
    """(3, C, 3, V) uint8: a basis (C, V, 3) in whole steps, byte by byte.

    Signs go to the lowest bit and x, y, z apart, so that most bytes are zero and deflate halves the file.
    """
    whole = np.round(basis.astype(np.float64) / step).astype(np.int64).transpose(0, 2, 1)
    unsigned = (whole << 1) ^ (whole >> 63)
    if unsigned.max(initial=0) >= 1 << 24:
        raise ValueError(f"a basis that reaches {np.abs(basis).max()} m has no place in three bytes of {step} m")
    return np.stack([(unsigned >> shift & 255).astype(np.uint8) for shift in (0, 8, 16)])


def _unpack(planes: np.ndarray, step: float) -> np.ndarray:
    """(C, V, 3) float32: the basis that `_pack` was given, rounded."""
    low, middle, high = planes.astype(np.int32)
    unsigned = low | middle << 8 | high << 16
    whole = (unsigned >> 1) ^ -(unsigned & 1)
    return np.ascontiguousarray(whole.transpose(0, 2, 1), dtype=np.float32) * np.float32(step)


def _layout(fields: dict[str, Any]) -> BodyLayout:
    """A layout from what JSON made of it: lists become tuples."""
    restored: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
    return BodyLayout(**restored)
