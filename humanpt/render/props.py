"""Simple things for scenes: boxes, balls, cylinders, cups, sticks and blobs to hold, to stand about and to hide behind.

Letters: V vertices, F faces.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from humanpt.render.drapes import loft_faces

PropKind = Literal["box", "ball", "cylinder", "cone", "cup", "stick", "phone", "book", "ring", "blob", "tool"]

PROPS: tuple[str, ...] = get_args(PropKind)
"""All kinds of prop."""


def prop_mesh(kind: PropKind, size: tuple[float, float, float], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Make the mesh of a prop around the origin.

    Args:
        kind: its shape; sticks, phones, books and tools are boxes, cylinders and lofts of their usual proportions.
        size: extent along x, y and z in metres.
        seed: chooses among blobs and tools.

    Returns:
        (V, 3) float32 vertices and (F, 3) int64 outward triangles.

    Raises:
        ValueError: if the kind is unknown or a size is not positive.
    """
    if kind not in PROPS or min(size) <= 0:
        raise ValueError(f"a prop is one of {', '.join(PROPS)} with positive sizes, got {kind} and {size}")
    if kind in ("box", "phone", "book"):
        vertices, faces = _box(9)
    elif kind == "ring":
        vertices, faces = _ring()
    else:
        vertices, faces = _turned(*_profile(kind, seed))
        if kind == "blob":
            rng = np.random.default_rng(seed)
            for _ in range(4):
                way = rng.normal(0, 1, 3)
                vertices = vertices * (1 + 0.12 * np.sin(vertices @ way * 6 + rng.uniform(0, 6)))[:, None]
    vertices = vertices - (vertices.max(0) + vertices.min(0)) / 2
    vertices = vertices / (vertices.max(0) - vertices.min(0)) * np.array(size)
    return torch.from_numpy(vertices).float(), torch.from_numpy(np.ascontiguousarray(faces))


def _box(cells: int) -> tuple[np.ndarray, np.ndarray]:
    """A cube of edge 1 whose sides are grids, so that light varies over them."""
    step = np.linspace(-0.5, 0.5, cells + 1)
    u, v = (a.ravel() for a in np.meshgrid(step, step, indexing="ij"))
    vertices: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    for axis in range(3):
        for sign in (-0.5, 0.5):
            side = np.zeros((len(u), 3))
            side[:, axis], side[:, (axis + 1) % 3], side[:, (axis + 2) % 3] = sign, u, v
            grid = loft_faces(cells + 1, cells + 1, closed=False)
            faces.append((grid[:, ::-1] if sign > 0 else grid) + len(vertices) * len(u))
            vertices.append(side)
    return _outward(np.concatenate(vertices), np.concatenate(faces))


def _outward(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn the triangles of a closed mesh so that its volume is positive."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    volume = float(np.sum(a * np.cross(b, c)))
    return vertices, faces if volume > 0 else faces[:, ::-1]


def _profile(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Radius and height of a turned shape, from its top to its bottom, on the axis at both ends."""
    if kind in ("ball", "blob"):
        angle = np.linspace(0, math.pi, 17)
        return np.sin(angle), -np.cos(angle)
    if kind == "cone":
        return np.array([0, 0.25, 0.5, 0.75, 1, 0.98, 0.5, 0]), np.array([-1, -0.5, 0, 0.5, 0.98, 1, 1, 1.0])
    if kind == "cup":
        return (
            np.array([0, 0.6, 0.8, 0.82, 0.9, 0.93, 0.88, 0.8, 0.7, 0.62, 0.5, 0]),
            np.array([0.9, 0.9, 0.85, 0.3, -0.9, -1, -1, -0.2, 0.7, 1, 1, 1.0]),
        )
    if kind == "tool":
        rng = np.random.default_rng(seed)
        inner = rng.uniform(0.3, 1.0, 12)
        inner = np.repeat(inner[::2], 2)
        return np.concatenate([[0], inner, [0]]), np.concatenate([[-1], np.linspace(-1, 1, 12), [1]])
    return (
        np.array([0, 0.5, 0.97, 1, 1, 1, 1, 1, 0.97, 0.5, 0]),
        np.array([-1, -1, -1, -0.97, -0.5, 0, 0.5, 0.97, 1, 1, 1.0]),
    )


def _turned(radius: np.ndarray, height: np.ndarray, around: int = 24) -> tuple[np.ndarray, np.ndarray]:
    angle = np.arange(around) * 2 * math.pi / around
    vertices = np.stack(
        [np.outer(radius, np.cos(angle)).ravel(), np.repeat(height, around), np.outer(radius, np.sin(angle)).ravel()], 1
    )
    faces = loft_faces(len(radius), around)
    return _outward(vertices, faces)


def _ring() -> tuple[np.ndarray, np.ndarray]:
    big, small = 32, 10
    a, b = np.meshgrid(np.arange(big) * 2 * math.pi / big, np.arange(small) * 2 * math.pi / small, indexing="ij")
    out = 1 + 0.18 * np.cos(b)
    vertices = np.stack([(out * np.cos(a)).ravel(), (0.18 * np.sin(b)).ravel(), (out * np.sin(a)).ravel()], 1)
    r, n = np.meshgrid(np.arange(big), np.arange(small), indexing="ij")
    p, q = r * small + n, r * small + (n + 1) % small
    s, t = (r + 1) % big * small + n, (r + 1) % big * small + (n + 1) % small
    faces = np.concatenate([np.stack([p, s, q], -1).reshape(-1, 3), np.stack([q, s, t], -1).reshape(-1, 3)])
    return _outward(vertices, faces)
