"""Meshes of models whose poses are told about other axes and whose root is not at `transl`: SMPL's and MANO's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from humanpt.body.model import load_body_model
from humanpt.body.skeletons import BODY_23, SMPL_24
from humanpt.models.croco import tiny
from humanpt.models.mesh_heads import MeshNetwork
from humanpt.models.trunk import Trunk
from humanpt.tasks.mesh_recovery import MeshConfig, MeshSamples, collate, predict, truth_of
from humanpt.tasks.mesh_samples import turn_pose
from tests.body.licensed_files import made, write_npz
from tests.tasks.mesh_sets import MadeSet

pytest.importorskip("smplx")


@pytest.fixture(autouse=True, scope="module")
def owned(tmp_path_factory):
    """Files in the formats of SMPL and MANO, made from free meshes."""
    folder = tmp_path_factory.mktemp("licensed")
    for name, stem, free in (("smpl", "SMPL_NEUTRAL", "anny-body-small"), ("mano", "MANO_RIGHT", "anny-hand")):
        write_npz(folder / name / f"{stem}.npz", made(name, load_body_model(free)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUMANPT_BODY_MODELS", str(folder))
        yield


def network(config):
    torch.manual_seed(0)
    made_network = MeshNetwork(Trunk(tiny()), config, load_body_model(config.model)).eval()
    torch.nn.init.normal_(made_network.head.out.weight, std=0.05)
    return made_network


def two_samples(name):
    """A set labelled by a licensed model, both of its samples, and a network of that model."""
    data = MadeSet(name, count=2)
    config = MeshConfig(subject=data.layout.subject, model=name)
    samples = MeshSamples(data, np.arange(2), config, 64, 0, training=False)
    return data, collate([samples[0], samples[1]]), network(config)


@torch.no_grad()
@pytest.mark.parametrize("name", ["mano", "smpl"])
def test_labels_and_predictions_agree_with_the_model_in_every_camera(name):
    data, batch, net = two_samples(name)
    true, recovered = truth_of(net.points, batch), predict(net, batch)
    for index in range(2):
        labels = data.labels(index)
        body = load_body_model(name, side="left" if labels.side == "left" else "right")
        arrays = [torch.from_numpy(value)[None] for value in (labels.shape, labels.pose, labels.transl)]
        turn, sign = batch.crop_from_cam[index], torch.tensor([-1.0 if labels.side == "left" else 1.0, 1, 1])
        mesh = body(*arrays)
        assert_close(true.vertices[index], (mesh.vertices[0] * sign) @ turn.T, atol=2e-5, rtol=0)
        found = body(recovered.shape, recovered.pose, recovered.transl)
        assert_close(found.vertices[index], recovered.vertices[index], atol=2e-5, rtol=0)
        assert_close(found.keypoints[index], recovered.keypoints[index, : len(labels.keypoints)], atol=2e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", ["smpl", "mano"])
def test_the_turn_of_a_pose_is_about_our_axes_whatever_those_of_the_file(name):
    _, batch, net = two_samples(name)
    points = net.points
    true = truth_of(points, batch)
    straight = true.pose.clone()
    straight[:, 0] = torch.eye(3)
    root = points.root_of(true.keypoints)
    upright = points(true.shape, straight)[1] - points.root_of(points(true.shape, straight)[0])
    assert_close(true.vertices - root, upright @ true.turn.mT, atol=2e-5, rtol=0)


@torch.no_grad()
def test_a_turned_pose_gives_the_mesh_turned_about_its_root():
    data = MadeSet("smpl", count=2)
    body, labels = data.body, data.labels(0)
    shape, pose = torch.from_numpy(labels.shape)[None], torch.from_numpy(labels.pose)[None]
    turn, still = torch.tensor([[[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]]), torch.zeros(1, 3)
    before, after = body(shape, pose, still), body(shape, turn_pose(body, pose, turn), still)
    root = before.joints[:, :1]
    assert_close(after.vertices - root, (before.vertices - root) @ turn.mT, atol=1e-5, rtol=0)


def test_joints_of_smpl_are_predicted_beside_the_key_points():
    names = network(MeshConfig(subject="body", model="smpl")).keypoint_names
    assert names[:23] == BODY_23
    assert set(names) == {*BODY_23, *SMPL_24}
    assert len(set(names)) == len(names)
    assert len(network(MeshConfig(model="mano")).keypoint_names) == 21
