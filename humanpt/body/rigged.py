"""A body model of one shape as animation software has it: a mesh at rest, bones, and how they carry it along.

A bone's frame is the identity in the reference pose, so that a pose of the model is the bones' rotations as they stand.
`at_rest` brings the mesh, which the model keeps in a rest pose of its own, to the bones: a point x at rest, of which
bone j in place (R_j, p_j) has the share w_j, comes to lie at the sum of w_j (R_j, p_j) `at_rest`_j x. That is the
model's own linear blend skinning, term by term.

Letters: V vertices, F triangles, J joints, P shape values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from humanpt.body.anny import AnnyModel
from humanpt.geometry.rotations import nearest_rotation

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class RiggedMesh:
    """Metres, OpenCV's axes."""

    rest: Array
    """(V, 3) the mesh at rest."""
    faces: NDArray[np.int64]
    """(F, 3) counter-clockwise seen from outside."""
    weights: Array
    """(V, J) share of each bone in each point; those of a point add up to one."""
    joint_names: tuple[str, ...]
    """J names, parents before children."""
    parents: tuple[int, ...]
    """Index of each joint's parent, -1 for the root."""
    offsets: Array
    """(J, 3) each joint from its parent in the reference pose; zero for the root."""
    at_rest: Array
    """(J, 4, 4) from the mesh at rest to the frame of each bone."""

    def posed(self, pose: Array, transl: Array) -> Array:
        """The mesh in a pose: (V, 3) from rotations (J, 3, 3) of joints relative to their parents and the root (3,)."""
        bones = np.zeros((len(self.parents), 4, 4))
        for joint, parent in enumerate(self.parents):
            local = np.eye(4)
            local[:3, :3], local[:3, 3] = pose[joint], self.offsets[joint] if parent >= 0 else transl
            bones[joint] = local if parent < 0 else bones[parent] @ local
        blended = np.tensordot(self.weights, bones @ self.at_rest, axes=1)  # (V, 4, 4)
        points: Array = (blended[:, :3, :3] @ self.rest[:, :, None])[..., 0] + blended[:, :3, 3]
        return points


def rigged(model: AnnyModel, shape: NDArray[np.floating]) -> RiggedMesh:
    """The mesh and bones of a model in one shape.

    Args:
        model: whose skinning is linear blend skinning and nothing else.
        shape: (P,) shape values.
    """
    with torch.no_grad():
        values = torch.as_tensor(np.asarray(shape), dtype=model.template.dtype)[None]
        coefficients = model.coefficients(values)
        rest = (model.template + (coefficients @ model.basis).reshape(1, -1, 3))[0].double().numpy()
        heads = (model.heads + (coefficients @ model.heads_basis).reshape(1, -1, 3))[0].double().numpy()
        frames = model.frames + (coefficients @ model.frames_basis).reshape(1, -1, 3, 3)
        turns = nearest_rotation(frames.double())[0].mT.numpy()  # (J, 3, 3) from rest to the reference pose
        weights = model.weights(torch.eye(len(heads))[None])[0].double().numpy()  # each bone's share, bone by bone
    parents = model.layout.parents
    above = [max(parent, 0) for parent in parents]
    at_rest = np.tile(np.eye(4), (len(heads), 1, 1))
    at_rest[:, :3, :3] = turns
    at_rest[:, :3, 3] = -(turns @ heads[:, :, None])[..., 0]
    return RiggedMesh(
        rest=rest,
        faces=model.faces.numpy(),
        weights=weights / weights.sum(1, keepdims=True),
        joint_names=model.layout.joint_names,
        parents=parents,
        offsets=(turns[above] @ (heads - heads[above])[:, :, None])[..., 0],
        at_rest=at_rest,
    )
