"""Bodies that data sets tell as parameters of SMPL or SMPL-X, brought into the axes of a camera.

The models turn about their root joint j, which a shape puts near but not at the origin: a file's vertices are
R (x - j) + j + t. Data sets add a rigid motion to the axes of a camera after that; humanpt turns the model's axes by
diag(1, -1, -1) and adds its shift last. The same points follow from another root rotation and another shift, and the
latter needs j.

Letters: J joints, K key points, V vertices, S shape values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from humanpt.body import files
from humanpt.body.model import BodyMesh, BodyModel
from humanpt.body.smpl_files import BETAS, FILE_AXES, KINDS, Gender
from humanpt.data.labelled.record import Floats
from humanpt.errors import InputError
from humanpt.geometry.rotations import rotvec_to_rotmat

EXPRESSED = BETAS
"""Expression values that follow the shape values of our SMPL-X."""

GENDERS: dict[str, Gender] = {"m": "male", "male": "male", "f": "female", "female": "female", "neutral": "neutral"}
"""How data sets call the model that a person was fitted with."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FileBody:
    """One body as a data set tells it."""

    kind: str
    """The model: "smpl" or "smplx"."""
    gender: Gender
    """Whose file it was fitted with."""
    betas: Floats
    """(S,) shape values of that file, ten or more."""
    pose: Floats
    """(J, 3) rotation vectors about the axes of the file."""
    transl: Floats
    """(3,) shift in the data set's world, metres."""
    cam_from_world: NDArray[np.float64]
    """(4, 4) from the axes in which the body stands to the camera's, metres."""
    root: Floats | None = None
    """(3,) where the root joint is in the data set's world, metres; None if the file does not tell."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraBody:
    """The same body in the axes of the camera."""

    pose: Floats
    """(J, 3, 3) as humanpt's models take it."""
    shape: Floats | None
    """(S,) shape values of the neutral model, the first ten and no expression; None for bodies of another."""
    transl: Floats | None
    """(3,) metres; None where the shape is None, or the model's file is not here and the data set tells no root."""
    vertices: Floats | None
    """(V, 3) metres; None without the model's file."""
    points: Mapping[str, Floats]
    """(3,) metres of each joint and key point by its name; empty without the model's file."""

    def keypoints(self, names: Sequence[str]) -> Floats:
        """(K, 3) points of these names, metres; NaN where unknown."""
        unknown = np.full(3, np.nan, np.float32)
        return np.stack([self.points.get(name, unknown) for name in names])


def gender_of(told: object, where: str) -> Gender:
    """The gender that a data set's word stands for.

    Raises:
        InputError: if it is none of `GENDERS`.
    """
    word = str(told).strip().lower()
    if word not in GENDERS:
        raise InputError(f"{where}: gender is {told!r}, not one of {', '.join(GENDERS)}; get the file again")
    return GENDERS[word]


@lru_cache(maxsize=6)
def owned_model(kind: str, gender: Gender, betas: int = BETAS) -> BodyModel | None:
    """The model if the user has its file of that gender, loaded once in each process.

    Raises:
        InputError: if the file is damaged, of another kind or has fewer shape values, or the package `smplx` is not
            installed.
    """
    title = KINDS[kind].title
    stems = {stem for stem in files.MODELS[title] if stem.endswith(f"_{gender.upper()}")}
    if not any(path.stem in stems for path in files.find(title)):
        return None
    from humanpt.body import smpl

    return cast("BodyModel", smpl.load(kind, gender=gender, betas=betas).eval())


def in_camera(body: FileBody) -> CameraBody:
    """Bring a body into the axes of the camera.

    Raises:
        InputError: as `owned_model`.
    """
    turn, shift = body.cam_from_world[:3, :3], body.cam_from_world[:3, 3]
    pose = rotvec_to_rotmat(torch.from_numpy(body.pose).double()).numpy()
    pose[0] = FILE_AXES[:, None] * (turn @ pose[0])
    told = body.betas if body.betas[BETAS:].any() else body.betas[:BETAS]
    model = owned_model(body.kind, body.gender, len(told))
    shape = np.pad(told, (0, EXPRESSED if body.kind == "smplx" else 0))  # data sets tell no expression
    root: NDArray[np.floating] | None = None  # where the file has the root joint at rest
    if model is not None:
        root = _root_at_rest(body.kind, body.gender, len(told), shape.tobytes())
    elif body.root is not None:
        root = body.root - body.transl
    transl = None if root is None else turn @ (root + body.transl) + shift - FILE_AXES * root
    vertices, points = None, {}
    if model is not None and transl is not None:
        with torch.no_grad():
            mesh: BodyMesh = model(*(torch.from_numpy(value).float()[None] for value in (shape, pose, transl)))
        vertices = mesh.vertices[0].numpy()
        points = dict(zip(model.layout.keypoint_names, mesh.keypoints[0].numpy(), strict=True))
        points |= dict(zip(model.layout.joint_names, mesh.joints[0].numpy(), strict=True))
    neutral = body.gender == "neutral"
    return CameraBody(
        pose=pose.astype(np.float32),
        shape=np.delete(shape, np.s_[BETAS : len(told)]).astype(np.float32) if neutral else None,
        transl=None if transl is None or not neutral else transl.astype(np.float32),
        vertices=vertices,
        points=points,
    )


@lru_cache(maxsize=256)
def _root_at_rest(kind: str, gender: Gender, betas: int, shape: bytes) -> NDArray[np.float64]:
    """(3,) where a model's file has the root joint, metres, in the axes of the file."""
    model = owned_model(kind, gender, betas)
    assert model is not None
    with torch.no_grad():
        values = torch.from_numpy(np.frombuffer(shape, np.float32).copy())[None]
        mesh: BodyMesh = model(values, model.identity_pose(), torch.zeros(1, 3))
    return np.asarray(FILE_AXES * mesh.joints[0, 0].double().numpy())
