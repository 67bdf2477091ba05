"""Does a body go through itself? A quick test by spheres for drawing poses, and an exact one by triangles.

Parts that meet at a joint may overlap, since skin folds there; all others may not. The quick test fills each part with
spheres, the largest that fit into the mesh in the reference pose, and carries them with their bones.

Letters: N poses, J joints, V vertices, F triangles, S spheres.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.body.model import BodyMesh, BodyModel
from humanpt.data.poses.anatomy import FINGERS, SIDES, Array, Skeleton, skeleton_of

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
POSES_AT_ONCE = 16
CANDIDATES = 48
PER_PART = 8
SPHERE_FOLD = {"body": 0.02, "hand": 0.002}
"""Metres between two spheres in the reference pose below which they lie on either side of a fold of skin."""
_NONE = np.zeros(0, dtype=np.int64)
FOLD = {"body": 0.08, "hand": 0.012}
"""Metres, in the reference pose, within which triangles of two parts may cut each other: skin that folds."""


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

    def __init__(self, model: BodyModel, skeleton: Skeleton, *, give: float, per_part: int = PER_PART) -> None:
        """Fit spheres to the mean shape.

        Args:
            model: the body.
            skeleton: its joints.
            give: how deep two spheres may sink into each other, as a share of the smaller radius.
            per_part: most spheres in a rigid part.
        """
        vertices = model.rest(model.mean_shape())[0].double().cpu().numpy()
        joint = model.vertex_joint.cpu().numpy()
        number, meet = rigid_parts(skeleton)
        parts = [np.flatnonzero(number[joint] == k) for k in range(len(meet))]
        sample = np.concatenate([mine[:: max(1, len(mine) // CANDIDATES)] for mine in parts])
        centres, radii = _inscribed(vertices, _normals(vertices, model.faces.cpu().numpy()), sample)
        chosen = np.concatenate(
            [
                _covering(vertices[sample], centres, radii, number[joint[sample]] == k, per_part)
                for k in range(len(meet))
            ]
        )
        self.joint = joint[sample[chosen]]
        self.offset = centres[chosen] - skeleton.rest[self.joint]
        radius = radii[chosen]
        part = number[self.joint]
        gap = np.linalg.norm(centres[chosen][:, None] - centres[chosen][None], axis=-1) - radius[:, None] - radius[None]
        tested = ~meet[part[:, None], part[None]] & (gap > SPHERE_FOLD[model.layout.subject])
        limit = radius[:, None] + radius[None] - give * np.minimum(radius[:, None], radius[None])
        self.limit = np.where(tested, limit**2, -1.0).astype(np.float32)

    def of(self, joints: Sequence[int]) -> "Spheres":
        """The spheres of some joints alone, which are numbered anew in the order given."""
        number = {joint: k for k, joint in enumerate(joints)}
        kept = [k for k, joint in enumerate(self.joint.tolist()) if joint in number]
        part = copy.copy(self)
        part.joint = np.array([number[int(self.joint[k])] for k in kept], dtype=np.int64)
        part.offset, part.limit = self.offset[kept], self.limit[np.ix_(kept, kept)]
        return part

    def forgive(self, joints: Sequence[int]) -> None:
        """Test no sphere of these joints against another of them any more, because that is done elsewhere."""
        mine = np.isin(self.joint, list(joints))
        self.limit[np.ix_(mine, mine)] = -1.0

    def overlapping(self, joints: Array, orientations: Array) -> Flags:
        """Whether spheres overlap (N,), for joints (N, J, 3) and absolute rotations (N, J, 3, 3)."""
        result = np.empty(len(joints), dtype=bool)
        for first in range(0, len(joints), POSES_AT_ONCE):
            here = slice(first, first + POSES_AT_ONCE)
            turned = (orientations[here][:, self.joint] @ self.offset[..., None])[..., 0]
            centres = joints[here][:, self.joint] + turned - joints[here, :1]
            square, one = np.sum(centres**2, axis=-1, keepdims=True), np.ones((*centres.shape[:2], 1))
            left = np.concatenate([-2.0 * centres, square, one], axis=-1).astype(np.float32)
            right = np.concatenate([centres, one, square], axis=-1).astype(np.float32)
            distance = left @ np.swapaxes(right, -1, -2)  # (N, S, S) squared
            result[here] = (distance < self.limit).reshape(len(distance), -1).any(axis=1)
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


def _inscribed(vertices: Array, normals: Array, sample: Integers) -> tuple[Array, Array]:
    """Largest sphere that touches a vertex from inside and holds no other, for P vertices: (P, 3) and radii (P,)."""
    radii = np.empty(len(sample))
    for first in range(0, len(sample), 128):
        mine = sample[first : first + 128]
        gap = vertices[mine, None] - vertices[None]  # from every other vertex to this one
        height = np.einsum("avc,ac->av", gap, normals[mine])
        square = np.einsum("avc,avc->av", gap, gap)
        radius = square / (2 * np.where(height > 1e-6, height, np.nan))
        radii[first : first + 128] = np.nanmin(radius, axis=1)
    return vertices[sample] - radii[:, None] * normals[sample], radii


def _covering(points: Array, centres: Array, radii: Array, mine: Flags, most: int) -> Integers:
    """Choose spheres of one part, each time the one that covers best what is not yet covered of its surface points."""
    own = np.flatnonzero(mine)
    if not len(own):
        return own
    gaps = np.linalg.norm(points[own][:, None] - centres[own][None], axis=-1) - radii[own]  # (points, spheres)
    gaps = np.maximum(gaps, 0)
    chosen = [int(np.argmax(radii[own]))]
    left = gaps[:, chosen[0]]
    while len(chosen) < most and left.max() > 0.15 * np.median(radii[own]):
        best = int(np.argmin(np.sum(np.minimum(gaps, left[:, None]) ** 2, axis=0)))
        if best in chosen:
            break
        chosen.append(best)
        left = np.minimum(left, gaps[:, best])
    result: Integers = own[np.array(chosen)]
    return result


def colliding(model: BodyModel, mesh: BodyMesh) -> Tensor:
    """Count the triangles of each body that cut through a part of it they do not belong to.

    Parts that meet at a joint may cut each other, and so may triangles that lie within FOLD of each other in the
    reference pose, since skin folds there. Exact for triangles that are not coplanar; tens of milliseconds a body.

    Args:
        model: the body.
        mesh: B of its meshes.

    Returns:
        (B,) int64 numbers of triangles; a few are usual where flesh presses on flesh.
    """
    triangles = Triangles(model)
    cut = [np.unique(np.concatenate([*triangles.cuts(vertices).values(), _NONE])) for vertices in mesh.vertices]
    return torch.tensor([len(faces) for faces in cut])


class Triangles:
    """The triangles of a body by the part they belong to, to find exactly where it cuts through itself."""

    def __init__(self, model: BodyModel) -> None:
        skeleton = skeleton_of(model)
        number, meet = rigid_parts(skeleton)
        self.faces = model.faces.cpu().numpy()
        self.rest = model.rest(model.mean_shape())[0].double().cpu().numpy()[self.faces].mean(axis=1)
        self.fold = FOLD[model.layout.subject]
        part = number[model.vertex_joint.cpu().numpy()[self.faces[:, 0]]]
        self.members = {k: np.flatnonzero(part == k) for k in range(len(meet)) if (part == k).any()}
        self.pairs = [(a, b) for a in self.members for b in self.members if b < a and not meet[a, b]]

    def cuts(self, vertices: Tensor) -> dict[tuple[int, int], Integers]:
        """For each two parts that cut each other in one mesh (V, 3), the triangles that do."""
        corners = vertices.double().cpu().numpy()[self.faces]  # (F, 3, 3)
        low, high = corners.min(axis=1), corners.max(axis=1)
        boxes = {k: (low[m].min(axis=0), high[m].max(axis=0)) for k, m in self.members.items()}
        found = {}
        for a, b in self.pairs:
            lower, upper = np.maximum(boxes[a][0], boxes[b][0]), np.minimum(boxes[a][1], boxes[b][1])
            if np.any(lower > upper):
                continue
            first, second = (
                m[np.all((low[m] <= upper) & (high[m] >= lower), axis=1)] for m in (self.members[a], self.members[b])
            )
            close = np.ones((len(first), len(second)), dtype=bool)
            for axis in range(3):
                close &= low[first, None, axis] <= high[None, second, axis]
                close &= low[None, second, axis] <= high[first, None, axis]
            i, j = (order[at] for order, at in zip((first, second), np.nonzero(close), strict=True))
            far = np.linalg.norm(self.rest[i] - self.rest[j], axis=1) > self.fold
            i, j = i[far], j[far]
            cut = _pierces(corners[i], corners[j]) | _pierces(corners[j], corners[i])
            if cut.any():
                found[a, b] = np.unique(np.concatenate([i[cut], j[cut]]))
        return found


def _pierces(first: Array, second: Array) -> Flags:
    """Whether an edge of one triangle goes through another, for P pairs of triangles (P, 3, 3).

    Source: Möller and Trumbore, Fast, minimum storage ray/triangle intersection, 1997.
    """
    result = np.zeros(len(first), dtype=bool)
    edge1, edge2 = second[:, 1] - second[:, 0], second[:, 2] - second[:, 0]
    for k in range(3):
        start, along = first[:, k], first[:, (k + 1) % 3] - first[:, k]
        across_edge = np.cross(along, edge2)
        det = np.einsum("pc,pc->p", edge1, across_edge)
        with np.errstate(divide="ignore", invalid="ignore"):
            gap = start - second[:, 0]
            u = np.einsum("pc,pc->p", gap, across_edge) / det
            turned = np.cross(gap, edge1)
            v = np.einsum("pc,pc->p", along, turned) / det
            t = np.einsum("pc,pc->p", edge2, turned) / det
            result |= (u >= 0) & (v >= 0) & (u + v <= 1) & (t >= 0) & (t <= 1)
    return result
