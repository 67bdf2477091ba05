"""Charts of the parts of a body model's surface."""

import numpy as np
import pytest
import torch

from humanpt.body.charts import Charts, charts_of


@pytest.fixture(scope="module")
def charts():
    return {name: charts_of(name) for name in ("anny-body-small", "anny-hand")}


@pytest.fixture(scope="module")
def models(small, hand):
    return {"anny-body-small": small, "anny-hand": hand}


def points_on(model, rng, count):
    """Random triangles, and a point in each: its place and its barycentric weights."""
    face = rng.integers(0, len(model.faces), count)
    weights = rng.dirichlet(np.ones(3), count)
    corners = model.canonical.numpy()[model.faces.numpy()[face]]
    return face, np.einsum("nc,nci->ni", weights, corners), weights


@pytest.mark.parametrize("name", ["anny-body-small", "anny-hand"])
def test_coordinates_fill_each_chart_and_stay_in_it(charts, models, name):
    corners, parts = charts[name].corners, models[name].parts.numpy()
    assert corners.min() >= 0
    assert corners.max() <= 1
    for part in np.unique(parts):
        v = corners[parts == part][..., 1]
        assert (v.min(), v.max()) == pytest.approx((0, 1), abs=1e-5)


@pytest.mark.parametrize("name", ["anny-body-small", "anny-hand"])
def test_coordinates_are_linear_in_a_triangle(charts, models, name):
    face, places, weights = points_on(models[name], np.random.default_rng(0), 500)
    mixed = np.einsum("nc,nci->ni", weights, charts[name].corners[face])
    np.testing.assert_allclose(charts[name].coordinates(face, places), mixed, atol=1e-5)


@pytest.mark.parametrize(("name", "metres"), [("anny-body-small", 0.03), ("anny-hand", 0.006)])
def test_part_and_coordinates_lead_back_to_the_point(charts, models, name, metres):
    model = models[name]
    face, places, _ = points_on(model, np.random.default_rng(1), 2000)
    part = model.parts.numpy()[face]
    vertices = charts[name].nearest_vertices(part, charts[name].coordinates(face, places))
    away = np.linalg.norm(model.canonical.numpy()[vertices] - places, axis=1)
    assert np.median(away) < metres
    assert np.mean(away < 3 * metres) > 0.95
    of_part = {number: set(model.faces.numpy()[model.parts.numpy() == number].ravel()) for number in np.unique(part)}
    assert all(int(vertex) in of_part[number] for vertex, number in zip(vertices, part, strict=True))


def test_both_sides_of_a_hand_have_charts_of_their_own(charts, models):
    model = models["anny-hand"]
    palm = model.parts.numpy() == model.layout.part_names.index("palm")
    corners = model.canonical.numpy()[model.faces.numpy()]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    u = charts["anny-hand"].corners[..., 0].mean(axis=1)
    thin = normals[palm].T @ normals[palm]
    axis = np.linalg.eigh(thin)[1][:, -1]  # what most of the palm and of its back look along
    facing = normals[palm] @ axis / np.linalg.norm(normals[palm], axis=1)
    one, other = u[palm][facing > 0.7], u[palm][facing < -0.7]
    first, second = (one, other) if one.mean() < other.mean() else (other, one)
    assert first.max() <= 0.5 <= second.min()


def test_mirrored_parts_have_mirrored_charts_of_the_same_shape(charts, models):
    model, corners = models["anny-body-small"], charts["anny-body-small"].corners
    names, parts = model.layout.part_names, model.parts.numpy()
    spread = {
        name: [np.quantile(corners[parts == number][..., axis], [0.25, 0.5, 0.75]) for axis in (0, 1)]
        for number, name in enumerate(names)
    }
    for name in names:
        if "right" not in name:
            continue
        for mine, twin in zip(spread[name], spread[name.replace("right", "left")], strict=True):
            same, turned = np.abs(mine - twin).max(), np.abs(mine - (1 - twin)[::-1]).max()
            assert min(same, turned) < 0.1


def test_a_part_without_triangles_is_an_error(small):
    charts = Charts(small)
    charts.parts = torch.zeros(len(small.faces), dtype=torch.int64).numpy()
    with pytest.raises(ValueError, match="part 3 of 24"):
        charts.nearest_vertices(np.array([3]), np.zeros((1, 2), np.float32))
