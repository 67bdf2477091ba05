"""Every detector meets the contract, and a wrong name is answered with the right one."""

import pickle

import numpy as np
import pytest

from humanpt.detect.choose import check_detector, make_detector
from humanpt.detect.detector import DetectConfig, Detections, kind_of
from humanpt.errors import ConfigError, InputError


@pytest.fixture
def spec(request, tmp_path, tiny_onnx):
    """A detector's specification, its files written beforehand."""
    if request.param == "boxes":
        rows = ["frame,x1,y1,x2,y2", "1,-0.5,-0.5,0.5,0.5", "2,1,2,11,22", "2,31,2,41,22"]
        file = tmp_path / "boxes.csv"
        file.write_text("\n".join(rows))
        return f"boxes:{file}"
    if request.param == "onnx":
        rows = np.zeros((1, 3, 6), np.float32)
        rows[0, :2] = [[8, 8, 24, 40, 0.9, 0], [36, 8, 52, 40, 0.8, 0]]
        return f"onnx:{tiny_onnx({'output0': rows}, size=(64, 64), names={0: 'person'})}"
    return request.param


every_detector = pytest.mark.parametrize("spec", ["full", "boxes", "onnx", "motion", "own", "auto"], indirect=True)


def check(found, frame):
    count = len(found)
    assert found.boxes.shape == (count, 4)
    assert found.boxes.dtype == np.float32
    assert found.scores.shape == (count,)
    assert len(found.kinds) == len(found.masks) == len(found.ids) == count
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    assert (found.boxes >= -0.5).all()
    assert (found.boxes <= [frame.width - 0.5, frame.height - 0.5] * 2).all()
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    assert set(found.kinds) <= {"body"}


@every_detector
def test_an_empty_frame_a_tiny_one_and_several_people_meet_the_contract(spec, frame):
    detector = make_detector(spec, "body")
    for number, (width, height) in enumerate([(64, 48), (1, 1), (64, 48)]):
        detector.start(
            f"clip{number}.mp4" if detector.name in ("full", "motion", "own", "auto") else "clip.mp4", width, height
        )
        picture = frame(width, height, number=number)
        check(detector.detect(picture), picture)
    assert detector.remark is None


@pytest.mark.parametrize("spec", ["boxes", "onnx"], indirect=True)
def test_several_people_come_as_several_boxes(spec, frame):
    detector = make_detector(spec, "body")
    detector.start("clip.mp4", 64, 48)
    assert len(detector.detect(frame(number=2))) == 2


@pytest.mark.parametrize("spec", ["full", "boxes", "onnx", "own"], indirect=True)
def test_a_detector_survives_the_way_to_a_worker_process(spec, frame):
    first = make_detector(spec, "body")
    second = pickle.loads(pickle.dumps(first))
    for detector in (first, second):
        detector.start("clip.mp4", 64, 48)
    np.testing.assert_array_equal(first.detect(frame(number=2)).boxes, second.detect(frame(number=2)).boxes)


def test_full_gives_the_whole_frame(frame):
    found = make_detector("full", "hand").detect(frame(7, 5))
    np.testing.assert_array_equal(found.boxes, [[-0.5, -0.5, 6.5, 4.5]])
    assert found.scores == 1
    assert found.kinds == ("hand",)


def test_auto_is_our_own_network_helped_by_motion():
    detector = make_detector("auto", "hand")
    assert (detector.name, detector.own.name, detector.motion.name) == ("auto", "own", "motion")


@pytest.mark.parametrize(
    ("spec", "near"), [("moton", "motion"), ("boxes", "boxes:FILE"), ("onnx:", "onnx:FILE"), ("ful", "full"), ("", "")]
)
def test_an_unknown_detector_is_refused_with_the_choices_and_the_nearest(spec, near):
    with pytest.raises(ConfigError, match=f"did you mean {near}.*auto, own, motion, full, boxes:FILE, onnx:FILE"):
        make_detector(spec, "body")


def test_files_and_clips_are_checked_before_any_clip_is_read(tmp_path):
    file = tmp_path / "boxes.csv"
    file.write_text("clip,frame,x,y,w,h\ncam0,0,1,2,3,4\n")
    check_detector("full", "body", ["anything"])
    check_detector(f"boxes:{file}", "body", ["walk/cam0.mp4", "walk/cam1.mp4"])
    with pytest.raises(InputError, match=r"boxes.csv: has the clips cam0, but not walk/cam2.mp4"):
        check_detector(f"boxes:{file}", "body", ["walk/cam2.mp4"])
    with pytest.raises(InputError, match="cannot be read"):
        check_detector(f"boxes:{tmp_path / 'missing.csv'}", "body", [])


def test_words_for_kinds_are_understood_in_every_spelling():
    assert kind_of("Person") == "body"
    assert kind_of("Left-Hand") == kind_of("left hand") == kind_of("hand_left") == "hand_left"
    assert kind_of("car") is None


def test_detections_of_unequal_lengths_are_a_callers_mistake():
    with pytest.raises(ValueError, match=r"\(2, 4\)"):
        Detections(boxes=np.zeros((2, 4), np.float32), scores=np.zeros(1, np.float32), kinds=("body",))


@pytest.mark.parametrize("wrong", [{"min_score": 1.5}, {"max_overlap": -0.1}, {"input_size": 100}, {"threads": 0}])
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DetectConfig(**wrong)
