"""Anny for one person at a time is Anny to rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from humanpt.body.anny_quick import QuickAnny
from humanpt.body.model import load_body_model
from humanpt.geometry.nearest_rotation import nearest_by_arithmetic, nearest_by_singular_values
from humanpt.geometry.rotations import nearest_rotation, random_rotmat, rotvec_to_rotmat


@pytest.mark.parametrize("name", ["anny-hand", "anny-body-small"])
@pytest.mark.parametrize("nearest", [nearest_rotation, nearest_by_arithmetic, nearest_by_singular_values])
def test_the_quick_form_gives_the_same_mesh(name, nearest):
    model = load_body_model(name)
    generator = torch.Generator().manual_seed(0)
    shape = model.sample_shape(np.random.default_rng(0), 3)
    shape[0] = 2 * shape[0] - 0.7  # partly beyond the ends of the tents
    pose = rotvec_to_rotmat(0.6 * torch.randn(3, len(model.layout.joint_names), 3, generator=generator))
    transl = torch.randn(3, 3, generator=generator)
    quick, whole = QuickAnny(model, nearest)(shape, pose, transl), model(shape, pose, transl)
    for field in ("vertices", "joints", "keypoints", "orientations"):
        assert_close(getattr(quick, field), getattr(whole, field), atol=2e-6, rtol=0)


def test_a_batch_of_one_is_shared_and_wrong_sizes_are_refused():
    model = load_body_model("anny-hand")
    quick, pose = QuickAnny(model), model.identity_pose(2)
    alone = quick(model.mean_shape(), pose[:1], torch.zeros(1, 3))
    assert_close(quick(model.mean_shape(), pose, torch.zeros(1, 3)).vertices, alone.vertices.expand(2, -1, -1))
    assert_close(quick(model.mean_shape().expand(2, -1), pose[:1], torch.zeros(1, 3)).vertices[1], alone.vertices[0])
    with pytest.raises(ValueError, match="with one B"):
        quick(model.mean_shape(), pose, torch.zeros(3, 3))


@pytest.mark.parametrize("name", ["anny-hand", "anny-body-small"])
def test_a_pose_turns_everything_about_the_pivot(name):
    model = load_body_model(name)
    shape, turn = model.mean_shape(), random_rotmat(1, torch.Generator().manual_seed(1))
    pose = model.identity_pose()
    turned = torch.cat((turn[:, None] @ pose[:, :1], pose[:, 1:]), dim=1)
    before, after = (model(shape, given, torch.zeros(1, 3)).vertices for given in (pose, turned))
    assert_close(after, (before - model.pivot(shape)) @ turn.mT + model.pivot(shape), atol=1e-6, rtol=0)
