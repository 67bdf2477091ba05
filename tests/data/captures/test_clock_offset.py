"""Clocks of several cameras, told from the motion that all of them see."""

import numpy as np
import pytest

from humanpt.data.captures.clock_offset import MotionTrace, estimate_offsets, motion_trace
from humanpt.data.frame import ArrayFrame
from humanpt.data.video import open_clip
from tests import rigs, stage

FRAME = 1 / 60


def shipped(*cameras):
    """The motion of some of the four shipped cameras, 60 frames per second, 1.7 s."""
    videos = rigs.EXAMPLES / "pose2sim_single" / "videos"
    return [motion_trace(open_clip(videos / f"cam0{i}.mp4").frames(), 60.0) for i in cameras]


@pytest.fixture(scope="module")
def real():
    """Two real cameras that were in step."""
    return shipped(1, 2)


@pytest.fixture(scope="module")
def all_real():
    """All four."""
    return shipped(1, 2, 3, 4)


@pytest.fixture(scope="module")
def made():
    """Two cameras on a walking figure, of 25 and 60 frames per second; the second begins 0.6 s later."""
    first, second = stage.rig()[:2]
    traces = []
    for camera, rate, start in ((first, 25, 0.0), (second, 60, 0.6)):
        moments = start + np.arange(round(4 * rate)) / rate
        pictures, _ = stage.film(camera, moments, background=rate)
        frames = [ArrayFrame(i, i / rate, picture) for i, picture in enumerate(pictures)]
        traces.append(motion_trace(frames, 60.0))
    return traces


def started_late(trace, seconds):
    """The clip without its beginning."""
    kept = trace.times > seconds
    return MotionTrace(times=trace.times[kept] - seconds, amount=trace.amount[kept], height=trace.height[kept])


def offsets(traces, **changes):
    rules = {"longest": 10.0, "confidence": 0.2, "smallest": 0.0, **changes}
    return estimate_offsets(traces, **rules)


def test_real_cameras_that_were_in_step_are_found_so(real):
    found = offsets(real, smallest=0.05)
    assert [offset.seconds for offset in found] == [0.0, 0.0]
    assert abs(found[1].measured) < 1.5 * FRAME
    assert found[0].confidence == found[1].confidence > 0.4


def assert_shift_is_found(traces, camera, frames):
    cut = [started_late(trace, frames * FRAME) if i == camera else trace for i, trace in enumerate(traces)]
    before = np.array([offset.measured for offset in offsets(traces)])
    after = np.array([offset.measured for offset in offsets(cut)])
    expected = np.zeros(len(traces))
    expected[camera] = frames * FRAME
    np.testing.assert_allclose(after - before, expected - expected[0], atol=FRAME)


@pytest.mark.parametrize("frames", [6, 12, 20, 30])
def test_frames_cut_off_at_the_start_are_found_again_within_one_frame(real, frames):
    assert_shift_is_found(real, 1, frames)


@pytest.mark.slow
@pytest.mark.parametrize("camera", range(4))
@pytest.mark.parametrize("frames", [6, 12, 20, 30])
def test_each_of_four_cameras_is_found_again_within_one_frame(all_real, camera, frames):
    assert_shift_is_found(all_real, camera, frames)


@pytest.mark.slow
def test_the_answer_does_not_depend_on_the_order_of_the_cameras(all_real):
    forward, backward = offsets(all_real), offsets(all_real[::-1])[::-1]
    measured = np.array([offset.measured for offset in backward])
    np.testing.assert_allclose(measured - measured[0], [offset.measured for offset in forward], atol=0.25 * FRAME)


def test_clips_of_other_rates_are_compared_in_seconds(made):
    found = offsets(made)[1]
    assert found.confidence > 0.3
    assert found.seconds == pytest.approx(0.6, abs=1 / 25)


def test_clips_of_different_scenes_are_not_trusted(real, made):
    for one in real:
        for other in made:
            assert all(offset.seconds == 0 and offset.confidence < 0.2 for offset in offsets([one, other]))


def test_a_camera_that_is_not_trusted_stays_at_zero_and_does_not_move_the_others(real, made):
    alone = offsets(made)
    with_stranger = offsets([made[0], real[0], made[1]])
    assert with_stranger[1].seconds == 0
    assert with_stranger[2].seconds == pytest.approx(alone[1].seconds, abs=0.01)


def test_where_nothing_moves_nothing_is_known():
    still = [ArrayFrame(i, i / 25, np.full((48, 64, 3), 90, np.uint8)) for i in range(50)]
    found = offsets([motion_trace(still, 60.0), motion_trace(still, 60.0)])
    assert [(offset.seconds, offset.confidence) for offset in found] == [(0.0, 0.0)] * 2


def test_clips_too_short_to_compare_are_taken_as_they_are(real):
    short = MotionTrace(times=np.array([0.1]), amount=np.zeros(1), height=np.zeros(1))
    assert [offset.seconds for offset in offsets([short, short])] == [0.0, 0.0]
    assert offsets([real[0], short])[1].confidence == 0.0
    assert len(offsets([real[0]])) == 1


def test_reading_ends_after_the_time_asked_for(real):
    videos = rigs.EXAMPLES / "pose2sim_single" / "videos"
    assert motion_trace(open_clip(videos / "cam01.mp4").frames(), 0.2).times[-1] < 0.2
