"""Mesh recovery learns what it is shown, counts what is known, and undoes mirrors and turned cameras."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from humanpt.body.model import load_body_model
from humanpt.data.turned_crops import map_pixels, turned_crop
from humanpt.engine.average import Averaged
from humanpt.geometry.cameras import project
from humanpt.geometry.rotations import rotations_from
from humanpt.models.croco import tiny
from humanpt.models.mesh_heads import MeshNetwork, MeshPrediction, token_places
from humanpt.models.trunk import Trunk
from humanpt.tasks.mesh_recovery import (
    MeshConfig,
    MeshSamples,
    MeshTask,
    aligned_l1,
    collate,
    mean_pose_figures,
    only_turned,
    predict,
    spread_over,
    truth_of,
)
from tests.tasks.mesh_sets import MadeSet


def network(config, *, lively=False):
    torch.manual_seed(0)
    made = MeshNetwork(Trunk(tiny(), config.views), config, load_body_model(config.model))
    if lively:
        torch.nn.init.normal_(made.head.out.weight, std=0.1)
    return made.eval()


def samples(data, config, **changes):
    return MeshSamples(data, np.arange(len(data)), config, 64, 0, **({"training": False} | changes))


def whole_batch(data, config):
    chosen = samples(data, config)
    return collate([chosen[place] for place in range(len(data))])


def oracle(task, batch):
    """The prediction that labels ask for."""
    true = truth_of(task.network.points, batch)
    return MeshPrediction(true.keypoints, true.vertices, batch.pixels, true.camera,
                          true.turn, true.pose, true.shape, torch.zeros(len(batch), 3))  # fmt: skip


@pytest.fixture(scope="module")
def hands():
    return MadeSet()


@pytest.mark.parametrize("name", ["anny-hand", "anny-body-small"])
def test_the_truth_has_no_loss_and_its_vertices_have_its_key_points(name):
    data = MadeSet(name)
    config = MeshConfig(subject=data.layout.subject, model=name)
    task, batch = MeshTask(config, network(config)), whole_batch(data, config)
    loss, terms = task._measure(oracle(task, batch), truth_of(task.network.points, batch), batch)
    assert loss < 1e-6
    assert set(terms) == {"vertices", "keypoints", "aligned", "pixels", "size", "camera", "turn", "pose", "shape"}
    true = truth_of(task.network.points, batch)
    mesh = task.network.body(true.shape, true.pose, torch.zeros(1, 3))
    shift = true.keypoints - mesh.keypoints
    assert_close(true.vertices, mesh.vertices + shift.mean(dim=1, keepdim=True), atol=1e-5, rtol=0)


def test_the_terms_are_those_of_the_errors(hands):
    config = MeshConfig()
    task, batch = MeshTask(config, network(config)), whole_batch(hands, config)
    true, right = truth_of(task.network.points, batch), oracle(task, batch)
    off = torch.tensor([0.0, 0.03, 0.0])
    moved = right._replace(vertices=right.vertices + off, shape=right.shape + 0.5)
    _, terms = task._measure(moved, true, replace(batch, pixels=batch.pixels + 8))
    assert_close(terms["vertices"], torch.tensor(0.1), atol=1e-6, rtol=0)  # 30 mm of one axis of three, in 0.1 m
    assert_close(terms["pixels"], torch.tensor(0.25), atol=1e-6, rtol=0)  # 8 of 32 pixels
    assert_close(terms["shape"], torch.tensor(0.25), atol=1e-6, rtol=0)
    assert terms["turn"] == terms["pose"] == 0
    everything = right._replace(keypoints=right.keypoints + off, vertices=right.vertices + off)
    _, terms = task._measure(everything, true, batch)
    assert terms.pop("pixels") > 0.1  # where it is seen
    assert max(terms.values()) < 1e-5  # and all else is relative to the root


def test_the_camera_term_tells_a_subject_of_half_the_size_from_one_of_twice(hands):
    config = MeshConfig()
    task, batch = MeshTask(config, network(config)), whole_batch(hands, config)
    true, right = truth_of(task.network.points, batch), oracle(task, batch)
    for factor in (0.5, 2.0):
        scaled = right._replace(camera=right.camera * torch.tensor([factor, 1, 1]) + torch.tensor([0, 0.1, 0]))
        _, terms = task._measure(scaled, true, batch)
        assert_close(terms["camera"], torch.tensor(math.log(2) + 0.1), atol=1e-5, rtol=0)


def test_the_aligned_term_asks_for_the_pose_whatever_the_turn_and_the_size():
    points = torch.randn(3, 21, 3, generator=torch.Generator().manual_seed(0))
    turned = 1.3 * points.roll(1, dims=2) + 0.5  # an even permutation of axes is a rotation
    assert aligned_l1(turned, points) < 1e-5
    bent = points.clone()
    bent[:, 10:] += 1
    assert aligned_l1(bent, points) > 0.1
    unknown = points.clone()
    unknown[:, 4] = torch.nan
    others = [number for number in range(21) if number != 4]
    assert_close(aligned_l1(bent, unknown), aligned_l1(bent[:, others], points[:, others]))
    unknown[1, 2:] = torch.nan  # two points have no pose
    assert_close(aligned_l1(bent, unknown), aligned_l1(bent[::2, others], points[::2, others]))


@pytest.mark.parametrize("known", [21, 20, 12, 0])
def test_fingers_are_taught_by_what_is_known_in_space_and_else_by_pixels(hands, known):
    config = MeshConfig()
    task, batch = MeshTask(config, network(config, lively=True)), whole_batch(hands, config)
    keypoints = batch.keypoints.clone()
    keypoints[:, known:] = torch.nan
    points, pose = task.network.points, truth_of(task.network.points, batch).pose
    bent, shape = pose.clone().requires_grad_(), batch.shape.clone().requires_grad_()
    batch = replace(batch, keypoints=keypoints, pose=None, shape=None)
    mesh, vertices, _ = points(shape, bent)
    true = truth_of(points, batch)
    place = torch.nan_to_num(points.root_of(keypoints), nan=1.0)
    camera = torch.nan_to_num(true.camera, nan=1.0)
    given = MeshPrediction(1.1 * mesh + place, vertices + place, batch.pixels, camera, points.turn_of(bent), bent,
                           shape, torch.zeros(len(batch), 3))  # fmt: skip
    task._measure(given, true, batch)[0].backward()
    taught = bent.grad.abs().amax(dim=(0, 2, 3)) > 0
    named = dict(zip(points.body.layout.joint_names, taught.tolist(), strict=True))
    assert bent.grad.isfinite().all()
    assert named["finger1-2.R"]
    assert named["finger5-2.R"] == (known != 12)
    assert shape.grad.abs().max() > 0


def test_what_is_not_labelled_moves_nothing(hands):
    config = MeshConfig()
    task, batch = MeshTask(config, network(config, lively=True)), whole_batch(hands, config)
    known = {name: getattr(batch, name)[:3] for name in vars(batch) if getattr(batch, name) is not None}
    unknown = {
        name: torch.full_like(getattr(batch, name), torch.nan) for name in ("keypoints", "pixels", "pose", "shape")
    }
    for name, value in unknown.items():
        value[:3] = known[name]
    gradients = []
    for part in (replace(batch, **known), replace(batch, **unknown)):
        task.model.zero_grad()
        task.loss(part)[0].backward()
        gradients.append([weight.grad.clone() for weight in task.model.parameters() if weight.grad is not None])
    for alone, beside in zip(*gradients, strict=True):
        assert_close(alone, beside, atol=1e-5, rtol=1e-3)


def test_errors_that_depend_on_the_turn_teach_it_and_nothing_else():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(2, 5, 3, generator=generator, requires_grad=True)
    numbers = torch.randn(2, 9, generator=generator, requires_grad=True)
    turn = rotations_from("procrustes", numbers)
    turned = only_turned(points @ turn.detach().mT, turn)
    assert_close(turned, points @ turn.mT)
    (turned - 1).norm(dim=2).sum().backward()
    assert points.grad is None or not points.grad.any()
    assert numbers.grad.abs().max() > 1e-3


def test_where_the_fingers_point_is_taught_by_key_points_through_wrist_and_forearm(hands):
    config = MeshConfig()
    task, batch = MeshTask(config, network(config)), whole_batch(hands, config)
    true, points = truth_of(task.network.points, batch), task.network.points
    pose = true.pose.clone().requires_grad_()
    keypoints, _, _ = points(true.shape, pose)
    bent = only_turned(keypoints, points.turn_of(pose))
    fingers = [name.startswith("middle") for name in points.names]
    bent[:, fingers].sum().backward()
    taught = pose.grad.abs().amax(dim=(0, 2, 3)) > 0
    names = points.body.layout.joint_names
    assert {name for name, is_taught in zip(names, taught, strict=True) if is_taught} == {"root", "wrist.R"}
    assert_close(points.turn_of(pose), points.body(true.shape, pose, torch.zeros(1, 3)).orientations[:, 1])


def test_the_size_is_taught_whatever_the_turn(hands):
    config = MeshConfig()
    task, batch = MeshTask(config, network(config)), whole_batch(hands, config)
    true, right = truth_of(task.network.points, batch), oracle(task, batch)
    root = task.network.points.root_of(right.keypoints)
    turn = rotations_from("rotvec", torch.tensor([[0.3, -1.0, 2.0]]))
    grown = 1.1 * (right.keypoints - root) @ turn.mT + root
    _, terms = task._measure(right._replace(keypoints=grown), true, batch)
    assert_close(terms["size"], torch.tensor(1.1).log(), atol=1e-5, rtol=0)


def test_poses_train_without_a_shape_and_joints_that_are_known_without_others(hands):
    config = MeshConfig()
    batch, task = whole_batch(hands, config), MeshTask(config, network(config, lively=True))
    batch.pose[:, 5:] = torch.nan
    terms = task.loss(replace(batch, shape=None))[1]
    assert set(terms) == {"keypoints", "aligned", "pixels", "size", "camera", "turn", "pose"}
    assert terms["pose"].isfinite()
    assert terms["pose"] > 0
    assert truth_of(task.network.points, batch).vertices.isnan().all()


def test_labels_in_two_dimensions_alone_train(hands):
    config = MeshConfig()
    batch = whole_batch(hands, config)
    flat = replace(batch, keypoints=torch.full_like(batch.keypoints, torch.nan), pose=None, shape=None)
    task = MeshTask(config, network(config))
    loss, terms = task.loss(flat)
    assert_close(loss.detach(), terms["pixels"] * config.pixels_weight)
    loss.backward()
    assert task.network.head.out.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"free": True},
        {"views": 2},
        {"subject": "body", "model": "anny-body-small", "rotation": "6d"},
        {"head": "points", "side": True},
    ],
)
def test_a_few_pictures_can_be_learnt_by_heart(changes):
    config = MeshConfig(**changes)
    data = MadeSet(config.model, count=2)
    made = network(config)
    made.start_at(samples(data, config).means())
    task, batch = MeshTask(config, made, samples(data, config)), whole_batch(data, config)
    before = task.evaluate()
    optimiser = torch.optim.AdamW(made.parameters(), lr=2e-3, weight_decay=0)
    for _ in range(35):
        loss, _ = task.loss(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    after = task.evaluate()
    for name in ("loss", "mpjpe_mm", "pa_mpjpe_mm", "pve_mm", "pa_pve_mm"):
        assert after[name] < 0.7 * before[name], name


def test_points_spread_over_cells_are_given_back_by_the_cells_middles():
    places = torch.tensor([[[0.0, 0.0], [0.31, -0.62], [-0.8, 0.8]]])
    spread = spread_over(places, (5, 10))
    assert_close(spread.sum(dim=-1), torch.ones(1, 3))
    assert_close(spread @ token_places((5, 10)), places)
    beyond = spread_over(torch.tensor([[[-2.0, 5.0], [torch.nan, 0.0]]]), (5, 10))
    assert beyond[0, 0, 40] == 1  # the last row's first cell
    assert_close(beyond.sum(dim=-1), torch.ones(1, 2))


def test_a_head_of_points_is_taught_where_they_are_seen_and_only_those_inside(hands):
    config = MeshConfig(head="points")
    batch = whole_batch(hands, config)
    task = MeshTask(config, network(config))
    places = (0.6 * (2 * batch.pixels / 64 - 63 / 64)).clamp(-0.7, 0.7)
    grid = task.network.head.grid
    places[:, 3] = 0.1
    places[:, 4] = 1.7  # outside
    right = spread_over(places, grid).mT
    good = task._where_seen((right + 1e-12).log(), places)
    bad = task._where_seen((right.roll(6, dims=1) + 1e-12).log(), places)
    assert good["places"] < 1e-5
    assert good["heat"] < 1.4  # the entropy of four equal cells
    assert bad["places"] > 0.1
    assert bad["heat"] > 10
    other = (right + 1e-12).log()
    other[:, :, 4] = other[:, :, 4].roll(7, dims=1)
    assert task._where_seen(other, places) == good


@torch.no_grad()
def test_which_hand_it_is_is_measured_on_crops_and_on_their_mirror_images(hands):
    config = MeshConfig(side=True)
    made = network(config)
    made.head.out.bias[-1] = 3.0  # a network that calls every hand a right one
    assert MeshTask(config, made, samples(hands, config)).evaluate()["side_accuracy"] == 0.5
    assert "side_accuracy" not in MeshTask(MeshConfig(), network(MeshConfig()), samples(hands, config)).evaluate()


def test_which_hand_it_is_is_taught_where_it_is_known(hands):
    config = MeshConfig(side=True)
    task, batch = MeshTask(config, network(config)), whole_batch(hands, config)
    sure, known = torch.full((len(batch),), 9.0), batch.right.clone()
    surer = 9 + math.log(3)  # where three hands of four are right ones
    for right, expected in ((known, 0.0), (1 - known, surer), (torch.full_like(known, torch.nan), 0.0)):
        other = replace(batch, right=right)
        terms = task._terms(oracle(task, other)._replace(side=sure), truth_of(task.network.points, other), other)
        assert terms["side"] == pytest.approx(expected, abs=1e-3)


def test_a_left_hand_is_recovered_as_the_exact_mirror_image():
    config = MeshConfig()
    made = network(config, lively=True)
    left, right = (predict(made, whole_batch(MadeSet(sides=(side,)), config)) for side in ("left", "right"))
    flip = torch.tensor([-1.0, 1.0, 1.0])
    for name in ("keypoints", "vertices", "transl"):
        assert_close(getattr(left, name), getattr(right, name) * flip, atol=2e-5, rtol=0)
    body = load_body_model("anny-hand", side="left")
    mesh = body(left.shape, left.pose, left.transl)
    assert_close(mesh.vertices, left.vertices, atol=1e-5, rtol=0)
    assert_close(mesh.keypoints, left.keypoints, atol=1e-5, rtol=0)


@torch.no_grad()
def test_predictions_are_in_the_camera_of_the_picture(hands):
    config = MeshConfig(margin=1.0)
    made, batch = network(config, lively=True), whole_batch(hands, config)
    recovered, labels = predict(made, batch), hands.labels(0)
    seen = made(*batch.views(), intrinsics=batch.intrinsics)
    crop = turned_crop(labels.intrinsics, labels.square, 64)
    mapped = torch.from_numpy(map_pixels(recovered.pixels[0].numpy(), crop)).float()
    assert_close(mapped, project(seen.keypoints, batch.intrinsics)[0], atol=0.01, rtol=1e-3)
    mesh = made.body(recovered.shape, recovered.pose, recovered.transl)
    assert_close(mesh.vertices[0], recovered.vertices[0], atol=1e-5, rtol=0)
    assert recovered.focal[0].tolist() == [150.0, 148.0]
    assert not recovered.focal_assumed.any()
    assert recovered.index.tolist() == list(range(6))


def test_true_parameters_recovered_give_the_true_mesh_of_either_hand(hands):
    """What training asks for in the crop's camera, brought back, is the label."""
    config = MeshConfig()
    made, batch = network(config), whole_batch(hands, config)
    true = truth_of(made.points, batch)

    class Oracle(MeshNetwork):
        def __init__(self):
            torch.nn.Module.__init__(self)
            self.points = made.points

        def forward(self, *_, **__):
            return MeshPrediction(true.keypoints, true.vertices, batch.pixels, torch.zeros(6, 3),
                                  true.turn, true.pose, true.shape, torch.zeros(6, 3))  # fmt: skip

    recovered = predict(Oracle(), batch)
    for index in range(6):
        labels = hands.labels(index)
        body = load_body_model("anny-hand", side=labels.side)
        arrays = [torch.from_numpy(value)[None] for value in (labels.shape, labels.pose, labels.transl)]
        assert_close(recovered.vertices[index], body(*arrays).vertices[0], atol=2e-5, rtol=0)
        assert_close(recovered.pose[index], arrays[1][0], atol=1e-5, rtol=0)
        assert_close(recovered.pixels[index], torch.from_numpy(labels.pixels), atol=0.02, rtol=0)


def test_figures_do_not_depend_on_how_many_are_measured_at_once(hands):
    config = MeshConfig(heldout_batch=4)
    figures = [
        MeshTask(one, network(one), samples(hands, one)).evaluate()
        for one in (config, replace(config, heldout_batch=1))
    ]
    assert figures[0].keys() == figures[1].keys()
    for name, value in figures[0].items():
        if name != "loss":  # of which each batch weighs what it knows
            assert value == pytest.approx(figures[1][name], rel=1e-4)


def test_the_running_mean_is_what_is_measured_and_drawn(hands):
    config = MeshConfig()
    both = Averaged(network(config))
    task = MeshTask(config, both, samples(hands, config))
    both.eval()
    before, drawn = task.evaluate(), task.pictures()
    torch.nn.init.normal_(both.network.head.out.weight, std=0.5)
    assert task.evaluate() == before
    assert drawn["mesh/0"].shape == (224, 448, 3)
    both.restart()
    assert task.evaluate() != before


def test_the_mean_pose_scores_nothing_on_copies_of_itself_and_more_on_others():
    pose = torch.randn(21, 3, generator=torch.Generator().manual_seed(0))
    turned = torch.stack([pose, 2 * pose.roll(1, dims=1), pose + 1])  # an even permutation of axes is a rotation
    assert mean_pose_figures(turned)["mean_pa_mpjpe_mm"] < 1e-2
    assert mean_pose_figures(torch.stack([pose, pose.flip(0)]))["mean_pa_mpjpe_mm"] > 100
    assert mean_pose_figures(turned[:0]) == {}
    partly = turned.clone()
    partly[0, 5:], partly[1, 3], partly[2, 1:] = torch.nan, torch.nan, torch.nan
    assert mean_pose_figures(partly)["mean_pa_mpjpe_mm"] < 1e-2


def test_nothing_held_out_gives_no_figures():
    config = MeshConfig()
    task = MeshTask(config, network(config))
    assert task.evaluate() == {}
    assert task.pictures() == {}
