"""The rotation study's networks, examples and errors."""

import math

import pytest
import torch
from torch.testing import assert_close

from humanpt.errors import ConfigError
from humanpt.geometry.rotations import geodesic_distance, rotvec_to_rotmat
from humanpt.tasks import rotation
from humanpt.tasks.rotation import Networks, RotationConfig, Turns, baseline, errors_by_angle, numbers_in, train

SHORT = RotationConfig(steps=6, width=16, batch_size=8, tests=50)


@pytest.mark.parametrize("form", ["procrustes", "euler"])
def test_networks_side_by_side_learn_what_each_learns_alone(form):
    together = train(SHORT, form, 180.0, (3, 7))
    for place, seed in enumerate((3, 7)):
        (alone,) = train(SHORT, form, 180.0, (seed,))
        assert together[place]["seed"] == alone["seed"] == seed
        assert together[place]["loss"] == pytest.approx(alone["loss"], rel=1e-4)
        assert together[place]["quantiles"] == pytest.approx(alone["quantiles"], rel=0.01)


def test_the_same_seed_gives_the_same_errors():
    assert train(SHORT, "6d", 45.0, (1,)) == train(SHORT, "6d", 45.0, (1,))


def test_forms_begin_with_the_same_hidden_layers_and_see_the_same_examples():
    one, other = (Networks(SHORT, numbers_in(form), (0,)) for form in ("procrustes", "rotvec"))
    for mine, yours in zip(one.weights[:4], other.weights[:4], strict=True):
        assert torch.equal(mine, yours)
    assert torch.equal(Turns(SHORT, 180.0, (5,)).draw(4), Turns(SHORT, 180.0, (5,)).draw(4))


def test_a_few_steps_learn_most_of_a_rotation():
    config = RotationConfig(steps=120, width=64, tests=500)
    (learnt,) = train(config, "procrustes", 180.0, (0,))
    assert learnt["mean"] < baseline(config, 180.0, (0,))[0] / 10
    assert learnt["loss"][-1] < learnt["loss"][0]
    assert learnt["quantiles"][0] <= learnt["median"] <= learnt["quantiles"][-1] == pytest.approx(learnt["worst"])


def test_the_networks_see_the_points_and_the_turned_points():
    turns = Turns(SHORT, 180.0, (0, 1))
    rotmat = turns.draw(6)
    still, turned = turns.seen(rotmat).view(2, 6, 2, SHORT.points, 3).unbind(2)
    assert torch.equal(still, turns.points[:, None].expand_as(still))
    assert_close(turned, torch.einsum("sbij,spj->sbpi", rotmat, turns.points))


def test_small_rotations_stay_within_their_limit():
    angles = geodesic_distance(Turns(SHORT, 45.0, (0,)).draw(5000)[0], torch.eye(3)).rad2deg()
    assert angles.max() <= 45.001
    assert angles.mean().item() == pytest.approx(22.5, abs=0.7)


def test_saying_no_turn_errs_by_the_mean_angle():
    config = RotationConfig(tests=20_000)
    assert baseline(config, 180.0, (0,)) == [pytest.approx(math.degrees(math.pi / 2 + 2 / math.pi), abs=1.0)]
    assert baseline(config, 45.0, (0, 1)) == [pytest.approx(22.5, abs=0.4)] * 2


def test_errors_are_told_in_degrees_and_by_the_true_angle():
    truth = rotvec_to_rotmat(torch.tensor([[math.radians(angle), 0, 0] for angle in (10.0, 20.0, 100.0)]))
    off = rotvec_to_rotmat(torch.tensor([[0, math.radians(angle), 0] for angle in (2.0, 4.0, 9.0)]))
    told = errors_by_angle(off @ truth, truth, 180.0)
    assert told["mean"] == pytest.approx(5, abs=1e-3)
    assert told["median"] == pytest.approx(4, abs=1e-3)
    assert told["worst"] == pytest.approx(9, abs=1e-3)
    assert told["by_angle"][0] == pytest.approx(2, abs=1e-3)
    assert told["by_angle"][1] == pytest.approx(4, abs=1e-3)
    assert told["by_angle"][6] == pytest.approx(9, abs=1e-3)
    assert [place for place, error in enumerate(told["by_angle"]) if error is not None] == [0, 1, 6]


def test_training_stops_when_told_to(monkeypatch):
    monkeypatch.setattr(rotation, "CHUNK", 2)
    calls = []

    def told(steps, loss):
        calls.append((steps, loss))
        return len(calls) < 2

    assert train(SHORT, "quat", 180.0, (0,), told) is None
    assert [steps for steps, _ in calls] == [2, 2]


def test_one_thread_trains_and_the_others_come_back():
    before, inside = torch.get_num_threads(), []

    def told(steps, loss):
        inside.append(torch.get_num_threads())
        return True

    torch.set_num_threads(2)
    try:
        train(SHORT, "rotvec", 45.0, (0,), told)
        assert (inside, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


def test_sizes_that_cannot_work_are_one_line():
    with pytest.raises(ConfigError, match="steps is 0"):
        RotationConfig(steps=0)
    with pytest.raises(ConfigError, match="lr is 0"):
        RotationConfig(lr=0.0)
