"""Skirts, dresses and the lower part of coats: tubes that enclose hips and legs, ring by ring.

Letters: V body vertices, R rings, N points of a ring, L vertices of a band, F faces.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from humanpt.render.anatomy import Anatomy
from humanpt.render.drapes import both_sides, loft_faces, unit


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
        along = unit(along)
        left, right = (vertices[side.to(device)].mean(0) for side in self.sides)
        across = (left - right)[None].expand_as(along)
        across = unit(across - along * (across * along).sum(1, keepdim=True))
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
