"""Forearms and sleeves behind hands, whose own mesh ends at the wrist.

Letters: V hand vertices, D drape vertices, R rings, N points of a ring, F faces.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from humanpt.render.anatomy import Anatomy
from humanpt.render.drapes import both_sides, loft_faces, unit


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
        back = unit(flat[None])[0]
        hand = vertices[self.behind.to(device)].mean(0) - centre
        back = torch.where((back * hand).sum() > 0, -back, back)
        side = unit((offset[0] - back * (offset[0] * back).sum())[None])[0]
        third = torch.linalg.cross(back, side)
        tilt = back + math.tan(self.bend[0]) * side + math.tan(self.bend[1]) * third
        along = unit(tilt[None])[0]
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
