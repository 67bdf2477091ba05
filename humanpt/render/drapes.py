"""Surfaces that hang on a body without being its skin: skirts and coats, long hair, hats, forearms and sleeves.

A drape is made on the reference pose and then follows the posed vertices, by simple geometry and in fixed order:
skirts enclose the legs ring by ring, hair and hats ride on frames through three spots of the body, a forearm goes on
where the mesh of a hand ends. Nothing is simulated. Each point of a drape keeps a texture point in rest space, so
that views and poses agree about its colour.

Letters: V body vertices, D drape vertices, F faces, R rings, N points of a ring, L vertices of a band.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.render.anatomy import Anatomy, Floats


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Skirt:
    """A tube around hips and legs: skirts, dresses, the lower part of coats and robes."""

    layer: int
    rest: Tensor
    faces: Tensor
    bands: Tensor
    """(R, L) vertices that each ring encloses, padded by repeats."""
    sides: tuple[Tensor, Tensor]
    """Vertices of the left and of the right hip, whose middles give the sideways direction."""
    slack: Tensor
    """(R,) metres between the ring and the legs."""
    folds: Tensor
    """(R, N) how much each point stands out, as a share of its radius."""
    flare: float
    """How much each ring is at least as wide as the one above: 1 is straight, more spreads, less follows."""
    seam: Tensor | None = None
    """Never continues the body."""

    def place(self, vertices: Tensor) -> Tensor:
        """Return its vertices for posed body vertices."""
        device = vertices.device
        points = vertices[self.bands.to(device)]  # (R, L, 3)
        centre = points.mean(1)
        along = torch.cat([centre[1:2] - centre[0:1], centre[2:] - centre[:-2], centre[-1:] - centre[-2:-1]])
        along = _normal(along)
        left, right = (vertices[side.to(device)].mean(0) for side in self.sides)
        across = (left - right)[None].expand_as(along)
        across = _normal(across - along * (across * along).sum(1, keepdim=True))
        front = torch.linalg.cross(along, across)
        offset = points - centre[:, None]
        u, v = (offset * across[:, None]).sum(2), (offset * front[:, None]).sum(2)  # (R, L)
        middle_u, middle_v = (0.5 * (side.amin(1, keepdim=True) + side.amax(1, keepdim=True)) for side in (u, v))
        u, v, centre = u - middle_u, v - middle_v, centre + middle_u * across + middle_v * front
        count = self.folds.shape[1]
        angle = torch.arange(count, device=device, dtype=vertices.dtype) * (2 * math.pi / count)
        cos, sin = torch.cos(angle), torch.sin(angle)
        radius = (u[:, None] * cos[:, None] + v[:, None] * sin[:, None]).amax(2)  # (R, N) support of the band
        radius = 0.25 * radius.roll(1, 1) + 0.5 * radius + 0.25 * radius.roll(-1, 1)
        radius = radius + self.slack.to(device)[:, None]
        rings = [radius[0]]
        for ring in range(1, len(radius)):
            rings.append(torch.maximum(radius[ring], self.flare * rings[-1]))
        radius = torch.stack(rings) * (1.0 + self.folds.to(device))
        out = across[:, None] * cos[:, None] + front[:, None] * sin[:, None]
        placed: Tensor = (centre[:, None] + radius[..., None] * out).reshape(-1, 3)
        return placed


def _normal(vectors: Tensor) -> Tensor:
    unit: Tensor = vectors / vectors.square().sum(-1, keepdim=True).sqrt().clamp_min(1e-9)
    return unit


def make_skirt(
    anatomy: Anatomy,
    layer: int,
    waist: float,
    hem: float,
    rng: np.random.Generator,
    slack: tuple[float, float],
    flare: float,
    ripple: float,
) -> Skirt:
    """Make a tube from the waist to a hem.

    Args:
        anatomy: of a body.
        layer: which material.
        waist: height of its top above the floor, in metres.
        hem: height of its lower end.
        rng: where chance comes from.
        slack: metres off the skin at the top and at the hem.
        flare: see `Skirt.flare`.
        ripple: how deep its folds are at the hem, as a share of the radius.
    """
    rings, count = max(5, int((waist - hem) / 0.07)), 40
    up = anatomy.fields["up"]
    below = anatomy.fields["arm"] < -0.5
    heights = np.linspace(waist, hem, rings)
    bands = [np.flatnonzero(below & (np.abs(up - height) < 0.04)) for height in heights]
    longest = max(len(band) for band in bands)
    padded = np.stack([np.resize(band, longest) for band in bands])
    rest = anatomy.rest
    hips = np.flatnonzero(below & (np.abs(up - (waist - 0.12)) < 0.05))
    sides = tuple(torch.from_numpy(hips[sign * rest[hips, 0] > 0.05]) for sign in (1, -1))
    angle = np.arange(count) * 2 * np.pi / count
    share = np.linspace(0, 1, rings)[:, None]
    turns = int(rng.integers(4, 9))
    folds = ripple * share * np.sin(turns * angle + rng.uniform(0, 6) + 0.6 * np.sin(2 * angle + rng.uniform(0, 6)))
    folds = folds + 0.4 * ripple * share * rng.normal(0, 0.5, count)
    radius = 0.16 + 0.1 * share
    points = np.stack(
        [
            (radius * np.cos(angle)).ravel(),
            np.repeat(rest[:, 1].max() - heights, count),
            (radius * np.sin(angle)).ravel(),
        ],
        1,
    )
    return Skirt(
        layer=layer,
        rest=torch.from_numpy(points).float(),
        faces=torch.from_numpy(both_sides(points, loft_faces(rings, count))),
        bands=torch.from_numpy(padded),
        sides=(sides[0], sides[1]),
        slack=torch.from_numpy(slack[0] + (slack[1] - slack[0]) * share[:, 0]).float(),
        folds=torch.from_numpy(folds).float(),
        flare=flare,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Forearm:
    """What goes on behind the wrist of a hand: a tapering arm or the sleeve around it."""

    layer: int
    rest: Tensor
    faces: Tensor
    ring: Tensor
    """(N,) the border of the hand's mesh, in order."""
    behind: Tensor
    """Vertices of the palm side of the wrist's own ring, whose middle points away from the arm."""
    at: Tensor
    """(R,) metres past the wrist of each ring."""
    width: Tensor
    """(R,) width of each ring as a multiple of the wrist's."""
    bend: tuple[float, float]
    """Flexion and sideways bend of the wrist in radians."""
    seam: Tensor | None = None
    """(D,) the border vertex that each point lies behind, for bare arms; none for sleeves."""

    def place(self, vertices: Tensor) -> Tensor:
        """Return its vertices for posed hand vertices."""
        device = vertices.device
        border = vertices[self.ring.to(device)]
        centre = border.mean(0)
        offset = border - centre
        flat = torch.linalg.cross(offset, offset.roll(-1, 0)).sum(0)
        back = _normal(flat[None])[0]
        hand = vertices[self.behind.to(device)].mean(0) - centre
        back = torch.where((back * hand).sum() > 0, -back, back)
        side = _normal((offset[0] - back * (offset[0] * back).sum())[None])[0]
        third = torch.linalg.cross(back, side)
        tilt = back + math.tan(self.bend[0]) * side + math.tan(self.bend[1]) * third
        along = _normal(tilt[None])[0]
        at, width = self.at.to(device), self.width.to(device)
        scaled = offset[None] * width[:, None, None]
        # Rings near the wrist keep its plane; farther ones turn square to the arm.
        turn = (at / 0.06).clamp(0.0, 1.0)[:, None, None]
        scaled = scaled - turn * along * ((scaled * along).sum(2, keepdim=True))
        placed = (centre + at[:, None, None] * along + scaled).reshape(-1, 3)
        return torch.cat([placed, (centre + at[-1] * along)[None]])


def make_forearm(
    anatomy: Anatomy,
    layer: int,
    start: float,
    end: float,
    width: tuple[float, float],
    bend: tuple[float, float],
    cuff: bool,
) -> Forearm:
    """Make the arm behind a hand, or a sleeve around it.

    Args:
        anatomy: of a hand, with an open wrist.
        layer: which material.
        start: metres past the wrist where it begins.
        end: metres past the wrist where it ends.
        width: of its first and last ring, as multiples of the wrist's.
        bend: of the wrist, in radians.
        cuff: whether it begins with a ring that closes onto the arm, as a sleeve does.

    Raises:
        ValueError: if the mesh has no open border.
    """
    if not anatomy.rings:
        raise ValueError("a forearm needs a hand whose mesh is open at the wrist; this one is closed")
    ring = anatomy.rings[0]
    count, rings = len(ring), 9
    at = np.linspace(start, end, rings)
    part = np.linspace(0, 1, rings)
    wide = width[0] + (width[1] - width[0]) * part**0.8
    if cuff:
        at, wide = np.concatenate([[start], at]), np.concatenate([[0.9], wide])
    last = (len(at) - 1) * count
    here = np.arange(count)
    cap = np.stack([last + here, last + (here + 1) % count, np.full(count, last + count)], 1)
    faces = np.concatenate([loft_faces(len(at), count), cap])
    past = anatomy.fields["past"]
    ahead = np.flatnonzero((past > past[ring].max() + 0.01) & (past < past[ring].max() + 0.05))
    arm = Forearm(
        layer=layer,
        rest=torch.zeros(0, 3),
        faces=torch.zeros(0, 3, dtype=torch.int64),
        ring=torch.from_numpy(ring),
        behind=torch.from_numpy(ahead),
        at=torch.from_numpy(at).float(),
        width=torch.from_numpy(wide).float(),
        bend=bend,
        seam=None if cuff else torch.from_numpy(ring[np.append(np.tile(here, len(at)), 0)]),
    )
    rest = arm.place(torch.from_numpy(anatomy.rest).float())
    return replace(arm, rest=rest, faces=torch.from_numpy(both_sides(rest.double().numpy(), faces)))


def head_frame(anatomy: Anatomy) -> Frame:
    """Return the frame of the head: ears and crown."""
    points, rest = anatomy.points, anatomy.rest
    left, right = points["left_ear"], points["right_ear"]
    middle = (left + right) / 2
    crown = rest[np.argmin(rest[:, 1])]
    return Frame.near(rest, left, right, np.array([0.0, crown[1], middle[2]]))


def chest_frame(anatomy: Anatomy) -> Frame:
    """Return the frame of the chest: shoulders and breastbone."""
    points, rest = anatomy.points, anatomy.rest
    left, right = points["left_shoulder"], points["right_shoulder"]
    middle = (left + right) / 2
    return Frame.near(rest, left, right, middle + np.array([0.0, 0.25, -0.05]), count=24)


def make_long_hair(anatomy: Anatomy, layer: int, length: float, volume: float, rng: np.random.Generator) -> Ridden:
    """Make hair that falls from the head to the neck, the shoulders or the back.

    Args:
        anatomy: of a body.
        layer: which material.
        length: metres below the ears.
        volume: metres that it stands off the head.
        rng: where chance comes from.
    """
    rest, points = anatomy.rest, anatomy.points
    ears = (points["left_ear"] + points["right_ear"]) / 2
    crown = rest[:, 1].min()
    gap = float(np.linalg.norm(points["left_eye"] - points["right_eye"]))
    heights = np.concatenate([np.linspace(crown + 0.35 * gap, ears[1], 5), ears[1] + np.linspace(0.03, length, 7)])
    count = 33
    reach = math.radians(float(rng.uniform(98, 118)))
    angle = np.linspace(-reach, reach, count)  # 0 is straight behind
    head = anatomy.fields["scalp"] > 0
    middle_z = ears[2] + 0.25 * gap
    rows, share = [], []
    drop = float(rng.uniform(0.0, 0.02))
    edge = np.clip((reach - np.abs(angle)) / 0.5, 0.0, 1.0)  # where it ends in front it lies on the head
    for height in heights:
        near = head & (np.abs(rest[:, 1] - height) < 0.03)
        if near.sum() < 8 or height > ears[1]:
            near = head & (np.abs(rest[:, 1] - (ears[1] - 0.02)) < 0.04)
        x, z = rest[near, 0], rest[near, 2] - middle_z
        direction = np.stack([np.sin(angle), np.cos(angle)], 1)
        below = max(0.0, float(height - ears[1]))
        top = np.clip((height - crown) / (0.8 * gap), 0.3, 1.0)
        radius = (np.stack([x, z], 1) @ direction.T).max(0) - 0.006 + (volume + 0.004) * edge * top
        radius = radius * (1 - 0.14 * min(1.0, below / 0.1) * (1 - 0.6 * edge)) + drop * below
        radius = radius + 0.003 * rng.normal(0, 1, count)
        out = direction * radius[:, None]
        if below > 0.08:  # over the back
            trunk = (anatomy.fields["arm"] < -0.5) & (np.abs(rest[:, 1] - height) < 0.03) & (np.abs(rest[:, 0]) < 0.12)
            if trunk.any():
                back = rest[trunk, 2].max() - middle_z + 0.012
                behind = np.cos(angle) > 0.35
                out[behind, 1] = np.maximum(out[behind, 1], back)
        sag = np.full(count, height)
        if height == heights[-1]:
            sag = sag + 0.02 * rng.uniform(-1, 1, count)
        rows.append(np.stack([out[:, 0], sag, out[:, 1] + middle_z], 1))
        share.append(np.full(count, np.clip((below - 0.05) / 0.2, 0, 1)))
    placed = np.concatenate(rows)
    axis = np.stack([np.zeros(len(placed)), placed[:, 1], np.full(len(placed), middle_z)], 1)
    return ride(
        rest,
        placed,
        both_sides(placed, loft_faces(len(heights), count, closed=False), axis),
        layer,
        head_frame(anatomy),
        chest_frame(anatomy),
        np.concatenate(share),
    )


def make_tail(anatomy: Anatomy, layer: int, length: float, width: float, rng: np.random.Generator) -> Ridden:
    """Make a tail or a bun of hair behind the head.

    Args:
        anatomy: of a body.
        layer: which material.
        length: metres; about the width for a bun.
        width: its greatest radius, metres.
        rng: where chance comes from.
    """
    rest, points = anatomy.rest, anatomy.points
    ears = (points["left_ear"] + points["right_ear"]) / 2
    root = np.array([0.0, ears[1] - float(rng.uniform(-0.02, 0.09)), 0.0])
    near = np.abs(rest[:, 1] - root[1]) < 0.02
    root[2] = rest[near & (np.abs(rest[:, 0]) < 0.03), 2].max() - 0.01
    rings, count = 9, 12
    part = np.linspace(0, 1, rings)
    radius = width * np.sqrt(np.clip(4 * (part + 0.06) * (1.0 - part), 0.01, None)) * (1 - 0.25 * part)
    drop = np.stack(
        [0 * part, np.minimum(part, 1) ** 1.6 * length, np.minimum(0.25 * length + 0.03, 0.07) * np.sin(2.2 * part)], 1
    )
    angle = np.arange(count) * 2 * np.pi / count
    along = np.gradient(drop, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    second = np.cross(along, [1.0, 0.0, 0.0])
    spokes = np.cos(angle)[None, :, None] * np.array([1.0, 0.0, 0.0]) + np.sin(angle)[None, :, None] * second[:, None]
    placed = (root + drop[:, None] + radius[:, None, None] * spokes).reshape(-1, 3)
    middle = np.repeat(root + drop, count, 0)
    share = np.repeat(np.clip((part * length - 0.12) / 0.25, 0, 0.8), count)
    faces = both_sides(placed, loft_faces(rings, count), middle)
    return ride(rest, placed, faces, layer, head_frame(anatomy), chest_frame(anatomy), share)


def make_brim(anatomy: Anatomy, layer: int, all_round: bool, reach: float) -> Ridden:
    """Make the brim of a hat, all round or the peak of a cap.

    Args:
        anatomy: of a body.
        layer: which material.
        all_round: a hat's brim; else the peak of a cap.
        reach: metres that it stands out.
    """
    rest, points = anatomy.rest, anatomy.points
    gap = float(np.linalg.norm(points["left_eye"] - points["right_eye"]))
    eye_y = (points["left_eye"][1] + points["right_eye"][1]) / 2
    count = 32
    angle = np.arange(count) * 2 * np.pi / count if all_round else np.linspace(-1.25, 1.25, count)
    direction = np.stack([np.sin(angle), -np.cos(angle)], 1)  # 0 is straight ahead
    height = eye_y - 0.62 * gap
    near = (np.abs(rest[:, 1] - height) < 0.02) & (np.abs(rest[:, 0]) < 0.12)
    middle_z = float((rest[near, 2].max() + rest[near, 2].min()) / 2)
    radius = (np.stack([rest[near, 0], rest[near, 2] - middle_z], 1) @ direction.T).max(0) + 0.004
    rows = []
    for part in (0.0, 0.5, 1.0):
        grow = reach * part * (np.ones(count) if all_round else np.maximum(np.cos(angle * 1.2), 0.0) ** 0.6)
        out = direction * (radius + grow)[:, None]
        sink = height + 0.25 * gap * part * (0.3 if all_round else 0.9) + 0.15 * gap * (direction[:, 1] > 2)
        rows.append(np.stack([out[:, 0], np.broadcast_to(sink, count), out[:, 1] + middle_z], 1))
    placed = np.concatenate(rows)
    faces = both_sides(placed, loft_faces(3, count, closed=all_round), placed + np.array([0.0, 1.0, 0.0]))
    return ride(rest, placed, faces, layer, head_frame(anatomy))
