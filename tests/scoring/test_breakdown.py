"""Errors by ranges: what lies where, and from where a hand or a body is seen."""

import pytest
import torch

from humanpt.body.model import load_body_model
from humanpt.scoring.breakdown import Breakdown, by_hidden, view_angles


def test_each_sample_counts_in_its_range_and_unknown_ones_nowhere():
    ranges = Breakdown((1.0, 2.0), ("low", "middle", "high"))
    ranges.add(torch.tensor([0.0, 1.0, 1.5, torch.nan]), torch.tensor([10.0, 20.0, 30.0, 40.0]))
    ranges.add(torch.tensor([0.5, 1.2]), torch.tensor([20.0, torch.nan]))
    assert ranges.result() == [("low", 2, 15.0), ("middle", 2, 25.0)]


def test_nothing_hidden_has_a_range_of_its_own():
    ranges = by_hidden()
    ranges.add(torch.tensor([0.0, 1 / 21, 0.25, 1.0]), torch.ones(4))
    assert [label for label, _, _ in ranges.result()] == list(ranges.labels)


@pytest.mark.parametrize(("model", "side"), [("anny-hand", "right"), ("anny-hand", "left"), ("anny-body-small", None)])
def test_a_palm_or_chest_towards_the_camera_is_at_0_and_its_back_at_180(model, side):
    body = load_body_model(model, side=side) if side else load_body_model(model)
    place = torch.tensor([[0.0, 0.0, 3.0]])
    with torch.no_grad():
        points = body(body.mean_shape(), body.identity_pose(), place).keypoints  # palm and face towards -z
    turned = (points - place) * torch.tensor([-1.0, 1.0, -1.0]) + place
    angles = view_angles(torch.cat([points, turned]), body.layout.keypoint_names, torch.tensor([side == "left"] * 2))
    assert angles[0] < 35
    assert angles[1] > 145


def test_other_points_tell_no_angle():
    assert view_angles(torch.zeros(2, 1, 3), ["nose"], torch.zeros(2, dtype=torch.bool)).isnan().all()
