"""Smoothing takes the tremble out, keeps up with motion, and leaves what is still as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from humanpt.body.model import load_body_model
from humanpt.errors import ConfigError
from humanpt.geometry.rotations import geodesic_distance, mirror_x, random_rotmat, rotvec_to_rotmat
from humanpt.live.smooth import (
    COVERING,
    NUMBERS,
    ROTATIONS,
    Filter,
    FilterConfig,
    Meshes,
    MeshSmoother,
    Moment,
    SmoothConfig,
    covering,
    gains,
    make_filter,
    mean_over,
    one_euro,
    velocity,
)
from humanpt.models.mesh_heads import ModelPoints

METHODS = ("one-euro", "velocity")
STRENGTH = FilterConfig(min_cutoff=1.0, beta=0.5, index=100.0)


def filter_of(method, space=NUMBERS, strength=STRENGTH):
    return make_filter(SmoothConfig(method=method), strength, space)


def uneven_times(count, seed=0):
    """Seconds between 10 and 100 ms apart."""
    return np.cumsum(np.random.default_rng(seed).uniform(0.01, 0.1, count)).tolist()


def run(smooth, times, values):
    """Each value (M, ...) of one subject after the other."""
    return torch.stack([smooth(time, ["me"], value[None])[0] for time, value in zip(times, values, strict=True)])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("space", [NUMBERS, ROTATIONS], ids=["numbers", "rotations"])
def test_what_is_still_stays_as_it_is(method, space):
    rng = torch.Generator().manual_seed(0)
    value = random_rotmat(5, rng) if space is ROTATIONS else torch.randn(5, 3, generator=rng)
    smoothed = run(filter_of(method, space), uneven_times(60), [value] * 60)
    assert_close(smoothed, value.expand_as(smoothed), atol=2e-5, rtol=0)


@pytest.mark.parametrize("angle", [0.0, 1e-6, 1e-3, 0.5, 2.0, 2.6, 2.8, 3.1])
def test_steps_between_rotations_are_rotation_vectors(angle):
    rng = torch.Generator().manual_seed(2)
    first, axis = random_rotmat(50, rng), torch.nn.functional.normalize(torch.randn(50, 3, generator=rng), dim=-1)
    second = first @ rotvec_to_rotmat(angle * axis)
    assert_close(ROTATIONS.moved(first, angle * axis), second, atol=2e-6, rtol=0)
    assert_close(ROTATIONS.between(first, second), angle * axis, atol=2e-5, rtol=0)


def test_the_velocity_filter_does_not_lag_behind_steady_motion():
    times = uneven_times(50)
    speed = torch.tensor([[0.3, -1.0, 2.0]])
    numbers = [speed * time for time in times]
    assert_close(run(filter_of("velocity"), times, numbers), torch.stack(numbers), atol=1e-4, rtol=0)
    start = random_rotmat(1, torch.Generator().manual_seed(1))
    turned = [start @ rotvec_to_rotmat(speed * time) for time in times]
    smoothed = run(filter_of("velocity", ROTATIONS), times, turned)
    assert float(geodesic_distance(smoothed, torch.stack(turned)).max()) < 2e-3


def test_the_one_euro_filter_follows_the_papers_formulas():
    rng, times = np.random.default_rng(0), uneven_times(40)
    values = np.cumsum(rng.normal(size=40))
    wanted, hat, speed = [values[0]], values[0], 0.0
    for number in range(1, len(times)):
        elapsed = times[number] - times[number - 1]

        def share(cutoff, elapsed=elapsed):
            return 1 / (1 + 1 / (2 * np.pi * cutoff) / elapsed)

        raw = (values[number] - values[number - 1]) / elapsed
        speed = share(1.0) * raw + (1 - share(1.0)) * speed
        part = share(1.0 + 0.5 * abs(speed))
        hat = part * values[number] + (1 - part) * hat
        wanted.append(hat)
    smooth = Filter(one_euro(STRENGTH, 1.0, NUMBERS), NUMBERS, 10.0)
    got = run(smooth, times, torch.tensor(values)[:, None, None])
    assert_close(got[:, 0, 0], torch.tensor(wanted), atol=1e-9, rtol=0)


def test_gains_belong_to_the_tracking_index():
    index = torch.tensor([1e-3, 0.1, 1.0, 10.0], dtype=torch.float64)
    alpha, beta = gains(index, torch.tensor(1e9, dtype=torch.float64))
    assert_close(beta / torch.sqrt(1 - alpha), index, atol=1e-9, rtol=1e-6)  # Kalata's relation
    assert (alpha.diff() > 0).all()
    assert ((alpha > 0) & (alpha < 1)).all()


def test_the_velocity_filter_begins_with_the_line_through_all_it_has_seen():
    times = [0.0, 1.0, 2.0, 3.0, 4.0]
    values = np.array([0.1, 1.3, 1.7, 3.4, 3.9])
    slow = FilterConfig(min_cutoff=1, beta=0, index=1e-9)  # so that the gains of the beginning rule
    smooth = Filter(velocity(slow, NUMBERS), NUMBERS, 10.0)
    got = run(smooth, times, torch.tensor(values)[:, None, None])[:, 0, 0]
    wanted = [np.polyval(np.polyfit(times[:n], values[:n], 1), times[n - 1]) for n in range(2, 6)]
    assert_close(got[1:], torch.tensor(wanted), atol=1e-6, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_tremble_shrinks(method):
    rng, times = torch.Generator().manual_seed(0), [number / 30 for number in range(100)]
    still = random_rotmat(4, rng)
    turns = [still @ rotvec_to_rotmat(0.1 * torch.randn(4, 3, generator=rng)) for _ in times]
    smoothed = run(filter_of(method, ROTATIONS), times, turns)

    def tremble(rotations):
        return float(geodesic_distance(rotations[50:-1], rotations[51:]).mean())

    assert tremble(smoothed) < 0.5 * tremble(torch.stack(turns))
    error = geodesic_distance(smoothed[50:], still.expand_as(smoothed[50:])).mean()
    assert float(error) < 0.75 * float(geodesic_distance(torch.stack(turns)[50:], still.expand(50, -1, -1, -1)).mean())


@pytest.mark.parametrize("method", METHODS)
def test_a_rotation_stays_a_rotation(method):
    rng, smooth = torch.Generator().manual_seed(0), filter_of(method, ROTATIONS)
    for number in range(300):
        smoothed = smooth(number / 30, ["me"], random_rotmat(3, rng)[None])
    assert_close(smoothed @ smoothed.mT, torch.eye(3).expand(1, 3, 3, 3), atol=1e-5, rtol=0)
    assert_close(torch.linalg.det(smoothed), torch.ones(1, 3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_subjects_do_not_mix(method):
    rng, times = torch.Generator().manual_seed(0), uneven_times(30)
    values = {name: torch.randn(30, 2, 3, generator=rng) for name in ("one", "two")}
    together, alone = filter_of(method), {name: filter_of(method) for name in values}
    for number, time in enumerate(times):
        here = [name for name in ("two", "one") if name == "one" or number % 4]  # the other is missed now and then
        got = together(time, here, torch.stack([values[name][number] for name in here]))
        for row, name in enumerate(here):
            assert_close(got[row], alone[name](time, [name], values[name][number][None])[0])


@pytest.mark.parametrize("method", METHODS)
def test_a_gap_and_forgetting_start_anew(method):
    smooth, first, second = filter_of(method), torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
    smooth(0.0, ["me"], first)
    assert float(smooth(0.4, ["me"], second)) < 1 or method == "velocity"
    assert float(smooth(1.0, ["me"], first)) == 0
    smooth(1.1, ["me"], first)
    smooth.forget()
    assert float(smooth(1.2, ["me"], second)) == 1


@pytest.mark.parametrize("method", METHODS)
def test_two_pictures_of_one_time_give_finite_numbers(method):
    smooth = filter_of(method, ROTATIONS)
    rng = torch.Generator().manual_seed(0)
    for time in (0.0, 0.1, 0.1, 0.1, 0.2):
        smoothed = smooth(time, ["me"], random_rotmat(2, rng)[None])
        assert smoothed.isfinite().all()


def test_a_mean_over_a_long_memory_is_that_of_all():
    values = torch.randn(20, 1, 4, generator=torch.Generator().manual_seed(0))
    smooth = Filter(mean_over(1e9), NUMBERS, 10.0)
    got = run(smooth, [number / 10 for number in range(20)], values)
    assert_close(got[-1], values.mean(dim=0))


def test_points_are_put_where_they_cover_others():
    rng = torch.Generator().manual_seed(0)
    around = 0.05 * torch.randn(3, 21, 3, generator=rng)
    place = torch.tensor([[0.1, -0.2, 0.6], [0.0, 0.0, 0.4], [-0.3, 0.1, 1.5]])
    seen = around + place[:, None]
    assert_close(covering(around, 7 * seen, place[:, 2]), place, atol=1e-4, rtol=0)  # only directions count
    upside_down = around * torch.tensor([-1.0, -1.0, 1.0])
    far = covering(upside_down, seen, place[:, 2])[:, 2]
    assert_close(far, place[:, 2] / COVERING)


@pytest.fixture(scope="module")
def body():
    return load_body_model("anny-hand")


@pytest.fixture(scope="module")
def posed(body):
    return ModelPoints(body, "hand")


def hands(body, left, *, tremble=0.0, seed=0):
    """Two hands, and which of them are left ones, as `recover_boxes` tells them."""
    rng = torch.Generator().manual_seed(1)
    pose = rotvec_to_rotmat(0.3 * torch.randn(2, len(body.layout.joint_names), 3, generator=rng))
    noise = torch.Generator().manual_seed(seed)
    pose = pose @ rotvec_to_rotmat(tremble * torch.randn(*pose.shape[:2], 3, generator=noise))
    shape = body.mean_shape().expand(2, -1) + tremble * torch.randn(2, 6, generator=noise)
    transl = torch.tensor([[0.05, 0.1, 0.6], [-0.1, 0.0, 0.8]])
    with torch.no_grad():
        mesh = body(shape, pose, transl)
    flip = torch.tensor(left)
    signs = torch.where(flip[:, None], torch.tensor([-1.0, 1.0, 1.0]), torch.ones(3))
    return Meshes(
        keypoints=mesh.keypoints * signs[:, None],
        vertices=mesh.vertices * signs[:, None],
        pose=torch.where(flip[:, None, None, None], mirror_x(pose), pose),
        shape=shape,
        transl=transl * signs,
    )


@pytest.mark.parametrize("method", METHODS)
def test_hands_that_hold_still_come_out_as_they_went_in(method, body, posed):
    left = [False, True]
    meshes = hands(body, left)
    smoother = MeshSmoother(SmoothConfig(method=method), posed, [0])
    for number in range(10):
        smoothed = smoother(number / 30, ["a", "b"], left, meshes)
    for name in ("keypoints", "vertices", "pose", "shape", "transl"):
        assert_close(getattr(smoothed, name), getattr(meshes, name), atol=2e-5, rtol=0)


def test_smoothed_parameters_and_vertices_belong_together(body, posed):
    left, smoother = [False, True], MeshSmoother(SmoothConfig(), posed, [0])
    for number in range(5):
        smoothed = smoother(number / 30, ["a", "b"], left, hands(body, left, tremble=0.1, seed=number))
    for row, model in enumerate((body, load_body_model("anny-hand", side="left"))):
        with torch.no_grad():
            mesh = model(*(part[row : row + 1] for part in (smoothed.shape, smoothed.pose, smoothed.transl)))
        assert_close(mesh.vertices[0], smoothed.vertices[row], atol=2e-5, rtol=0)
        assert_close(mesh.keypoints[0], smoothed.keypoints[row], atol=2e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_a_trembling_hand_becomes_steady_and_stays_where_the_picture_has_it(method, body, posed):
    left, smoother = [False, True], MeshSmoother(SmoothConfig(method=method), posed, [0])
    true, raw, smooth = hands(body, left), [], []
    for number in range(30):
        raw.append(hands(body, left, tremble=0.04, seed=number))
        smooth.append(smoother(number / 30, ["a", "b"], left, raw[-1]))

    def around(mesh):
        return mesh.vertices - mesh.keypoints[:, :1]

    def error(meshes):
        return torch.stack([(around(mesh) - around(true)).norm(dim=-1) for mesh in meshes[10:]]).mean()

    def tremble(meshes):
        """On a picture plane one metre away."""
        rays = torch.stack([mesh.keypoints[..., :2] / mesh.keypoints[..., 2:] for mesh in meshes[10:]])
        return rays.diff(dim=0).norm(dim=-1).mean()

    assert error(smooth) < 0.7 * error(raw)
    assert tremble(smooth) < 0.8 * tremble(raw)


def test_networks_without_parameters_are_smoothed_by_their_points(body):
    left, smoother, raw, smooth = [False, True], MeshSmoother(SmoothConfig(), None, [0]), [], []
    for number in range(30):
        told = hands(body, left, tremble=0.04, seed=number)
        raw.append(Meshes(keypoints=told.keypoints, vertices=told.vertices, pose=None, shape=None, transl=None))
        smooth.append(smoother(number / 30, ["a", "b"], left, raw[-1]))
    assert smooth[-1].pose is None
    assert smooth[-1].transl is None
    tremble = [
        torch.stack([mesh.vertices for mesh in meshes[10:]]).diff(dim=0).norm(dim=-1).mean() for meshes in (raw, smooth)
    ]
    assert tremble[1] < 0.7 * tremble[0]


def test_parameters_without_a_body_model_are_refused(body):
    with pytest.raises(ValueError, match="body model"):
        MeshSmoother(SmoothConfig(), None, [0])(0.0, ["a", "b"], [False, False], hands(body, [False, False]))


class WindowMean:
    """A smoother over a window, as a network over poses would be: it keeps the moments before itself."""

    def __init__(self):
        self.moments = {}

    def __call__(self, timestamp, keys, moment):
        for row, key in enumerate(keys):
            self.moments[key] = [*self.moments.get(key, ())[-3:], moment.shape[row]]
        shape = torch.stack([torch.stack(self.moments[key]).mean(dim=0) for key in keys])
        return Moment(moment.pose, shape, None)

    def forget(self):
        self.moments.clear()


def test_a_smoother_over_a_window_fits_in_place_of_the_filters(body, posed):
    left, window = [False, True], WindowMean()
    smoother = MeshSmoother(SmoothConfig(), posed, [0], window)
    told = [hands(body, left, tremble=0.1, seed=number) for number in range(6)]
    for number, meshes in enumerate(told):
        smoothed = smoother(number / 30, ["a", "b"], left, meshes)
    assert_close(smoothed.shape, torch.stack([meshes.shape for meshes in told[2:]]).mean(dim=0))
    assert_close(smoothed.pose, told[-1].pose)
    smoother.forget()
    assert not window.moments


def test_nobody_is_nobody(body, posed):
    nobody = hands(body, [False, False])
    empty = Meshes(**{name: getattr(nobody, name)[:0] for name in ("keypoints", "vertices", "pose", "shape", "transl")})
    assert len(MeshSmoother(SmoothConfig(), posed, [0])(0.0, [], [], empty)) == 0


def test_impossible_strengths_are_refused():
    with pytest.raises(ConfigError, match="min_cutoff"):
        FilterConfig(min_cutoff=0, beta=1, index=1)
    with pytest.raises(ConfigError, match=r"smooth\.method is 'kalman'"):
        SmoothConfig(method="kalman")
    with pytest.raises(ConfigError, match="max_gap"):
        SmoothConfig(max_gap=0)
    with pytest.raises(ValueError, match="none is no filter"):
        filter_of("none")
