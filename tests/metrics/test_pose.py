"""Known answers of the errors of key points."""

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from torch.testing import assert_close

from humanpt.geometry.rotations import rotvec_to_rotmat
from humanpt.metrics import mpjpe, pa_mpjpe
from humanpt.metrics.pose import acceleration_errors, aligned, area_under, pck_curve


@pytest.fixture
def hands():
    return torch.randn(4, 21, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.05


def test_a_shift_of_3_and_4_cm_is_5_cm_and_nothing_after_alignment(hands):
    shifted = hands + torch.tensor([0.03, 0.04, 0.0])
    assert_close(mpjpe(shifted, hands), torch.full((4,), 0.05, dtype=torch.float64))
    assert_close(pa_mpjpe(shifted, hands), torch.zeros(4, dtype=torch.float64))


def test_rotation_scale_and_shift_are_forgiven(hands):
    moved = 1.7 * hands @ rotvec_to_rotmat(torch.tensor([0.3, -2.0, 1.0], dtype=torch.float64)).mT + 3
    assert_close(pa_mpjpe(moved, hands), torch.zeros(4, dtype=torch.float64))


def test_a_mirrored_hand_is_another_hand(hands):
    assert (pa_mpjpe(hands * torch.tensor([-1.0, 1.0, 1.0]), hands) > 0.005).all()


def test_a_mirrored_hand_is_forgiven_where_reflections_are_allowed(hands):
    mirrored = hands * torch.tensor([-1.0, 1.0, 1.0])
    assert_close(pa_mpjpe(mirrored, hands, mirror=True), torch.zeros(4, dtype=torch.float64))


def test_alignment_with_reflections_is_the_orthogonal_procrustes_of_scipy(hands):
    predicted = hands + 0.02 * torch.randn(hands.shape, generator=torch.Generator().manual_seed(1), dtype=hands.dtype)
    predicted[::2] *= torch.tensor([1.0, -1.0, 1.0])
    for points, target, found in zip(predicted, hands, aligned(predicted, hands, mirror=True), strict=True):
        centred, goal = (some - some.mean(0) for some in (points, target))
        turn, sum_of_singular_values = orthogonal_procrustes(centred.numpy(), goal.numpy())
        slow = centred.numpy() @ turn * sum_of_singular_values / np.square(centred.numpy()).sum()
        assert_close(found, torch.from_numpy(slow) + target.mean(0))


def test_collapsed_points_are_as_far_as_the_centre(hands):
    far = (hands - hands.mean(dim=1, keepdim=True)).norm(dim=-1).mean(dim=-1)
    assert_close(pa_mpjpe(torch.zeros_like(hands), hands), far)


def test_other_shapes_are_refused(hands):
    with pytest.raises(ValueError, match="truth"):
        mpjpe(hands[:, :5], hands)


def test_a_shift_at_constant_velocity_has_no_acceleration_and_a_fall_its_own(hands):
    seconds = torch.arange(10, dtype=torch.float64)[:, None, None] / 30
    still = hands[:1].expand(10, -1, -1)
    assert acceleration_errors(still + 0.4 * seconds, still, 30.0).max() < 1e-9
    falling = still + torch.tensor([0.0, 9.81 / 2, 0.0], dtype=torch.float64) * seconds**2
    assert_close(acceleration_errors(falling, still, 30.0), torch.full((8, 21), 9.81, dtype=torch.float64))
    assert_close(acceleration_errors(falling, still), torch.full((8, 21), 9.81 / 900, dtype=torch.float64))


def test_two_moments_have_no_acceleration(hands):
    with pytest.raises(ValueError, match="takes 3"):
        acceleration_errors(hands[:2], hands[:2])


def test_the_area_under_evenly_spread_errors_is_a_half():
    thresholds = torch.linspace(0, 0.05, 101, dtype=torch.float64)
    errors = torch.linspace(0, 0.05, 10001, dtype=torch.float64)
    curve = pck_curve(errors, thresholds)
    assert curve[-1] == 1
    assert area_under(curve, thresholds).item() == pytest.approx(0.5, abs=2e-4)


def test_an_error_at_the_threshold_is_within_and_an_unknown_one_left_out():
    curve = pck_curve(torch.tensor([0.01, 0.02, torch.nan]), torch.tensor([0.005, 0.01, 0.03]))
    assert_close(curve, torch.tensor([0.0, 0.5, 1.0]))
