"""Meshes in mixed precision: networks round, labels and cameras do not."""

import torch
from torch.testing import assert_close

from humanpt.body.model import load_body_model
from humanpt.geometry.rotations import rotvec_to_rotmat
from humanpt.models.mesh_heads import MeshPrediction, ModelPoints
from humanpt.tasks.mesh_config import MeshConfig
from humanpt.tasks.mesh_recovery import MeshTask, predict, truth_of
from humanpt.tasks.mesh_samples import MeshSamples, collate
from tests.tasks.mesh_sets import MadeSet


def made_batch():
    data, config = MadeSet("anny-body-small", count=2), MeshConfig(subject="body", model="anny-body-small")
    samples = MeshSamples(data, range(2), config, 32, 0, training=False)
    points = ModelPoints(load_body_model("anny-body-small"), "body")
    return points, collate([samples[0], samples[1]])


def test_labels_are_the_same_in_mixed_precision():
    points, batch = made_batch()
    whole = truth_of(points, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = truth_of(points, batch)
    for name in ("vertices", "pose", "turn", "camera"):
        assert torch.equal(getattr(mixed, name), getattr(whole, name))


def test_errors_are_the_same_in_mixed_precision():
    points, batch = made_batch()
    true = truth_of(points, batch)
    turn = rotvec_to_rotmat(torch.tensor([0.1, -0.2, 0.3]))
    given = MeshPrediction(
        keypoints=true.keypoints @ turn.mT,
        vertices=true.vertices @ turn.mT,
        pixels=batch.pixels,
        camera=true.camera * 1.01,
        turn=turn @ true.turn,
        pose=true.pose,
        shape=true.shape,
        transl=torch.zeros(2, 3),
    )

    class Network(torch.nn.Module):
        mean_camera = torch.zeros(3)

    network = Network()
    network.points = points
    task = MeshTask(MeshConfig(subject="body", model="anny-body-small"), network)
    whole = task._measure(given, true, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = task._measure(given, true, batch)
    assert mixed[0] > 0.1
    assert_close(mixed, whole, atol=0, rtol=0)


def test_predictions_leave_the_crop_unrounded():
    points, batch = made_batch()
    pose = points.body.identity_pose().expand(2, -1, -1, -1)
    shape = points.body.mean_shape().expand(2, -1)
    keypoints, vertices, shift = points(shape, pose)
    away = torch.tensor([0.3, 0.2, 4.0])
    given = MeshPrediction(
        keypoints + away, vertices + away, torch.zeros(2, 1, 2), torch.ones(2, 3), pose[:, 0], pose, shape, shift + away
    )

    class Oracle:
        body = points.body

        def __call__(self, image1, image2, intrinsics):
            return given

    whole = predict(Oracle(), batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = predict(Oracle(), batch)
    for name in ("keypoints", "vertices", "pixels", "pose", "transl"):
        assert_close(getattr(mixed, name), getattr(whole, name), atol=1e-6, rtol=0)
