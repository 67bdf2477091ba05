"""Composed pictures: boxes hold what is painted, mirrors swap hands, numbers decide everything."""

import dataclasses

import cv2
import numpy as np
import pytest

from humanpt.data.detection.backdrops import Backdrops, clutter, crop, patch_thing
from humanpt.data.detection.cutouts import CutOuts
from humanpt.data.detection.photography import PhotographyConfig, photograph
from humanpt.data.detection.pictures import Composer, PictureConfig
from humanpt.errors import ConfigError, InputError
from tests.cutouts import write_painted

STILL = PhotographyConfig(shadow=0, blur=0, motion=0, coarse=0, tone=0, tint=0, grey=0, noise=0, jpeg=0)
PLAIN = PictureConfig(size=128, things=0, empty=0, bars=0, rooms=1, clutter=0, photography=STILL)


@pytest.fixture(scope="module")
def cutouts(tmp_path_factory):
    return CutOuts(write_painted(tmp_path_factory.mktemp("cutouts")))


@pytest.fixture
def compose(cutouts):
    def make(config=PLAIN, folder=None, **changes):
        config = dataclasses.replace(config, **changes)
        return Composer(cutouts, np.arange(len(cutouts)), Backdrops(folder), config)

    return make


def test_the_same_number_gives_the_same_picture_and_another_another(compose):
    first, again, other = (compose(PictureConfig(size=64)).picture(5, number) for number in (7, 7, 8))
    np.testing.assert_array_equal(first.rgb, again.rgb)
    np.testing.assert_array_equal(first.boxes, again.boxes)
    assert (first.rgb != other.rgb).any()


def test_boxes_hold_what_the_mask_shows_and_touch_it(compose):
    composer = compose(crowd=0.0)
    seen = 0
    for number in range(20):
        picture = composer.picture(0, number)
        if len(picture.boxes) == 1:
            y, x = np.nonzero(picture.mask)
            np.testing.assert_array_equal(
                picture.boxes[0], [x.min() - 0.5, y.min() - 0.5, x.max() + 0.5, y.max() + 0.5]
            )
            seen += 1
    assert seen > 10


def test_a_mirrored_person_has_its_hands_swapped(compose):
    composer = compose(subject="hand", shares=(0.3, 0.3, 0.4), crowd=0.0)
    sides = {0: 0, 1: 0}
    for number in range(60):
        picture = composer.picture(0, number)
        for box, kind, doubtful in zip(picture.boxes, picture.kinds, picture.doubtful, strict=True):
            x, y = ((box[:2] + box[2:]) / 2).round().astype(int)
            red, green, _ = picture.rgb[y, x].astype(int)
            if doubtful or abs(red - green) < 40:
                continue
            # As painted, red is left; whoever is mirrored shows red on the body's other side, as a right hand.
            body = picture.boxes[:, [0, 2]].mean()
            if len(picture.boxes) == 2 and abs(x - body) > 8:
                mirrored = (red > green) == (x > body)
                assert kind == int((red > green) == mirrored)
                sides[int(mirrored)] += 1
    assert min(sides.values()) > 5


def test_what_is_hidden_is_doubtful_and_what_is_gone_is_not_told(compose):
    picture = compose(subject="hand", shares=(0.0, 0.0, 1.0), figures=(0.15, 0.2), near=(0.2, 0.25)).picture(1, 3)
    assert picture.doubtful.all()  # hands of a few pixels
    boxes = compose(figures=(1.2, 1.3), crowd=1.0).picture(0, 1)
    assert len(boxes.boxes) >= 1
    assert (boxes.boxes >= -0.5).all()
    assert (boxes.boxes <= 127.5).all()


def test_parts_of_people_are_cut_by_the_border_of_the_picture(cutouts):
    part = np.flatnonzero(cutouts.framing == 1)
    composer = Composer(cutouts, part, Backdrops(None), dataclasses.replace(PLAIN, crowd=0.0, rooms=0))
    found = [composer.picture(0, number) for number in range(12)]
    assert all(picture.boxes[0, 3] == 127.5 for picture in found if len(picture.boxes))


def test_bars_hold_nobody(compose):
    picture = compose(bars=1.0, figures=(1.2, 1.4)).picture(0, 2)
    bars = (picture.rgb == 114).all(axis=2)
    rows, columns = bars.all(axis=1), bars.all(axis=0)
    assert rows.any() or columns.any()
    assert not picture.mask[rows].any()
    assert not picture.mask[:, columns].any()


def test_photographs_and_things_come_from_a_folder(compose, tmp_path):
    cv2.imwrite(str(tmp_path / "wall_00.png"), np.full((80, 100, 3), (200, 10, 10), np.uint8))  # blue, as OpenCV writes
    cv2.imwrite(str(tmp_path / "wall_01.jpg"), np.full((80, 100, 3), (200, 10, 10), np.uint8))
    thing = np.zeros((40, 40, 4), np.uint8)
    thing[10:30, 10:30] = (0, 0, 255, 255)
    cv2.imwrite(str(tmp_path / "ball.png"), thing)
    backdrops = Backdrops(tmp_path)
    assert (len(backdrops.pictures), len(backdrops.things)) == (2, 1)
    assert len(set(backdrops.picture_places)) == 1  # two views of one place
    assert backdrops.things[0][20, 20].tolist() == [255, 0, 0, 255]
    picture = compose(folder=tmp_path, rooms=0, empty=1.0).picture(0, 0)
    assert picture.rgb[..., 2].mean() > 180
    assert not len(picture.boxes)


def test_a_folder_without_photographs_is_refused(tmp_path):
    with pytest.raises(InputError, match="no photograph"):
        Backdrops(tmp_path)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"broken\.jpg"):
        Backdrops(tmp_path)


def test_backgrounds_and_things_have_the_asked_size():
    rng = np.random.default_rng(0)
    assert clutter(64, rng).shape == (64, 64, 3)
    assert crop(clutter(64, rng), 32, rng).shape == (32, 32, 3)
    thing = patch_thing(clutter(64, rng), rng)
    assert (thing[..., :3].max(axis=2) <= thing[..., 3]).all()  # colours are multiplied by alpha


def test_every_trick_of_photography_keeps_the_size_and_does_something():
    scene = clutter(64, np.random.default_rng(1))
    for trick in vars(PhotographyConfig()):
        only = dataclasses.replace(STILL, **{trick: 1.0})
        taken = photograph(scene, only, np.random.default_rng(2))
        assert taken.shape == scene.shape
        assert taken.dtype == np.uint8
        assert (taken != scene).any(), trick
    np.testing.assert_array_equal(photograph(scene, STILL, np.random.default_rng(2)), scene)


@pytest.mark.parametrize("wrong", [{"size": 100}, {"figures": (2.0, 1.0)}, {"near": (0.0, 1.0)}, {"crowd": 1.5}])
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PictureConfig(**wrong)
