"""Crops without a camera of their own: places go there and back, and what chance decides is a pure function."""

import numpy as np
import pytest

from humanpt.data.square_crops import (
    CropConfig,
    draw_crop,
    nearest_pixels,
    plain_crop,
    take,
    to_crop,
    to_picture,
    whole_square,
)
from humanpt.errors import ConfigError

SQUARE = np.array([10.5, 20.5, 42.5, 52.5], np.float32)


def ramp():
    """A picture whose red tells the column and whose green tells the row."""
    y, x = np.mgrid[0:80, 0:100]
    return np.stack([2 * x, 2 * y, 0 * x], axis=-1).astype(np.uint8)


def test_places_go_to_the_crop_and_back():
    places = np.random.default_rng(0).uniform(-50, 100, (20, 2)).astype(np.float32)
    assert np.allclose(to_picture(to_crop(places, SQUARE, 16), SQUARE, 16), places, atol=1e-4)


def test_a_crop_shows_what_the_picture_has_there():
    crop = take(ramp(), plain_crop(SQUARE), 16)
    y, x = np.mgrid[0:16, 0:16]
    places = to_picture(np.stack([x, y], axis=-1), SQUARE, 16)
    assert np.abs(crop[..., :2].astype(float) - 2 * places).max() <= 1


def test_labels_are_taken_from_the_pixel_that_is_shown():
    pixels, inside = nearest_pixels(SQUARE, 16, 80, 100)
    labels = ramp().reshape(-1, 3)[pixels]
    assert inside.all()
    assert np.abs(labels.astype(int) - take(ramp(), plain_crop(SQUARE), 16)).max() <= 2


def test_labels_outside_of_the_picture_are_told_apart():
    square = np.array([-8.5, -0.5, 7.5, 15.5], np.float32)
    pixels, inside = nearest_pixels(square, 16, 80, 100)
    assert (inside == (np.arange(16) >= 8)).all()
    assert pixels.min() >= 0
    assert pixels.max() < 80 * 100


def test_the_whole_picture_lies_in_its_square():
    assert whole_square(80, 100).tolist() == [-0.5, -10.5, 99.5, 89.5]


def test_drawn_crops_stay_within_their_bounds():
    config = CropConfig(scale=0.25, shift=0.1, brightness=0.2, contrast=0, saturation=1)
    draws = [draw_crop(SQUARE, config, np.random.default_rng(seed)) for seed in range(200)]
    sides = np.array([draw.square[2] - draw.square[0] for draw in draws])
    middles = np.array([(draw.square[:2] + draw.square[2:]) / 2 for draw in draws])
    colours = np.array([draw.colours for draw in draws])
    assert 32 / 1.25 - 1e-3 <= sides.min() < 27
    assert 38 < sides.max() <= 32 * 1.25 + 1e-3
    assert np.abs(middles - [26.5, 36.5]).max() <= 3.2 + 1e-3
    assert np.ptp(colours, axis=0) == pytest.approx([0.4, 0, 2], abs=0.05)


def test_what_is_drawn_next_does_not_depend_on_the_strengths():
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    draw_crop(SQUARE, CropConfig(), first)
    draw_crop(SQUARE, CropConfig(scale=0, shift=0, contrast=0), second)
    assert first.random() == second.random()


@pytest.mark.parametrize("name", ["scale", "shift", "saturation"])
def test_strengths_out_of_range_are_refused(name):
    with pytest.raises(ConfigError, match=name):
        CropConfig(**{name: 1.5})
