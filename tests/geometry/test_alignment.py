"""Similarity fits give back what was applied, never mirror, and bear sets that have no shape."""

import pytest
import torch
from torch.testing import assert_close

from humanpt.geometry.alignment import enough_known, fit_known, fit_similarity
from humanpt.geometry.rotations import rotvec_to_rotmat


@pytest.fixture
def points():
    return torch.randn(5, 21, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def turned(points):
    rotation = rotvec_to_rotmat(torch.linspace(-3, 3, 15, dtype=torch.float64).view(5, 3))
    scale = torch.linspace(0.3, 2, 5, dtype=torch.float64)
    shift = torch.arange(15, dtype=torch.float64).view(5, 3)
    return rotation, scale, shift, scale[:, None, None] * points @ rotation.mT + shift[:, None]


def test_a_similarity_is_found_again(points):
    rotation, scale, shift, moved = turned(points)
    found = fit_similarity(points, moved)
    assert_close(found.rotation, rotation)
    assert_close(found.scale, scale)
    assert_close(found.shift, shift)
    assert_close(found.apply(points), moved)


def test_no_similarity_near_the_fitted_one_is_nearer_to_the_targets(points):
    targets = turned(points)[3] + torch.randn(points.shape, generator=torch.Generator().manual_seed(1)).double()
    best = fit_similarity(points, targets)

    def distance(fit):
        return (fit.apply(points) - targets).square().sum(dim=(1, 2))

    for axis in torch.eye(3, dtype=torch.float64) * 1e-3:
        for sign in (-1, 1):
            assert (
                distance(best) <= distance(best._replace(rotation=rotvec_to_rotmat(sign * axis) @ best.rotation))
            ).all()
            assert (distance(best) <= distance(best._replace(shift=best.shift + sign * axis))).all()
            assert (distance(best) <= distance(best._replace(scale=best.scale * (1 + sign * 1e-3)))).all()


def test_it_never_mirrors(points):
    mirrored = points * torch.tensor([-1.0, 1.0, 1.0])
    found = fit_similarity(points, mirrored)
    assert_close(torch.linalg.det(found.rotation), torch.ones(5, dtype=torch.float64))
    assert ((found.apply(points) - mirrored).norm(dim=-1).mean(dim=-1) > 0.1).all()


def test_points_that_coincide_go_to_the_centre_of_their_targets(points):
    found = fit_similarity(torch.ones_like(points), points)
    assert_close(found.apply(torch.ones_like(points)), points.mean(dim=1, keepdim=True).expand_as(points))


def test_sets_of_other_shapes_are_refused(points):
    with pytest.raises(ValueError, match=r"\(5, 21, 3\) and \(5, 20, 3\)"):
        fit_similarity(points, points[:, :20])


def test_mixed_precision_leaves_fits_as_they_are(points):
    points = points.float()
    moved = turned(points.double())[3].float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = fit_similarity(points, moved)
        there = found.apply(points)
    assert_close(found.rotation, turned(points.double())[0].float())
    assert_close(there, moved)


@pytest.mark.parametrize("mirror", [False, True])
def test_points_whose_targets_are_not_known_do_not_count(points, mirror):
    targets = turned(points.flip(1))[3]
    known = torch.rand(5, 21, generator=torch.Generator().manual_seed(2)) < 0.6
    known[1], known[2] = True, False
    known[3], known[4] = torch.arange(21) < 2, torch.arange(21) < 3
    told = targets.masked_fill(~known[..., None], torch.nan)
    assert enough_known(told).tolist() == [True, True, False, False, True]
    found = fit_known(points, told, mirror=mirror)
    for row in (0, 1, 4):
        alone = fit_similarity(points[row, known[row]], targets[row, known[row]], mirror=mirror)
        assert_close(found.rotation[row], alone.rotation)
        assert_close(found.scale[row], alone.scale)
        assert_close(found.shift[row], alone.shift)
    assert found.scale[2] == found.scale[3] == 0
