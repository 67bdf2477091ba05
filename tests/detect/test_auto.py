"""`auto`: the network, helped by what moves and by the frame before."""

import numpy as np
import pytest

from humanpt.detect import auto
from humanpt.detect.auto import AutoDetector
from humanpt.detect.detector import Detections

HERE, THERE = (10.0, 10.0, 30.0, 50.0), (60.0, 10.0, 90.0, 50.0)


def some(*boxes, kind="body", mask_kind="detector"):
    """Detections of (score, box) pairs; masks cover their boxes in a 100 x 60 picture."""
    masks = []
    for _, (x1, y1, x2, y2) in boxes:
        mask = np.zeros((60, 100), bool)
        mask[int(y1) : int(y2) + 1, int(x1) : int(x2) + 1] = True
        masks.append(mask)
    return Detections(
        boxes=np.array([box for _, box in boxes], np.float32).reshape(-1, 4),
        scores=np.array([score for score, _ in boxes], np.float32),
        kinds=(kind,) * len(boxes),
        masks=tuple(masks),
        mask_kind=mask_kind,
    )


class Script:
    """Answers frame by frame."""

    remark = None

    def __init__(self, *args):
        self.answers = []

    def start(self, *args):
        pass

    def detect(self, frame):
        return self.answers[frame.number]

    def look(self, frame, least):
        found = self.answers[frame.number]
        rows = np.flatnonzero(found.scores >= least)
        return some(*[(found.scores[i], found.boxes[i]) for i in rows], kind=found.kinds[0] if rows.size else "body")


@pytest.fixture
def run(monkeypatch, frame):
    """Answers of `auto` when network and motion say these things in frames of 0.04 s."""
    monkeypatch.setattr(auto, "OwnDetector", Script)
    monkeypatch.setattr(auto, "MotionDetector", Script)

    def go(own, moving, subject="body"):
        detector = AutoDetector(subject)
        detector.own.answers, detector.motion.answers = own, moving
        detector.start("clip.mp4", 100, 60)
        answers = [detector.detect(frame(100, 60, number=number)) for number in range(len(own))]
        return answers, detector.remark

    return go


NOTHING = some()


def test_strong_answers_pass_and_weak_ones_alone_do_not(run):
    (found,), _ = run([some((0.8, HERE), (0.2, THERE))], [NOTHING])
    np.testing.assert_array_equal(found.boxes, [HERE])


def test_a_weak_answer_where_something_moves_is_believed(run):
    (found,), _ = run([some((0.8, HERE), (0.2, THERE))], [some((0.5, THERE), mask_kind="motion")])
    np.testing.assert_array_equal(found.boxes, [HERE, THERE])
    assert found.scores[1] == np.float32(0.3)
    assert found.mask_kind == "detector"


def test_a_weak_answer_where_somebody_was_is_believed_for_a_while(run):
    weak = some((0.2, HERE))
    answers, _ = run([some((0.8, HERE)), weak, *[NOTHING] * 11, weak], [NOTHING] * 14)
    assert [len(found) for found in answers] == [1, 1, *[0] * 11, 0]


def test_a_weak_hand_is_believed_where_its_middle_moves(run):
    arm = some((0.5, (0.0, 0.0, 99.0, 59.0)), mask_kind="motion")
    (found,), _ = run([some((0.2, HERE), kind="hand_left")], [arm], subject="hand")
    assert found.kinds == ("hand_left",)


def test_what_moves_is_a_body_as_long_as_the_network_finds_nobody(run):
    moving = some((0.5, THERE), mask_kind="motion")
    answers, remark = run([NOTHING] * 20, [moving] * 20)
    assert [len(found) for found in answers] == [0] * 15 + [1] * 5
    assert answers[-1].mask_kind == "motion"
    assert "found nobody" in remark
    answers, remark = run([some((0.8, HERE)), *[NOTHING] * 19], [moving] * 20)
    assert not any(len(found) for found in answers[1:])
    assert remark is None


def test_what_moves_is_never_taken_for_a_hand(run):
    moving = some((0.5, THERE), mask_kind="motion")
    answers, remark = run([NOTHING] * 20, [moving] * 20, subject="hand")
    assert not any(len(found) for found in answers)
    assert remark is None
