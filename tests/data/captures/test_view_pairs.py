"""Which cameras are paired at an instant."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from humanpt.data.captures.rules import CaptureConfig, CaptureRules
from humanpt.data.captures.view_pairs import VIEW_REASONS, VIEW_TIPS, ViewPairChooser, rotations
from humanpt.data.pairs import Candidate, PairConfig
from tests import rigs
from tests.scenes import texture


@dataclass
class MadeCut:
    """A picture at hand."""

    candidate: Candidate


def picture(seed, shift=0):
    crop = texture(seed, 160, 128)[:, 16 + shift : 144 + shift]
    return MadeCut(
        Candidate(
            frame=0,
            timestamp=0.0,
            crop=np.ascontiguousarray(crop),
            quality=90,
            mask=np.ones((64, 64), bool),
            box=np.float32([10, 10, 100, 100]),
            square=np.float32([0, 0, 110, 110]),
            score=1.0,
            mask_kind="box",
            side="none",
        )
    )


def chooser(degrees=(0, 30, 60, 90), seed=0, **rules):
    cameras = rigs.rig(degrees, lens=()) if degrees else [None] * 4
    rejected = Counter()
    config = CaptureConfig(seed=seed, capture=CaptureRules(**rules), pairs=PairConfig(every=0.2))
    return ViewPairChooser(config, "scene", cameras, rejected), rejected


def cuts(cameras=(0, 1, 2, 3), shift=0):
    return {camera: picture(camera, shift) for camera in cameras}


def both(chosen):
    return sorted(tuple(sorted((pair.camera1, pair.camera2))) for pair in chosen)


def test_cameras_are_paired_by_the_rotation_between_them():
    choose, rejected = chooser((0, 5, 50, 130))
    expected = [(i, j) for i, j in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)) if 10 <= choose.angles[i, j] <= 75]
    assert choose.near([3, 1, 0, 2]) == expected == [(0, 2), (1, 2)]
    assert rejected["angle"] == 4


def test_the_angle_is_that_of_the_rotation():
    level = rigs.rig((0, 30, 90), lens=(), height=0.0)
    angles = rotations([*level, None])
    np.testing.assert_allclose([angles[0, 1], angles[2, 0], angles[1, 2]], [30, 90, 60])
    assert np.isnan(angles[3]).all()
    assert np.isnan(angles[1, 1])


def test_cameras_of_unknown_place_are_all_paired():
    choose, rejected = chooser(())
    assert len(choose.near([0, 1, 2])) == 3
    assert rejected["angle"] == 0


def test_who_is_seen_by_one_camera_alone_is_counted():
    choose, rejected = chooser()
    assert choose.near([2]) == []
    assert rejected == Counter({"one view": 1, "angle": 0})


def test_an_instant_gives_no_more_pairs_than_asked_for():
    choose, rejected = chooser(per_instant=2)
    assert len(choose.choose(0.0, 0, choose.near([0, 1, 2, 3]), cuts())) == 2
    assert rejected["enough"] == 3  # of 0-30, 0-60, 30-60, 30-90 and 60-90


def test_all_pairs_of_cameras_get_their_turn():
    choose, _ = chooser(per_instant=1)
    pairs = [both(choose.choose(k * 0.2, 0, choose.near([0, 1, 2, 3]), cuts(shift=(-12, 12)[k % 2]))) for k in range(5)]
    assert len({pair[0] for pair in pairs}) == 5


def test_who_stands_still_is_not_paired_again_by_the_same_cameras():
    choose, rejected = chooser((0, 40), min_change=0.05)
    near = choose.near([0, 1])
    assert len(choose.choose(0.0, 0, near, cuts((0, 1)))) == 1
    assert choose.choose(0.2, 0, near, cuts((0, 1))) == []
    assert rejected["near-duplicate"] == 1
    assert len(choose.choose(0.4, 0, near, cuts((0, 1), shift=14))) == 1


def test_a_change_in_one_of_the_two_views_is_enough():
    choose, _ = chooser((0, 40))
    near = choose.near([0, 1])
    choose.choose(0.0, 0, near, cuts((0, 1)))
    assert len(choose.choose(0.2, 0, near, {0: picture(0), 1: picture(1, shift=14)})) == 1


def test_subjects_are_asked_for_at_the_rate_of_pictures():
    choose, _ = chooser()
    assert [choose.due(0, t / 15) for t in range(7)] == [True, False, False, True, False, False, True]
    assert choose.due(1, 0.05)


def test_only_pictures_that_come_into_question_are_cut():
    choose, _ = chooser((0, 40, 80), per_instant=1)
    asked = []

    class Counted:
        def __init__(self, camera):
            self.camera = camera

        @property
        def candidate(self):
            asked.append(self.camera)
            return picture(self.camera).candidate

    choose.choose(0.0, 0, choose.near([0, 1, 2]), {camera: Counted(camera) for camera in (0, 1, 2)})
    assert len(set(asked)) == 2


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_makes_the_same_choice(seed):
    first, second = (chooser(per_instant=2, seed=seed)[0] for _ in range(2))
    for instant in (0.0, 0.2):
        one, two = (
            c.choose(instant, 3, c.near([0, 1, 2, 3]), cuts(shift=round(20 * instant))) for c in (first, second)
        )
        assert [(p.camera1, p.camera2) for p in one] == [(p.camera1, p.camera2) for p in two]


def test_either_camera_may_be_the_one_that_is_completed():
    choose, _ = chooser((0, 40), min_change=0.0)
    near = choose.near([0, 1])
    firsts = {choose.choose(k * 0.2, 0, near, cuts((0, 1)))[0].camera1 for k in range(12)}
    assert firsts == {0, 1}


def test_every_reason_has_a_tip():
    assert VIEW_REASONS.keys() == VIEW_TIPS.keys()
