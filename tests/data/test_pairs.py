from collections import Counter

import cv2
import numpy as np
import pytest

from humanpt.data.pairs import REASONS, Candidate, PairChooser, PairConfig
from humanpt.errors import ConfigError

TEXTURE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (512, 512, 3)).astype(np.uint8), (0, 0), 3)
RULES = PairConfig(crop_size=128)


def candidate(time, place):
    """A crop whose subject is `place` pixels of 128 to the right of where it was at place 0."""
    crop = np.ascontiguousarray(TEXTURE[100:228, 100 + place : 228 + place])
    box = np.float32([0, 0, 100, 100])
    return Candidate(
        frame=round(time * 100),
        timestamp=time,
        crop=crop,
        quality=90,
        mask=np.ones((64, 64), np.bool_),
        mask_kind="box",
        box=box,
        square=box,
        score=1.0,
        side="none",
    )


def choose(steps, rules=RULES, seed=0, clip="clip", track=0):
    """Offer (time, place) steps; the pairs found and the counts of what was not taken."""
    rejected = Counter()
    chooser = PairChooser(rules, seed, clip, track, rejected)
    offered = [chooser.offer(candidate(time, place)) for time, place in steps if chooser.due(time)]
    return [pair for pairs in offered for pair in pairs], rejected


def walk(count, every=0.2, stride=7):
    return [(i * every, i % 2 * stride + i % 3 * stride) for i in range(count)]


def test_pairs_keep_the_rules():
    pairs, _ = choose(walk(40))
    assert len(pairs) > 20
    for pair in pairs:
        assert RULES.min_gap <= abs(pair.image1.timestamp - pair.image2.timestamp) <= RULES.max_gap
        assert RULES.min_motion <= pair.change <= RULES.max_motion
        assert pair.image1.frame != pair.image2.frame


def test_no_pair_comes_twice_and_no_picture_too_often():
    pairs, _ = choose(walk(60))
    keys = [frozenset((pair.image1.frame, pair.image2.frame)) for pair in pairs]
    assert len(set(keys)) == len(keys)
    earlier = Counter(min(pair.image1.frame, pair.image2.frame) for pair in pairs)
    assert max(earlier.values()) <= RULES.max_uses


def test_either_moment_may_be_the_one_to_complete():
    pairs, _ = choose(walk(60))
    later_first = [pair.image1.timestamp > pair.image2.timestamp for pair in pairs]
    assert 0.2 < np.mean(later_first) < 0.8


def test_the_same_seed_chooses_the_same_pairs_and_another_does_not():
    def frames(**changes):
        return [(pair.image1.frame, pair.image2.frame) for pair in choose(walk(40), **changes)[0]]

    assert frames() == frames()
    assert frames() != frames(seed=1)
    assert frames() != frames(clip="other")
    assert frames() != frames(track=1)


def test_a_subject_that_stands_still_gives_nothing():
    pairs, rejected = choose([(i * 0.2, 0) for i in range(10)])
    assert not pairs
    assert rejected == {"alone": 1, "near-duplicate": 9}


def test_too_little_change_is_counted_as_still():
    pairs, rejected = choose([(i * 0.2, i % 2 * 3) for i in range(8)])
    assert not pairs
    assert rejected["still"] > 0


def test_too_much_change_is_counted():
    pairs, rejected = choose([(0, 0), (0.2, 20)], PairConfig(max_motion=0.1))
    assert not pairs
    assert rejected["far"] == 1


def test_a_subject_not_found_again_is_hidden():
    pairs, rejected = choose([(0, 0), (0.2, 200)], PairConfig(min_visible=0.5))
    assert not pairs
    assert rejected["hidden"] == 1


def test_a_gap_longer_than_the_rule_leaves_a_picture_alone():
    pairs, rejected = choose([(0, 0), (5, 10)])
    assert not pairs
    assert rejected["alone"] == 2


def test_pictures_are_wanted_no_more_often_than_the_rule_says():
    chooser = PairChooser(RULES, 0, "clip", 0, Counter())
    times = np.arange(0, 2, 1 / 30)
    taken = []
    for time in times:
        if chooser.due(time):
            chooser.offer(candidate(time, len(taken) % 2 * 8))
            taken.append(time)
    assert np.diff(taken) == pytest.approx(0.2)


def test_every_count_has_words():
    _, rejected = choose([*walk(20), (9, 0), (9.2, 1)])
    assert set(rejected) <= set(REASONS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_gap": 0},
        {"min_gap": 4},
        {"min_motion": 0.7},
        {"min_visible": 2},
        {"every": 0},
        {"margin": 0.5},
        {"tries": 0},
    ],
)
def test_rules_that_cannot_be_kept_are_refused(wrong):
    with pytest.raises(ConfigError, match="pairs: "):
        PairConfig(**wrong)
