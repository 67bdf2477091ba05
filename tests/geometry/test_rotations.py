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


KINDS = ("procrustes", "6d", "quat", "rotvec")
IDENTITY = torch.eye(3)
DEGENERATE = {
    "procrustes": [
        torch.zeros(9),
        torch.ones(9),  # rank one
        torch.full((9,), 1e-20),
        torch.tensor([1.0, 0, 0, 0, 1, 0, 0, 0, -1]),  # a mirror: many rotations are equally near
        torch.tensor([1.0, 0, 0, 0, -1, 0, 0, 0, 0]),
    ],
    "6d": [
        torch.zeros(6),
        torch.ones(6),  # parallel columns
        torch.tensor([0.0, 1, 0, 0, 0, 0]),  # no first column
        torch.tensor([0.0, 0, 1, 0, 0, 0]),  # no second one
        torch.tensor([1.0, -2, 1, -2, 0, 0]),
    ],
    "quat": [torch.zeros(4), torch.full((4,), 1e-30), torch.tensor([1.0, 0, 0, 0])],
    "rotvec": [torch.zeros(3), torch.tensor([math.pi, 0, 0]), torch.tensor([0, 2 * math.pi, 0])],
}


def draws(*shape, seed=3):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_rotations(rotmat, atol=1e-5):
    assert_close(rotmat @ rotmat.mT, torch.eye(3, dtype=rotmat.dtype).expand_as(rotmat), atol=atol, rtol=0)
    assert_close(torch.linalg.det(rotmat), torch.ones_like(rotmat[..., 0, 0]), atol=atol, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_any_numbers_of_a_head_give_rotations(kind):
    assert_rotations(rotations.rotations_from(kind, draws(1000, rotations.numbers_of(kind)).float()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_can_start_at_any_pose(kind, rotmats):
    numbers = rotations.numbers_for(kind, rotmats.view(4, 5, 3, 3))
    assert numbers.shape == (4, 5, rotations.numbers_of(kind))
    assert_close(rotations.rotations_from(kind, numbers), rotmats.view(4, 5, 3, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_half_turns_lead_back_to_themselves(kind):
    half = rotations.rotvec_to_rotmat(math.pi * torch.nn.functional.normalize(draws(50, 3), dim=-1))
    assert_close(rotations.rotations_from(kind, rotations.numbers_for(kind, half)), half)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_a_head_are_those_of_small_changes(kind):
    numbers = draws(3, rotations.numbers_of(kind)).requires_grad_()
    assert torch.autograd.gradcheck(lambda free: rotations.rotations_from(kind, free), numbers, atol=1e-4)


@pytest.mark.parametrize(("kind", "numbers"), [(kind, case) for kind, cases in DEGENERATE.items() for case in cases])
def test_numbers_without_an_answer_still_give_a_rotation_and_finite_gradients(kind, numbers):
    numbers = numbers.clone().requires_grad_()
    rotmat = rotations.rotations_from(kind, numbers)
    assert_rotations(rotmat)
    (rotmat * draws(3, 3).float()).sum().backward()
    assert numbers.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_says_zeros_says_no_turn_and_can_leave(kind):
    numbers = torch.zeros(rotations.numbers_of(kind), requires_grad=True)
    rotmat = rotations.rotations_from(kind, numbers)
    assert_close(rotmat, IDENTITY)
    (rotmat * draws(3, 3).float()).sum().backward()
    assert numbers.grad.abs().max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_one_degenerate_answer_leaves_the_others_of_its_batch_alone(kind):
    good = draws(4, rotations.numbers_of(kind)).float()
    beside = torch.cat((DEGENERATE[kind][0][None], good))
    assert_close(rotations.rotations_from(kind, beside)[1:], rotations.rotations_from(kind, good))


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_precision_rounds_the_numbers_and_nothing_else(kind):
    numbers = draws(6, rotations.numbers_of(kind)).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rotmat = rotations.rotations_from(kind, numbers)
    assert rotmat.dtype == torch.float32
    assert_close(rotmat, rotations.rotations_from(kind, numbers.double()).float())


def test_the_nearest_rotation_turns_with_its_matrix(rotmats):
    matrices = draws(20, 3, 3)
    assert_close(rotations.nearest_rotation(rotmats @ matrices), rotmats @ rotations.nearest_rotation(matrices))


def test_the_distance_is_the_same_both_ways(rotmats):
    there = rotations.geodesic_distance(rotmats, rotmats.roll(1, 0))
    assert_close(there, rotations.geodesic_distance(rotmats.roll(1, 0), rotmats))


def test_wrong_kinds_and_numbers_are_named():
    with pytest.raises(ValueError, match=r"'matrix'.*procrustes, 6d, quat, rotvec"):
        rotations.numbers_of("matrix")
    with pytest.raises(ValueError, match=r"6d takes 6 numbers a rotation, not \(2, 9\)"):
        rotations.rotations_from("6d", torch.zeros(2, 9))


def test_euler_angles_turn_about_axes_that_turn_with_them():
    x, y, z = (rotations.rotvec_to_rotmat(angle * axis) for angle, axis in zip((0.3, -0.8, 1.1), IDENTITY, strict=True))
    assert_close(rotations.euler_to_rotmat(torch.tensor([0.3, -0.8, 1.1])), x @ y @ z)


def test_drawn_rotations_are_spread_evenly():
    drawn = rotations.random_rotmat(20_000, torch.Generator().manual_seed(0))
    angles = rotations.geodesic_distance(drawn, IDENTITY)
    assert angles.mean().item() == pytest.approx(math.pi / 2 + 2 / math.pi, abs=0.02)  # of density (1 - cos) / pi
    assert drawn.mean(0).abs().max() < 0.02
