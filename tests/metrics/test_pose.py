"""Known answers of the errors of key points."""

import pytest
import torch
from torch.testing import assert_close

from humanpt.geometry.rotations import rotvec_to_rotmat
from humanpt.metrics import mpjpe, pa_mpjpe


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


def test_collapsed_points_are_as_far_as_the_centre(hands):
    far = (hands - hands.mean(dim=1, keepdim=True)).norm(dim=-1).mean(dim=-1)
    assert_close(pa_mpjpe(torch.zeros_like(hands), hands), far)


def test_other_shapes_are_refused(hands):
    with pytest.raises(ValueError, match="truth"):
        mpjpe(hands[:, :5], hands)
