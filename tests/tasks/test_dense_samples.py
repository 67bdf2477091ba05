"""Crops with dense labels: what the labels say is what the crop shows."""

import pickle

import numpy as np
import pytest

from humanpt.data.labelled.densepose_coco import open_set
from humanpt.data.square_crops import CropConfig, to_picture
from humanpt.errors import ConfigError
from humanpt.tasks.dense_samples import SOME_PART, UNKNOWN, DensePoseConfig, DensePoseSamples, collate
from tests.data.labelled.test_densepose_coco import annotation, write
from tests.tasks.dense_sets import NAMES, SIZE, MadeSet

GREY = CropConfig(brightness=0, contrast=0, saturation=0)


def config(**changes):
    return DensePoseConfig(**({"part_names": NAMES, "charts": "made", "channels": 16, "augment": GREY} | changes))


def samples(data, *, training=False, size=SIZE, seed=0, **changes):
    return DensePoseSamples(data, np.arange(len(data)), config(**changes), size, seed, training=training)


def same(first, second):
    return all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("training", [False, True])
def test_labels_lie_on_the_pixels_that_they_name(training):
    """In the interior of a part the colour tells the part, wherever the crop lies."""
    made = MadeSet(3, sides=("right", "left"))
    whole = samples(made, training=training, size=40)
    for position in range(6 if training else 3):
        sample = whole[position]
        brightest = np.where(sample.picture.max(axis=2) > 150, sample.picture.argmax(axis=2) + 1, 0)
        grey = np.ptp(sample.picture, axis=2) < 30
        part = np.where(grey & (brightest > 0), 0, brightest)
        assert (part == sample.label).mean() > 0.9
        assert sample.mirrored == (made.side(sample.number) == "left")


def test_places_on_the_chart_go_with_the_pixels():
    made = MadeSet(2)
    for sample in (samples(made)[1], samples(made, training=True)[5]):
        y, x = np.nonzero(sample.label)
        side = sample.square[2] - sample.square[0]
        column = sample.square[0] + (x + 0.5) * side / SIZE
        assert np.abs(sample.uv[0, y, x] - column / SIZE).max() < 0.6 * max(1, side / SIZE) / SIZE + 1 / 255
    assert (samples(made)[0].uv[:, samples(made)[0].label == 0] == 0).all()


def test_a_left_hand_is_shown_in_a_mirror_exactly():
    right, left = samples(MadeSet(1))[0], samples(MadeSet(1, sides=("left",)))[0]
    assert (left.picture == right.picture[:, ::-1]).all()
    assert (left.label == right.label[:, ::-1]).all()
    assert (left.uv == right.uv[..., ::-1]).all()
    right, left = samples(MadeSet(1, points=True))[0], samples(MadeSet(1, points=True, sides=("left",)))[0]
    assert np.allclose(left.points[:, 0], SIZE - 1 - right.points[:, 0])
    assert (left.points[:, 1] == right.points[:, 1]).all()


def test_points_leave_the_rest_of_the_mask_without_a_name():
    sample = samples(MadeSet(1, points=True))[0]
    assert set(np.unique(sample.label)) == {0, SOME_PART}
    x, y = sample.points.round().astype(int).T
    assert (sample.label[y, x] == SOME_PART).all()
    assert (MadeSet(1).part(0)[y, x] == sample.points_part).all()


def test_what_nobody_knows_is_marked():
    label = samples(MadeSet(1, loose=10))[0].label
    assert (label[:10] == UNKNOWN).all()
    assert (label[10:] != UNKNOWN).all()


def test_points_outside_of_the_crop_are_left_out():
    made = MadeSet(1, points=True)
    made.square = lambda index: np.array([-0.5, -0.5, 23.5, 23.5], np.float32)
    sample = samples(made)[0]
    assert 0 < len(sample.points) < len(made.points(0).part)
    assert sample.points.max() <= SIZE - 0.5
    assert 3 not in sample.points_part


def test_a_sample_is_a_function_of_seed_and_position_alone():
    first = samples(MadeSet(4), training=True)
    there = [first[position] for position in (7, 2, 9, 2)]
    assert same(there[1], there[3])  # the second time from labels that were kept
    other = pickle.loads(pickle.dumps(samples(MadeSet(4), training=True)))
    assert all(same(other[position], sample) for position, sample in zip((7, 2, 9, 2), there, strict=True))
    assert not same(samples(MadeSet(4), training=True, seed=1)[2], there[1])


def test_exact_labels_are_drawn_once():
    made = MadeSet(2)
    every = samples(made, training=True)
    for position in range(8):
        every[position]
    assert sorted(made.asked) == [0, 1]


def test_samples_with_more_and_fewer_points_share_a_batch():
    made = MadeSet(2, points=True)
    few = samples(made)[0]
    batch = collate([few._replace(points=few.points[:3], points_part=few.points_part[:3], points_uv=few.points_uv[:3])])
    both = collate([samples(made)[1], few._replace(points=few.points[:0], points_part=few.points_part[:0])])
    assert batch.points.shape == (1, 3, 2)
    assert (both.points_part[1] == 0).all()
    assert (both.points_part[0] > 0).all()


@pytest.mark.parametrize("wrong", [{"uv_weight": -1.0}, {"heldout_batch": 0}, {"part_names": ("part",) * 254}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError):
        config(**wrong)


def test_points_of_densepose_coco_land_on_its_masks(tmp_path):
    """The sample in COCO's layout: its upper half and a quarter of its lower half are masked, three points labelled."""
    data = open_set(write(tmp_path / "coco", annotation(3)), "minival")
    settings = DensePoseConfig(channels=16, augment=GREY)
    sample = DensePoseSamples(data, np.arange(1), settings, 64, 0, training=False)[0]
    assert sample.points_part.tolist() == data.points(0).part.tolist()
    assert np.allclose(to_picture(sample.points, sample.square, 64), data.points(0).pixels, atol=1e-3)
    x, y = sample.points[0].clip(0, 63).astype(int) + 1  # the box's corner, a pixel inwards
    assert sample.label[y, x] == SOME_PART
    assert set(np.unique(sample.label)) == {0, SOME_PART}
    share = (sample.label == SOME_PART).mean() * np.prod(sample.square[2:] - sample.square[:2])
    assert share == pytest.approx(data.mask(0).sum(), rel=0.06)
