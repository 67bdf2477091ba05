"""The files of SMPL, SMPL-X and MANO: which there are, whether one is whole, and what its model is called.

Letters: V vertices, J joints.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from humanpt.body import files, skeletons
from humanpt.body.array_files import read_arrays
from humanpt.body.model import Side, Subject
from humanpt.errors import InputError

Gender = Literal["neutral", "male", "female"]
"""Whose bodies a file of SMPL or SMPL-X was made from; shape values of one mean nothing to another."""

FILE_AXES = np.array([1.0, -1.0, -1.0])
"""What turns the axes of the files (y up, z ahead) into humanpt's, and back."""

NEEDED = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
OPTIONAL = ("vt", "ft")
BETAS = 10
"""Shape values (and, for SMPL-X, expression values) that are used unless more are asked for."""

BETAS_OF_WHOLE, EXPRESSIONS = 300, 100
"""Shape values, and after them SMPL-X's expression values, in a file that has not been cut down to 10."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What tells one model's files from another's, and how the package computes it."""

    title: str
    """Name under which its owners distribute it; a key of `files.MODELS`."""

    subject: Subject
    """Whether it is a whole body or a hand alone."""

    vertices: int
    """How many vertices its mesh has."""

    joint_names: tuple[str, ...]
    """Its joints in their order."""

    layer: str
    """The class of the package that takes rotation matrices."""

    options: dict[str, Any]
    """How the class is built."""

    poses: dict[str, tuple[int, int]]
    """The arguments of the class that make up a pose, with their first joint and the one after their last."""

    vertex_ids: str
    """Key of `smplx.vertex_ids` under which the vertices at key points are."""

    site: str
    """Where its files are had."""


KINDS = {
    "smpl": Kind(
        title="SMPL",
        subject="body",
        vertices=6890,
        joint_names=skeletons.SMPL_24,
        layer="SMPLLayer",
        options={},
        poses={"global_orient": (0, 1), "body_pose": (1, 24)},
        vertex_ids="smplh",
        site="smpl.is.tue.mpg.de",
    ),
    "smplx": Kind(
        title="SMPL-X",
        subject="body",
        vertices=10475,
        joint_names=skeletons.SMPLX_55,
        layer="SMPLXLayer",
        options={"use_pca": False, "flat_hand_mean": True, "ext": "npz"},
        poses={
            "global_orient": (0, 1),
            "body_pose": (1, 22),
            "jaw_pose": (22, 23),
            "leye_pose": (23, 24),
            "reye_pose": (24, 25),
            "left_hand_pose": (25, 40),
            "right_hand_pose": (40, 55),
        },
        vertex_ids="smplx",
        site="smpl-x.is.tue.mpg.de",
    ),
    "mano": Kind(
        title="MANO",
        subject="hand",
        vertices=778,
        joint_names=skeletons.MANO_16,
        layer="MANOLayer",
        options={"use_pca": False, "flat_hand_mean": True, "create_body_pose": False},
        poses={"global_orient": (0, 1), "hand_pose": (1, 16)},
        vertex_ids="mano",
        site="mano.is.tue.mpg.de",
    ),
}
"""The models that can be loaded."""

_KIN = (
    *((kind.title, kind.vertices, len(kind.joint_names)) for kind in KINDS.values()),
    ("SMPL+H", 6890, 52),
    ("FLAME", 5023, 5),
)
"""Title, vertices and joints of the models of the family, to name a file of the wrong kind."""


def choose(kind: Kind, hand: Side, gender: Gender | None = None) -> tuple[Path, bool]:
    """The file to read, and whether it shows the other hand; of a body, that of one gender alone if it is given.

    Raises:
        InputError: if there is none.
    """
    found = files.find(kind.title)
    known = [stem for stem in files.MODELS[kind.title] if gender is None or stem.endswith(f"_{gender.upper()}")]
    stems = [stem for stem in known if hand == "none" or hand.upper() in stem]
    others = [stem for stem in known if stem not in stems]
    for stem in (*stems, *others):
        matching = sorted((path for path in found if path.stem == stem), key=lambda path: path.suffix != ".npz")
        if matching:
            return matching[0], stem in others
    names = " or ".join(f"{stem}{suffix}" for stem in stems[:1] for suffix in files.SUFFIXES)
    places = ", ".join(str(folder) for folder in files.folders())
    raise InputError(
        f"{kind.title}: no {names} in {places}; get it from {kind.site} and set HUMANPT_BODY_MODELS to its folder, "
        f"or use anny-{kind.subject}, which is free"
    )


def read(name: str, path: Path) -> tuple[dict[str, np.ndarray], tuple[int, ...]]:
    """Read and check a file of one of `KINDS`, which takes no package.

    Returns:
        Its arrays `NEEDED` and, where it has them, `OPTIONAL`; and the parents of its joints.

    Raises:
        InputError: if it is damaged or of another kind.
    """
    arrays = read_arrays(path, (*NEEDED, *OPTIONAL))
    return arrays, _check(path, name, arrays)


def _check(path: Path, name: str, arrays: dict[str, np.ndarray]) -> tuple[int, ...]:
    """Make sure that a file is of the kind that its name tells.

    Returns:
        The parents of its joints.

    Raises:
        InputError: if it is not.
    """
    kind = KINDS[name]
    missing = [field for field in NEEDED if field not in arrays]
    if missing:
        raise InputError(f"{path}: no {missing[0]}, so it is no {kind.title} file; get it again from {kind.site}")
    for field, array in arrays.items():
        if array.dtype.kind not in "biuf" or not array.ndim:
            raise InputError(f"{path}: {field} is no array of numbers; get the file again from {kind.site}")
    vertices, joints = len(arrays["v_template"]), len(np.atleast_2d(arrays["kintree_table"])[0])
    if (vertices, joints) != (kind.vertices, len(kind.joint_names)):
        titles = [title for title, *counts in _KIN if counts == [vertices, joints]]
        what = f"this is {titles[0]}" if titles else "this is another model"
        raise InputError(
            f"{path}: {kind.title} has {kind.vertices} vertices and {len(kind.joint_names)} joints, "
            f"the file {vertices} and {joints}: {what}; get {kind.title} from {kind.site}"
        )
    sizes = {
        "v_template": (vertices, 3),
        "posedirs": (vertices, 3, 9 * (joints - 1)),
        "J_regressor": (joints, vertices),
        "weights": (vertices, joints),
    }
    for field, size in sizes.items():
        if arrays[field].shape != size:
            raise InputError(f"{path}: {field} is {arrays[field].shape}, not {size}; get it again from {kind.site}")
    values = 2 * BETAS if name == "smplx" else BETAS
    size = arrays["shapedirs"].shape
    if size[:2] != (vertices, 3) or len(size) != 3 or size[2] < values:
        raise InputError(f"{path}: shapedirs is {size}, not ({vertices}, 3, {values} or more); get it again")
    for field, points in (("f", vertices), ("ft", len(arrays.get("vt", ())))):
        if field in arrays and arrays[field].max(initial=0) >= points:
            raise InputError(f"{path}: {field} counts to {arrays[field].max()}, of {points} points; get it again")
    parents = tuple(int(parent) for parent in np.atleast_2d(arrays["kintree_table"])[0][1:])
    if any(parent < 0 or parent > joint for joint, parent in enumerate(parents)):
        raise InputError(f"{path}: kintree_table is no tree of joints; get it again from {kind.site}")
    return (-1, *parents)
