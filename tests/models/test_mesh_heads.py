"""Mesh heads begin at the mean, place the root where the camera says, and answer in one frame."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from humanpt.body.model import load_body_model
from humanpt.errors import ConfigError
from humanpt.geometry.cameras import project
from humanpt.geometry.rotations import rotvec_to_rotmat
from humanpt.models.croco import tiny
from humanpt.models.mesh_heads import Means, MeshModelConfig, MeshNetwork, camera_of, root_place, token_places
from humanpt.models.trunk import Trunk

INTRINSICS = torch.tensor([[[140.0, 0, 31.5], [0, 140.0, 31.5], [0, 0, 1]]]).expand(2, 3, 3)


def network(*, lively=True, **changes):
    """A random network; a lively one is far from where training begins."""
    torch.manual_seed(0)
    config = MeshModelConfig(width=64, **changes)
    made = MeshNetwork(Trunk(tiny(), config.views), config, load_body_model(config.model))
    if lively:
        torch.nn.init.normal_(made.head.out.weight, std=0.1)
    return made.eval()


@pytest.fixture(scope="module")
def pictures():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
@pytest.mark.parametrize("kind", ["procrustes", "6d", "quat", "rotvec"])
def test_every_kind_of_rotation_starts_at_the_mean_of_the_labels(kind, pictures):
    made = network(lively=False, rotation=kind)
    turns = rotvec_to_rotmat(0.4 * torch.randn(21, 3, generator=torch.Generator().manual_seed(2)))
    means = Means(torch.tensor([7.0, 0.2, -0.1]), 0.8 * turns, torch.full((6,), 0.3))
    made.start_at(means)
    predicted = made(pictures, intrinsics=INTRINSICS)
    assert_close(predicted.pose, turns.expand(2, -1, -1, -1), atol=1e-5, rtol=0)
    assert_close(predicted.shape, means.shape.expand(2, -1), atol=1e-5, rtol=0)
    assert_close(predicted.camera, means.camera.expand(2, -1))


@torch.no_grad()
def test_a_free_head_starts_at_the_mean_mesh(pictures):
    means = Means(None, rotvec_to_rotmat(torch.full((21, 3), 0.2)), torch.full((6,), 0.3))
    free, bound = network(lively=False, free=True), network(lively=False)
    free.start_at(means)
    bound.start_at(means)
    direct, posed = (made(pictures, intrinsics=INTRINSICS) for made in (free, bound))
    assert direct.pose is None
    assert direct.transl is None
    relative = [one.vertices - one.keypoints[:, :1] for one in (direct, posed)]
    assert_close(*relative, atol=1e-6, rtol=0)


@torch.no_grad()
def test_a_head_of_points_reads_what_is_where_it_looks(pictures):
    made = network(head="points")
    count = made.head.places.shape[0]
    tokens = torch.randn(1, count, made.trunk.width, generator=torch.Generator().manual_seed(3))
    made.head.look.weight.zero_()
    made.head.look.bias.zero_()
    _, heat = made.head(tokens)
    assert_close(heat.exp(), torch.full((1, count, 21), 1 / count))  # it looks nowhere in particular
    torch.nn.init.normal_(made.head.look.weight)
    numbers, heat = made.head(tokens)
    assert_close(heat.exp().sum(dim=1), torch.ones(1, 21))
    seen_first = heat[0, :, 0].argmax()
    assert not torch.equal(made.head(tokens.roll(1, dims=1))[0], numbers)
    assert made.head(tokens.roll(3, dims=1))[1][0, :, 0].argmax() == (seen_first + 3) % count  # heat moves with tokens


def test_tokens_lie_where_their_patches_do():
    places = token_places((2, 4))
    assert_close(places[0], torch.tensor([-0.75, -0.5]))
    assert_close(places[5], torch.tensor([-0.25, 0.5]))


@torch.no_grad()
@pytest.mark.parametrize("free", [False, True])
def test_the_side_is_told_by_networks_asked_for_it_alone(free, pictures):
    assert network(free=free)(pictures, intrinsics=INTRINSICS).side is None
    assert network(free=free, side=True)(pictures, intrinsics=INTRINSICS).side.shape == (2,)
    with pytest.raises(ConfigError, match="leave it out for bodies"):
        MeshModelConfig(subject="body", model="anny-body-small", side=True)


@torch.no_grad()
@pytest.mark.parametrize("changes", [{}, {"free": True}, {"subject": "body", "model": "anny-body-small"}])
def test_the_root_is_seen_where_the_camera_says_and_its_scale_is_its_depth(changes, pictures):
    made = network(**changes)
    predicted = made(pictures, intrinsics=INTRINSICS)
    root = made.points.root_of(predicted.keypoints)[:, 0]
    scale, shift = predicted.camera[:, 0], predicted.camera[:, 1:]
    assert_close(project(root[:, None], INTRINSICS)[:, 0], 31.5 + 32 * shift, atol=2e-3, rtol=1e-4)
    assert_close(root[:, 2], 2 * 140 / (64 * scale))
    assert_close(predicted.pixels, project(predicted.keypoints, INTRINSICS), atol=2e-3, rtol=1e-4)


@torch.no_grad()
def test_parameters_give_the_vertices(pictures):
    made = network()
    predicted = made(pictures, intrinsics=INTRINSICS)
    mesh = made.body(predicted.shape, predicted.pose, predicted.transl)
    assert_close(mesh.vertices, predicted.vertices, atol=1e-5, rtol=0)
    assert_close(mesh.keypoints, predicted.keypoints, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_longer_lens_moves_the_root_away_and_changes_nothing_else(pictures):
    made, longer = network(), INTRINSICS.clone()
    longer[:, [0, 1], [0, 1]] *= 2
    near, far = (made(pictures, intrinsics=matrix) for matrix in (INTRINSICS, longer))
    roots = [one.keypoints[:, :1] for one in (near, far)]
    assert_close(far.camera, near.camera)
    assert_close(roots[1], roots[0] * torch.tensor([1.0, 1.0, 2.0]), atol=1e-5, rtol=1e-5)
    assert_close(far.vertices - roots[1], near.vertices - roots[0], atol=1e-6, rtol=1e-4)


def test_places_and_cameras_are_each_others_inverse():
    places = torch.tensor([[0.1, -0.2, 0.7], [0.0, 0.3, 4.0]])
    assert_close(root_place(camera_of(places, INTRINSICS, 64), INTRINSICS, 64), places)


def test_what_would_lie_behind_the_camera_still_has_a_gradient(pictures):
    made = network()
    made.mean_camera[0] = 1e4  # the root 0.4 mm in front of the camera
    predicted = made(pictures, intrinsics=INTRINSICS)
    predicted.pixels.square().mean().backward()
    assert predicted.pixels.isfinite().all()
    assert all(weight.grad.isfinite().all() for weight in made.head.parameters())


@torch.no_grad()
def test_the_second_view_matters_with_two_views_and_is_refused_with_one(pictures):
    two, one = network(views=2), network()
    first = two(pictures, pictures, intrinsics=INTRINSICS)
    second = two(pictures, pictures.flip(0), intrinsics=INTRINSICS)
    assert (first.vertices - second.vertices).abs().max() > 1e-4
    with pytest.raises(ValueError, match="takes 1 picture "):
        one(pictures, pictures, intrinsics=INTRINSICS)


@torch.no_grad()
def test_geometry_is_in_full_precision_under_autocast(pictures):
    made = network()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        predicted = made(pictures, intrinsics=INTRINSICS)
    assert predicted.vertices.dtype == torch.float32
    eye = torch.eye(3).expand_as(predicted.pose)
    assert_close(predicted.pose @ predicted.pose.mT, eye, atol=1e-5, rtol=0)


def test_the_body_model_is_not_saved_with_the_weights():
    assert not any("body" in name for name in network().state_dict())


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="for a hand choose anny-hand, mano"):
        MeshModelConfig(model="smpl")
    with pytest.raises(ConfigError, match="rotation"):
        MeshModelConfig(rotation="euler")
    with pytest.raises(ValueError, match="a trunk of 1 views"):
        MeshNetwork(Trunk(tiny()), MeshModelConfig(views=2), load_body_model("anny-hand"))
    with pytest.raises(ValueError, match="left anny-hand"):
        MeshNetwork(Trunk(tiny()), MeshModelConfig(), load_body_model("anny-hand", side="left"))
