"""The forms of the nearest rotation for inference agree with the one that is trained through."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from humanpt.geometry.nearest_rotation import nearest_by_arithmetic, nearest_by_singular_values
from humanpt.geometry.rotations import nearest_rotation, random_rotmat

FORMS = [nearest_by_arithmetic, nearest_by_singular_values]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("length", [1e-6, 1.0, 1e6])
def test_the_forms_agree_on_any_matrix_of_any_length(form, length):
    matrices = length * torch.randn(20, 50, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert_close(form(matrices), nearest_rotation(matrices), atol=1e-8, rtol=0)
    assert form(matrices.float()).dtype == torch.float32


@pytest.mark.parametrize("form", FORMS)
def test_rotations_are_their_own_nearest(form):
    rotations = random_rotmat(500, torch.Generator().manual_seed(0))
    assert_close(form(rotations), rotations, atol=1e-6, rtol=0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("matrix", [torch.zeros(3, 3), torch.ones(3, 3), torch.diag(torch.tensor([1.0, 1, -1]))])
def test_a_matrix_without_one_nearest_rotation_still_gives_one_that_is_near(form, matrix):
    found = form(matrix)
    assert_close(found @ found.mT, torch.eye(3))
    assert_close(torch.linalg.det(found), torch.tensor(1.0))
    best = (matrix - nearest_rotation(matrix)).norm()
    assert (matrix - found).norm() <= best + 1e-4
