import json
import math

import pytest
import torch
from torch.testing import assert_close

from humanpt.geometry.cameras import (
    camera_centres,
    crop_intrinsics,
    intrinsics_from_fov,
    invert_pose,
    look_at,
    project,
    rotation_angle,
    transform,
    unproject,
)


@pytest.fixture
def intrinsics():
    return torch.tensor([[310.0, 2.0, 111.0], [0.0, 290.0, 97.0], [0.0, 0.0, 1.0]])


@pytest.fixture
def points():
    return torch.rand(2, 7, 3, generator=torch.Generator().manual_seed(0)) + torch.tensor([-0.5, -0.5, 1.0])


def test_unproject_undoes_project(intrinsics, points):
    assert_close(unproject(project(points, intrinsics), points[..., 2], intrinsics), points)


def test_a_point_on_the_axis_is_at_the_principal_point(intrinsics):
    assert_close(project(torch.tensor([[0.0, 0.0, 3.0]]), intrinsics), torch.tensor([[111.0, 97.0]]))


def test_inverting_a_pose_undoes_it(points):
    pose = look_at(torch.tensor([1.0, -2.0, 3.0]), torch.tensor([0.2, 0.1, 0.0]), roll=0.4)
    assert_close(transform(invert_pose(pose), transform(pose, points)), points)


def test_the_target_is_in_the_middle_at_its_distance():
    eye, target = torch.tensor([[1.0, -2.0, 3.0], [0.0, 5.0, 0.0]]), torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.0, 0.0]])
    seen = transform(look_at(eye, target, roll=0.3), target[:, None])[:, 0]
    assert_close(seen, torch.stack([torch.zeros(2), torch.zeros(2), (target - eye).norm(dim=-1)], dim=-1))


def test_a_camera_that_looks_at_something_is_upright():
    pose = look_at(torch.tensor([2.0, -1.5, -3.0]), torch.zeros(3))
    centre, lower = transform(pose, torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.1, 0.0]]))
    assert lower[1] > centre[1]
    assert_close(lower[0], centre[0])


def test_from_the_front_the_left_of_a_person_is_at_the_right():
    pose = look_at(torch.tensor([0.0, -1.0, -3.0]), torch.tensor([0.0, -1.0, 0.0]))
    assert transform(pose, torch.tensor([[0.5, -1.0, 0.0]]))[0, 0] > 0


@pytest.mark.parametrize("height", [-3.0, 3.0])
def test_looking_straight_along_the_vertical_gives_a_rotation(height):
    rotation = look_at(torch.tensor([0.0, height, 0.0]), torch.zeros(3))[:3, :3]
    assert_close(rotation @ rotation.T, torch.eye(3))
    assert_close(torch.linalg.det(rotation), torch.tensor(1.0))


def test_rolling_a_camera_clockwise_turns_its_picture_the_other_way():
    eye, target = torch.tensor([0.0, 0.0, -3.0]), torch.zeros(3)
    right = transform(look_at(eye, target, roll=0.2), torch.tensor([[1.0, 0.0, 0.0]]))[0]
    assert_close(torch.atan2(right[1], right[0]), torch.tensor(-0.2))


def test_cameras_stand_where_they_were_put():
    eyes = torch.tensor([[1.0, -2.0, 3.0], [0.0, 5.0, 0.1]])
    assert_close(camera_centres(look_at(eyes, torch.zeros(3), roll=torch.tensor([0.1, -0.7]))), eyes)


@pytest.mark.parametrize("angle", [1e-4, 0.7, math.pi - 1e-3])
def test_the_angle_between_cameras_that_differ_by_a_roll_is_the_roll(angle):
    eye, target = torch.tensor([1.0, -2.0, 3.0]), torch.zeros(3)
    measured = rotation_angle(look_at(eye, target), look_at(eye, target, roll=angle))
    assert_close(measured, torch.tensor(angle), atol=2e-6, rtol=1e-4)


def test_a_point_moves_with_its_crop(intrinsics, points):
    square, size = torch.tensor([30.0, -12.5, 94.0, 51.5]), 224
    share = (project(points, intrinsics) - square[:2]) / 64  # 0 and 1 at the edges
    assert_close(project(points, crop_intrinsics(intrinsics, square, size)), share * size - 0.5)


def test_the_crop_of_the_whole_picture_is_the_picture(intrinsics):
    assert_close(crop_intrinsics(intrinsics, torch.tensor([-0.5, -0.5, 199.5, 199.5]), 200), intrinsics)


def test_the_field_of_view_reaches_from_edge_to_edge():
    intrinsics = intrinsics_from_fov(math.radians(50), 100)
    edge = torch.tensor([[math.tan(math.radians(25)), 0.0, 1.0]])
    assert_close(project(edge, intrinsics), torch.tensor([[99.5, 49.5]]))


def test_shapes_that_do_not_fit_are_refused(intrinsics, points):
    with pytest.raises(ValueError, match=r"\(2, 7, 2\)"):
        project(points[..., :2], intrinsics)
    with pytest.raises(ValueError, match=r"\(3, 3\)"):
        transform(intrinsics, points)


@pytest.mark.parametrize("camera", [0, 1])
def test_the_joints_of_a_generated_walk_fall_into_its_boxes(samples, camera):
    truth = json.loads((samples / "synthetic" / "walk2cam" / "gt.json").read_text())
    intrinsics, rotation, shift = (torch.tensor(truth["cameras"][camera][key]) for key in "KRt")
    intrinsics[:2, 2] -= 0.5  # the sample puts pixel centres at halves, and boxes end one past their last pixel
    boxes = torch.tensor(truth["boxes"][camera]) - 0.5
    pixels = project(torch.tensor(truth["keypoints3d"]) @ rotation.T + shift, intrinsics)
    assert (pixels > boxes[:, None, :2] - 1).all()
    assert (pixels < boxes[:, None, 2:] + 1).all()
