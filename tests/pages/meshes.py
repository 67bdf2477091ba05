"""A small closed mesh as predicted and true, seen by a camera: cases for pages without a network."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import ConvexHull

from humanpt.pages.cases import Case

SIZE = 64
FOCAL = 100.0
BONES = ((0, 1), (1, 2), (2, 3))


def lump(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) vertices of a lopsided lump about 10 cm across at 50 cm, and its (F, 3) faces, outward."""
    points = np.random.default_rng(0).normal(size=(count, 3))
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    faces = ConvexHull(points).simplices
    a, b, c = (points[faces[:, i]] for i in range(3))
    inward = (np.cross(b - a, c - a) * a).sum(1) < 0
    faces[inward] = faces[inward][:, ::-1]
    return (points * (0.05, 0.03, 0.04) + (0.0, 0.0, 0.5)).astype(np.float32), faces.astype(np.int64)


def case(name: str = "one", shift: tuple[float, float, float] = (0.0, 0.0, 0.0), **changes: Any) -> Case:
    """The lump, predicted so far from where it is, over a picture of noise."""
    vertices, faces = lump()
    moved = vertices + np.float32(shift)
    values: dict[str, Any] = {
        "name": name,
        "picture": np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8),
        "intrinsics": np.array([[FOCAL, 0, 31.5], [0, FOCAL, 31.5], [0, 0, 1]], np.float32),
        "predicted_keypoints": moved[:4],
        "true_keypoints": vertices[:4],
        "predicted_vertices": moved,
        "true_vertices": vertices,
        "faces": faces,
        "bones": BONES,
        "errors": {"pa_mpjpe_mm": 6.25},
    }
    return Case(**(values | changes))
