"""Cameras of generated scenes: where they may stand, and what they see."""

import math

import numpy as np
import pytest
import torch

from humanpt.data.people.viewpoints import ViewConfig, box_of, draw_views
from humanpt.errors import ConfigError
from humanpt.geometry.cameras import camera_centres, rotation_angle

SUBJECT = np.random.default_rng(0).normal(size=(500, 3)) * [0.2, 0.4, 0.15] + [0, -0.9, 0]
MARGIN = 1.2


def anywhere(eye):
    return True


def drawn(count=40, config=None, free=anywhere, cross_view=True, second=SUBJECT):
    rng = np.random.default_rng(1)
    config = config or ViewConfig()
    return [draw_views(rng, (SUBJECT, second), free, config, MARGIN, cross_view=cross_view) for _ in range(count)]


def degrees_between(first, second):
    return math.degrees(float(rotation_angle(first.cam_from_world, second.cam_from_world)))


def test_two_cameras_are_turned_by_what_the_config_allows():
    angles = [degrees_between(*pair) for pair in drawn()]
    assert min(angles) >= 10
    assert max(angles) <= 75
    assert max(angles) - min(angles) > 40


def test_cameras_are_all_around_high_and_low():
    eyes = torch.stack([camera_centres(view.cam_from_world) for pair in drawn() for view in pair]).numpy()
    away = eyes - [0, -0.9, 0]
    azimuth = np.degrees(np.arctan2(away[:, 0], away[:, 2]))
    elevation = np.degrees(np.arctan2(-away[:, 1], np.hypot(away[:, 0], away[:, 2])))
    assert (np.histogram(azimuth, np.arange(-180, 181, 60))[0] > 0).all()
    assert elevation.min() < -5
    assert elevation.max() > 35


def test_lenses_and_distances_differ():
    config = ViewConfig()
    views = [view for pair in drawn() for view in pair]
    fov = [2 * math.atan(config.frame_size / 2 / float(view.intrinsics[0, 0])) for view in views]
    assert config.min_fov <= min(fov) < math.radians(35)
    assert math.radians(70) < max(fov) <= config.max_fov


def test_the_box_holds_every_point_and_the_crop_lies_in_the_frame():
    for pair in drawn():
        for view in pair:
            box = box_of(SUBJECT, view.intrinsics, view.cam_from_world, 0.1)
            np.testing.assert_array_equal(box, view.box)
            size = (view.square[2:] - view.square[:2])[0]
            assert size == pytest.approx(MARGIN * (box[2:] - box[:2]).max(), rel=1e-4)
            assert view.square.min() >= -0.51
            assert view.square.max() <= 1023.51


def test_no_camera_stands_where_it_must_not():
    def in_room(eye):
        return abs(eye[0]) < 3 and abs(eye[2]) < 2.5 and -2.5 < eye[1] < -0.1

    for pair in drawn(12, free=in_room):
        assert all(in_room(camera_centres(view.cam_from_world).numpy()) for view in pair)


def test_one_camera_follows_who_walks_away():
    gone = SUBJECT + np.array([1.2, 0, 0])
    for first, second in drawn(cross_view=False, second=gone):
        apart = camera_centres(first.cam_from_world) - camera_centres(second.cam_from_world)
        assert apart.norm() < 0.2
        assert torch.equal(first.intrinsics, second.intrinsics)


def test_a_camera_that_does_not_shake_stays_where_it_is():
    config = ViewConfig(shake=0.0)
    for first, second in drawn(5, config=config, cross_view=False):
        torch.testing.assert_close(first.cam_from_world, second.cam_from_world)


def test_equal_seeds_draw_equal_cameras():
    one, other = drawn(3), drawn(3)
    for (a, b), (c, d) in zip(one, other, strict=True):
        assert torch.equal(a.cam_from_world, c.cam_from_world)
        assert torch.equal(b.intrinsics, d.intrinsics)


def test_a_point_nearer_than_allowed_has_no_box():
    pose = torch.eye(4)
    assert box_of(np.array([[0.0, 0.0, 0.1]]), torch.eye(3), pose, 0.2) is None


def test_a_place_without_room_is_one_line():
    with pytest.raises(ConfigError, match=r"views: no camera found in \d+ tries; widen"):
        drawn(1, free=lambda eye: False)
