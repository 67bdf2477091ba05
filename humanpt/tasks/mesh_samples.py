"""Labelled pictures as mesh networks see them: crops with their cameras, left hands mirrored, augmentation.

A left hand is mirrored to a right one, its picture and its labels (`data.labelled.record.mirrored`), before anything
else is done; hands of unknown side count as right ones. Each crop is the picture of a camera turned towards its middle
(`data.turned_crops`), so scale, shift and roll keep labels exact. With two views, the second picture is the sample's
partner, mirrored as the sample is; where there is none it is the same picture, cut and coloured anew.

Letters: B batch, S side of a crop, K key points, V vertices, J joints, P shape parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.body.model import BodyModel, load_body_model
from humanpt.body.skeletons import ROOTS
from humanpt.data.augment import AugmentConfig, Draw, view, worn
from humanpt.data.image import Rgb
from humanpt.data.labelled.record import Floats, Labelled, LabelledSet, mirrored, mirrored_camera
from humanpt.data.order import sample_rng
from humanpt.data.turned_crops import TurnedCrop, map_pixels, take_crop, turned_crop
from humanpt.errors import InputError
from humanpt.models.mesh_heads import Means, camera_of, point_names
from humanpt.models.vit import normalise
from humanpt.tasks.mesh_config import MeshConfig
from humanpt.tasks.samples import LabelledSamples, TensorBatch

DRAWS = 7  # size, two shifts, roll, three colours: for each view, whatever the strengths
STILL = np.full(DRAWS, 0.5)
OTHER_HAND = 0.25
"""Share of the crops in training that show a mirrored hand, where the network says which hand it is."""
MEASURED = 1000
"""Labels that means are taken of at most."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MeshSample:
    """One crop with its labels; what is not known is NaN."""

    image1: Rgb
    """(S, S, 3) uint8, of a right hand or a body."""
    image2: Rgb | None
    """(S, S, 3) uint8, the second view; None with one."""
    intrinsics: Floats
    """(3, 3) of the crop, pixels."""
    crop_from_cam: Floats
    """(3, 3) rotation from the axes of the camera, of the mirrored picture where it is, to those of the crop's."""
    picture_intrinsics: Floats
    """(3, 3) of the picture as it was before it was mirrored, pixels."""
    mirrored: bool
    """Whether the picture was mirrored."""
    assumed: bool
    """Whether the focal length is assumed."""
    index: int
    """Number of the sample in its set."""
    keypoints: Floats
    """(K, 3) in the axes of the crop's camera, metres, in the order of the network's names."""
    pixels: Floats
    """(K, 2) in pixels of the crop."""
    vertices: Floats | None
    """(V, 3) in the axes of the crop's camera, metres; None where they follow from pose and shape or are not known."""
    pose: Floats | None
    """(J, 3, 3) as the network's body model takes it, in the axes of the (mirrored) picture's camera; None where the
    labels are no parameters of that model."""
    shape: Floats | None
    """(P,) None likewise."""
    right: Floats
    """() 1 where the crop, as it is, shows a right hand, 0 where it shows a left one, NaN where nobody knows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MeshBatch(TensorBatch):
    """Several samples that travel together; the fields of `MeshSample` with a leading axis."""

    image1: Tensor
    """(B, 3, S, S) uint8."""
    image2: Tensor | None
    """(B, 3, S, S) uint8; None with one view."""
    intrinsics: Tensor
    """(B, 3, 3)."""
    crop_from_cam: Tensor
    """(B, 3, 3)."""
    picture_intrinsics: Tensor
    """(B, 3, 3)."""
    mirrored: Tensor
    """(B,) bool."""
    assumed: Tensor
    """(B,) bool."""
    index: Tensor
    """(B,) int64."""
    keypoints: Tensor
    """(B, K, 3)."""
    pixels: Tensor
    """(B, K, 2)."""
    vertices: Tensor | None
    """(B, V, 3); None where no sample has them."""
    pose: Tensor | None
    """(B, J, 3, 3); None likewise."""
    shape: Tensor | None
    """(B, P); None likewise."""
    right: Tensor
    """(B,)."""

    def __len__(self) -> int:
        return len(self.image1)

    def views(self) -> tuple[Tensor, Tensor | None]:
        """The pictures as the network takes them: (B, 3, S, S) normalised, on the batch's device."""
        return normalise(self.image1), None if self.image2 is None else normalise(self.image2)


def collate(samples: Sequence[MeshSample]) -> MeshBatch:
    """Put samples into a batch; where only some have vertices, pose or shape, those of the others are NaN."""
    gathered: dict[str, Any] = {}
    for field in fields(MeshSample):
        values = [getattr(sample, field.name) for sample in samples]
        known = [value for value in values if value is not None]
        filled = [np.full_like(known[0], np.nan) if value is None else value for value in values] if known else None
        gathered[field.name] = None if filled is None else torch.from_numpy(np.stack(filled))
    for name in ("image1", "image2"):
        gathered[name] = None if gathered[name] is None else gathered[name].permute(0, 3, 1, 2)
    return MeshBatch(**gathered)


class MeshSamples(LabelledSamples[LabelledSet, MeshConfig, MeshSample]):
    """Crops with their cameras and labels; arguments as `LabelledSamples`.

    Raises:
        InputError: if there is no sample, the set shows another subject, shares no key point with the body model, or
            the body model cannot be loaded.
    """

    def __init__(
        self,
        data: LabelledSet,
        indices: NDArray[np.int64],
        config: MeshConfig,
        crop_size: int,
        seed: int,
        *,
        training: bool,
    ) -> None:
        layout = data.layout
        if not len(indices):
            raise InputError(f"{layout.dataset}: no pictures to {'train' if training else 'measure'} on")
        if layout.subject != config.subject:
            raise InputError(
                f"{layout.dataset}: has labels of a {layout.subject}, the network is for a {config.subject}"
            )
        super().__init__(data, indices, config, crop_size, seed, training=training)
        self.names = _names_of(config.model)
        self.shared = np.array([[self.names.index(name), at] for at, name in enumerate(layout.keypoint_names)
                                if name in self.names], np.int64).reshape(-1, 2)  # fmt: skip
        if not len(self.shared):
            raise InputError(f"{layout.dataset}: none of its key points is one of {config.model}; choose another model")
        self.same_mesh = layout.model == config.model
        self.same_parameters = same_parameters(layout.model, config.model)
        self._colours = AugmentConfig(crop_size=crop_size, crop_share=1.0)

    def __getitem__(self, position: int) -> MeshSample:
        index = self.locate(position)
        rng = sample_rng(self.seed, position) if self.training else None
        draws = np.stack([STILL, STILL]) if rng is None else rng.random((2, DRAWS))
        labelled, picture, flip = self.upright(index)
        crop, image1 = self._cut(labelled, picture, draws[0])
        image2 = self._second_view(index, flip, draws[1]) if self.config.views == 2 else None
        turn = crop.crop_from_cam
        keypoints, pixels = self._points(labelled, crop)
        vertices = labelled.vertices if self.same_mesh else None
        parameters = (labelled.pose, labelled.shape) if self.same_parameters else (None, None)
        camera = mirrored_camera(labelled.intrinsics, picture.shape[1]) if flip else labelled.intrinsics
        if rng is not None and self.config.wear:
            image1 = worn(image1, self.config.wear, rng)
        sample = MeshSample(
            image1=image1,
            image2=image2,
            intrinsics=crop.intrinsics.astype(np.float32),
            crop_from_cam=turn.astype(np.float32),
            picture_intrinsics=camera,
            mirrored=flip,
            assumed=labelled.focal_from == "assumed",
            index=index,
            keypoints=keypoints,
            pixels=pixels,
            vertices=None if vertices is None else (vertices @ turn.T).astype(np.float32),
            pose=parameters[0],
            shape=parameters[1],
            right=np.array(np.nan if labelled.side in ("unknown", "none") else 1, np.float32),
        )
        return _mirror_image(sample) if rng is not None and self.config.side and rng.random() < OTHER_HAND else sample

    def upright(self, index: int, flip: bool | None = None) -> tuple[Labelled, Rgb, bool]:
        """The labels and the picture of a right hand or a body, and whether they were mirrored.

        Args:
            index: number of the sample in the set.
            flip: whether to mirror; None mirrors left hands.
        """
        labelled, picture = self.data.labels(index), self.data.picture(index)
        flip = labelled.side == "left" if flip is None else flip
        if flip:
            labelled, picture = mirrored(labelled, picture.shape[1]), np.ascontiguousarray(picture[:, ::-1])
        return labelled, picture, flip

    @torch.no_grad()
    def means(self) -> Means:
        """What the labels are about, without augmentation, for a network to begin at; of 1,000 samples at most."""
        roots = [self.names.index(name) for name in ROOTS[self.config.subject]]
        cameras, turns, poses, shapes = [], [], [], []
        for index in self.indices[:: -(-len(self.indices) // MEASURED)].tolist():
            labelled = self.data.labels(index)
            if labelled.side == "left":
                labelled = mirrored(labelled, 1)  # of whatever width: the crop moves with its picture
            crop = self._crop(labelled, STILL)
            root = torch.from_numpy(self._points(labelled, crop)[0][roots].mean(axis=0).astype(np.float64))
            cameras.append(camera_of(root[None], torch.from_numpy(crop.intrinsics)[None], self.crop_size)[0])
            if self.same_parameters and labelled.pose is not None:
                turns.append(torch.from_numpy(crop.crop_from_cam.astype(np.float32)))
                poses.append(torch.from_numpy(labelled.pose))
            if self.same_parameters and labelled.shape is not None:
                shapes.append(torch.from_numpy(labelled.shape))
        pose = None
        if poses:
            body = load_body_model(self.config.model)
            pose = turn_pose(body, torch.stack(poses), torch.stack(turns)).nanmean(dim=0)
            pose = torch.where(pose.isnan(), body.identity_pose()[0], pose)  # joints that no label knows
        return Means(_finite_mean(cameras), pose, _finite_mean(shapes))

    def _crop(self, labelled: Labelled, draws: NDArray[np.float64]) -> TurnedCrop:
        """The crop of a sample; draws (7,) from 0 to 1, of which 0.5 changes nothing."""
        config, spread = self.config, 2 * draws - 1
        edges = labelled.square.astype(np.float64)
        side = float((edges[2:] - edges[:2]).mean()) * config.margin * (1 + config.scale) ** spread[0]
        middle = (edges[:2] + edges[2:]) / 2 + config.shift * side * spread[1:3]
        square = np.concatenate([middle - side / 2, middle + side / 2])
        return turned_crop(labelled.intrinsics, square, self.crop_size, np.deg2rad(config.turn) * spread[3])

    def _cut(self, labelled: Labelled, picture: Rgb, draws: NDArray[np.float64]) -> tuple[TurnedCrop, Rgb]:
        """The crop of a sample, and its picture."""
        crop = self._crop(labelled, draws)
        colours = (1 + self.config.jitter * (2 * draws[4:] - 1)).tolist()
        return crop, view(take_crop(picture, crop, self.crop_size), self._colours, Draw(0, 0, *colours))

    def _second_view(self, index: int, flip: bool, draws: NDArray[np.float64]) -> Rgb:
        partner = int(self.data.partners[index])
        labelled, picture, _ = self.upright(index if partner < 0 else partner, flip)
        return self._cut(labelled, picture, draws)[1]

    def _points(self, labelled: Labelled, crop: TurnedCrop) -> tuple[Floats, Floats]:
        """(K, 3) key points in the axes of the crop's camera and (K, 2) in its pixels, under the network's names."""
        ours, theirs = self.shared.T
        keypoints = np.full((len(self.names), 3), np.nan, np.float32)
        pixels = np.full((len(self.names), 2), np.nan, np.float32)
        keypoints[ours] = labelled.keypoints[theirs] @ crop.crop_from_cam.T
        pixels[ours] = map_pixels(labelled.pixels[theirs], crop)
        return keypoints, pixels


def _mirror_image(sample: MeshSample) -> MeshSample:
    """A crop of the other hand, of which nothing is known but that."""
    unknown: dict[str, Any] = {
        name: None if value is None else np.full_like(value, np.nan)
        for name in ("keypoints", "pixels", "vertices", "pose", "shape")
        for value in [getattr(sample, name)]
    }
    return replace(sample, image1=np.ascontiguousarray(sample.image1[:, ::-1]), right=1 - sample.right, **unknown)


def same_parameters(theirs: str | None, ours: str) -> bool:
    """Whether pose and shape of one body model mean the same to another: Anny's bodies differ in their mesh alone."""
    return theirs == ours or (theirs is not None and theirs.startswith("anny-body") and ours.startswith("anny-body"))


def turn_pose(body: BodyModel, pose: Tensor, turn: Tensor) -> Tensor:
    """Turn people as a whole.

    Args:
        body: the model, which may tell its poses about other axes than humanpt's.
        pose: (B, J, 3, 3) as the model takes it.
        turn: (B, 3, 3) rotations in humanpt's axes.

    Returns:
        (B, J, 3, 3).
    """
    orientations = turn[:, None].expand(-1, pose.shape[1], -1, -1)
    root_turn = body.pose_from_orientations(orientations, body.mean_shape())[:, :1]
    return torch.cat((root_turn @ pose[:, :1], pose[:, 1:]), dim=1)


@lru_cache
def _names_of(model: str) -> tuple[str, ...]:
    """Names of a body model's points; the model is read once, which takes longer than a picture."""
    return point_names(load_body_model(model).layout)


def _finite_mean(values: list[Tensor]) -> Tensor | None:
    """The mean of those tensors that are finite throughout, in float32; None without any."""
    known = [value for value in values if bool(value.isfinite().all())]
    return torch.stack(known).double().mean(dim=0).float() if known else None
