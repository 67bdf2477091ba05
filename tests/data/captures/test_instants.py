"""Frames of the same instant from clips of any rate, length and start."""

import numpy as np

from humanpt.data.captures.instants import SideBySide
from humanpt.data.frame import ArrayFrame, Clip

GREY = np.zeros((4, 4, 3), np.uint8)


class MadeClip(Clip):
    """A clip whose frames carry nothing but their time."""

    def __init__(self, rate, count, times=None):
        self.rate = rate
        self.times = np.arange(count) / rate if times is None else times
        self.closed = False

    def frames(self):
        try:
            for number, time in enumerate(self.times):
                yield ArrayFrame(number, float(time), GREY)
        finally:
            self.closed = True


def read(clips, offsets=None, *, rate=100.0, slack=0.02, times=None):
    """All instants: their times, and each camera's frame numbers, -1 for none."""
    reader = SideBySide(clips, offsets or [0.0] * len(clips), times or [None] * len(clips), rate, slack)
    found = [(time, [-1 if f is None else f.number for f in frames]) for time, frames in reader]
    return np.array([time for time, _ in found]), [numbers for _, numbers in found], reader


def test_cameras_in_step_give_every_frame_together():
    times, numbers, reader = read([MadeClip(25, 10), MadeClip(25, 10), MadeClip(25, 10)])
    assert numbers == [[i, i, i] for i in range(10)]
    np.testing.assert_allclose(times, np.arange(10) / 25)
    assert reader.frames == [10, 10, 10]


def test_no_more_instants_than_asked_for():
    _, numbers, reader = read([MadeClip(50, 100), MadeClip(50, 100)], rate=10)
    assert numbers == [[5 * i, 5 * i] for i in range(20)]
    assert reader.frames == [100, 100]


def test_an_instant_between_two_frames_is_the_same_frame_in_all_clips():
    _, numbers, _ = read([MadeClip(30, 60), MadeClip(30, 60)], rate=20)  # every other instant lies just between two
    assert all(first == second for first, second in numbers)


def test_the_slowest_clip_leads_and_the_others_follow_within_half_their_step():
    slow, quick = MadeClip(20, 20), MadeClip(60, 60)
    times, numbers, _ = read([quick, slow])
    assert [second for _, second in numbers] == list(range(20))
    np.testing.assert_allclose([first / 60 for first, _ in numbers], times, atol=1 / 120 + 1e-9)


def test_clocks_are_set_by_their_offsets():
    _, numbers, _ = read([MadeClip(25, 20), MadeClip(25, 20)], [0.0, 0.2])  # the second began 5 frames later
    assert numbers == [[i + 5, i] for i in range(15)]


def test_times_that_are_known_overrule_the_clock():
    known = [np.arange(8) / 10, np.array([0.2, 0.3, 0.5, 0.6])]  # a frame is missing from the second
    _, numbers, _ = read([MadeClip(25, 8), MadeClip(25, 4)], times=known)
    assert numbers == [[2, 0], [3, 1], [5, 2], [6, 3]]


def test_frames_too_far_from_the_instant_do_not_belong_to_it():
    first, second = MadeClip(10, 10), MadeClip(10, 10, times=np.arange(10) / 10 + 0.04)
    assert read([first, second], rate=10, slack=0.03)[1] == []
    assert len(read([first, second], rate=10, slack=0.05)[1]) == 10


def test_who_ends_early_leaves_the_others_to_go_on():
    clips = [MadeClip(25, 5), MadeClip(25, 12), MadeClip(25, 10)]
    _, numbers, _ = read(clips)
    assert numbers == [[i if i < 5 else -1, i, i] for i in range(10)]
    assert all(clip.closed for clip in clips)


def test_what_only_one_camera_saw_is_passed_over():
    assert read([MadeClip(25, 5), MadeClip(25, 0)])[1] == []


def test_a_gap_in_one_clip_is_a_gap_for_that_camera_alone():
    times = np.delete(np.arange(20) / 25, [7, 8, 9])
    _, numbers, _ = read([MadeClip(25, 20), MadeClip(25, 0, times=times), MadeClip(25, 20)])
    assert [i for i, row in enumerate(numbers) if row[1] == -1] == [7, 8, 9]
    assert [row[0] for row in numbers] == list(range(20))
