"""Crops, cameras and labels of mesh samples fit together, whatever is drawn and whichever hand is shown."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from humanpt.body.model import load_body_model
from humanpt.errors import ConfigError, InputError
from humanpt.geometry.cameras import project
from humanpt.models.mesh_heads import root_place
from humanpt.tasks.mesh_config import MeshConfig
from humanpt.tasks.mesh_samples import MeshSamples, collate, same_parameters, turn_pose
from tests.tasks.mesh_sets import WIDTH, MadeSet

SIZE = 64


def samples(data, *, training=False, seed=3, **changes):
    config = MeshConfig(**({"subject": data.layout.subject, "model": data.layout.model} | changes))
    return MeshSamples(data, np.arange(len(data)), config, SIZE, seed, training=training)


@pytest.fixture(scope="module")
def hands():
    return MadeSet()


def same(first, second):
    """Whether two samples are equal in everything."""
    return all(
        np.array_equal(getattr(first, field.name), getattr(second, field.name), equal_nan=field.name != "image2")
        if getattr(first, field.name) is not None
        else getattr(second, field.name) is None
        for field in fields(first)
    )


def test_a_training_sample_is_a_function_of_seed_and_position_alone(hands):
    one, other = samples(hands, training=True), pickle.loads(pickle.dumps(samples(hands, training=True)))
    later = other[11]
    assert same(one[4], other[4])
    assert same(one[11], later)
    assert not np.array_equal(samples(hands, training=True, seed=4)[4].image1, one[4].image1)


def test_an_epoch_has_every_sample_once_and_measuring_keeps_their_order(hands):
    assert sorted(samples(hands, training=True)[place].index for place in range(6, 12)) == list(range(6))
    assert [samples(hands)[place].index for place in range(6)] == list(range(6))


@pytest.mark.parametrize("training", [True, False])
def test_key_points_are_seen_at_their_pixels_in_the_crop(hands, training):
    for position in range(8 if training else 6):
        sample = samples(hands, training=training)[position]
        seen = project(torch.from_numpy(sample.keypoints), torch.from_numpy(sample.intrinsics))
        assert_allclose(seen.numpy(), sample.pixels, atol=2e-3)


def test_augmentation_changes_crops_and_neither_shape_nor_size_of_a_hand(hands):
    plain, drawn = samples(hands)[2], samples(hands, training=True)
    again = next(sample for sample in map(drawn.__getitem__, range(6)) if sample.index == 2)
    assert not np.array_equal(plain.image1, again.image1)
    assert_array_equal(plain.shape, again.shape)
    lengths = [np.linalg.norm(one.keypoints - one.keypoints[0], axis=1) for one in (plain, again)]
    assert_allclose(*lengths, atol=1e-6)


def test_nothing_drawn_changes_nothing(hands):
    still = samples(hands, training=True, scale=0, shift=0, turn=0, jitter=0)[0]
    assert same(still, samples(hands)[still.index])


def test_a_left_hand_is_seen_as_the_right_hand_that_it_mirrors():
    left = samples(MadeSet(sides=("left",)))[1]
    right = samples(MadeSet(sides=("right",)))[1]
    assert left.mirrored
    assert not right.mirrored
    assert_array_equal(left.image1, right.image1)
    for name in ("keypoints", "pixels", "pose", "shape", "intrinsics", "crop_from_cam"):
        assert_allclose(getattr(left, name), getattr(right, name), atol=2e-5, err_msg=name)
    assert left.picture_intrinsics[0, 2] == WIDTH - 1 - right.picture_intrinsics[0, 2]


def test_a_hand_of_unknown_side_counts_as_a_right_one():
    unknown, right = (samples(MadeSet(sides=(side,)))[0] for side in ("unknown", "right"))
    assert np.isnan(unknown.right)
    assert right.right == 1
    assert same(replace(unknown, right=right.right), right)


def test_a_network_that_says_the_side_sees_mirrored_hands_of_which_nothing_else_is_known():
    data = MadeSet(sides=("left", "right"), count=2)
    plain = samples(data, training=True)
    asked = samples(data, training=True, side=True)
    mirrored = [at for at in range(40) if asked[at].right == 0]
    assert 2 < len(mirrored) < 20
    for at in mirrored[:2]:
        assert_array_equal(asked[at].image1, plain[at].image1[:, ::-1])
        assert all(np.isnan(getattr(asked[at], name)).all() for name in ("keypoints", "pixels", "pose", "shape"))
    assert all(same(asked[at], plain[at]) for at in range(40) if at not in mirrored)
    assert all(sample.right == 1 for sample in samples(data, side=True))


def test_two_views_give_the_partner_mirrored_as_the_sample_is():
    data = MadeSet(sides=("left", "left"), count=2)
    both = samples(data, views=2)[0]
    assert_array_equal(both.image2, samples(data)[1].image1)
    data.partners[:] = -1
    assert_array_equal(samples(data, views=2)[0].image2, samples(data)[0].image1)


def test_labels_of_another_model_are_no_parameters_and_those_of_another_mesh_no_vertices():
    data = MadeSet("anny-body-small", count=2)
    vertices = np.ones((1229, 3), np.float32)
    data.changes[0] = {"vertices": vertices}
    known = samples(data)[0]
    assert_allclose(known.vertices, vertices @ known.crop_from_cam.T, atol=1e-6)
    other = samples(data, model="anny-body")[0]
    assert other.vertices is None
    assert_array_equal(other.pose, data.labels(0).pose)
    assert same_parameters("anny-body-full", "anny-body-small")
    assert not same_parameters("mano", "anny-hand")
    assert not same_parameters(None, "mano")
    data.layout = replace(data.layout, model="smpl")
    foreign = samples(data, model="anny-body-small")[0]
    assert foreign.pose is None
    assert foreign.shape is None
    assert foreign.vertices is None
    assert np.isfinite(foreign.keypoints).all()


def test_key_points_go_by_their_names_and_unknown_ones_are_nan(hands):
    data = MadeSet()
    data.layout = replace(data.layout, keypoint_names=("elbow", *data.layout.keypoint_names[1:]))
    sample, whole = samples(data)[0], samples(hands)[0]
    assert np.isnan(sample.keypoints[0]).all()
    assert np.isnan(sample.pixels[0]).all()
    assert_array_equal(sample.keypoints[1:], whole.keypoints[1:])
    data.layout = replace(data.layout, keypoint_names=tuple(f"x{number}" for number in range(21)))
    with pytest.raises(InputError, match="none of its key points"):
        samples(data)


def test_a_batch_holds_what_some_samples_lack_as_nan():
    data = MadeSet()
    data.changes[1] = {"pose": None, "shape": None}
    batch = collate([samples(data)[0], samples(data)[1]])
    assert batch.pose[0].isfinite().all()
    assert batch.pose[1].isnan().all()
    assert batch.shape[1].isnan().all()
    assert batch.vertices is None
    assert batch.image2 is None
    assert batch.image1.shape == (2, 3, SIZE, SIZE)
    assert len(batch) == 2


def test_means_are_those_of_the_labels(hands):
    one = MadeSet(count=2)
    one.changes[1] = {"keypoints": np.full((21, 3), np.nan, np.float32), "pose": None, "shape": None}
    means, first = samples(one).means(), samples(one)[0]
    wrist = root_place(means.camera[None], torch.from_numpy(first.intrinsics)[None], SIZE)
    assert_allclose(wrist[0].numpy(), first.keypoints[0], atol=1e-5)
    assert_allclose(means.shape.numpy(), first.shape, atol=1e-6)
    assert_allclose(means.pose[1:].numpy(), first.pose[1:], atol=1e-6)
    assert_allclose(means.pose[0].numpy(), first.crop_from_cam @ first.pose[0], atol=1e-6)
    one.changes[0] = one.changes[1]
    assert samples(one).means() == (None, None, None)


def test_a_joint_that_no_label_knows_begins_unturned():
    data = MadeSet(count=2)
    for index in range(2):
        pose = data.labels(index).pose.copy()
        pose[3] = np.nan
        data.changes[index] = {"pose": pose}
    pose = samples(data).means().pose
    assert_array_equal(pose[3].numpy(), np.eye(3, dtype=np.float32))
    assert pose.isfinite().all()


@pytest.mark.parametrize("name", ["anny-hand", "anny-body-small"])
def test_a_turned_pose_gives_the_turned_mesh(name):
    data, body = MadeSet(name, count=2), load_body_model(name)
    labels = data.labels(0)
    shape, pose, still = torch.from_numpy(labels.shape)[None], torch.from_numpy(labels.pose)[None], torch.zeros(1, 3)
    turn = torch.from_numpy(samples(data)[0].crop_from_cam)[None]
    turned = body(shape, turn_pose(body, pose, turn), still).vertices
    assert_allclose(turned.numpy(), (body(shape, pose, still).vertices @ turn.mT).numpy(), atol=1e-5)


def test_what_does_not_fit_is_told(hands):
    with pytest.raises(InputError, match="labels of a hand, the network is for a body"):
        samples(hands, subject="body", model="anny-body-small")
    with pytest.raises(InputError, match="no pictures to train on"):
        MeshSamples(hands, np.arange(0), MeshConfig(), SIZE, 0, training=True)
    with pytest.raises(ConfigError, match="not all 0"):
        MeshConfig(**{field.name: 0.0 for field in fields(MeshConfig) if field.name.endswith("_weight")})
    with pytest.raises(ConfigError, match="shift"):
        MeshConfig(shift=0.9)
