"""Anny for one person at a time: the same mesh as `anny.AnnyModel` to rounding, in a tenth of the operations.

`AnnyModel` is made for batches of people and for gradients. Of one person every step is so small that starting it costs
more than computing it, so here all tents are one expression, bones are chained by doubling (each step joins chains
twice as long, Hillis and Steele), and skinning weights are a dense matrix. Every operation is one that exchange formats
know, if the nearest rotation is.

Letters: B batch, V vertices, J joints, K key points, S shape values, C coefficients, R products, T knots of all tents.

Source: Hillis, Steele, Data parallel algorithms, Communications of the ACM 29, 1986.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from humanpt.body.anny import AnnyModel
from humanpt.body.model import BodyMesh, BodyModel
from humanpt.geometry.rotations import nearest_rotation


class QuickAnny(BodyModel):
    """An `AnnyModel` for inference at small batches, on a processor or in an exported file.

    Args:
        model: the same model.
        nearest: gives the rotations nearest to matrices (..., 3, 3).
    """

    lowest: Tensor
    highest: Tensor
    value_of: Tensor
    knots: Tensor
    rise: Tensor
    fall: Tensor
    corners: Tensor
    projection: Tensor
    mean: Tensor
    basis: Tensor
    weights: Tensor
    read: Tensor
    keypoints: Tensor
    parents: Tensor
    ancestors: Tensor
    corner: Tensor

    def __init__(self, model: AnnyModel, nearest: Callable[[Tensor], Tensor] = nearest_rotation) -> None:
        super().__init__(model.layout)
        self.model, self.nearest = model, nearest
        knots = [torch.tensor(values, dtype=torch.float32) for values in model.knots]
        counts = torch.tensor([len(values) for values in knots])
        flat = torch.cat(knots)
        starts = counts.cumsum(0) - counts
        parents = torch.tensor(model.layout.parents).clamp_min(0)
        points = len(model.template)
        keypoints = model.keypoints.dense(points + len(parents))
        read = keypoints[:, :points].any(dim=0).nonzero()[:, 0]  # the vertices that key points are made of
        by_axis = torch.unflatten(model.basis, 1, (points, 3)).mT.flatten(1)  # all x, then all y, then all z
        buffers = {
            "lowest": torch.stack([values[0] for values in knots]),
            "highest": torch.stack([values[-1] for values in knots]),
            "value_of": torch.repeat_interleave(torch.arange(len(knots)), counts),
            "knots": flat,
            # beyond the ends nothing rises or falls: values are clamped to them first
            "rise": torch.cat([1 / functional.pad(values.diff(), (1, 0), value=1) for values in knots]),
            "fall": torch.cat([1 / functional.pad(values.diff(), (0, 1), value=1) for values in knots]),
            "corners": torch.where(model.corners == counts, len(flat), model.corners + starts),  # the last: any value
            "projection": model.projection,
            "mean": torch.cat((model.template.T.flatten(), model.heads.flatten(), model.frames.flatten())),
            "basis": torch.cat((by_axis, model.heads_basis, model.frames_basis), dim=1),
            "weights": model.weights.dense(len(parents)).T.contiguous(),
            "read": read,
            "keypoints": keypoints[:, torch.cat((read, torch.arange(points, keypoints.shape[1])))],
            "parents": parents,
            "ancestors": _ancestors(model.layout.parents),
            "corner": _homogeneous(len(parents)),
        }
        for name in ("faces", "parts", "vertex_joint", "canonical", "uv"):
            buffers[name] = getattr(model, name)
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, shape: Tensor, pose: Tensor, transl: Tensor) -> BodyMesh:
        """Give people a shape and a pose; see `BodyModel.forward` and `AnnyModel`."""
        if not torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]  # sizes are no numbers there
            self.batch_of(shape, pose, transl)
        points, joints = self.canonical.shape[0], len(self.layout.parents)
        of_shape = self.mean + self.coefficients(shape) @ self.basis
        rest, heads, frames = torch.split(of_shape, [3 * points, 3 * joints, 9 * joints], dim=1)
        heads = torch.unflatten(heads, 1, (joints, 3))
        reference_from_rest = self.nearest(torch.unflatten(frames, 1, (joints, 3, 3))).mT  # (B, J, 3, 3)
        turned, centres = self._chain(pose, heads, reference_from_rest)
        centres = centres + transl[:, None]
        linear = turned @ reference_from_rest
        shifts = centres - (linear @ heads[..., None])[..., 0]  # bone j sends a rest point x to linear_j x + shift_j
        bones = torch.cat((linear.mT.flatten(2), shifts), dim=2)  # (B, J, 12): three columns, then the shift
        blend = (bones.mT.flatten(0, 1) @ self.weights).reshape(-1, 4, 3, points)  # (B, 4, 3, V)
        skinned = (blend[:, :3] * rest.reshape(-1, 3, 1, points)).sum(dim=1) + blend[:, 3]
        vertices = skinned.mT  # (B, V, 3)
        keypoints = self.keypoints @ torch.cat((vertices[:, self.read], centres), dim=1)
        return BodyMesh(vertices=vertices, joints=centres, keypoints=keypoints, orientations=turned)

    def coefficients(self, shape: Tensor) -> Tensor:
        """(B, C): coefficients of the linear basis for shape values (B, S), as `AnnyModel.coefficients`."""
        inside = torch.minimum(torch.maximum(shape, self.lowest), self.highest)
        away = inside[:, self.value_of] - self.knots
        tents = (1 + torch.minimum(away * self.rise, -away * self.fall)).clamp_min(0)  # (B, T)
        products = functional.pad(tents, (0, 1), value=1)[:, self.corners].prod(dim=2)  # (B, R)
        return products @ self.projection

    def pivot(self, shape: Tensor) -> Tensor:
        """(B, 3) zeros, as of `AnnyModel`."""
        return self.model.pivot(shape)

    def mean_shape(self) -> Tensor:
        """(1, S), as of `AnnyModel`."""
        return self.model.mean_shape()

    def sample_shape(self, rng: np.random.Generator, count: int) -> Tensor:
        """(count, S), as of `AnnyModel`."""
        return self.model.sample_shape(rng, count)

    def _chain(self, pose: Tensor, heads: Tensor, reference_from_rest: Tensor) -> tuple[Tensor, Tensor]:
        """Forward kinematics: rotations (B, J, 3, 3) from the reference pose and joint centres (B, J, 3).

        The root lies at 0. A joint stands in the turned axes of its parent at a place that the pose does not change, so
        it is one matrix (4, 4) there, and the products of all along its chain are wanted.
        """
        offsets = reference_from_rest[:, self.parents] @ (heads - heads[:, self.parents])[..., None]  # (B, J, 3, 1)
        shared = 0 * pose[..., :1] + 0 * offsets  # of the common batch, also in exported files
        placed = torch.cat((pose + shared, offsets + shared), dim=3)
        chain = functional.pad(placed, (0, 0, 0, 1, 0, 1)) + self.corner  # (B, J + 1, 4, 4)
        for above in self.ancestors:
            chain = chain[:, above] @ chain  # products of twice as many
        return chain[:, :-1, :3, :3], chain[:, :-1, :3, 3]


def _ancestors(parents: Sequence[int]) -> Tensor:
    """(L, J + 1): the joint that is 1, 2, 4, ... steps above each, or J, which stands for none and is above itself."""
    none = len(parents)
    above = torch.tensor([*(none if parent < 0 else parent for parent in parents), none])
    rows = []
    while bool((above != none).any()):
        rows.append(above)
        above = above[above]
    return torch.stack(rows)


def _homogeneous(joints: int) -> Tensor:
    """(J + 1, 4, 4): what (3, 4) matrices lack to be homogeneous ones, and for the last the whole identity."""
    lacking = torch.zeros(joints + 1, 4, 4)
    lacking[:, 3, 3] = 1
    lacking[-1] = torch.eye(4)
    return lacking
