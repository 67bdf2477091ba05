import numpy as np
import pytest
import torch

from humanpt.render.rasterize import rasterize
from humanpt.render.zbuffer import nearest_depths
from tests.render.meshes import sphere, views


def slow_twin(vertices, faces, intrinsics, pixels):
    """The nearest face at each pixel (P, 2) and its depth, by solving for every ray and every face, in float64.

    A ray d = i a + j b + k c meets the plane of the corners at depth 1 / (i + j + k), inside if no share is negative.
    """
    corners = vertices.double().numpy()[faces.numpy()]  # (F, 3, 3)
    usable = (corners[..., 2] >= 1e-3).all(axis=1) & (np.abs(np.linalg.det(corners)) > 0)
    corners[~usable] = np.eye(3)
    rays = np.linalg.solve(intrinsics.double().numpy(), np.c_[pixels, np.ones(len(pixels))].T)  # (3, P)
    shares = np.linalg.solve(corners.transpose(0, 2, 1), np.broadcast_to(rays, (len(faces), *rays.shape)))  # (F, 3, P)
    inside = (shares >= 0).all(axis=1) & usable[:, None]
    depth = np.where(inside, 1 / np.where(inside, shares.sum(axis=1), 1), np.inf)
    return np.where(inside.any(axis=0), depth.argmin(axis=0), -1), depth.min(axis=0)


def centres(height, width):
    y, x = np.mgrid[:height, :width]
    return np.c_[x.ravel(), y.ravel()].astype(float)


def soup(seed, count=80, spread=1.0):
    """Triangles of all sizes, through one another, in front of, beside and behind the camera."""
    rng = np.random.default_rng(seed)
    middle = rng.uniform([-1.5, -1.5, -0.5], [1.5, 1.5, 4.0], (count, 1, 3))
    corners = middle + rng.normal(size=(count, 3, 3)) * spread * rng.uniform(0.02, 1, (count, 1, 1))
    return torch.tensor(corners.reshape(-1, 3), dtype=torch.float32), torch.arange(3 * count).view(-1, 3)


@pytest.mark.parametrize("seed", range(4))
def test_every_pixel_of_a_soup_has_the_face_of_the_slow_twin(seed):
    vertices, faces = soup(seed)
    intrinsics = torch.tensor([[40.0, 1.5, 22.3], [0.0, 35.0, 19.8], [0.0, 0.0, 1.0]])
    raster = rasterize(vertices[None], faces, intrinsics[None], 40, 48)
    face, depth = slow_twin(vertices, faces, intrinsics, centres(40, 48))
    assert raster.mask.float().mean() > 0.3
    np.testing.assert_array_equal(raster.face.view(-1).numpy(), face)
    np.testing.assert_allclose(raster.depth.view(-1).numpy(), depth, rtol=1e-5)


def test_every_pixel_of_a_mesh_has_the_face_of_the_slow_twin():
    vertices, faces = sphere(12)
    seen, intrinsics = views(vertices, [[0.3, -0.4, -2.0]], size=48)
    raster = rasterize(seen, faces, intrinsics, 48, 48)
    face, _ = slow_twin(seen[0], faces, intrinsics[0], centres(48, 48))
    np.testing.assert_array_equal(raster.face.view(-1).numpy(), face)


def test_depths_between_pixel_centres_are_those_of_the_slow_twin():
    vertices, faces = soup(7)
    intrinsics = torch.tensor([[40.0, 0.0, 22.3], [0.0, 35.0, 19.8], [0.0, 0.0, 1.0]])
    positions = np.random.default_rng(0).uniform(-3, 50, (1500, 2)).astype(np.float32)
    asked = torch.tensor(positions)
    asked[:10] = torch.nan
    found = nearest_depths(vertices[None], faces, intrinsics[None], asked[None], 40, 48)[0].numpy()
    _, depth = slow_twin(vertices, faces, intrinsics, positions)
    outside = ((positions < -0.5) | (positions >= [47.5, 39.5])).any(axis=1)
    outside[:10] = True
    assert np.isinf(found[outside]).all()
    np.testing.assert_allclose(found[~outside], depth[~outside], rtol=1e-5)
