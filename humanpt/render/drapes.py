"""Surfaces that hang on a body without being its skin: skirts and coats, long hair, hats, forearms and sleeves.

A drape is made on the reference pose and then follows the posed vertices, by simple geometry and in fixed order:
skirts enclose the legs ring by ring, hair and hats ride on frames through three spots of the body, a forearm goes on
where the mesh of a hand ends. Nothing is simulated. Each point of a drape keeps a texture point in rest space, so
that views and poses agree about its colour.

Letters: V body vertices, D drape vertices, F faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.render.anatomy import Floats


class Drape(Protocol):
    """A surface that follows a body."""

    @property
    def layer(self) -> int:
        """Which layer of the look gives its material; -1 for bare skin."""

    @property
    def rest(self) -> Tensor:
        """(D, 3) texture points, metres."""

    @property
    def faces(self) -> Tensor:
        """(F, 3) int64 triangles among its own vertices, both sides where both can be seen."""

    @property
    def seam(self) -> Tensor | None:
        """(D,) int64 body vertex whose colour, and normal where they meet, each point continues; none: a new start."""

    def place(self, vertices: Tensor) -> Tensor:
        """Return its (D, 3) vertices for the posed (V, 3) vertices of the body, metres, same axes."""


def loft_faces(rings: int, points: int, closed: bool = True) -> NDArray[np.int64]:
    """Triangles between neighbouring rings of points, ring after ring.

    Args:
        rings: how many rings.
        points: how many points each.
        closed: whether the last point joins the first.
    """
    r, n = np.meshgrid(np.arange(rings - 1), np.arange(points if closed else points - 1), indexing="ij")
    a, b = r * points + n, r * points + (n + 1) % points
    c, d = a + points, b + points
    return np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])


def both_sides(points: Floats, faces: NDArray[np.int64], centre: Floats | None = None) -> NDArray[np.int64]:
    """Double the triangles of a tube or shell, those that face away from its middle first.

    Args:
        points: (D, 3).
        faces: (F, 3), all turned alike.
        centre: (3,) or (D, 3) what they should face away from; none: the middle of the points.
    """
    middle = points.mean(0) if centre is None else centre
    a, b, c = (points[faces[:, k]] for k in range(3))
    around = np.broadcast_to(middle, points.shape)[faces[:, 0]]
    outward = np.sum(np.cross(b - a, c - a) * (a - around))
    first, second = (faces, faces[:, ::-1]) if outward > 0 else (faces[:, ::-1], faces)
    return np.ascontiguousarray(np.concatenate([first, second]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """A frame that rides on a body: through the middles of three groups of vertices."""

    left: Tensor
    right: Tensor
    top: Tensor

    def read(self, vertices: Tensor) -> tuple[Tensor, Tensor]:
        """Return where it is, (3,), and its axes as columns, (3, 3), scaled by the distance left to right."""
        left, right, top = (vertices[spots].mean(0) for spots in (self.left, self.right, self.top))
        origin = 0.5 * (left + right)
        across = left - right
        size = across.square().sum().sqrt()
        x = across / size
        up = top - origin
        up = up - x * (up * x).sum()
        y = up / up.square().sum().sqrt()
        z = torch.linalg.cross(x, y)
        return origin, torch.stack([x, y, z], 1) * size

    @staticmethod
    def near(rest: Floats, left: Floats, right: Floats, top: Floats, count: int = 12) -> Frame:
        """Make a frame from the vertices nearest to three points of the reference pose."""

        def spots(point: Floats) -> Tensor:
            return torch.from_numpy(np.argsort(np.sum((rest - point) ** 2, 1), kind="stable")[:count])

        return Frame(left=spots(left), right=spots(right), top=spots(top))


@dataclass(frozen=True, kw_only=True, eq=False)
class Ridden:
    """A rigid thing, or one that bends between two frames: hats, glasses, long hair, rucksacks."""

    layer: int
    rest: Tensor
    faces: Tensor
    frame: Frame
    local: Tensor
    """(D, 3) its points in the frame, in units of the frame's size."""
    second: Frame | None = None
    second_local: Tensor | None = None
    """(D, 3) its points in the second frame."""
    share: Tensor | None = None
    """(D, 1) how much each point follows the second frame, 0 to 1."""
    seam: Tensor | None = None
    """Never continues the body."""

    def place(self, vertices: Tensor) -> Tensor:
        """Return its vertices for posed body vertices."""
        placed = _from_frame(self.frame, vertices, self.local)
        if self.second is None or self.second_local is None or self.share is None:
            return placed
        other = _from_frame(self.second, vertices, self.second_local.to(vertices.device))
        return torch.lerp(placed, other, self.share.to(vertices.device))


def _from_frame(frame: Frame, vertices: Tensor, local: Tensor) -> Tensor:
    origin, axes = frame.read(vertices)
    local = local.to(vertices.device)
    placed: Tensor = origin + local[:, 0:1] * axes[:, 0] + local[:, 1:2] * axes[:, 1] + local[:, 2:3] * axes[:, 2]
    return placed


def ride(
    rest_body: Floats,
    points: Floats,
    faces: NDArray[np.int64],
    layer: int,
    frame: Frame,
    second: Frame | None = None,
    share: Floats | None = None,
) -> Ridden:
    """Fasten points of the reference pose to one frame, or between two.

    Args:
        rest_body: (V, 3) body in the reference pose.
        points: (D, 3) the thing there.
        faces: (F, 3) its triangles.
        layer: which material.
        frame: what it rides on.
        second: another frame.
        share: (D,) how much each point follows the second.
    """
    body = torch.from_numpy(rest_body)
    at = torch.from_numpy(points)

    def localise(of: Frame) -> Tensor:
        origin, axes = of.read(body)
        local: Tensor = torch.linalg.solve(axes, (at - origin).T).T.float()
        return local

    return Ridden(
        layer=layer,
        rest=at.float(),
        faces=torch.from_numpy(np.ascontiguousarray(faces)),
        frame=frame,
        local=localise(frame),
        second=second,
        second_local=localise(second) if second is not None else None,
        share=torch.from_numpy(share).float()[:, None] if share is not None else None,
    )


def unit(vectors: Tensor) -> Tensor:
    """Scale vectors (..., 3) to length 1."""
    length = vectors.square().sum(-1, keepdim=True).sqrt().clamp_min(1e-9)
    result: Tensor = vectors / length
    return result
