"""SMPL, SMPL-X and MANO from the user's own files, computed by the package `smplx`.

The package would open the files with `pickle`, which runs whatever they contain: it gets arrays that `smpl_files.py`
has read, and what it prints is dropped. It is imported when a model is loaded, so humanpt works without it.

Poses are the models' own: each joint's rotation relative to its parent, about the axes of the file (x towards the
person's left, y up, z ahead); hands at the identity are flat. Results and `transl` are in humanpt's axes,
diag(1, -1, -1) times the file's.

Letters: B batch, V vertices, F triangles, J joints, K key points, S shape values.

Source: Loper and others, SMPL, 2015; Romero and others, Embodied hands, 2017; Pavlakos and others, SMPL-X, 2019.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from humanpt.body import skeletons
from humanpt.body.model import BodyLayout, BodyMesh, BodyModel, Side, corner_uv
from humanpt.body.smpl_files import BETAS, BETAS_OF_WHOLE, EXPRESSIONS, FILE_AXES, KINDS, Gender, Kind, choose, read
from humanpt.errors import InputError, OutputError
from humanpt.geometry.rotations import mirror_x

IN_PACKAGE = {
    **dict(zip(skeletons.BODY_23[:5], ("nose", "leye", "reye", "lear", "rear"), strict=True)),
    **dict(
        zip(skeletons.FEET_6, ("LBigToe", "RBigToe", "LSmallToe", "RSmallToe", "LHeel", "RHeel"), strict=True),
    ),
    **{f"{finger}_tip": "pinky" if finger == "little" else finger for finger in skeletons.FINGERS},
}
"""Key points that are vertices, and their names in `smplx.vertex_ids`; the others are joints of the same name."""

UNUSED = {
    **{f"hands_mean{side}": np.zeros(45) for side in ("", "l", "r")},
    **{f"hands_components{side}": np.eye(45) for side in ("", "l", "r")},
    "lmk_faces_idx": np.zeros(1, dtype=np.int64),
    "lmk_bary_coords": np.full((1, 3), 1 / 3),
}
"""What the package insists on, and no mesh depends on: principal poses of hands, landmarks of the face."""


class SmplModel(BodyModel):
    """SMPL, SMPL-X or MANO. `transl` is added to where the file has the model; shape values are standard deviations."""

    axes: Tensor

    def __init__(
        self,
        layout: BodyLayout,
        kind: Kind,
        layer: nn.Module,
        vertex_ids: dict[str, int],
        uv: Tensor,
        *,
        mirrored: bool,
    ) -> None:
        """Put a model of the package behind our interface.

        Args:
            layout: what its numbers mean.
            kind: how it is called.
            layer: the model, an instance of the package's class `kind.layer`.
            vertex_ids: the package's table of vertices at key points.
            uv: (F, 3, 2) texture coordinates of each corner.
            mirrored: whether to show the other hand than the file has.
        """
        super().__init__(layout)
        self.kind = kind
        self.betas = sum(name.startswith("beta") for name in layout.shape_names)
        self.layer = layer
        self.mirrored = mirrored
        self.keypoint_vertices = {
            name: vertex_ids[IN_PACKAGE[name]] for name in layout.keypoint_names if name in IN_PACKAGE
        }
        axes = torch.tensor([-1.0 if mirrored else 1.0, -1.0, -1.0])
        faces: Tensor = layer.get_buffer("faces_tensor")
        buffers = {
            "axes": axes,
            "faces": faces[:, [0, 2, 1]] if mirrored else faces.clone(),
            "uv": uv[:, [0, 2, 1]] if mirrored else uv,
            "vertex_joint": layer.get_buffer("lbs_weights").argmax(dim=1),
            "canonical": layer.get_buffer("v_template") * axes,
        }
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor, persistent=False)
        for module in layer.modules():  # a checkpoint must not carry the numbers of a licensed file
            for name, tensor in list(module.named_buffers(recurse=False)):
                module.register_buffer(name, tensor, persistent=False)
        if kind.subject == "hand":
            parts = skeletons.hand_parts(self.faces, self.vertex_joint, layout.joint_names)
        else:
            mean: BodyMesh = self(self.mean_shape(), self.identity_pose(), torch.zeros(1, 3))
            parts = skeletons.body_parts(
                self.canonical,
                mean.joints[0],
                self.faces,
                self.vertex_joint,
                layout.joint_names,
                layout.parents,
            )
        self.register_buffer("parts", parts, persistent=False)

    def forward(self, shape: Tensor, pose: Tensor, transl: Tensor) -> BodyMesh:
        """Give people a shape and a pose; see `BodyModel.forward`. Poses are about the axes of the file."""
        batch = self.batch_of(shape, pose, transl)
        if self.mirrored:
            pose = mirror_x(pose)
        shape, pose = shape.expand(batch, -1), pose.expand(batch, -1, -1, -1)
        given = {name: pose[:, first:end] for name, (first, end) in self.kind.poses.items()}
        given["betas"] = shape[:, : self.betas]
        if shape.shape[1] > self.betas:
            given["expression"] = shape[:, self.betas :]
        posed = self.layer(**given)
        vertices = posed.vertices * self.axes + transl[:, None]
        joints = posed.joints[:, : len(self.layout.joint_names)] * self.axes + transl[:, None]
        by_name = dict(zip(self.layout.joint_names, joints.unbind(1), strict=True))
        keypoints = [
            vertices[:, self.keypoint_vertices[name]] if name in self.keypoint_vertices else by_name[name]
            for name in self.layout.keypoint_names
        ]
        turned = [pose[:, 0]]
        for joint, parent in enumerate(self.layout.parents[1:], start=1):
            turned.append(turned[parent] @ pose[:, joint])
        return BodyMesh(
            vertices=vertices,
            joints=joints,
            keypoints=torch.stack(keypoints, dim=1),
            orientations=self.axes[:, None] * torch.stack(turned, dim=1) * self.axes,
        )

    def orientation(self, pose: Tensor, joint: int) -> Tensor:
        """The absolute rotation of one bone in humanpt's axes; see `BodyModel`."""
        return self._other_axes(super().orientation(pose, joint))

    def pose_from_orientations(self, orientations: Tensor, shape: Tensor) -> Tensor:
        """Write absolute bone rotations, in humanpt's axes, as a pose about the axes of the file; see `BodyModel`."""
        return super().pose_from_orientations(self._other_axes(orientations), shape)

    def _other_axes(self, rotmat: Tensor) -> Tensor:
        """Rotations (..., 3, 3) about humanpt's axes as about those of the file, and back."""
        flip = self.axes.new_tensor(FILE_AXES)
        return flip[:, None] * rotmat * flip

    def mean_shape(self) -> Tensor:
        """(1, S): zeros, the mean of the people the model was made from."""
        return self.canonical.new_zeros(1, len(self.layout.shape_names))

    def sample_shape(self, rng: np.random.Generator, count: int) -> Tensor:
        """(count, S): standard normal values, none beyond 2.5, as the shape basis is scaled to."""
        values = np.clip(rng.standard_normal((count, len(self.layout.shape_names))), -2.5, 2.5)
        return torch.from_numpy(values).to(self.canonical)


def load(
    name: str, *, side: Literal["right", "left"] = "right", gender: Gender | None = None, betas: int = BETAS
) -> SmplModel:
    """Load one of `KINDS` from the user's files; neutral bodies come before others, .npz before .pkl.

    A left MANO is the mirrored right one: the file that its owners publish for it has the right hand's shape basis, so
    the same shape values would give it another shape (github.com/vchoutas/smplx/issues/48). With a gender, a body is of
    that file or of none. More than `BETAS` shape values take a file that has them.

    Raises:
        InputError: if there is no file, it is damaged or of another kind, or the package `smplx` is not installed.
        OutputError: if there is no room for a temporary file, which SMPL-X takes.
    """
    kind = KINDS[name]
    hand: Side = side if kind.subject == "hand" else "none"
    path, is_left = choose(kind, "right" if kind.subject == "hand" else "none", gender)
    if is_left:
        raise InputError(f"{path}: is of the left hand, whose shapes are wrong in that file; put MANO_RIGHT beside it")
    mirrored = hand == "left"
    arrays, parents = read(name, path)
    there = arrays["shapedirs"].shape[2] - (EXPRESSIONS if name == "smplx" else 0)
    if betas > BETAS and there < BETAS_OF_WHOLE:
        raise InputError(f"{path}: has no {BETAS_OF_WHOLE} shape values, of which {betas} are needed; see {kind.site}")
    layer, vertex_ids = _in_package(kind, path, arrays, betas)
    points, corners = arrays.get("vt", np.zeros((1, 2))), arrays.get("ft", np.zeros_like(arrays["f"]))
    expression = [f"expression{index}" for index in range(BETAS)] if name == "smplx" else []
    layout = BodyLayout(
        name=name,
        subject=kind.subject,
        side=hand,
        rig=name,
        topology=path.stem.lower() + ("-mirrored" if mirrored else ""),
        pose_parameterization="local-joint",
        joint_names=kind.joint_names,
        parents=parents,
        keypoint_names=skeletons.HAND_21 if kind.subject == "hand" else skeletons.BODY_23,
        shape_names=(*(f"beta{index}" for index in range(betas)), *expression),
        part_names=skeletons.HAND_PARTS if kind.subject == "hand" else skeletons.BODY_PARTS,
        licence=f"the user's own licence, see {kind.site}",
        credit=f"{kind.title}, Max Planck Institute for Intelligent Systems",
    )
    uv = corner_uv(points, corners.astype(np.int64))
    return SmplModel(layout, kind, layer, vertex_ids, uv, mirrored=mirrored)


def _in_package(kind: Kind, path: Path, arrays: dict[str, np.ndarray], betas: int) -> tuple[nn.Module, dict[str, int]]:
    """The model as the package computes it, and the package's table of vertices at key points.

    Raises:
        InputError: if the package is not installed.
        OutputError: if there is no room for a temporary file.
    """
    try:
        import smplx
        from smplx.utils import Struct
        from smplx.vertex_ids import vertex_ids
    except ImportError as error:
        raise InputError(
            f"{path}: {kind.title} is computed by the package smplx, which is not here ({error}); "
            f"`pip install 'humanpt[smplx]'`, or use anny-{kind.subject}, which is free"
        ) from None
    single = {name: array.astype(np.float32) if array.dtype.kind == "f" else array for name, array in arrays.items()}
    numbers: dict[str, Any] = {**single, **UNUSED}
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, that a tensor is no array
        build = getattr(smplx, kind.layer)
        if kind.options.get("ext") != "npz":
            layer: nn.Module = build("", data_struct=Struct(**numbers), num_betas=betas, **kind.options)
            return layer, vertex_ids[kind.vertex_ids]
        # SMPL-X takes a file alone, so it gets one without pickles; that of its owners has some
        try:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                copy = Path(folder) / "arrays.npz"
                np.savez(copy, **numbers)
                return build(str(copy), num_betas=betas, **kind.options), vertex_ids[kind.vertex_ids]
        except OSError as error:
            raise OutputError(
                f"{path}: no temporary file can hold its arrays ({error.strerror or error}); "
                "set TMPDIR to a folder with room"
            ) from None
