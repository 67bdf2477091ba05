"""Boxes, crops and masks without the lens, cut out of pictures with it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from humanpt.data.captures.straighten import straight_box, straight_crop, straight_mask
from humanpt.data.crops import mask_in_square
from humanpt.data.image import warp_square
from tests import rigs

SQUARE = np.float32([120, 20, 300, 200])


def pattern(pixels):
    """(N, 3) smooth colours of straight pixels."""
    x, y = pixels[:, 0], pixels[:, 1]
    waves = np.stack([np.sin(x / 9), np.cos(y / 11), np.sin((x + y) / 13)], axis=1)
    return (128 + 100 * waves).clip(0, 255)


def everywhere(size):
    ys, xs = np.mgrid[: size[1], : size[0]]
    return np.column_stack([xs.ravel(), ys.ravel()]).astype(float)


@pytest.fixture(scope="module", params=["pinhole", "fisheye"])
def camera(request):
    camera = rigs.camera("cam01", 0, lens=rigs.LENS if request.param == "pinhole" else (0.05, -0.02, 0.01, 0.0))
    object.__setattr__(camera, "fisheye", request.param == "fisheye")
    return camera


@pytest.fixture(scope="module")
def filmed(camera):
    """What the lens makes of the pattern."""
    width, height = camera.size
    return pattern(camera.undistort(everywhere(camera.size))).reshape(height, width, 3).astype(np.uint8)


@pytest.mark.parametrize("size", [64, 256])
def test_a_crop_shows_what_a_pinhole_camera_would_have_seen(camera, filmed, size):
    width, height = camera.size
    ideal = pattern(everywhere(camera.size)).reshape(height, width, 3).astype(np.uint8)
    inside = np.isfinite(camera.distort(everywhere(camera.size))).all()
    assert inside
    crop = straight_crop(filmed, SQUARE, size, camera)
    difference = np.abs(crop.astype(int) - warp_square(ideal, SQUARE, size))
    assert difference.mean() < 1.5
    assert np.abs(warp_square(filmed, SQUARE, size).astype(int) - crop).mean() > 5  # the lens does matter


def test_beyond_the_picture_a_crop_is_grey(camera, filmed):
    crop = straight_crop(filmed, np.float32([-200, -200, 100, 100]), 60, camera)
    assert (crop[:20, :20] == 114).all()


def test_without_a_lens_the_plain_way_is_taken():
    camera = rigs.camera("cam01", 0)
    picture = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    box = np.float32([10, 20, 60, 90])
    for plain in (camera, None):
        np.testing.assert_array_equal(straight_crop(picture, SQUARE, 64, plain), warp_square(picture, SQUARE, 64))
        np.testing.assert_array_equal(straight_box(box, plain), box)


def test_a_straight_box_holds_the_straight_places_of_all_that_the_box_holds(camera):
    box = np.float32([30, 25, 180, 220])
    straight = straight_box(box, camera)
    inside = np.random.default_rng(0).uniform(box[:2], box[2:], (500, 2))
    pixels = camera.undistort(inside)
    assert (pixels >= straight[:2] - 0.2).all()
    assert (pixels <= straight[2:] + 0.2).all()
    assert_allclose(straight, [*pixels.min(axis=0), *pixels.max(axis=0)], atol=4)


def test_masks_go_the_same_way_as_pictures(camera):
    width, height = camera.size
    centre = np.array([210.0, 110.0])
    ideal = (np.linalg.norm(everywhere(camera.size) - centre, axis=1) < 60).reshape(height, width)
    filmed = (np.linalg.norm(camera.undistort(everywhere(camera.size)) - centre, axis=1) < 60).reshape(height, width)
    box = np.float32([140, 40, 280, 180])
    expected = mask_in_square(ideal, box, SQUARE, camera.size)
    found = straight_mask(filmed, box, SQUARE, camera.size, camera)
    assert (expected & found).sum() > 0.95 * (expected | found).sum()
    coarse = straight_mask(filmed[2::5, 2::5], box, SQUARE, camera.size, camera)
    assert (coarse & found).sum() > 0.85 * (coarse | found).sum()


def test_a_box_alone_is_its_own_mask(camera):
    box = np.float32([140, 40, 280, 180])
    np.testing.assert_array_equal(
        straight_mask(None, box, SQUARE, camera.size, camera), mask_in_square(None, box, SQUARE, camera.size)
    )
