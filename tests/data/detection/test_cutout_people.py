"""Cut-outs of generated people: the right hand is the right hand, and a number means one person."""

import numpy as np
import pytest
import torch

from humanpt.data.detection import cutout_people
from humanpt.data.detection.cutout_people import CutOutConfig, make_cutouts
from humanpt.data.detection.cutouts import LEFT, PERSON, RIGHT, CutOuts, Framing, part_name
from humanpt.errors import ConfigError

SMALL = CutOutConfig(figures=1, parts=1, hands=1, lone_hands=2, rooms=1.0, size=64)


@pytest.fixture(scope="module")
def maker():
    return cutout_people._Maker(SMALL)


@pytest.fixture(scope="module")
def person(maker):
    with torch.no_grad():
        return maker.of_person(7)


def test_left_is_what_the_left_hands_bones_move(maker):
    body = maker.body
    for label, end in ((LEFT, ".L"), (RIGHT, ".R")):
        joints = body.vertex_joint[body.faces[maker.body_label == label].unique()]
        names = [body.layout.joint_names[joint] for joint in joints.tolist()]
        assert np.mean([name.endswith(end) for name in names]) == 1
        assert np.mean([name.startswith(("wrist", "finger", "metacarpal")) for name in names]) > 0.9


def test_a_person_is_shown_as_asked(person):
    framings = [cutout.framing for cutout in person]
    assert framings.count(Framing.FIGURE) == 1
    assert framings.count(Framing.ROOM) == 1
    figure = person[framings.index(Framing.FIGURE)]
    assert figure.cut == (False,) * 4
    assert (figure.label == PERSON).mean() > 0.1
    assert max(figure.label.shape) <= 64
    for cutout in person:
        assert cutout.person == 7
        # A label is of the pixel's middle, alpha of its area; they part at the outline alone.
        assert not (cutout.label > 0).any() or (cutout.rgba[..., 3][cutout.label > 0] > 0).mean() > 0.97
        assert all(0 <= share <= 1 for share in cutout.seen)


def test_a_lone_hand_is_of_one_side_and_mostly_seen(person):
    lone = [cutout for cutout in person if cutout.framing == Framing.HAND][-2:]
    sides = {side for cutout in lone for side in (LEFT, RIGHT) if (cutout.label == side).any()}
    assert len(sides) == 1
    side = sides.pop()
    assert max(cutout.seen[side - LEFT] for cutout in lone) > 0.3
    assert all(cutout.seen[RIGHT - side] == 0 for cutout in lone)


def test_a_number_means_one_person(maker, person):
    with torch.no_grad():
        again, other = maker.of_person(7), maker.of_person(8)
    assert len(again) == len(person)
    for one, two in zip(person, again, strict=True):
        np.testing.assert_array_equal(one.rgba, two.rgba)
        np.testing.assert_array_equal(one.label, two.label)
    assert other[0].rgba.shape != person[0].rgba.shape or (other[0].rgba != person[0].rgba).any()


def test_parts_are_written_person_by_person(tmp_path, maker, monkeypatch):
    monkeypatch.setattr(cutout_people, "_Maker", lambda config: maker)
    told = []
    make_cutouts(3, 2, SMALL, tmp_path / part_name(3), lambda: told.append(1))
    cutouts = CutOuts(tmp_path)
    assert set(cutouts.person.tolist()) == {3, 4}
    assert len(told) == 2


@pytest.mark.parametrize("wrong", [{"people": 0}, {"figures": -1}, {"holding": 1.5}, {"size": 8}])
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigError, match="cutouts"):
        CutOutConfig(**wrong)
