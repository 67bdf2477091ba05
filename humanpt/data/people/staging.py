"""Generated people in numbers, and the meshes that follow from them.

A picture and its truth are drawn from the same numbers by the functions of this file, each person by itself and on one
thread, so that what is drawn again later agrees with the picture in every face.

Letters: V vertices, J joints, S shape parameters, K key points.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from humanpt.body.model import BodyMesh, BodyModel, load_body_model
from humanpt.data.records import Side, TruthLayout

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Person:
    """A person, or a hand by itself, at one moment."""

    side: Side
    """Which hand it is; "none" for a person."""
    shape: Floats
    """(S,) shape parameters."""
    pose: Floats
    """(J, 3, 3) rotations of the joints."""
    transl: Floats
    """(3,) place in the world, metres."""


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch work on one thread: sums in another order would make other pictures."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=8)
def body_model(name: str, side: Side) -> BodyModel:
    """A body model, loaded once in each process; the side matters for models of one hand alone."""
    return load_body_model(name, side="left" if side == "left" else "right").eval()


@torch.no_grad()
def mesh_at_origin(model: BodyModel, shape: Floats, pose: Floats) -> BodyMesh:
    """The mesh of one person, a batch of one, the root joint where the model has it at no translation."""
    mesh: BodyMesh = model(torch.from_numpy(shape)[None], torch.from_numpy(pose)[None], torch.zeros(1, 3))
    return mesh


def moved(mesh: BodyMesh, transl: Floats) -> BodyMesh:
    """A mesh shifted as a whole."""
    shift = torch.from_numpy(transl)
    places = {name: getattr(mesh, name) + shift for name in ("vertices", "joints", "keypoints")}
    return dataclasses.replace(mesh, **places)


def person_mesh(model: BodyModel, person: Person) -> BodyMesh:
    """The mesh of one person in the world, a batch of one."""
    return moved(mesh_at_origin(model, person.shape, person.pose), person.transl)


def truth_layout(model: BodyModel) -> TruthLayout:
    """What the truth of a shard made with a model is told in."""
    layout = model.layout
    return TruthLayout(
        model=layout.name,
        rig=sideless(layout.rig),
        topology=sideless(layout.topology),
        pose_parameterization=layout.pose_parameterization,
        joint_names=tuple(map(sideless, layout.joint_names)) if layout.subject == "hand" else layout.joint_names,
        shape_names=layout.shape_names,
        keypoint_names=layout.keypoint_names,
    )


def sideless(name: str) -> str:
    """The name of a rig, mesh or joint of one hand without its side: a shard holds both."""
    return name.removesuffix(".L").removesuffix(".R")


def rotation(rotvec: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) rotation about a (3,) rotation vector in radians, by Rodrigues' formula."""
    angle = float(np.linalg.norm(rotvec))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = rotvec / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def random_rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    """(3, 3) rotation, any as likely as any other.

    Source: Shoemake, Uniform random rotations, Graphics Gems III, 1992.
    """
    w, x, y, z = (v := rng.normal(size=4)) / np.linalg.norm(v)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
