"""Coordinates on the surface of a body model: each part of it a chart with u and v in [0, 1].

Made from the mesh alone [ours], so every model has them, with an atlas of textures or without. A part is looked at
along the direction in which it is thinnest: v runs along its longest axis, u along the other. A part that is closed,
such as a hand, would show both its sides at the same place; it is folded open: the side that looks along the thin axis
has u from 0 to 1/2, the other comes back from 1/2 to 1, so that u and v name one point of the part, save where it is
folded in itself. They are not the charts of DensePose, which belong to the mesh of SMPL.

Letters: F triangles, V vertices, N points, D parts.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from humanpt.body.model import BodyModel, load_body_model

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]

CLOSED = 0.4
"""A part is closed where its triangles, seen along its thin axis, cancel to less than this share of their area; parts
of Anny's body have below 0.1 (hands, feet) or above 0.6."""


class Charts:
    """The charts of a model's parts.

    Attributes:
        corners: (F, 3, 2) u and v at the corners of each triangle.
        parts: (F,) index into the model's part names.
        faces: (F, 3) vertices of each triangle.
    """

    def __init__(self, model: BodyModel) -> None:
        canonical = model.canonical.double().cpu().numpy()
        self.faces: Numbers = model.faces.cpu().numpy()
        self.parts: Numbers = model.parts.cpu().numpy()
        count = len(model.layout.part_names)
        self._matrix = np.zeros((count, 2, 3))  # from canonical points to u and v, unfolded
        self._shift = np.zeros((count, 2))
        self._back = np.zeros(len(self.faces), np.bool_)  # triangles whose u runs back
        self._closed = np.zeros(count, np.bool_)
        for part in range(count):
            self._lay_out(part, canonical)
        self.corners: Floats = self.coordinates(
            np.repeat(np.arange(len(self.faces)), 3), canonical[self.faces].reshape(-1, 3)
        ).reshape(-1, 3, 2)
        self._trees: dict[int, tuple[KDTree, Numbers]] = {}

    def _lay_out(self, part: int, canonical: NDArray[np.float64]) -> None:
        """Find the axes of a part, and which of its triangles lie on the far side."""
        mine = np.flatnonzero(self.parts == part)
        if not len(mine):
            return
        corners = canonical[self.faces[mine]]  # (F, 3, 3)
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])  # twice the area long
        centres, areas = corners.mean(axis=1), np.linalg.norm(normals, axis=1)
        offsets = centres - np.average(centres, axis=0, weights=areas)
        _, axes = np.linalg.eigh((offsets * areas[:, None]).T @ offsets)  # columns, the thinnest first
        axes *= np.sign(axes[np.abs(axes).argmax(axis=0), range(3)])
        towards = normals @ axes[:, 0]
        self._closed[part] = abs(towards.sum()) < CLOSED * np.abs(towards).sum()
        self._back[mine] = self._closed[part] & (towards < 0)
        places = corners @ axes[:, 1:]
        low, high = places.min(axis=(0, 1)), places.max(axis=(0, 1))
        self._matrix[part] = (axes[:, 1:] / (high - low)).T
        self._shift[part] = -low / (high - low)

    def coordinates(self, face: Numbers, canonical: NDArray[np.floating]) -> Floats:
        """Where points of the surface lie on the chart of their part.

        Args:
            face: (N,) the triangle of each.
            canonical: (N, 3) its place on the mean adult in the reference pose, metres.

        Returns:
            (N, 2) u and v in [0, 1].
        """
        part = self.parts[face]
        uv = np.einsum("nij,nj->ni", self._matrix[part], canonical) + self._shift[part]
        half = uv[:, 0] / 2
        uv[:, 0] = np.where(self._closed[part], np.where(self._back[face], 1 - half, half), uv[:, 0])
        return np.asarray(uv.clip(0, 1), np.float32)

    def nearest_vertices(self, part: Numbers, uv: Floats) -> Numbers:
        """The vertex of a part whose place on the chart is nearest.

        Args:
            part: (N,) indices into the model's part names, each of a part that has triangles.
            uv: (N, 2) places.

        Returns:
            (N,) indices of vertices.
        """
        found = np.empty(len(part), np.int64)
        for number in np.unique(part).tolist():
            tree, vertices = self._tree(number)
            mine = part == number
            found[mine] = vertices[tree.query(uv[mine])[1]]
        return found

    def _tree(self, part: int) -> tuple[KDTree, Numbers]:
        """A search tree over the corners of a part's triangles, and the vertex of each."""
        if part not in self._trees:
            mine = self.parts == part
            if not mine.any():
                raise ValueError(f"part {part} of {len(self._closed)} has no triangles")
            self._trees[part] = KDTree(self.corners[mine].reshape(-1, 2)), self.faces[mine].reshape(-1)
        return self._trees[part]


@lru_cache(maxsize=4)
def charts_of(model: str) -> Charts:
    """The charts of a model by its name, made once in each process; hands are right hands.

    Raises:
        InputError: as `load_body_model`.
    """
    return Charts(load_body_model(model))
