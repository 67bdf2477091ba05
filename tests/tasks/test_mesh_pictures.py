"""Meshes recovered from boxes in a whole picture are those of the samples that training would show."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from humanpt.body.model import load_body_model
from humanpt.data.labelled.generated import GeneratedSet
from humanpt.data.people.generate import PeopleConfig, make_people
from humanpt.models.croco import tiny
from humanpt.models.mesh_heads import MeshNetwork
from humanpt.models.trunk import Trunk
from humanpt.tasks.mesh_config import MeshConfig
from humanpt.tasks.mesh_pictures import ROOM, assumed_intrinsics, recover
from humanpt.tasks.mesh_recovery import predict
from humanpt.tasks.mesh_samples import MeshSamples, collate
from tests.tasks.mesh_sets import MadeSet

WIDTH, HEIGHT = 160, 120
BOXES = np.array([[20.0, 16.0, 52.0, 56.0], [100.0, 40.0, 180.0, 96.0], [60.0, -8.0, 80.0, 12.0]])
"""Boxes whose squares are whole numbers, so that no mirror rounds them."""
INTRINSICS = np.array([[150.0, 0, 79.5], [0, 148.0, 59.5], [0, 0, 1]])
FLIP = torch.tensor([-1.0, 1.0, 1.0])


def network(config):
    """A network whose answers depend on what it sees."""
    torch.manual_seed(0)
    made = MeshNetwork(Trunk(tiny(), config.views), config, load_body_model(config.model))
    torch.nn.init.normal_(made.head.out.weight, std=0.1)
    return made.eval()


@pytest.fixture(scope="module")
def config():
    return MeshConfig()


@pytest.fixture(scope="module")
def net(config):
    return network(config)


@pytest.fixture(scope="module")
def picture():
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def box_of(square):
    """The box that has this square around it."""
    middle, half = (square[:2] + square[2:]) / 2, (square[2:] - square[:2]) / 2 / ROOM
    return np.concatenate([middle - half, middle + half])


def same_as_sample(net, config, data, index):
    """Hold the mesh recovered in the box of a sample against what `predict` says of the sample."""
    samples = MeshSamples(data, np.arange(len(data)), config, 64, 0, training=False)
    wanted, labels = predict(net, collate([samples[index]])), data.labels(index)
    (mesh,) = recover(net, config, data.picture(index), [box_of(labels.square)], [labels.side], labels.intrinsics)
    assert_close(mesh.keypoints, wanted.keypoints[0], atol=1e-4, rtol=0)
    assert_close(mesh.vertices, wanted.vertices[0], atol=1e-4, rtol=0)
    assert_close(mesh.pixels, wanted.pixels[0], atol=0.02, rtol=1e-3)
    assert mesh.focal == tuple(wanted.focal[0].tolist())
    assert mesh.focal_from == "calibration"


def test_a_generated_sample_is_recovered_as_it_is_evaluated(net, config, tmp_path):
    people = PeopleConfig(subject="hand", seed=5, count=2)
    make_people(0, people.count, people, tmp_path / "pairs.h5", lambda _: None)
    same_as_sample(net, config, GeneratedSet.open([tmp_path]), 1)


@pytest.mark.parametrize("index", [0, 1])  # a right and a left hand, away from the middle
def test_either_hand_of_a_picture_is_recovered_as_it_is_evaluated(net, config, index):
    same_as_sample(net, config, MadeSet(), index)


def test_a_mirrored_picture_with_the_other_side_gives_the_mirrored_mesh_to_the_bit(net, config, picture):
    mirrored_boxes = np.stack([WIDTH - 1 - BOXES[:, 2], BOXES[:, 1], WIDTH - 1 - BOXES[:, 0], BOXES[:, 3]], axis=1)
    right = recover(net, config, picture, BOXES, ("right",) * 3)
    left = recover(net, config, np.ascontiguousarray(picture[:, ::-1]), mirrored_boxes, ("left",) * 3)
    for one, other in zip(right, left, strict=True):
        assert torch.equal(one.vertices * FLIP, other.vertices)
        assert torch.equal(one.keypoints * FLIP, other.keypoints)
        assert_close(WIDTH - 1 - one.pixels[:, 0], other.pixels[:, 0], atol=1e-3, rtol=1e-5)


def test_many_boxes_at_once_are_each_alone(net, config, picture):
    sides = ("left", "right", "left")
    together = recover(net, config, picture, BOXES, sides, INTRINSICS)
    for box, side, mesh in zip(BOXES, sides, together, strict=True):
        (alone,) = recover(net, config, picture, [box], [side], INTRINSICS)
        assert_close(mesh.vertices, alone.vertices, atol=1e-5, rtol=0)
        assert_close(mesh.keypoints, alone.keypoints, atol=1e-5, rtol=0)
        assert_close(mesh.pixels, alone.pixels, atol=0.01, rtol=1e-4)
    assert not torch.allclose(together[0].vertices, together[2].vertices)


def test_an_unknown_side_counts_as_right(net, config, picture):
    unknown, told = recover(net, config, picture, BOXES), recover(net, config, picture, BOXES, ("right",) * 3)
    for one, other in zip(unknown, told, strict=True):
        assert torch.equal(one.vertices, other.vertices)
        assert torch.equal(one.faces, other.faces)


def volume(mesh):
    """Six times what the triangles enclose, positive where they face outwards."""
    corners = mesh.vertices[mesh.faces].double()
    return torch.linalg.det(corners - mesh.vertices.double().mean(dim=0)).sum()


def test_triangles_of_both_hands_face_outwards(net, config, picture):
    right, left = recover(net, config, picture, BOXES[[0, 0]], ("right", "left"))
    assert volume(right) > 0
    assert volume(left) > 0


def test_an_unknown_camera_is_assumed_and_said_and_seen_pixels_follow_from_it(net, config, picture):
    assumed, given = (
        recover(net, config, picture, BOXES[:1], intrinsics=matrix)[0]
        for matrix in (None, assumed_intrinsics(WIDTH, HEIGHT))
    )
    assert assumed.focal == (WIDTH, WIDTH)
    assert assumed.focal_from == "assumed"
    assert given.focal_from == "calibration"
    assert torch.equal(assumed.vertices, given.vertices)


def test_bodies_have_no_sides(picture):
    config = MeshConfig(subject="body", model="anny-body-small")
    net = network(config)
    (one,), (other,) = (recover(net, config, picture, BOXES[:1], sides) for sides in (None, ["left"]))
    assert torch.equal(one.vertices, other.vertices)
    assert torch.equal(one.faces, net.body.faces)


def test_no_boxes_give_no_meshes_and_wrong_ones_are_refused(net, config, picture):
    assert recover(net, config, picture, np.zeros((0, 4))) == []
    for wrong in (BOXES[0], BOXES[:, [2, 1, 0, 3]], BOXES * np.nan):
        with pytest.raises(ValueError, match="boxes are"):
            recover(net, config, picture, wrong)
    with pytest.raises(ValueError, match="3 boxes with 1 sides"):
        recover(net, config, picture, BOXES, ["left"])
