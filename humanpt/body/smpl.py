"""SMPL, SMPL-X and MANO from the user's own files.

The mesh is template + shape basis + pose basis, where the pose basis is fed with the rotations of all joints but the
root minus the identity; joint centres are means of the shaped template; linear blend skinning follows. The files are
read and computed here, by the code that poses Anny: the package `smplx` would open them with `pickle`, which runs
whatever they contain, and prints to stdout. Tests compare the two where it is installed.

Poses are the models' own: each joint's rotation relative to its parent, about the axes of the file (x towards the
person's left, y up, z ahead). Results and `transl` are in humanpt's axes, diag(1, -1, -1) times the file's.

Letters: B batch, V vertices, F triangles, J joints, K key points, S shape values.

Source: Loper and others, SMPL, 2015; Romero and others, Embodied hands, 2017; Pavlakos and others, SMPL-X, 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from humanpt.body import files, skeletons
from humanpt.body.array_files import read_arrays
from humanpt.body.model import BodyLayout, BodyMesh, BodyModel, Side, Subject, corner_uv
from humanpt.body.skinning import WeightedSums, pose_bones, skin, tree_levels
from humanpt.errors import InputError
from humanpt.geometry.rotations import mirror_x

NEEDED = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
OPTIONAL = ("vt", "ft")
BETAS = 10
"""Shape values (and, for SMPL-X, expression values) that are used; files hold up to 300 and 100."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What tells one model's files from another's, and what their joints are."""

    title: str
    """Name under which its owners distribute it; a key of `files.MODELS`, or another model of the family."""

    subject: Subject
    """Whether it is a whole body or a hand alone."""

    vertices: int
    """How many vertices its mesh has."""

    joint_names: tuple[str, ...]
    """Its joints in their order; only their number is known of models that humanpt does not use."""

    keypoint_vertices: dict[str, int]
    """Key points that are vertices; the others are joints of the same name."""

    site: str
    """Where its files are had."""


_FACE_AND_FEET = skeletons.BODY_23[:5] + skeletons.FEET_6
KINDS = {
    "smpl": Kind(
        title="SMPL",
        subject="body",
        vertices=6890,
        joint_names=skeletons.SMPL_24,
        keypoint_vertices=dict(
            zip(_FACE_AND_FEET, (332, 2800, 6260, 583, 4071, 3216, 6617, 3226, 6624, 3387, 6787), strict=True)
        ),
        site="smpl.is.tue.mpg.de",
    ),
    "smplx": Kind(
        title="SMPL-X",
        subject="body",
        vertices=10475,
        joint_names=skeletons.SMPLX_55,
        keypoint_vertices=dict(
            zip(_FACE_AND_FEET, (9120, 9448, 9929, 6, 616, 5770, 8463, 5780, 8474, 8846, 8635), strict=True)
        ),
        site="smpl-x.is.tue.mpg.de",
    ),
    "mano": Kind(
        title="MANO",
        subject="hand",
        vertices=778,
        joint_names=skeletons.MANO_16,
        keypoint_vertices=dict(
            zip((f"{finger}_tip" for finger in skeletons.FINGERS), (744, 320, 443, 554, 671), strict=True)
        ),
        site="mano.is.tue.mpg.de",
    ),
}
"""The models that can be loaded. Key-point vertices: vertex_ids of the package smplx."""

_KIN = (
    *((kind.title, kind.vertices, len(kind.joint_names)) for kind in KINDS.values()),
    ("SMPL+H", 6890, 52),
    ("FLAME", 5023, 5),
)
"""Title, vertices and joints of the models of the family, to name a file of the wrong kind."""


class SmplModel(BodyModel):
    """SMPL, SMPL-X or MANO. `transl` is added to where the file has the model; shape values are standard deviations."""

    template: Tensor
    basis: Tensor
    pose_basis: Tensor
    axes: Tensor

    def __init__(self, layout: BodyLayout, kind: Kind, arrays: dict[str, np.ndarray], *, mirrored: bool) -> None:
        super().__init__(layout)
        self.kind = kind
        self.mirrored = mirrored
        self.levels = tree_levels(layout.parents)
        faces = torch.from_numpy(arrays["f"].astype(np.int64))
        points, corners = arrays.get("vt", np.zeros((1, 2))), arrays.get("ft", np.zeros(faces.shape, dtype=np.int64))
        uv = corner_uv(points, corners.astype(np.int64))
        weights, regressor = _float(arrays["weights"]), _float(arrays["J_regressor"])
        self.weights, self.regressor = (_sums(matrix) for matrix in (weights, regressor))
        buffers = {
            "template": _float(arrays["v_template"]),
            "basis": _float(_shape_basis(arrays["shapedirs"], layout.name)).flatten(0, 1).mT.contiguous(),  # (S, 3V)
            "pose_basis": _float(arrays["posedirs"]).flatten(0, 1).mT.contiguous(),  # (9(J-1), 3V)
            "axes": torch.tensor([-1.0 if mirrored else 1.0, -1.0, -1.0]),
            "faces": faces[:, [0, 2, 1]] if mirrored else faces,
            "uv": uv[:, [0, 2, 1]] if mirrored else uv,
            "vertex_joint": weights.argmax(dim=1),
        }
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor, persistent=False)
        self.register_buffer("canonical", torch.zeros_like(self.template), persistent=False)
        mean: BodyMesh = self(self.mean_shape(), self.identity_pose(), torch.zeros(1, 3))
        self.canonical = mean.vertices[0].clone()
        if kind.subject == "hand":
            parts = skeletons.hand_parts(self.faces, self.vertex_joint, layout.joint_names)
        else:
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
        shaped = self.template + (shape @ self.basis).reshape(len(shape), -1, 3)  # (B, V, 3)
        heads = self.regressor(shaped)  # (B, J, 3)
        eye = torch.eye(3, dtype=pose.dtype, device=pose.device)
        bent = ((pose[:, 1:] - eye).flatten(1) @ self.pose_basis).reshape(len(pose), -1, 3)
        heads = heads.expand(batch, -1, -1)
        joints, turned, linear = pose_bones(self.levels, pose.expand(batch, -1, -1, -1), heads, heads[:, 0])
        vertices = skin(shaped + bent, heads, joints, linear, self.weights) * self.axes + transl[:, None]
        joints = joints * self.axes + transl[:, None]
        by_name = dict(zip(self.layout.joint_names, joints.unbind(1), strict=True))
        keypoints = [
            vertices[:, self.kind.keypoint_vertices[name]] if name in self.kind.keypoint_vertices else by_name[name]
            for name in self.layout.keypoint_names
        ]
        return BodyMesh(
            vertices=vertices,
            joints=joints,
            keypoints=torch.stack(keypoints, dim=1),
            orientations=self.axes[:, None] * turned * self.axes,
        )

    def pose_from_orientations(self, orientations: Tensor, shape: Tensor) -> Tensor:
        """Write absolute bone rotations, in humanpt's axes, as a pose about the axes of the file; see `BodyModel`."""
        flip = self.axes.new_tensor([1.0, -1.0, -1.0])
        return super().pose_from_orientations(flip[:, None] * orientations * flip, shape)

    def mean_shape(self) -> Tensor:
        """(1, S): zeros, the mean of the people the model was made from."""
        return self.template.new_zeros(1, len(self.layout.shape_names))

    def sample_shape(self, rng: np.random.Generator, count: int) -> Tensor:
        """(count, S): standard normal values, none beyond 2.5, as the shape basis is scaled to."""
        values = np.clip(rng.standard_normal((count, len(self.layout.shape_names))), -2.5, 2.5)
        return torch.from_numpy(values).to(self.template)


def load(name: str, *, side: Literal["right", "left"]) -> SmplModel:
    """Load one of `KINDS` from the user's files; neutral bodies come before others, .npz before .pkl.

    A left MANO is read from its own file, or else is the mirrored right one.

    Raises:
        InputError: if there is no file, or it is damaged or of another kind.
    """
    kind = KINDS[name]
    hand: Side = side if kind.subject == "hand" else "none"
    path, mirrored = _choose(kind, hand)
    arrays = read_arrays(path, (*NEEDED, *OPTIONAL))
    parents = _check(path, name, arrays)
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
        shape_names=(*(f"beta{index}" for index in range(BETAS)), *expression),
        part_names=skeletons.HAND_PARTS if kind.subject == "hand" else skeletons.BODY_PARTS,
        licence=f"the user's own licence, see {kind.site}",
        credit=f"{kind.title}, Max Planck Institute for Intelligent Systems",
    )
    return SmplModel(layout, kind, arrays, mirrored=mirrored)


def _choose(kind: Kind, hand: Side) -> tuple[Path, bool]:
    """The file to read, and whether it shows the other hand.

    Raises:
        InputError: if there is none.
    """
    found = files.find(kind.title)
    stems = [stem for stem in files.MODELS[kind.title] if hand == "none" or hand.upper() in stem]
    others = [stem for stem in files.MODELS[kind.title] if stem not in stems]
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
    if arrays["shapedirs"].shape[:2] != (vertices, 3) or arrays["shapedirs"].shape[2] < values:
        size = arrays["shapedirs"].shape
        raise InputError(f"{path}: shapedirs is {size}, not ({vertices}, 3, {values} or more); get it again")
    for field, points in (("f", vertices), ("ft", len(arrays.get("vt", ())))):
        if field in arrays and arrays[field].max(initial=0) >= points:
            raise InputError(f"{path}: {field} counts to {arrays[field].max()}, of {points} points; get it again")
    return (-1, *(int(parent) for parent in arrays["kintree_table"][0][1:]))


def _shape_basis(shapedirs: np.ndarray, name: str) -> np.ndarray:
    """(V, 3, S): the shape values we use, then those of expression, which long files of SMPL-X keep at 300."""
    if name != "smplx":
        return shapedirs[..., :BETAS]
    expression = 300 if shapedirs.shape[-1] >= 400 else BETAS
    return np.concatenate((shapedirs[..., :BETAS], shapedirs[..., expression : expression + BETAS]), axis=-1)


def _sums(matrix: Tensor) -> WeightedSums:
    """The matrix (N, M) as sums of rows."""
    sums, rows = matrix.nonzero(as_tuple=True)
    return WeightedSums(sums, rows, matrix[sums, rows], len(matrix))


def _float(array: np.ndarray) -> Tensor:
    """The array as float32."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
