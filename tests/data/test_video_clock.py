"""Numbers and times of pictures whose timestamps are missing, repeated or out of order."""

from fractions import Fraction

import pytest

from humanpt.data.video_clock import FrameClock


def places(stamps, **options):
    clock = FrameClock(Fraction(1, 100), step=0.04, **{"timed": True, "indexed": False, **options})
    return [clock.place(pts, None) for pts in stamps]


def test_time_starts_at_the_first_picture():
    assert places([500, 504, 510]) == [(0, 0.0), (1, 0.04), (2, 0.1)]


def test_a_missing_timestamp_is_one_step_after_the_last():
    assert places([500, None, 509]) == [(0, 0.0), (1, pytest.approx(0.04)), (2, 0.09)]
    assert [time for _, time in places([None, None, None])] == pytest.approx([0, 0.04, 0.08])


def test_a_repeated_timestamp_moves_on_a_little_and_shifts_nothing_after_it():
    times = [time for _, time in places([0, 4, 4, 4, 8])]
    assert times == sorted(set(times))
    assert times[-1] == 0.08


def test_timestamps_that_cannot_be_believed_are_replaced_by_the_rate():
    assert [time for _, time in places([1, 3, 4, 2], timed=False)] == pytest.approx([0, 0.04, 0.08, 0.12])
