"""Things in generated scenes: what stands on the floor, hangs about a hand, or is held in it. Sizes in metres."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from humanpt.body.model import BodyMesh, BodyModel
from humanpt.data.people.staging import random_rotation
from humanpt.render.appearance import Look, draw_look
from humanpt.render.props import PropKind, prop_mesh
from humanpt.render.scene import Thing

Range = tuple[float, float]
Floats = NDArray[np.float64]

STANDING: dict[PropKind, tuple[Range, Range, Range]] = {
    "box": ((0.25, 0.9), (0.25, 1.0), (0.2, 0.7)),
    "cylinder": ((0.2, 0.5), (0.3, 1.1), (0.2, 0.5)),
    "ball": ((0.2, 0.6), (0.2, 0.6), (0.2, 0.6)),
    "cone": ((0.25, 0.6), (0.3, 0.9), (0.25, 0.6)),
    "blob": ((0.3, 0.8), (0.3, 1.2), (0.3, 0.8)),
    "stick": ((0.03, 0.08), (0.8, 2.0), (0.03, 0.08)),
}
"""Kinds that stand on a floor, and their sizes along x, up and along z."""

HELD: dict[PropKind, tuple[Range, Range, Range]] = {
    "cylinder": ((0.02, 0.07), (0.06, 0.24), (0.02, 0.07)),
    "stick": ((0.007, 0.03), (0.12, 0.4), (0.007, 0.03)),
    "phone": ((0.13, 0.16), (0.065, 0.08), (0.007, 0.011)),
    "ball": ((0.03, 0.09), (0.03, 0.09), (0.03, 0.09)),
    "cup": ((0.06, 0.09), (0.08, 0.12), (0.06, 0.09)),
    "tool": ((0.02, 0.045), (0.12, 0.3), (0.02, 0.045)),
    "box": ((0.03, 0.12), (0.03, 0.15), (0.02, 0.08)),
    "book": ((0.12, 0.2), (0.1, 0.16), (0.01, 0.04)),
    "blob": ((0.04, 0.09), (0.04, 0.09), (0.04, 0.09)),
    "ring": ((0.05, 0.14), (0.012, 0.03), (0.05, 0.14)),
}
"""Kinds that hands hold, and their sizes along the fingers, across the palm and off it."""

ROUND = ("cylinder", "stick", "ball", "cup", "cone", "tool", "ring")


def draw_standing(rng: np.random.Generator, spot: Floats) -> Thing:
    """Draw a thing that stands on the floor at (2,) x and z."""
    kind, size = _draw_kind(rng, STANDING)
    angle = rng.uniform(-math.pi, math.pi)
    turn = np.array([[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]])
    return _place(rng, kind, size, turn, np.array([spot[0], -size[1] / 2, spot[1]]))


def draw_floating(rng: np.random.Generator, place: Floats) -> Thing:
    """Draw a small thing at (3,) a place, turned anyhow."""
    kind, size = _draw_kind(rng, HELD)
    return _place(rng, kind, size, random_rotation(rng), place)


def draw_held(rng: np.random.Generator, hands: Sequence[BodyMesh], model: BodyModel) -> tuple[Thing, ...]:
    """Draw a thing in a hand, which takes it along: one for each of the meshes of one hand in motion."""
    kind, size = _draw_kind(rng, HELD)
    names = model.layout.keypoint_names
    wrist, index, middle, little = (names.index(name) for name in ("wrist", "index1", "middle1", "little1"))
    forward = rng.uniform(0.0, 0.03)
    slip = rng.uniform(-0.3, 0.3) * size[1]
    tilt = rng.normal(0, 0.25)
    sign = 1.0 if model.layout.side == "left" else -1.0
    look = draw_look(rng, "prop")
    vertices, faces = prop_mesh(kind, size, int(rng.integers(1000)))
    things = []
    for hand in hands:
        points = hand.keypoints[0].double().numpy()
        fingers = points[middle] - points[wrist]
        across = points[index] - points[little]
        off = sign * np.cross(fingers, across)  # out of the palm
        off, across = off / np.linalg.norm(off), across / np.linalg.norm(across)
        along = np.cross(across, off)
        axes = np.stack([along, across, off], 1)  # columns: the thing's x, y and z in the world
        cos, sin = math.cos(tilt), math.sin(tilt)
        axes = axes @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        palm = (points[wrist] + points[index] + points[middle] + points[little]) / 4
        centre = palm + off * (size[2] / 2 + 0.012) + along * forward + across * slip
        things.append(_thing(vertices, faces, axes, centre, look))
    return tuple(things)


def prop_on(prop: Thing, device: torch.device) -> Thing:
    """The same thing on a device."""
    vertices, faces, rest = (tensor.to(device) for tensor in (prop.vertices, prop.faces, prop.rest))
    return dataclasses.replace(prop, vertices=vertices, faces=faces, rest=rest)


def _draw_kind(
    rng: np.random.Generator, kinds: dict[PropKind, tuple[Range, Range, Range]]
) -> tuple[PropKind, tuple[float, float, float]]:
    names = list(kinds)
    kind = names[int(rng.integers(len(names)))]
    width, height, depth = (float(rng.uniform(*span)) for span in kinds[kind])
    if kind == "ball":
        return kind, (width, width, width)
    return kind, (width, height, width if kind in ROUND else depth)


def _place(
    rng: np.random.Generator, kind: PropKind, size: tuple[float, float, float], axes: Floats, centre: Floats
) -> Thing:
    vertices, faces = prop_mesh(kind, size, int(rng.integers(1000)))
    return _thing(vertices, faces, axes, centre, draw_look(rng, "prop"))


def _thing(vertices: torch.Tensor, faces: torch.Tensor, axes: Floats, centre: Floats, look: Look) -> Thing:
    """A prop whose own axes are the columns of `axes` (3, 3) in the world, its middle at `centre` (3,)."""
    placed = vertices.double() @ torch.from_numpy(axes).T + torch.from_numpy(centre)
    return Thing(vertices=placed.float(), faces=faces, rest=vertices, look=look)
