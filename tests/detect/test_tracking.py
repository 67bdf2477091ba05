"""Tracks through crossings, occlusions and cuts."""

import json

import numpy as np
import pytest

from humanpt.detect.detector import Detections
from humanpt.detect.tracking import TrackConfig, Tracker
from humanpt.errors import ConfigError

RATE = 25


def found(*boxes, kinds=None, ids=()):
    """Detections of centres and sizes (x, y, w, h)."""
    edges = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for x, y, w, h in boxes]
    return Detections(
        boxes=np.array(edges, np.float32).reshape(-1, 4),
        scores=np.ones(len(boxes), np.float32),
        kinds=tuple(kinds or ["body"] * len(boxes)),
        ids=tuple(ids),
    )


def follow(tracker, frames):
    """The tracker's answers to frames at 25 per second."""
    return [tracker.update(number / RATE, frame) for number, frame in enumerate(frames)]


def walker(x, speed, number):
    return (x + speed * number, 100, 40, 120)


def test_two_people_who_cross_keep_their_ids():
    tracker = Tracker()
    frames = [found(walker(50, 4, n), walker(250, -4, n)) for n in range(50)]
    assert {frame.ids for frame in follow(tracker, frames)} == {(0, 1)}
    assert tracker.tracks == 2
    assert tracker.jumps == 0


def test_the_order_of_detections_does_not_matter():
    rng = np.random.default_rng(0)
    tracker = Tracker()
    for number in range(50):
        people = [walker(50, 4, number), walker(253, -4, number), (150, 300, 50, 90)]
        order = rng.permutation(3) if number else np.arange(3)
        ids = tracker.update(number / RATE, found(*[people[i] for i in order])).ids
        assert ids == tuple(order)


def test_people_who_hide_each_other_where_they_cross_keep_their_ids():
    frames = [found(walker(50, 4, n), *([] if 22 <= n <= 28 else [walker(250, -4, n)])) for n in range(50)]
    answers = follow(Tracker(), frames)
    assert {frame.ids for frame in answers} == {(0, 1), (0,)}


def test_a_short_occlusion_is_bridged_along_the_motion():
    tracker = Tracker()
    frames = [found(*([] if 10 <= n < 18 else [walker(50, 8, n)])) for n in range(30)]
    answers = follow(tracker, frames)
    assert tracker.tracks == 1
    assert not any(frame.ended for frame in answers)
    assert tracker.finish() == (0,)


def test_a_long_absence_ends_the_track_once():
    tracker = Tracker(TrackConfig(max_missed=0.22))
    frames = [found(*([] if 10 <= n < 25 else [walker(50, 0, n)])) for n in range(30)]
    answers = follow(tracker, frames)
    assert [n for n, frame in enumerate(answers) if frame.ended] == [15]  # 6 frames after it was seen last, in frame 9
    assert answers[15].ended == (0,)
    assert answers[25].ids == (1,)
    assert tracker.finish() == (1,)
    assert tracker.finish() == ()
    assert tracker.jumps == 0


@pytest.mark.parametrize("after", [(400, 300, 40, 120), (50, 100, 90, 270), (50, 100, 15, 45)])
def test_a_box_that_jumps_or_changes_its_size_ends_the_track_and_is_counted(after):
    tracker = Tracker()
    answers = follow(tracker, [found((50, 100, 40, 120))] * 5 + [found(after)] * 5)
    assert [frame.ids for frame in answers] == [(0,)] * 5 + [(1,)] * 5
    assert answers[5].ended == (0,)
    assert tracker.jumps == 1


def test_a_cut_ends_every_track():
    tracker = Tracker()
    before, after = found((50, 100, 40, 120), (200, 100, 40, 120)), found((400, 300, 60, 90), (600, 300, 60, 90))
    answers = follow(tracker, [before, before, after])
    assert answers[2].ended == (0, 1)
    assert answers[2].ids == (2, 3)
    assert tracker.jumps == 2


def test_a_quick_hand_whose_boxes_hardly_overlap_is_one_track():
    tracker = Tracker()
    follow(tracker, [found((100 + 36 * n, 100, 40, 40), kinds=["hand"]) for n in range(10)])
    assert tracker.tracks == 1


def test_somebody_who_comes_later_gets_the_next_id():
    tracker = Tracker()
    frames = [found(walker(50, 2, n), *([walker(300, 0, n)] if n >= 3 else [])) for n in range(6)]
    assert [frame.ids for frame in follow(tracker, frames)] == [(0,)] * 3 + [(0, 1)] * 3


def test_a_left_hand_never_becomes_a_right_one_and_a_hand_of_unknown_side_takes_the_side_it_shows():
    tracker = Tracker()
    here = (50, 50, 30, 30)
    kinds = ["hand", "hand", "hand_left", "hand", "hand_right", "body"]
    answers = follow(tracker, [found(here, kinds=[kind]) for kind in kinds])
    assert [frame.ids for frame in answers] == [(0,)] * 4 + [(1,), (2,)]
    assert tracker.jumps == 0


def test_ids_from_a_file_are_believed_across_gaps_and_jumps():
    tracker = Tracker()
    ids = []
    for time, box in ((0.0, (50, 50, 30, 60)), (0.04, (400, 50, 30, 60)), (5.0, (90, 90, 30, 60))):
        ids.append(tracker.update(time, found(box, (50, 50, 30, 60), ids=(7, 3))).ids)
    assert ids == [(0, 1)] * 3
    assert tracker.tracks == 2
    assert tracker.jumps == 0
    assert tracker.finish() == (0, 1)


def test_an_id_given_twice_in_a_frame_is_a_callers_mistake():
    with pytest.raises(ValueError, match="with the id 7"):
        Tracker().update(0.0, found((50, 50, 30, 60), (90, 50, 30, 60), ids=(7, 7)))


def test_many_ids_from_a_file_cost_no_more_each():
    tracker = Tracker()
    for n in range(2000):
        assert tracker.update(n / 25, found((50, 50, 30, 60), ids=(n,))).ids == (n,)
    assert tracker.tracks == 2000
    assert not tracker._live


def test_the_walker_of_the_sample_is_one_track_per_camera(samples):
    truth = json.loads((samples / "synthetic" / "walk2cam" / "gt.json").read_text())
    for boxes in np.array(truth["boxes"], np.float32):
        tracker = Tracker()
        for number, box in enumerate(boxes):
            one = Detections(boxes=box[None], scores=np.ones(1, np.float32), kinds=("body",))
            assert tracker.update(number / truth["fps"], one).ids == (0,)
        assert tracker.jumps == 0


def test_frames_of_one_time_and_empty_clips_are_taken():
    tracker = Tracker()
    assert tracker.update(0.0, Detections.none()).ids == ()
    for _ in range(3):
        assert tracker.update(1.0, found((50, 50, 30, 60))).ids == (0,)
    with pytest.raises(ValueError, match="order of time"):
        tracker.update(0.5, Detections.none())
    assert Tracker().finish() == ()


def test_rare_frames_do_not_break_a_track():
    tracker = Tracker()
    for number in range(4):
        assert tracker.update(2.0 * number, found((50, 50, 30, 60))).ids == (0,)


@pytest.mark.parametrize("wrong", [{"min_iou": 0.0}, {"max_missed": -1.0}, {"max_jump": 0.0}, {"smoothing": 1.0}])
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrackConfig(**wrong)
