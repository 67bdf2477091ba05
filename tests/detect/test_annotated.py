"""The hand-made boxes, and how detectors are counted against them."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from humanpt.data.image import read_image
from humanpt.data.video import open_clip
from humanpt.detect.detector import KIND_NAMES, Detections, serves
from tests.benchmarks.detection import SAMPLES, TRUTH, refusal, score_frame

CLIPS = json.loads(TRUTH.read_text())["clips"]
SIZE = (200, 100)
PERSON = {"kind": "body", "edges": [10, 10, 50, 90]}
POSTER = {"kind": "body", "edges": [120, 10, 160, 50], "ignore": True}
HAND = {"kind": "hand_left", "edges": [100, 10, 130, 40]}


def found(*boxes, kinds=None):
    """Detections with falling scores."""
    return Detections(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.linspace(0.9, 0.5, len(boxes), dtype=np.float32),
        kinds=tuple(kinds or ("body",) * len(boxes)),
    )


def test_boxes_lie_inside_their_pictures_and_are_of_the_subjects_promised():
    for clip in CLIPS:
        width, height = clip["size"]
        for box in (box for frame in clip["frames"] for box in frame["boxes"]):
            x1, y1, x2, y2 = box["edges"]
            assert -0.5 <= x1 < x2 <= width - 0.5, clip["file"]
            assert -0.5 <= y1 < y2 <= height - 0.5, clip["file"]
            assert box["kind"] in KIND_NAMES.values()
            assert any(serves(box["kind"], subject) for subject in clip["subjects"])


def test_every_hand_that_counts_has_a_side():
    boxes = [box for clip in CLIPS for frame in clip["frames"] for box in frame["boxes"] if not box.get("ignore")]
    assert {box["kind"] for box in boxes} == {"body", "hand_left", "hand_right"}


def test_the_samples_are_the_files_that_were_annotated():
    if not SAMPLES.is_dir():
        pytest.skip(f"no samples at {SAMPLES}")
    for clip in CLIPS:
        path = SAMPLES / clip["file"]
        if path.is_file():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == clip["sha256"], clip["file"]
        if clip["still"]:
            assert list(read_image(path).shape[1::-1]) == clip["size"]
        else:
            opened = open_clip(path)
            assert [opened.width, opened.height] == clip["size"]


def test_a_box_found_twice_is_found_once_and_false_once():
    tally = score_frame(found(PERSON["edges"], [12, 12, 52, 90]), [PERSON], "body", SIZE)
    assert (tally.subjects, tally.found, tally.false) == (1, 1, 1)


def test_a_box_is_found_from_an_overlap_of_04_on():
    near, far = [10, 10, 50, 10 + 80 * 0.41], [10, 10, 50, 10 + 80 * 0.39]
    assert score_frame(found(near), [PERSON], "body", SIZE).found == 1
    assert score_frame(found(far), [PERSON], "body", SIZE).found == 0


def test_boxes_on_what_is_ignored_count_neither_way():
    inside, beside = [130, 15, 150, 45], [165, 10, 195, 50]
    tally = score_frame(found(inside, beside), [PERSON, POSTER], "body", SIZE)
    assert (tally.subjects, tally.found, tally.false) == (1, 0, 1)


def test_the_side_is_counted_where_it_is_told():
    for kind, sided, right in (("hand_left", 1, 1), ("hand_right", 1, 0), ("hand", 0, 0)):
        tally = score_frame(found(HAND["edges"], kinds=[kind]), [HAND, PERSON], "hand", SIZE)
        assert (tally.found, tally.sided, tally.right_side) == (1, sided, right)


def test_boxes_of_the_other_subject_are_left_out():
    tally = score_frame(found(PERSON["edges"], HAND["edges"], kinds=["body", "hand_left"]), [HAND], "hand", SIZE)
    assert (tally.found, tally.false) == (1, 0)


def test_a_sample_that_is_not_there_is_told(tmp_path: Path):
    reason = refusal(CLIPS[0], tmp_path)
    assert reason is not None
    assert CLIPS[0]["file"] in reason
