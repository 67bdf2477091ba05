"""The rotation study: which way of saying a rotation does a network learn best?

A small network sees a set of points twice, as it is and turned, and tells the rotation between the two. Only the last
layer and the mapping from its free numbers to a rotation change from one form to another. This is a miniature of the
comparison in Bregier, Deep Regression on Manifolds: a 3D Rotation Case Study (3DV 2021, arXiv 2103.16317), and of the
experiment on point clouds in Zhou and others (CVPR 2019); sizes, steps and points are ours.

The networks of several seeds are trained side by side, as one stack of matrices: they share nothing but the time.

Letters: S seeds, B rotations of a batch, T rotations to test on, P points, n numbers that the form takes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanpt.data.people.staging import one_thread
from humanpt.errors import ConfigError
from humanpt.geometry.rotations import (
    NUMBERS,
    euler_to_rotmat,
    geodesic_distance,
    random_rotmat,
    rotations_from,
    rotvec_to_rotmat,
)

Form = Literal["procrustes", "6d", "quat", "rotvec", "euler"]
"""What heads may use (`geometry.rotations.RotationKind`), and three angles about axes for contrast."""

FULL_TURN = 180.0
"""The largest angle there is, in degrees: rotations up to it are drawn evenly from all."""
CHUNK = 100  # steps whose rotations are drawn at once, and after which progress is told
ANGLE_BINS = 12
QUANTILES = 101


@dataclass(frozen=True, kw_only=True)
class RotationConfig:
    """One training of the study, the same for every form."""

    points: int = 16
    """Points of the set that is turned; it is drawn once for each seed."""
    width: int = 128
    """Width of the two hidden layers."""
    steps: int = 3000
    """Steps of Adam."""
    batch_size: int = 64
    """Rotations of a step, each drawn anew."""
    lr: float = 1e-3
    """Learning rate of the first step; it falls to zero along a cosine."""
    tests: int = 4000
    """Rotations to test on, drawn once for each seed and the same for every form."""

    def __post_init__(self) -> None:
        for name in ("points", "width", "steps", "batch_size", "tests"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it is a number of things and must be at least 1")
        if self.lr <= 0:
            raise ConfigError(f"lr is {self.lr}; a learning rate must be positive")


class Networks(nn.Module):
    """Perceptrons of two hidden layers, one for each seed, as a stack of matrices."""

    def __init__(self, config: RotationConfig, numbers: int, seeds: Sequence[int]) -> None:
        super().__init__()
        sizes = [6 * config.points, config.width, config.width, numbers]
        stacks = zip(*(_first_weights(sizes, seed) for seed in seeds), strict=True)
        self.weights = nn.ParameterList(nn.Parameter(torch.stack(stack)) for stack in stacks)

    def forward(self, points: Tensor) -> Tensor:
        """Points of both sets in one row (S, B, 6P) to numbers (S, B, n)."""
        weights = list(self.weights)
        for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
            points = functional.relu(torch.baddbmm(bias, points, weight))
        return torch.baddbmm(weights[-1], points, weights[-2])


class Turns:
    """The stream of examples of several seeds: sets of points, and rotations of at most some angle."""

    def __init__(self, config: RotationConfig, limit: float, seeds: Sequence[int]) -> None:
        self.limit = limit
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.points = torch.stack([torch.randn(config.points, 3, generator=g) for g in self.generators])  # (S, P, 3)

    def draw(self, count: int) -> Tensor:
        """That many rotations for each seed, (S, count, 3, 3): of all, or about any axis by any angle to the limit."""
        return torch.stack([_rotations(count, self.limit, generator) for generator in self.generators])

    def seen(self, rotmat: Tensor) -> Tensor:
        """What the networks see of rotations (S, B, 3, 3): the points and the turned points, (S, B, 6P)."""
        turned = self.points[:, None] @ rotmat.mT  # (S, B, P, 3)
        return torch.cat((self.points[:, None].expand_as(turned), turned), dim=2).flatten(2)


def rotations_of(form: Form, numbers: Tensor) -> Tensor:
    """The numbers (..., n) of a form as rotations (..., 3, 3)."""
    return euler_to_rotmat(numbers) if form == "euler" else rotations_from(form, numbers)


def numbers_in(form: Form) -> int:
    """How many numbers a form takes."""
    return 3 if form == "euler" else NUMBERS[form]


@one_thread()  # the matrices are too small to share out
def train(
    config: RotationConfig,
    form: Form,
    limit: float,
    seeds: Sequence[int],
    told: Callable[[int, float], bool] = lambda steps, loss: True,
) -> list[dict[str, Any]] | None:
    """Train the networks of all seeds with one form, and test them.

    The loss is the squared distance between matrices. Seeds fix the points, the rotations and the first weights of the
    hidden layers, so that forms meet the same examples.

    Args:
        config: sizes and steps.
        form: how the networks say a rotation.
        limit: largest angle of the rotations, in degrees, up to 180.
        seeds: one network each.
        told: called now and then with the number of steps since the last call and the mean loss; whether to go on.

    Returns:
        For each seed what `errors_by_angle` says of it, and `loss`, the mean loss of every 100 steps; None if it
        was told to stop.
    """
    turns = Turns(config, limit, seeds)
    tests = turns.draw(config.tests)
    networks = Networks(config, numbers_in(form), seeds)
    optimizer = torch.optim.Adam(networks.parameters(), lr=config.lr, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    curve: list[Tensor] = []
    for start in range(0, config.steps, CHUNK):
        steps = min(CHUNK, config.steps - start)
        total = torch.zeros(len(seeds))
        for truth in turns.draw(steps * config.batch_size).chunk(steps, dim=1):  # (S, B, 3, 3)
            optimizer.zero_grad(set_to_none=True)
            loss = (rotations_of(form, networks(turns.seen(truth))) - truth).square().sum((-2, -1)).mean(-1)  # (S,)
            loss.sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.detach()
        curve.append(total / steps)
        if not told(steps, float(curve[-1].mean())):
            return None
    with torch.no_grad():
        answers = rotations_of(form, networks(turns.seen(tests)))
    losses = torch.stack(curve, -1).tolist()
    return [
        errors_by_angle(answer, truth, limit) | {"seed": seed, "loss": loss}
        for seed, answer, truth, loss in zip(seeds, answers, tests, losses, strict=True)
    ]


def baseline(config: RotationConfig, limit: float, seeds: Sequence[int]) -> list[float]:
    """For each seed the mean error, in degrees, of answering "no turn" to the tests of `train`."""
    tests = Turns(config, limit, seeds).draw(config.tests)
    return [float(geodesic_distance(truth, torch.eye(3)).rad2deg().mean()) for truth in tests]


def errors_by_angle(answer: Tensor, truth: Tensor, limit: float) -> dict[str, Any]:
    """How far answers (T, 3, 3) are from the truth (T, 3, 3), in degrees.

    Returns:
        `mean`, `median` and `worst`; `quantiles`, the errors that 0, 1, ... 100 % of the answers stay within;
        `by_angle`, the mean error in each of 12 equal ranges of the true angle up to the limit, None where there is
        no test.
    """
    errors = geodesic_distance(answer, truth).rad2deg()
    angle = geodesic_distance(truth, torch.eye(3)).rad2deg()
    place = (angle / limit * ANGLE_BINS).long().clamp(0, ANGLE_BINS - 1)
    counts = torch.bincount(place, minlength=ANGLE_BINS)
    sums = torch.bincount(place, weights=errors, minlength=ANGLE_BINS)
    return {
        "mean": float(errors.mean()),
        "median": float(errors.median()),
        "worst": float(errors.max()),
        "quantiles": errors.quantile(torch.linspace(0, 1, QUANTILES)).tolist(),
        "by_angle": [float(s / c) if c else None for s, c in zip(sums, counts, strict=True)],
    }


def _rotations(count: int, limit: float, generator: torch.Generator) -> Tensor:
    if limit >= FULL_TURN:
        return random_rotmat(count, generator)
    axis = functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    return rotvec_to_rotmat(axis * torch.rand(count, 1, generator=generator) * math.radians(limit))


def _first_weights(sizes: Sequence[int], seed: int) -> list[Tensor]:
    """Weights (in, out) and biases (1, out) of all layers, as torch begins them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Linear(into, out) for into, out in itertools.pairwise(sizes)]
    return [part for layer in layers for part in (layer.weight.detach().T.contiguous(), layer.bias.detach()[None])]
