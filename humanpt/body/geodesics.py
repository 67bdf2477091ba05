"""How far two points of a body's surface are from each other, along the surface.

Distances are shortest paths over the edges of a coarse mesh of the same person, between the vertices nearest to the
points. On the small body such a path is longer than the way over the surface by 3 % in the middle, for points within
half a metre by 6 %, and by more than 20 % for one in twenty of these; edges are 5 cm long, so that a point is known to
about 2 cm. For similarities that fall off over 25 cm this is fine enough. Benchmarks with distances of their own
(DensePose-COCO) bring them as files, which data/labelled/densepose_distances.py reads.

Letters: V vertices, N points.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import KDTree

from humanpt.body.charts import Charts, charts_of
from humanpt.body.model import load_body_model

COARSE = {"anny-body": "anny-body-small", "anny-body-full": "anny-body-small"}
"""For models of too many vertices the one whose mesh measures in their place; both are the same person."""

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]


def geodesic_distances(vertices: NDArray[np.floating], faces: Numbers) -> Floats:
    """Shortest paths over the edges of a mesh.

    Args:
        vertices: (V, 3) in metres.
        faces: (F, 3).

    Returns:
        (V, V) float32 metres; infinite between pieces that do not hang together.
    """
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1), axis=0)
    lengths = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    graph = coo_matrix((lengths, (edges[:, 0], edges[:, 1])), shape=(len(vertices),) * 2).tocsr()
    return np.asarray(dijkstra(graph, directed=False), np.float32)


class Distances(Protocol):
    """What tells how far points are from each other along a surface."""

    origin: str
    """How the distances were measured, in words."""

    def between(self, part1: Numbers, uv1: Floats, part2: Numbers, uv2: Floats) -> Floats:
        """(N,) metres between points on parts (N,) from 1, at (N, 2) places on their charts; infinite at parts of 0."""
        ...


class SurfaceDistances:
    """Distances between points that are told by a part and a place on its chart.

    Attributes:
        origin: how they were measured, in words.

    Args:
        model: name of the body model whose charts they are.

    Raises:
        InputError: as `load_body_model`.
    """

    def __init__(self, model: str) -> None:
        name = COARSE.get(model, model)
        self.origin = f"shortest paths over the edges of {name}"
        self._charts: Charts = charts_of(model)
        coarse = load_body_model(name)
        canonical = coarse.canonical.double().numpy()
        self._distances = geodesic_distances(canonical, coarse.faces.numpy())
        fine = load_body_model(model).canonical.double().numpy()
        self._coarse_of_fine: Numbers = KDTree(canonical).query(fine)[1]

    def between(self, part1: Numbers, uv1: Floats, part2: Numbers, uv2: Floats) -> Floats:
        """How far points are from each other.

        Args:
            part1, part2: (N,) parts from 1; 0 says that the point is not on the surface.
            uv1, uv2: (N, 2) places on their charts.

        Returns:
            (N,) metres on the mean adult in the reference pose; infinite where a part is 0.
        """
        found = np.full(len(part1), np.inf, np.float32)
        both = (part1 > 0) & (part2 > 0)
        places = [
            self._coarse_of_fine[self._charts.nearest_vertices(part[both] - 1, uv[both])]
            for part, uv in ((part1, uv1), (part2, uv2))
        ]
        found[both] = self._distances[places[0], places[1]]
        return found


@lru_cache(maxsize=2)
def surface_distances(model: str) -> SurfaceDistances:
    """The distances of a model by its name, made once in each process.

    Raises:
        InputError: as `load_body_model`.
    """
    return SurfaceDistances(model)
