"""Distances along a surface: on a sphere they are arcs, and on the body they go round and not through."""

import numpy as np
import torch

from humanpt.body.charts import charts_of
from humanpt.body.geodesics import geodesic_distances, surface_distances
from tests.render.meshes import plane, sphere


def test_distances_on_a_sphere_are_arcs_and_a_little_more():
    vertices, faces = sphere(rings=24, radius=1.0)
    unit = vertices.double().numpy()
    found = geodesic_distances(unit, faces.numpy())
    arcs = np.arccos((unit @ unit.T).clip(-1, 1))
    far = arcs > 0.3
    assert (found[far] > 0.995 * arcs[far]).all()  # chords are shorter than arcs, by a part in a thousand
    assert np.median(found[far] / arcs[far]) < 1.1


def test_pieces_that_do_not_hang_together_are_infinitely_far():
    vertices, faces = plane(cells=2)
    both = torch.cat([vertices, vertices + torch.tensor([0.0, 0.0, 5.0])])
    found = geodesic_distances(both.numpy(), torch.cat([faces, faces + len(vertices)]).numpy())
    assert np.isfinite(found[: len(vertices), : len(vertices)]).all()
    assert np.isinf(found[: len(vertices), len(vertices) :]).all()


def test_distances_are_a_metric(small):
    found = geodesic_distances(small.canonical.numpy(), small.faces.numpy())
    assert (found == found.T).all()
    assert (found.diagonal() == 0).all()
    through = np.linalg.norm(small.canonical[:, None].numpy() - small.canonical[None].numpy(), axis=-1)
    assert (found >= through - 1e-5).all()
    middle = len(found) // 2
    assert (found <= found[:, middle, None] + found[None, middle] + 1e-5).all()


def test_a_point_is_where_its_part_and_place_say(body):
    distances, charts = surface_distances("anny-body"), charts_of("anny-body")
    rng = np.random.default_rng(0)
    faces = rng.integers(len(charts.faces), size=200)
    part, uv = charts.parts[faces] + 1, charts.corners[faces].mean(axis=1)
    assert (distances.between(part, uv, part, uv) == 0).all()
    apart = distances.between(part, uv, part[::-1], uv[::-1])
    centres = body.canonical.numpy()[charts.faces[faces]].mean(axis=1)
    straight = np.linalg.norm(centres - centres[::-1], axis=1)
    assert (apart > straight - 0.15).all()  # both ends are known to a few centimetres
    assert np.corrcoef(apart, straight)[0, 1] > 0.8


def test_what_is_not_on_the_body_is_infinitely_far():
    part, uv = np.array([0, 3, 3]), np.full((3, 2), 0.5, np.float32)
    found = surface_distances("anny-body").between(part, uv, np.array([3, 0, 3]), uv)
    assert found.tolist() == [np.inf, np.inf, 0.0]
