import numpy as np
import pytest

from humanpt.data.frame import ArrayFrame
from humanpt.detect.motion import MotionConfig, MotionDetector
from humanpt.errors import ConfigError
from tests.scenes import SIZE, figure_box, figure_frames, texture


def look(pictures, subject="body", every=1 / 15, detector=None):
    """The detections of pictures seen one after the other, and the detector."""
    detector = detector or MotionDetector(subject)
    detector.start("clip", *SIZE)
    return [detector.detect(ArrayFrame(i, i * every, picture)) for i, picture in enumerate(pictures)], detector


def overlap(box, other):
    shared = np.prod(np.maximum(0, np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])))
    return shared / (np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2]) - shared)


def test_a_moving_figure_is_found_where_it_is():
    found, _ = look(figure_frames(40))
    overlaps = [overlap(found[i].boxes[0], np.array(figure_box(i))) for i in range(8, 40)]
    assert np.median(overlaps) > 0.6
    assert all(detections.kinds[0] == "body" and detections.mask_kind == "motion" for detections in found[8:])


def test_the_mask_covers_the_figure_more_than_the_room():
    found, _ = look(figure_frames(40))
    mask = found[30].masks[0]
    x0, y0, x1, y1 = np.array(figure_box(30)) * mask.shape[1] / SIZE[0]
    inside = mask[int(y0) : int(y1), int(x0) : int(x1)]
    assert inside.mean() > 0.4
    assert mask.sum() - inside.sum() < 0.5 * inside.sum()


def test_nothing_moves_nothing_found():
    found, _ = look(figure_frames(30, still=True))
    assert not any(len(detections) for detections in found)


def test_noise_is_not_motion():
    rng = np.random.default_rng(0)
    room = figure_frames(1, still=True)[0].astype(np.float32)
    noisy = [np.clip(room + rng.normal(0, 3, room.shape), 0, 255).astype(np.uint8) for _ in range(30)]
    assert not any(len(detections) for detections in look(noisy)[0])


def test_who_stops_is_held_for_a_while_and_then_forgotten():
    walk = figure_frames(30)
    found, _ = look(walk + [walk[-1]] * 60)
    assert len(found[35]) == 1  # a third of a second later
    assert len(found[-1]) == 0


def test_the_box_gives_way_inwards_slowly():
    found, _ = look(figure_frames(60))
    heights = np.array([detections.boxes[0][3] - detections.boxes[0][1] for detections in found[10:]])
    assert (np.diff(heights) > -2 * 0.3 * heights.max() / 15 - 2).all()


def test_a_cut_starts_the_model_anew_and_says_so():
    found, detector = look(figure_frames(20) + [255 - picture for picture in figure_frames(20, seed=9)])
    assert len(found[20]) == 0
    assert detector.resets >= 1
    assert "cut" in detector.remark
    assert len(found[35]) == 1


def test_a_small_sway_of_the_camera_is_taken_out():
    width, height = SIZE
    room = texture(3, width + 40, height + 40, 4)
    swaying = []
    for i in range(40):
        x, y = round(6 * np.sin(i / 5)) + 20, round(3 * np.cos(i / 7)) + 20
        swaying.append(np.ascontiguousarray(room[y : y + height, x : x + width]))
    found, detector = look(swaying)
    covered = [sum(np.prod(box[2:] - box[:2]) for box in detections.boxes) / (width * height) for detections in found]
    assert detector.resets == 0
    assert np.mean(np.array(covered) > 0.02) < 0.2


def test_another_clip_begins_without_memory_of_the_last():
    fresh, _ = look(figure_frames(20))
    _, detector = look(figure_frames(20, seed=5))
    again, _ = look(figure_frames(20), detector=detector)
    for one, two in zip(fresh, again, strict=True):
        np.testing.assert_array_equal(one.boxes, two.boxes)


@pytest.mark.parametrize("wrong", [{"min_area": 0.0}, {"min_area": 0.9}, {"memory": -1}, {"warm_up": 0}])
def test_thresholds_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigError, match="motion: "):
        MotionConfig(**wrong)
