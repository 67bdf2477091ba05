"""Evenly spaced frames out of pictures that come when they come."""

import numpy as np
import pytest
import torch

from humanpt.geometry.rotations import geodesic_distance, rotvec_to_rotmat
from humanpt.live.animation_files import STILL_RATE, between, evenly


def turning(times, speed=1.3):
    """Somebody who turns and walks steadily."""
    axis = torch.tensor([0.0, 0.6, 0.8], dtype=torch.float64)
    pose = rotvec_to_rotmat(torch.as_tensor(times)[:, None] * speed * axis)[:, None].expand(-1, 3, -1, -1)
    return pose, np.asarray(times)[:, None] * np.array([1.0, 0.5, -0.25])


def made_even(times, pose, root):
    rate, places = evenly(np.asarray(times, np.float64))
    return rate, *between(pose, root, places)


def test_even_times_keep_every_frame_as_it_is():
    times = np.round(np.arange(20) / 30, 3)  # a film's clock of milliseconds
    pose, root = turning(times)
    rate, found, places = made_even(times, pose, root)
    np.testing.assert_allclose(rate, 30, rtol=0.02)
    assert torch.equal(found, pose)
    np.testing.assert_array_equal(places, root)


def test_uneven_times_follow_the_same_movement():
    times = 5 + np.cumsum(np.random.default_rng(0).uniform(0.02, 0.06, 40))
    times[25:] += 0.7  # somebody was away
    rate, found, places = made_even(times, *turning(times))
    wanted = times[0] + np.arange(len(found)) / rate
    assert abs(wanted[-1] - times[-1]) < 1 / rate
    inside = wanted <= times[-1]
    pose, root = turning(wanted[inside])
    assert geodesic_distance(found[inside], pose).max() < 1e-6
    np.testing.assert_allclose(places[inside], root, atol=1e-9)


@pytest.mark.parametrize("times", [(0, 0.1, 0.133), (0, 0.033, 0.2), (0, 0.03, 0.06, 0.26, 0.46), (0, 5)])
def test_few_frames_with_as_many_pauses_as_steps_have_a_rate_too(times):
    rate, pose, _ = made_even(times, *turning(np.array(times)))
    assert min(np.diff(times)) <= 1 / rate <= max(np.diff(times))
    assert len(pose) >= 2


def test_frames_that_come_in_bursts_do_not_set_the_rate():
    times = np.sort(np.concatenate((np.arange(200) * 0.133, np.arange(200) * 0.133 + 0.002)))
    rate, pose, _ = made_even(times, *turning(times))
    assert 10 < rate < 40
    assert len(pose) < 3 * len(times)


def test_a_single_frame_has_some_rate():
    rate, pose, _ = made_even([3.0], *turning(np.array([3.0])))
    assert rate == STILL_RATE
    assert len(pose) == 1
