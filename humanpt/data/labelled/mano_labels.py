"""MANO parameters as data sets store them, brought to the pose and shift of humanpt's model in the axes of a camera.

Data sets tell a hand in the axes of MANO's file, turned and shifted into some frame: x = A (mano(pose, shape) + t) + u.
humanpt's model answers in diag(1, -1, -1) times the file's axes, with hands that are flat at the identity, while most
labels are rotations away from MANO's mean hand, or coefficients of its principal poses. All of that takes the user's
MANO file; without it a data set has key points (and the vertices in its files) and no parameters.

Letters: J 16 joints, S 10 shape values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from humanpt.body.array_files import read_arrays
from humanpt.body.skeletons import HAND_21, ROOTS
from humanpt.body.smpl_files import FILE_AXES, KINDS, choose
from humanpt.data.labelled.record import Floats, LabelLayout
from humanpt.data.people.staging import body_model, mesh_at_origin
from humanpt.errors import InputError
from humanpt.geometry.alignment import fit_similarity
from humanpt.geometry.rotations import rotvec_to_rotmat

Hand = Literal["left", "right"]

VERTICES = 778
POSE_NUMBERS = 48
SHAPE_NUMBERS = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class ManoLabel:
    """The parameters of humanpt's model "mano" that put a hand where a label has it."""

    pose: Floats
    """(J, 3, 3) rotations of its joints."""
    transl: Floats
    """(3,) its shift, metres."""


def hand_layout(dataset: str, split: str, licence: str, site: str, *, mano: bool) -> LabelLayout:
    """What hands with our key points are told in; `mano` says whether their meshes or parameters are at hand."""
    return LabelLayout(
        dataset=dataset,
        split=split,
        subject="hand",
        keypoint_names=HAND_21,
        model="mano" if mano else None,
        root_names=ROOTS["hand"],
        licence=licence,
        site=site,
    )


def have_mano() -> bool:
    """Whether the user has MANO's file and the package that computes it."""
    try:
        body_model("mano", "right")
    except InputError:
        return False
    return True


@lru_cache(maxsize=2)
def _hand_space(side: Hand) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(45,) the mean hand and (45, 45) the principal poses, one a row, as rotation vectors.

    Raises:
        InputError: if the user's file is missing or has none.
    """
    path, mirrored = choose(KINDS["mano"], side)
    arrays = read_arrays(path, ("hands_mean", "hands_components"))
    if arrays.keys() != {"hands_mean", "hands_components"} or arrays["hands_components"].shape != (45, 45):
        raise InputError(f"{path}: has no mean hand and principal poses; get MANO from {KINDS['mano'].site}")
    mirror = np.tile([1.0, -1.0, -1.0] if mirrored else [1.0, 1.0, 1.0], 15)
    return arrays["hands_mean"].astype(np.float64) * mirror, arrays["hands_components"].astype(np.float64) * mirror


def rotation_vectors(
    numbers: NDArray[np.floating], side: Hand, told: Literal["flat", "from mean", "principal"]
) -> NDArray[np.float64]:
    """(J, 3) rotation vectors away from a flat hand.

    Args:
        numbers: (48,) the turn of the whole hand, then 45 numbers for its joints.
        side: which hand.
        told: what the 45 are: rotation vectors away from the flat hand or the mean one, or principal coefficients.

    Raises:
        InputError: if the user's MANO file is missing.
    """
    joints = numbers[3:].astype(np.float64)
    if told != "flat":
        mean, components = _hand_space(side)
        joints = mean + (joints @ components if told == "principal" else joints)
    return np.concatenate((numbers[:3].astype(np.float64), joints)).reshape(16, 3)


def in_camera(
    rotvecs: NDArray[np.float64],
    shape: Floats,
    side: Hand,
    *,
    shift: NDArray[np.floating],
    turn: NDArray[np.floating] | None = None,
    then: NDArray[np.floating] | None = None,
) -> ManoLabel:
    """The pose and shift with which humanpt's MANO lies where `turn @ (mano(rotvecs, shape) + shift) + then` does.

    Args:
        rotvecs: (J, 3) away from a flat hand, in the axes of the file.
        shape: (S,) shape values.
        side: which hand.
        shift: (3,) metres.
        turn: (3, 3) into the axes of the camera; None if the label is told in them.
        then: (3,) shift after that, metres; None for none.

    Raises:
        InputError: if the user's MANO file is missing.
    """
    turn = np.eye(3) if turn is None else np.asarray(turn, np.float64)
    then = np.zeros(3) if then is None else np.asarray(then, np.float64)
    pose = rotvec_to_rotmat(torch.from_numpy(rotvecs)).numpy().copy()
    pose[0] = FILE_AXES[:, None] * (turn @ pose[0])
    root = root_at_rest(side, np.asarray(shape, np.float32).tobytes())
    transl = turn @ (FILE_AXES * root + np.asarray(shift, np.float64)) + then - root
    return ManoLabel(pose=pose.astype(np.float32), transl=transl.astype(np.float32))


def laid_on(label: ManoLabel, shape: Floats, side: Hand, vertices: Floats) -> ManoLabel:
    """The same hand turned and shifted as a whole so that its vertices come nearest to given ones, (778, 3) metres."""
    mesh = mesh_at_origin(body_model("mano", side), shape, label.pose)
    mine, theirs = mesh.vertices[0].double(), torch.from_numpy(vertices).double()
    turn = fit_similarity(mine, theirs).rotation.numpy()
    root = root_at_rest(side, shape.tobytes())
    pose = label.pose.copy()
    pose[0] = FILE_AXES[:, None] * turn * FILE_AXES @ label.pose[0]
    transl = theirs.mean(dim=0).numpy() + turn @ (root - mine.mean(dim=0).numpy()) - root
    return ManoLabel(pose=pose, transl=transl.astype(np.float32))


@lru_cache(maxsize=256)
def root_at_rest(side: Hand, shape: bytes) -> NDArray[np.float64]:
    """(3,) where humanpt's model has the wrist, metres, given the bytes of (S,) float32 shape values."""
    model = body_model("mano", side)
    mesh = mesh_at_origin(model, np.frombuffer(shape, np.float32).copy(), model.identity_pose()[0].numpy())
    return np.asarray(mesh.joints[0, 0].double().numpy())
