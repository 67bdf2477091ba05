"""Who is followed stays the same through misses and crossings, and the detector looks only where that is needed."""

from __future__ import annotations

import numpy as np
import pytest

from humanpt.detect.detector import Detections
from humanpt.errors import ConfigError
from humanpt.live.follow import FollowConfig, Follower
from humanpt.live.sides import SideVotes

WIDTH, HEIGHT = 640, 480
SURE, DOUBTED, WEAK = 0.9, 0.35, 0.15
STEP = 1 / 30


def box_at(x, y, size=100.0):
    return np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2], np.float32)


def found(*boxes, score=SURE, kind="hand", ids=()):
    return Detections(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.full(len(boxes), score, np.float32),
        kinds=(kind,) * len(boxes),
        ids=ids,
    )


def keypoints(boxes):
    """(N, 5, 2) points that lie in boxes like those of no mirrored hand."""
    shares = np.array([[0, 0], [1, 0.2], [0.8, 1], [0.1, 0.7], [0.4, 0.5]])
    return np.array([box[:2] + shares * (box[2:] - box[:2]) for box in boxes], np.float32).reshape(-1, 5, 2)


class Play:
    """A follower whose meshes are exact, picture after picture."""

    def __init__(self, **config):
        self.follower = Follower(FollowConfig(**config))
        self.time = 0.0
        self.looks = 0

    def picture(self, truth, seen=None, *, elapsed=STEP, meshes=None):
        """Show the next picture.

        Args:
            truth: boxes of those who are there; meshes snap to the nearest within 150 pixels.
            seen: what the detector would find; None finds all.
            elapsed: seconds since the last picture.
            meshes: boxes of the meshes instead, in the order of those followed.
        """
        self.time += elapsed
        self.follower.move_on(self.time, WIDTH, HEIGHT)
        if self.follower.wants_detection(self.time):
            self.looks += 1
            self.follower.meet(self.time, found(*truth) if seen is None else seen)
        people = self.follower.people
        if people:
            boxes = [self._mesh(person.box, truth) for person in people] if meshes is None else meshes[: len(people)]
            self.follower.see(np.array(boxes, np.float32), keypoints(boxes))
        return [person.identity for person in people]

    def _mesh(self, box, truth):
        middles = np.array([(other[:2] + other[2:]) / 2 for other in truth]).reshape(-1, 2)
        away = np.linalg.norm(middles - (box[:2] + box[2:]) / 2, axis=1)
        return truth[int(away.argmin())] if len(truth) and away.min() < 150 else box


def test_the_detector_looks_at_every_picture_while_nobody_is_there():
    play = Play()
    assert [play.picture([]) for _ in range(10)] == [[]] * 10
    assert play.looks == 10


def test_a_sure_detection_is_enough_and_a_doubtful_one_needs_a_second():
    assert Play().picture([box_at(300, 200)]) == [0]
    play, here = Play(), [box_at(300, 200)]
    assert play.picture(here, found(*here, score=DOUBTED)) == []
    assert play.picture(here, found(*here, score=WEAK)) == [0]
    play = Play()
    play.picture(here, found(*here, score=DOUBTED))
    assert play.picture(here, found(box_at(500, 400), score=DOUBTED)) == []  # somewhere else
    assert Play().picture(here, found(*here, score=WEAK)) == []


def test_detection_is_rare_while_all_is_well():
    play = Play()
    for number in range(300):
        assert play.picture([box_at(300 + 40 * np.sin(number / 30), 200)]) == [0]
    assert play.looks <= 30  # of 300: twice a second, and a few at the beginning


def test_meshes_and_detections_that_disagree_make_the_detector_look_more_often():
    calm, wrong = Play(), Play()
    for _ in range(150):
        calm.picture([box_at(300, 200)])
        truth = box_at(300, 200)
        wrong.picture([truth], meshes=[truth + 35] * len(wrong.follower.people or [0]))
    assert wrong.looks > 2 * calm.looks


def test_the_crop_keeps_up_with_a_hand_that_moves_quickly():
    play = Play(every=10.0)
    for number in range(60):
        truth = box_at(100 + 8 * number, 200)  # two and a half hands a second
        assert play.picture([truth]) == [0]
        if number > 10:
            assert np.abs(play.follower.people[0].box - truth).max() < 15


def test_one_miss_ends_nothing_and_makes_the_detector_look_again_soon():
    play, here = Play(), [box_at(300, 200)]
    for _ in range(20):
        play.picture(here)
    rng = np.random.default_rng(0)
    for _ in range(300):
        seen = found(*here) if rng.random() < 0.4 else found()  # misses more than it finds
        assert play.picture(here, seen) == [0]


def test_weak_answers_confirm_only_for_a_while():
    play, here = Play(), [box_at(300, 200)]
    for _ in range(60):
        play.picture(here)
    alive = 0
    while play.picture(here, found(*here, score=WEAK)) and alive < 1000:
        alive += 1
    assert 90 < alive < 180  # three to six seconds


def test_who_is_not_seen_any_more_is_let_go_and_comes_back_as_somebody_else():
    play, here = Play(lost_after=1.2), [box_at(300, 200)]
    for _ in range(60):
        play.picture(here)
    alive = 0
    while play.picture([], found()) and alive < 1000:
        alive += 1
    assert 20 < alive <= 60  # at most the time between detections longer than lost_after
    assert play.picture(here) == [1]


def test_newcomers_that_were_a_mistake_go_sooner():
    play = Play(doubtful_after=0.3)
    play.picture([box_at(300, 200)])
    pictures = 0
    while play.picture([], found()) and pictures < 1000:
        pictures += 1
    assert pictures < 20


def test_a_slow_machine_does_not_lose_people_by_time_alone():
    play, here = Play(), [box_at(300, 200)]
    for number in range(30):
        seen = found(*here) if number % 2 else found()
        assert play.picture(here, seen, elapsed=0.9) == ([] if number == 0 else [0])


def test_two_who_cross_keep_their_identities():
    play = Play()
    for number in range(60):
        left, right = box_at(100 + 7 * number, 180), box_at(540 - 7 * number, 300)
        assert play.picture([left, right]) == [0, 1]
        one, other = play.follower.people
        assert np.abs(one.box - left).max() < 40
        assert np.abs(other.box - right).max() < 40


def test_newcomers_are_found_up_to_the_most_people():
    play, truth = Play(max_people=3), []
    for number in range(5):
        truth.append(box_at(60 + 120 * number, 200))
        for _ in range(20):
            identities = play.picture(truth)
        assert play.follower.left_out == max(0, number - 2)
    assert identities == [0, 1, 2]


def test_a_part_of_somebody_is_nobody_new():
    play, hand = Play(), box_at(300, 200)
    for _ in range(60):
        assert play.picture([hand], found(hand, box_at(280, 180, 40))) == [0]


def test_two_that_follow_the_same_hand_become_one():
    play, one, other = Play(), box_at(250, 200), box_at(400, 200)
    assert play.picture([one, other]) == [0, 1]
    for _ in range(15):
        identities = play.picture([one], found(one), meshes=[one] * len(play.follower.people))
    assert identities == [0]


def test_two_hands_over_each_other_stay_two():
    play, one, other = Play(), box_at(250, 200), box_at(400, 200)
    play.picture([one, other])
    for _ in range(30):
        one, other = one + 2 * STEP * 30, other - 2 * STEP * 30
        boxes = [one, other]
        play.time += STEP
        play.follower.move_on(play.time, WIDTH, HEIGHT)
        if play.follower.wants_detection(play.time):
            play.follower.meet(play.time, found(*boxes))
        points = keypoints(boxes)
        points[1] = points[1, ::-1]  # held otherwise
        play.follower.see(np.array(boxes), points)
    assert [person.identity for person in play.follower.people] == [0, 1]


def test_who_leaves_the_picture_is_let_go_at_once():
    play = Play()
    for number in range(80):
        identities = play.picture([box_at(600 + 10 * number, 200)] if number < 15 else [], None)
    assert identities == []
    for number in range(100):
        play.picture([box_at(500 + 15 * number, 200)], found(box_at(500, 200)) if number == 0 else found())
        if not play.follower.people:
            break
    assert number < 25


def test_a_mesh_that_leaps_is_not_followed_and_brings_the_detector():
    play, here = Play(), box_at(300, 200)
    for _ in range(40):
        play.picture([here])
    looks = play.looks
    play.picture([here], meshes=[here + 200])
    assert np.abs(play.follower.people[0].box - here).max() < 10
    assert play.follower.people[0].doubtful
    for _ in range(6):
        play.picture([here])
    assert play.looks > looks
    assert not play.follower.people[0].doubtful


def test_boxes_of_a_file_are_believed_with_their_identities():
    play = Play(trusted=True)
    one, other = box_at(200, 200), box_at(260, 200)
    assert play.picture([], found(one, other, ids=(7, 3))) == [0, 1]
    assert play.picture([], found(one, other, ids=(3, 7))) == [0, 1]  # they swapped places
    assert np.abs(play.follower.people[0].box - other).max() == 0
    assert play.picture([], found(one, ids=(3,))) == [1]
    assert play.picture([], found(one, box_at(210, 205), ids=(3, 9))) == [1, 2]
    assert play.looks == 4


def test_forgetting_does_not_give_identities_again():
    play, here = Play(), [box_at(300, 200)]
    play.picture(here)
    play.follower.forget()
    assert play.picture(here) == [1]


def test_a_side_is_told_after_some_opinions_and_taken_back_only_after_many():
    votes = SideVotes("hand")
    assert (votes.side, votes.kind) == ("unknown", "hand")
    for opinion in (0.9, 0.2, 0.9, 0.95, 0.9, 0.9, 0.95, 0.9):
        votes.vote(opinion)
    assert (votes.side, votes.kind) == ("right", "hand_right")
    for _ in range(3):
        votes.vote(0.05)
        assert votes.side == "right"
    for _ in range(20):
        votes.vote(0.05)
    assert (votes.side, votes.kind) == ("left", "hand_left")
    assert votes.contradicts("hand_right")
    assert not votes.contradicts("hand")


def test_opinions_that_are_none_tell_nothing():
    votes = SideVotes("hand")
    for number in range(50):
        votes.vote(0.4 + 0.2 * (number % 2))
    assert votes.side == "unknown"


def test_detectors_vote_for_sides_and_bodies_have_none():
    play = Play(every=0.1)
    for _ in range(30):
        play.picture([box_at(300, 200)], found(box_at(300, 200), kind="hand_left"))
    assert play.follower.people[0].sides.side == "left"
    assert (SideVotes("body").side, SideVotes("body").kind) == ("none", "body")


def test_impossible_settings_are_refused():
    for wrong, text in (
        ({"every": -1}, "times"),
        ({"max_people": 0}, "max_people"),
        ({"confirm_iou": 0}, "confirm_iou"),
    ):
        with pytest.raises(ConfigError, match=text):
            FollowConfig(**wrong)
    with pytest.raises(ConfigError, match="sure_score"):
        FollowConfig(start_score=0.6, sure_score=0.5)
