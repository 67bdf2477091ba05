import math

import pytest
import torch
from torch.testing import assert_close

from humanpt.geometry.cameras import intrinsics_from_fov, look_at, project, transform
from humanpt.geometry.two_view import (
    epipolar_distance,
    epipolar_lines,
    essential_matrix,
    fundamental_matrix,
    homogeneous,
    pair_score,
    projection_matrix,
    relative_pose,
    reprojection_error,
    shared_sight,
    triangulate,
)


@pytest.fixture
def points():
    return torch.rand(30, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5


@pytest.fixture
def cameras():
    """Three cameras around the origin: intrinsics (3, 3, 3), cam_from_world (3, 4, 4)."""
    eyes = torch.tensor([[0.0, -1.0, -3.0], [2.5, -0.5, -2.0], [-2.0, 0.5, -2.5]], dtype=torch.float64)
    fov = torch.tensor([0.6, 0.8, 0.7], dtype=torch.float64)
    return intrinsics_from_fov(fov, 640), look_at(eyes, torch.zeros(3, dtype=torch.float64))


@pytest.fixture
def pixels(points, cameras):
    intrinsics, poses = cameras
    return project(transform(poses, points), intrinsics)


@pytest.fixture
def fundamental(cameras):
    intrinsics, poses = cameras
    return fundamental_matrix(intrinsics[0], poses[0], intrinsics[1], poses[1])


def test_matching_pixels_satisfy_the_epipolar_constraint(fundamental, pixels):
    product = (homogeneous(pixels[1]) @ fundamental * homogeneous(pixels[0])).sum(dim=-1)
    assert_close(product, torch.zeros_like(product), atol=1e-9, rtol=0)


def test_matching_rays_satisfy_the_essential_constraint(points, cameras):
    rays = transform(cameras[1], points)
    essential = essential_matrix(relative_pose(cameras[1][0], cameras[1][1]))
    product = (rays[1] @ essential * rays[0]).sum(dim=-1)
    assert_close(product, torch.zeros_like(product), atol=1e-12, rtol=0)


def test_matches_are_nearest_to_their_own_epipolar_lines(fundamental, pixels):
    distance = epipolar_distance(fundamental, pixels[0][:, None], pixels[1][None])
    assert_close(distance.diagonal(), torch.zeros(30, dtype=torch.float64), atol=1e-9, rtol=0)
    assert (distance.argmin(dim=1) == torch.arange(30)).all()


def test_side_by_side_the_distance_is_the_difference_in_height():
    intrinsics, left = intrinsics_from_fov(0.8, 640), torch.eye(4)
    right = left.clone()
    right[0, 3] = -0.2
    fundamental = fundamental_matrix(intrinsics, left, intrinsics, right)
    distance = epipolar_distance(fundamental, torch.tensor([[100.0, 200.0]]), torch.tensor([[40.0, 207.0]]))
    assert_close(distance, torch.tensor([7.0]), atol=1e-3, rtol=0)


def test_epipolar_lines_have_unit_normals(fundamental, pixels):
    assert_close(epipolar_lines(fundamental, pixels[0])[:, :2].norm(dim=-1), torch.ones(30, dtype=torch.float64))


def test_triangulation_finds_the_points(points, cameras, pixels):
    assert_close(triangulate(pixels, projection_matrix(*cameras)), points)


def test_triangulation_leaves_out_views_that_did_not_see_a_point(points, cameras, pixels):
    seen = torch.ones(3, 30, dtype=torch.bool)
    seen[2, :10], seen[1:, 10] = False, False
    pixels[~seen] = torch.nan
    found = triangulate(pixels, projection_matrix(*cameras), seen)
    assert found[10].isnan().all()
    assert_close(torch.cat([found[:10], found[11:]]), torch.cat([points[:10], points[11:]]))


def test_the_reprojection_error_is_what_was_added(points, cameras, pixels):
    moved = pixels + torch.tensor([3.0, 4.0])
    assert_close(reprojection_error(points, moved, projection_matrix(*cameras)), torch.full_like(pixels[..., 0], 5.0))


def test_a_point_behind_a_camera_has_no_finite_error(cameras):
    behind = torch.tensor([[0.0, -2.0, -6.0]], dtype=torch.float64)
    pixels = torch.zeros(3, 1, 2, dtype=torch.float64)
    assert reprojection_error(behind, pixels, projection_matrix(*cameras))[0].isinf().all()


def test_shared_sight_is_the_intersection_over_the_union():
    first, second = torch.tensor([[1, 1, 1, 0], [0, 0, 0, 0]]) > 0, torch.tensor([[0, 1, 1, 1], [0, 0, 0, 0]]) > 0
    assert_close(shared_sight(first, second), torch.tensor([0.5, 0.0]))


def test_the_best_pair_sees_the_same_from_sixty_degrees_apart():
    angles = torch.linspace(0, math.pi, 181)
    score = pair_score(torch.ones(181), angles)
    assert score.argmax() == 60
    assert_close(score[60], torch.tensor(1.0))
    assert_close(score[180], torch.tensor(-8.0))


def test_shapes_that_do_not_fit_are_refused(pixels):
    with pytest.raises(ValueError, match=r"\(3, 30, 2\)"):
        triangulate(pixels, torch.eye(4)[None])
