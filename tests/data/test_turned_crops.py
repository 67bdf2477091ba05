"""A crop is the picture of a camera that was turned: points, pixels and pictures agree."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from humanpt.data.image import warp_square
from humanpt.data.turned_crops import map_pixels, take_crop, turned_crop
from humanpt.geometry.cameras import project

INTRINSICS = np.array([[310.0, 2.0, 170.0], [0.0, 300.0, 110.0], [0.0, 0.0, 1.0]])
SQUARE = np.array([200.0, 30.0, 330.0, 160.0])


def pixels_of(points, intrinsics):
    return project(torch.from_numpy(points), torch.from_numpy(intrinsics)).numpy()


@pytest.mark.parametrize("roll", [0.0, 0.5])
def test_points_of_the_turned_camera_are_seen_where_their_pixels_go(roll):
    points = np.random.default_rng(0).uniform((0.3, -0.4, 1.7), (0.9, 0.2, 2.3), (9, 3))
    crop = turned_crop(INTRINSICS, SQUARE, 64, roll)
    seen = pixels_of(points @ crop.crop_from_cam.T, crop.intrinsics)
    assert_allclose(seen, map_pixels(pixels_of(points, INTRINSICS), crop), atol=1e-9)
    assert_allclose(crop.crop_from_cam @ crop.crop_from_cam.T, np.eye(3), atol=1e-12)


def test_the_middle_of_the_square_is_the_middle_of_the_crop_and_its_corners_are_near_the_corners():
    crop = turned_crop(INTRINSICS, SQUARE, 64)
    corners = np.array([[200.0, 30], [330, 30], [200, 160], [330, 160], [265, 95]])
    mapped = map_pixels(corners, crop)
    assert_allclose(mapped[4], [31.5, 31.5], atol=1e-9)
    assert (np.abs(mapped[:4] - 31.5) < 35).all()
    assert (np.abs(mapped[:4] - 31.5) > 27).all()


@pytest.mark.parametrize("roll", [0.0, -0.7])
@pytest.mark.parametrize("size", [48, 200])
def test_a_dot_in_the_picture_lands_where_its_pixel_goes(size, roll):
    picture = np.zeros((300, 420, 3), np.uint8)
    picture[88:93, 248:253] = 255  # its middle is (250, 90)
    crop = turned_crop(INTRINSICS, SQUARE, size, roll)
    seen = take_crop(picture, crop, size)[..., 0].astype(float)
    rows, columns = np.indices(seen.shape)
    centre = [(columns * seen).sum() / seen.sum(), (rows * seen).sum() / seen.sum()]
    assert_allclose(centre, map_pixels(np.array([[250.0, 90.0]]), crop)[0], atol=0.04 * size / 48)


def test_on_the_axis_the_crop_is_the_plain_square():
    rng = np.random.default_rng(1)
    picture = cv2.resize(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8), (128, 128))
    camera = np.array([[200.0, 0, 63.5], [0, 200.0, 63.5], [0, 0, 1]])
    square = np.array([31.5, 31.5, 95.5, 95.5])
    crop = turned_crop(camera, square, 32)
    assert_allclose(crop.crop_from_cam, np.eye(3), atol=1e-12)
    difference = take_crop(picture, crop, 32).astype(int) - warp_square(picture, square, 32)
    assert np.abs(difference).max() <= 2


def test_a_clockwise_camera_sees_the_picture_turn_the_other_way():
    crop = turned_crop(INTRINSICS, SQUARE, 64, roll=0.3)
    plain = turned_crop(INTRINSICS, SQUARE, 64)
    right_of_the_middle = np.array([[300.0, 95.0]])
    assert map_pixels(right_of_the_middle, crop)[0, 1] < map_pixels(right_of_the_middle, plain)[0, 1] - 3


def test_an_empty_square_is_refused():
    with pytest.raises(ValueError, match="four finite edges"):
        turned_crop(INTRINSICS, np.array([5.0, 5, 5, 5]), 64)
