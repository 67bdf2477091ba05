"""F-scores against known answers and a twin that looks at all pairs in double precision."""

import pytest
import torch
from torch.testing import assert_close

from humanpt.metrics.fscore import f_scores

LIMITS = (0.005, 0.015)


@pytest.fixture
def meshes():
    return torch.randn(3, 200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.05


def test_half_exact_and_half_a_metre_off_is_a_half():
    corners = torch.cartesian_prod(*[torch.arange(4.0) * 10] * 3)[None]
    moved = corners.clone()
    moved[:, ::2] += torch.tensor([0.0, 0.0, 1.0])
    assert_close(f_scores(moved, corners, LIMITS), torch.tensor([[0.5, 0.5]]).double())


def test_the_same_mesh_is_1_in_any_order_and_a_far_one_0(meshes):
    assert (f_scores(meshes, meshes.flip(1), LIMITS) == 1).all()
    assert (f_scores(meshes + 5, meshes, LIMITS) == 0).all()


@pytest.mark.parametrize("offset", [0.0, 0.004, 0.7])
def test_it_is_what_all_pairs_in_double_precision_give(meshes, offset):
    noise = torch.randn(3, 150, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    predicted = meshes[:, :150] + offset + 0.004 * noise
    slow = torch.zeros(3, 2, dtype=torch.float64)
    for row, (one, other) in enumerate(zip(predicted, meshes, strict=True)):
        distance = (one[:, None] - other[None]).norm(dim=-1)
        for column, limit in enumerate(LIMITS):
            precision, recall = ((distance.amin(axis) < limit).double().mean() for axis in (1, 0))
            if precision + recall > 0:
                slow[row, column] = 2 * precision * recall / (precision + recall)
    assert_close(f_scores(predicted, meshes, LIMITS), slow, atol=1e-15, rtol=0)


def test_what_single_precision_would_round_is_decided_exactly():
    far = torch.tensor([[[0.0, 0.0, 0.0], [0.3, 0.0, 0.0]]], dtype=torch.float64)
    for shift, expected in ((0.005 * (1 - 1e-12), 1.0), (0.005 * (1 + 1e-12), 0.5)):
        predicted = far.clone()
        predicted[0, 0, 1] = shift
        assert f_scores(predicted, far, (0.005,)).item() == expected


def test_a_distance_that_equals_the_threshold_is_not_below_it():
    one, other = torch.zeros(1, 1, 3), torch.tensor([[[0.5, 0.0, 0.0]]])
    assert f_scores(one, other, (0.5,)).item() == 0
    assert f_scores(one, other, (0.5 + 1e-12,)).item() == 1


def test_meshes_of_other_counts_of_people_are_refused(meshes):
    with pytest.raises(ValueError, match="meshes"):
        f_scores(meshes[:2], meshes, LIMITS)
