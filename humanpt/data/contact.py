"""Does a body go through itself? A quick test by spheres for drawing poses, and an exact one by triangles.

Parts that meet at a joint may overlap, since skin folds there; all others may not. The quick test fills each part with
spheres, the largest that fit into the mesh in the reference pose, and carries them with their bones.

Letters: N poses, J joints, V vertices, F triangles, S spheres.
"""

import numpy as np
from numpy.typing import NDArray

from humanpt.body.model import BodyModel
from humanpt.data.anatomy import FINGERS, SIDES, Array, Skeleton

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
POSES_AT_ONCE = 128


def rigid_parts(skeleton: Skeleton) -> tuple[Integers, Flags]:
    """The rigid part that each joint belongs to, and which parts meet.

    Returns:
        (J,) part numbers and a symmetric table, True where two parts are one or neighbours in the tree of joints.
    """
    spine = skeleton.part("spine")
    belly, chest = spine[: len(spine) // 2 + 1], spine[len(spine) // 2 + 1 :]
    groups = [(*skeleton.part("root"), *belly), chest, skeleton.part("neck"), skeleton.part("head")]
    for side in SIDES:
        groups += [skeleton.part(name, side) for name in ("upperarm", "forearm", "thigh", "shin", "foot", "wrist")]
        for finger in FINGERS:
            groups += [(joint,) for joint in skeleton.part(finger, side)]  # bent through right angles: each on its own
    number = np.full(len(skeleton.names), -1, dtype=np.int64)
    number[0] = 0
    for k, joints in enumerate(groups):
        number[list(joints)] = k
    for joint, parent in enumerate(skeleton.parents):  # what is no part of its own moves with its parent
        if number[joint] < 0:
            number[joint] = number[parent]
    meet = np.eye(len(groups), dtype=bool)
    for joint, parent in enumerate(skeleton.parents):
        if parent >= 0:
            meet[number[joint], number[parent]] = meet[number[parent], number[joint]] = True
    for first, second in _folds(skeleton):
        meet[number[first], number[second]] = meet[number[second], number[first]] = True
    return number, meet


def _folds(skeleton: Skeleton) -> list[tuple[int, int]]:
    """Joints whose parts press on each other in every day's poses without being neighbours."""
    head, neck, chest = skeleton.part("head"), skeleton.part("neck"), skeleton.part("spine")[-1:]
    pairs = list(zip(head, chest, strict=False))  # chin on the chest
    for side in SIDES:
        pairs += zip(neck, skeleton.part("upperarm", side), strict=False)  # shrugged or raised shoulder
        pairs += zip(skeleton.part("thumb", side)[1:2], skeleton.part("wrist", side), strict=False)  # ball of the thumb
    return pairs


class Spheres:
    """A body filled with spheres, to tell quickly which poses go through themselves."""

    def __init__(self, model: BodyModel, skeleton: Skeleton, *, per_part: int, slack: float) -> None:
        """Fit spheres to the mean shape.

        Args:
            model: the body.
            skeleton: its joints.
            per_part: most spheres per rigid part.
            slack: how deep, in metres, two spheres may sink into each other.
        """
        vertices = model.rest(model.mean_shape())[0].double().cpu().numpy()
        joint = model.vertex_joint.cpu().numpy()
        number, meet = rigid_parts(skeleton)
        centres, radii = _inscribed(vertices, _normals(vertices, model.faces.cpu().numpy()))
        chosen = np.concatenate(
            [
                _covering(vertices, centres, radii, np.flatnonzero(number[joint] == k), per_part)
                for k in range(len(meet))
            ]
        )
        self.joint = joint[chosen]
        self.radius = radii[chosen]
        self.offset = centres[chosen] - skeleton.rest[self.joint]
        part = number[self.joint]
        reach = self.radius[:, None] + self.radius[None]
        apart = np.linalg.norm(centres[chosen][:, None] - centres[chosen][None], axis=-1)
        # Spheres that overlap in the reference pose lie on either side of a fold of skin.
        tested = ~meet[part[:, None], part[None]] & (apart > reach - slack)
        self.limit = np.where(tested, np.maximum(reach - slack, 0.0) ** 2, -1.0).astype(np.float32)

    def overlapping(self, joints: Array, orientations: Array) -> Integers:
        """Number of pairs of spheres (N,) that overlap, for joints (N, J, 3) and absolute rotations (N, J, 3, 3)."""
        counts = []
        for first in range(0, len(joints), POSES_AT_ONCE):
            here = slice(first, first + POSES_AT_ONCE)
            turned = (orientations[here][:, self.joint] @ self.offset[..., None])[..., 0]
            centres = (joints[here][:, self.joint] + turned - joints[here, :1]).astype(np.float32)
            square = np.sum(centres**2, axis=-1)
            distance = square[:, :, None] + square[:, None] - 2.0 * centres @ np.swapaxes(centres, -1, -2)
            counts.append(np.count_nonzero(distance < self.limit, axis=(1, 2)) // 2)
        result: Integers = np.concatenate(counts)
        return result


def _normals(vertices: Array, faces: Integers) -> Array:
    """Unit outward normals (V, 3), faces weighted by their area."""
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(total, faces[:, corner], normal)
    result: Array = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return result


def _inscribed(vertices: Array, normals: Array) -> tuple[Array, Array]:
    """Largest sphere that touches each vertex from inside and holds no other: centres (V, 3) and radii (V,)."""
    radii = np.empty(len(vertices))
    for first in range(0, len(vertices), 256):
        here = slice(first, first + 256)
        gap = vertices[here, None] - vertices[None]  # from every other vertex to this one
        height = np.einsum("avc,ac->av", gap, normals[here])
        with np.errstate(divide="ignore", invalid="ignore"):
            radius = np.einsum("avc,avc->av", gap, gap) / (2 * height)
        radii[here] = np.where(height > 1e-6, radius, np.inf).min(axis=1)
    radii = np.minimum(radii, 0.2)
    return vertices - radii[:, None] * normals, radii


def _covering(vertices: Array, centres: Array, radii: Array, mine: Integers, most: int) -> Integers:
    """Choose spheres of one part, each time the one that brings the surface points worst covered nearest."""
    if not len(mine):
        return mine
    sample = mine[:: max(1, len(mine) // 400)]
    gaps = (
        np.linalg.norm(vertices[sample][:, None] - centres[sample][None], axis=-1) - radii[sample]
    )  # (points, spheres)
    gaps = np.maximum(gaps, 0)
    left = np.full(len(sample), np.inf)
    chosen: list[int] = [int(np.argmax(radii[sample]))]
    left = gaps[:, chosen[0]]
    while len(chosen) < most and left.max() > 0.15 * np.median(radii[sample]):
        best = int(np.argmin(np.sum(np.minimum(gaps, left[:, None]) ** 2, axis=0)))
        if best in chosen:
            break
        chosen.append(best)
        left = np.minimum(left, gaps[:, best])
    result: Integers = sample[np.array(chosen)]
    return result
