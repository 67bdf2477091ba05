"""Generated people and hands: both pictures of every pair of `humanpt mkpairs synthetic`, with exact labels.

The pictures are the crops as they are stored, so the crop that a label asks for is the whole picture. Sample 2 k is
image1 of pair k, sample 2 k + 1 its image2, and each is the other's partner.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from humanpt.body.model import LICENSED
from humanpt.body.skeletons import ROOTS
from humanpt.body.smpl_files import FILE_AXES
from humanpt.data.image import Rgb
from humanpt.data.labelled.record import Floats, LabelLayout, Labelled
from humanpt.data.pairset import PairSet
from humanpt.data.people.staging import body_model, mesh_at_origin
from humanpt.data.records import PairRecord, Picture, Side, SubjectKind, Truth
from humanpt.errors import InputError, ShardError
from humanpt.geometry.cameras import crop_intrinsics, project, transform


class GeneratedSet:
    """The pictures of generated pairs, two a pair; a `LabelledSet`.

    Args:
        pairs: pairs made by `humanpt mkpairs synthetic`, all with one body model.

    Raises:
        InputError: if a shard has no truth, or shards were made with different models.
    """

    layout: LabelLayout
    groups: NDArray[np.int64]
    partners: NDArray[np.int64]

    def __init__(self, pairs: PairSet) -> None:
        self.pairs = pairs
        first = pairs.readers[0].truth
        for reader in pairs.readers:
            if reader.truth is None or first is None:
                raise InputError(f"{reader.path}: has no labels; make labelled pairs with `humanpt mkpairs synthetic`")
            if reader.truth != first:
                raise InputError(
                    f"{reader.path}: was made with {reader.truth.model}, {pairs.readers[0].path} with {first.model} "
                    "or another version of it; give pairs of one model"
                )
        assert first is not None
        self.layout = LabelLayout(
            dataset="generated",
            split="all",
            subject=pairs.subject_kind,
            keypoint_names=first.keypoint_names,
            model=first.model,
            root_names=ROOTS[pairs.subject_kind],
            licence="; ".join(sorted({source.licence for reader in pairs.readers for source in reader.sources})),
            site="made by `humanpt mkpairs synthetic`",
        )
        self.groups = np.repeat(pairs.sequence, 2)
        self.partners = np.arange(2 * len(pairs)) ^ 1

    @classmethod
    def open(cls, paths: Sequence[Path], *, subject: SubjectKind | None = None) -> GeneratedSet:
        """Open every shard below the given folders; as `PairSet.open`."""
        return cls(PairSet.open(paths, subject_kind=subject))

    def __len__(self) -> int:
        return len(self.groups)

    def name(self, index: int) -> str:
        """The pair's recording, its frame and which of its two pictures this is."""
        pair, which = divmod(index, 2)
        reader, row = self.pairs.locate(pair)
        frame = int(reader.frames[row, which])
        return f"{self.pairs.sequences[self.pairs.sequence[pair]]}/{frame:06d}-{row}-{which + 1}"

    def labels(self, index: int) -> Labelled:
        """The labels of a picture; its vertices follow from shape, pose and shift.

        Raises:
            ShardError: if the pair is damaged.
        """
        pair, which = divmod(index, 2)
        reader, row = self.pairs.locate(pair)
        record: PairRecord = reader.record(row)
        picture = (record.image1, record.image2)[which]
        truth = picture.truth
        if truth is None or picture.intrinsics is None or picture.cam_from_world is None:
            raise ShardError(f"{reader.path}: pair {row} has no camera; make it again with `humanpt mkpairs synthetic`")
        intrinsics = _crop(picture, reader.crop_size)
        keypoints = transform(torch.from_numpy(picture.cam_from_world), torch.from_numpy(truth.keypoints).double())
        pixels = project(keypoints, torch.from_numpy(intrinsics))
        pose, transl = in_camera(self.layout.model or "", record.side, truth, picture.cam_from_world)
        return Labelled(
            name=self.name(index),
            group=self.pairs.sequences[self.pairs.sequence[pair]],
            side=record.side,
            square=np.array([-0.5, -0.5, reader.crop_size - 0.5, reader.crop_size - 0.5], np.float32),
            intrinsics=intrinsics.astype(np.float32),
            focal_from="calibration",
            keypoints=keypoints.numpy().astype(np.float32),
            pixels=pixels.numpy().astype(np.float32),
            visible=truth.visible,
            shape=truth.shape,
            pose=pose,
            transl=transl,
        )

    def picture(self, index: int) -> Rgb:
        """(S, S, 3) uint8, the stored crop.

        Raises:
            ShardError: if the pair is damaged.
        """
        pair, which = divmod(index, 2)
        return self.pairs.image(pair, which)


def open_set(root: Path, split: str | None = None) -> GeneratedSet:
    """Open the shards below a folder.

    Raises:
        InputError: if there are none, they have no labels, or a split is asked for that they do not have.
        ShardError: if one is damaged.
    """
    if split not in (None, "all"):
        raise InputError(f"{root}: generated pairs have no split {split!r}; leave it out, or make a second folder")
    return GeneratedSet.open([root])


def _crop(picture: Picture, size: int) -> NDArray[np.float64]:
    """(3, 3) camera matrix of the stored crop."""
    assert picture.intrinsics is not None
    square = torch.from_numpy(picture.square).double()
    return np.asarray(crop_intrinsics(torch.from_numpy(picture.intrinsics), square, size).numpy())


def in_camera(model: str, side: Side, truth: Truth, cam_from_world: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """The pose and shift with which the model lies in the axes of a camera instead of the world's.

    The first rotation of a pose turns everything about the root joint, which lies at `transl` in Anny's models, and
    away from it by its place at rest in licensed ones, whose poses moreover are told about the axes of their files.

    Args:
        model: by the name that `load_body_model` knows.
        side: which hand it is.
        truth: shape, pose and shift in the world.
        cam_from_world: (4, 4) metres.

    Returns:
        (J, 3, 3) rotations and (3,) shift in metres.
    """
    turn = cam_from_world[:3, :3]
    pose_turn, root = turn, np.zeros(3)
    if model in LICENSED:
        pose_turn = FILE_AXES[:, None] * turn * FILE_AXES
        root = _root_at_rest(model, side, truth.shape.tobytes())
    pose = truth.pose.copy()
    pose[0] = pose_turn @ truth.pose[0]
    transl = turn @ (truth.transl + root) + cam_from_world[:3, 3] - root
    return pose, transl.astype(np.float32)


@lru_cache(maxsize=256)
def _root_at_rest(name: str, side: Side, shape: bytes) -> NDArray[np.float64]:
    """(3,) where a licensed model has its root joint, metres."""
    model = body_model(name, side)
    mesh = mesh_at_origin(model, np.frombuffer(shape, np.float32).copy(), model.identity_pose()[0].numpy())
    return np.asarray(mesh.joints[0, 0].double().numpy())
