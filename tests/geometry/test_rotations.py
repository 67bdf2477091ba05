import math

import pytest
import torch
from torch.testing import assert_close

from humanpt.geometry import rotations


@pytest.fixture
def rotmats():
    rotvecs = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return rotations.rotvec_to_rotmat(rotvecs)


@pytest.mark.parametrize(
    ("there", "back"),
    [
        (rotations.rotmat_to_rotvec, rotations.rotvec_to_rotmat),
        (rotations.rotmat_to_unitquat, rotations.unitquat_to_rotmat),
        (rotations.rotmat_to_rot6d, rotations.rot6d_to_rotmat),
    ],
)
def test_every_form_leads_back_to_the_matrix(there, back, rotmats):
    assert_close(back(there(rotmats)), rotmats)


def test_quaternions_have_their_real_part_last():
    half_turn = rotations.unitquat_to_rotmat(torch.tensor([0.0, 0.0, 1.0, 0.0]))
    assert_close(half_turn, torch.diag(torch.tensor([-1.0, -1.0, 1.0])))


def test_the_6d_form_is_two_columns_row_by_row(rotmats):
    assert_close(rotations.rotmat_to_rot6d(rotmats)[:, [0, 2, 4]], rotmats[:, :, 0])


def test_any_six_numbers_give_a_rotation():
    rotmat = rotations.rot6d_to_rotmat(torch.randn(5, 6, generator=torch.Generator().manual_seed(1)))
    assert_close(rotmat @ rotmat.mT, torch.eye(3).expand(5, 3, 3))
    assert_close(torch.linalg.det(rotmat), torch.ones(5))


def test_the_distance_is_the_angle_of_the_turn_between(rotmats):
    turn = rotations.rotvec_to_rotmat(torch.tensor([0.0, 0.3, 0.0], dtype=torch.float64))
    assert_close(rotations.geodesic_distance(rotmats, rotmats @ turn), torch.full((20,), 0.3, dtype=torch.float64))


def test_the_nearest_rotation_undoes_scale_and_noise(rotmats):
    noise = 1e-6 * torch.randn(rotmats.shape, generator=torch.Generator().manual_seed(2))
    assert_close(rotations.nearest_rotation(2.5 * rotmats + noise), rotmats, atol=1e-5, rtol=0)


def test_half_of_the_way_is_equally_far_from_both_ends(rotmats):
    start, end = rotmats[:10], rotmats[10:]
    middle = rotations.slerp(start, end, torch.tensor(0.5, dtype=torch.float64))
    whole = rotations.geodesic_distance(start, end)
    assert_close(rotations.geodesic_distance(start, middle), whole / 2)
    assert_close(rotations.geodesic_distance(middle, end), whole / 2)


def test_in_a_mirror_a_turn_goes_the_other_way():
    turn = torch.tensor([0.0, 0.0, math.radians(40)])
    assert_close(rotations.mirror_x(rotations.rotvec_to_rotmat(turn)), rotations.rotvec_to_rotmat(-turn))
