"""Training views: draws, windows, colours and coverage."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from humanpt.data.augment import (
    LUMA,
    AugmentConfig,
    Window,
    centre_draw,
    centre_view,
    patch_coverage,
    random_draw,
    view,
    window_of,
    worn,
)
from humanpt.errors import ConfigError

PLAIN = AugmentConfig(brightness=0, contrast=0, saturation=0)


def random_view(rgb, config, rng):
    draw = random_draw(config, rng)
    return view(rgb, config, draw), window_of(draw, config)


@pytest.fixture
def stored():
    return np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)


def test_the_same_generator_state_gives_the_same_bytes(stored):
    views = [random_view(stored, AugmentConfig(), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(views[0][0], views[1][0])
    assert views[0][1] == views[1][1]
    assert not np.array_equal(views[0][0], views[2][0])


def test_as_many_numbers_are_drawn_whatever_the_strengths(stored):
    left, right = np.random.default_rng(3), np.random.default_rng(3)
    random_view(stored, PLAIN, left)
    random_view(stored, AugmentConfig(), right)
    assert left.random() == right.random()


def test_a_view_without_jitter_is_a_slice_at_its_window(stored):
    crop, window = random_view(stored, PLAIN, np.random.default_rng(5))
    left, top = round(window.left * 256), round(window.top * 256)
    assert np.array_equal(crop, stored[top : top + 224, left : left + 224])
    assert window.side == 224 / 256


def test_crops_reach_every_place(stored):
    rng = np.random.default_rng(0)
    lefts = {round(random_view(stored, PLAIN, rng)[1].left * 256) for _ in range(300)}
    assert lefts == set(range(33))


def test_evaluation_takes_the_centre_and_leaves_colours_alone(stored):
    assert np.array_equal(centre_view(stored, AugmentConfig()), stored[16:240, 16:240])
    assert window_of(centre_draw(AugmentConfig()), AugmentConfig()) == Window(16 / 256, 16 / 256, 224 / 256)


def test_jitter_is_brightness_contrast_and_saturation_one_after_the_other(stored):
    rng = np.random.default_rng(4)
    crop, window = random_view(stored, AugmentConfig(), np.random.default_rng(4))
    left, top = (rng.random(2) * 33).astype(int)
    b, c, s = rng.uniform(0.6, 1.4, 3)
    colours = b * stored[top : top + 224, left : left + 224].astype(float)
    colours = c * colours + (1 - c) * (colours @ LUMA).mean()
    colours = s * colours + (1 - s) * (colours @ LUMA)[..., None]
    assert window.left == left / 256
    assert np.abs(crop - np.clip(colours, 0, 255)).max() <= 1.01  # one rounding, in fixed point


def test_jitter_turns_no_grey_into_a_colour():
    grey = np.repeat(np.random.default_rng(0).integers(0, 256, (256, 256, 1), dtype=np.uint8), 3, axis=2)
    crop, _ = random_view(grey, AugmentConfig(), np.random.default_rng(1))
    assert (np.ptp(crop.astype(int), axis=2) <= 1).all()


@pytest.mark.parametrize("crop_size", [64, 112, 224, 320])
def test_pictures_are_resized_so_that_a_crop_shows_the_same_share(stored, crop_size):
    config = AugmentConfig(crop_size=crop_size)
    crop, window = random_view(stored, config, np.random.default_rng(0))
    assert crop.shape == (crop_size, crop_size, 3)
    assert crop.flags.c_contiguous
    assert window.side == pytest.approx(224 / 256, abs=0.005)


def test_coverage_is_the_mean_of_the_mask_over_each_patch():
    mask = np.random.default_rng(0).random((64, 64)) > 0.5
    window = Window(4 / 64, 8 / 64, 56 / 64)
    expected = mask[8:, 4:60].reshape(14, 4, 14, 4).mean((1, 3))
    assert np.allclose(patch_coverage(mask, window, 14), expected, atol=1e-6)


def test_coverage_counts_cut_cells_by_their_area():
    mask = np.zeros((64, 64), bool)
    mask[:, 32:] = True
    coverage = patch_coverage(mask, Window(5 / 256, 0, 224 / 256), 14)  # the edge is at (128 - 5) / 16 = 7.6875 patches
    assert np.allclose(coverage[3], [0] * 7 + [0.3125] + [1] * 6, atol=1e-6)


def test_coverage_matches_the_crop_of_the_picture(stored):
    mask = np.random.default_rng(1).random((64, 64)) > 0.5
    painted = np.repeat(np.repeat(mask[..., None], 4, 0), 4, 1) * np.full(3, 255, np.uint8)
    crop, window = random_view(painted.astype(np.uint8), PLAIN, np.random.default_rng(8))
    expected = crop[..., 0].reshape(14, 16, 14, 16).mean((1, 3)) / 255
    assert np.allclose(patch_coverage(mask, window, 14), expected, atol=1e-5)


def test_coverage_is_unknown_without_a_mask():
    assert np.isnan(patch_coverage(None, Window(0, 0, 1), 4)).all()


@pytest.mark.parametrize("wrong", [{"crop_size": 0}, {"crop_share": 1.5}, {"saturation": -0.1}, {"contrast": 2}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        AugmentConfig(**wrong)


def test_a_worn_picture_is_the_same_for_the_same_state_and_untouched_without_wear(stored):
    first, second = (worn(stored, 0.8, np.random.default_rng(5)) for _ in range(2))
    assert_array_equal(first, second)
    assert_array_equal(worn(stored, 0.0, np.random.default_rng(5)), stored)


def test_wear_of_every_kind_happens_and_leaves_the_picture_recognisable(stored):
    before = stored.copy()
    made = [worn(stored, 1.0, np.random.default_rng(seed)) for seed in range(60)]
    assert_array_equal(stored, before)
    assert all(one.shape == stored.shape and one.dtype == np.uint8 for one in made)
    changes = [np.abs(one.astype(int) - stored).mean() for one in made]
    assert min(changes) == 0  # some stay as they are
    assert 5 < np.median(changes) < 60
    grey = [one for one in made if np.ptp(one.astype(int), axis=2).mean() < 3]
    assert 1 <= len(grey) <= 15
