"""What smoothing gains: error and tremble of the raw values, of two filters, and of a filter that may look ahead.

python tests/benchmarks/smoothing.py [--tune] [--json FILE]

Motions are the recorded ones that come with humanpt, at 30 pictures a second. On them lies noise as measured on the
networks' answers: a part that is new in every picture, and a part that lasts for about a third of a second, with some
pictures missed and some far off. Strengths are tuned on every second motion (`--tune` tries a grid) and reported on the
others. "held" keeps the last value for three pictures, as a slower network would; "centred" is a Gaussian mean over
pictures before and after, which a live picture cannot have.

Letters: N windows, T pictures, J joints.
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from humanpt.data.mocap.read import Motion, free_motions
from humanpt.geometry.rotations import geodesic_distance, nearest_rotation, rotvec_to_rotmat, slerp
from humanpt.live.smooth import NUMBERS, ROTATIONS, FilterConfig, SmoothConfig, Space, make_filter

PACES = (1.0, 0.3)  # of the recordings, which are of sports; people before a camera are slower
RATE, LENGTH, SETTLED = 30.0, 60, 15  # pictures a second, of a window, and before errors count
LASTING = 0.3  # seconds
MISSED, FAR_OFF = 0.02, 0.02  # shares of the pictures
METHODS = ("raw", "held", "one-euro", "velocity", "centred")
CUTOFFS, BETAS = (0.5, 1.0, 2.0, 3.0, 5.0), (0.0, 0.5, 1.0, 2.0, 4.0)
INDICES = (10.0, 30.0, 100.0, 200.0, 400.0, 1000.0)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of numbers: how it trembles and in what it is reported."""

    space: Space
    new: float
    """Standard deviation of the noise that is new in every picture, in the space's unit along each axis."""
    lasting: float
    """The same of noise that lasts."""
    unit: str
    """For a person."""
    scale: float
    """From the space's unit to that."""


KINDS = {
    "pose": Kind(space=ROTATIONS, new=0.03, lasting=0.05, unit="deg", scale=180 / np.pi),
    "across": Kind(space=NUMBERS, new=0.003, lasting=0.006, unit="mm", scale=1000),
    "depth": Kind(space=NUMBERS, new=0.025, lasting=0.05, unit="%", scale=100),
    "points": Kind(space=NUMBERS, new=0.005, lasting=0.008, unit="mm", scale=1000),
}


def windows() -> tuple[dict[str, Tensor], np.ndarray]:
    """True values (N, T, ...) of each kind, and of which motion each window is."""
    found: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    owners = []
    for (number, motion), pace in itertools.product(enumerate(free_motions()), PACES):
        times = np.arange(0, (len(motion) - 1) / motion.rate, pace / RATE) * motion.rate
        local, root, places = (_at(times, values) for values in (_local(motion), motion.root[:, None], _points(motion)))
        moving = [joint for joint in range(local.shape[1]) if np.ptp(local[:, joint], axis=0).max() > 0.05]
        place = root - root.mean(axis=0) + (0, 0, 3.0)
        values = {
            "pose": local[:, [moving[k % len(moving)] for k in range(12)]],
            "across": place[..., :2],
            "depth": np.log(place[..., 2:]),
            "points": places,
        }
        for first in range(0, max(1, len(times) - LENGTH // 2), LENGTH):
            for kind, value in values.items():
                part = value[first : first + LENGTH]
                rest = ((0, LENGTH - len(part)), *((0, 0),) * (part.ndim - 1))
                found[kind].append(np.pad(part, rest, mode="reflect"))  # back and forth
            owners.append(number)
    return {kind: torch.from_numpy(np.stack(parts)) for kind, parts in found.items()}, np.array(owners)


def _at(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values (F, J, 3) or rotations (F, J, 3, 3) between the frames of a recording."""
    before = np.minimum(times.astype(int), len(values) - 2)
    share, first, second = (
        torch.from_numpy(times - before),
        *map(torch.from_numpy, (values[before], values[before + 1])),
    )
    if values.ndim == 4:
        return slerp(first, second, share[:, None]).numpy()
    return torch.lerp(first, second, share[:, None, None]).numpy()


def _local(motion: Motion) -> np.ndarray:
    """(F, J, 3, 3) rotations relative to the parents."""
    local = motion.rotations.copy()
    for joint, parent in enumerate(motion.parents):
        if parent >= 0:
            local[:, joint] = np.swapaxes(motion.rotations[:, parent], -1, -2) @ motion.rotations[:, joint]
    return local


def _points(motion: Motion) -> np.ndarray:
    """(F, 12, 3) metres: joints relative to the root."""
    places = np.zeros((len(motion), len(motion.parents), 3))
    for joint, parent in enumerate(motion.parents):
        if parent >= 0:
            places[:, joint] = places[:, parent] + motion.rotations[:, parent] @ motion.offsets[joint]
    return places[:, 1:13]


def noisy(true: Tensor, kind: Kind, seed: int) -> tuple[Tensor, Tensor]:
    """What a network would say (N, T, ...), and which pictures (N, T) it saw."""
    rng = np.random.default_rng(seed)
    shape = (*true.shape[:2], true.shape[2], 3 if kind.space is ROTATIONS else true.shape[3])
    new, lasting = rng.normal(size=shape), rng.normal(size=shape)
    keep = np.exp(-1 / (LASTING * RATE))
    for frame in range(1, shape[1]):
        lasting[:, frame] = keep * lasting[:, frame - 1] + np.sqrt(1 - keep**2) * lasting[:, frame]
    far = rng.random((*shape[:2], 1, 1)) < FAR_OFF
    steps = torch.from_numpy(kind.new * new * (1 + 5 * far) + kind.lasting * lasting)
    seen = torch.from_numpy(rng.random(shape[:2]) >= MISSED)
    seen[:, 0] = True
    return kind.space.moved(true, steps) if kind.space is NUMBERS else true @ rotvec_to_rotmat(steps), seen


def smoothed(method: str, config: FilterConfig, kind: Kind, came: Tensor, seen: Tensor) -> Tensor:
    """The answers of a method (N, T, ...); where a picture was missed, the last answer stands."""
    if method == "raw":
        return held(came, seen)
    if method == "held":
        third = torch.zeros_like(seen)
        third[:, ::3] = True
        return held(came, third)
    if method == "centred":
        return centred(kind, held(came, seen))
    smooth = make_filter(SmoothConfig(method=method, max_gap=10.0), config, kind.space)
    answers = came.clone()
    for frame in range(came.shape[1]):
        keys = torch.nonzero(seen[:, frame])[:, 0]
        answers[:, frame] = answers[:, max(0, frame - 1)]
        answers[keys, frame] = smooth(frame / RATE, keys.tolist(), came[keys, frame])
    return answers


def held(came: Tensor, seen: Tensor) -> Tensor:
    """The last value seen."""
    last = torch.where(seen, torch.arange(seen.shape[1])[None], 0).cummax(dim=1).values
    return came[torch.arange(len(came))[:, None], last]


def centred(kind: Kind, came: Tensor, width: float = 1.5) -> Tensor:
    """A Gaussian mean over pictures before and after."""
    mean = torch.from_numpy(gaussian_filter1d(came.numpy(), width, axis=1))
    return nearest_rotation(mean) if kind.space is ROTATIONS else mean


def apart(kind: Kind, first: Tensor, second: Tensor) -> Tensor:
    """How far values (N, T, ...) are apart, in the kind's unit."""
    if kind.space is ROTATIONS:
        return geodesic_distance(first, second) * kind.scale
    return (first - second).norm(dim=-1) * kind.scale


def figures(kind: Kind, answers: Tensor, true: Tensor) -> dict[str, float]:
    """The mean error, and the tremble: the mean step of the error from picture to picture."""
    answers, true = answers[:, SETTLED:], true[:, SETTLED:]
    if kind.space is ROTATIONS:
        off = true.mT @ answers
        tremble = geodesic_distance(off[:, 1:], off[:, :-1]) * kind.scale
    else:
        off = answers - true
        tremble = (off[:, 1:] - off[:, :-1]).norm(dim=-1) * kind.scale
    return {"error": float(apart(kind, answers, true).mean()), "tremble": float(tremble.mean())}


def cost(found: dict[str, float], raw: dict[str, float]) -> float:
    """What tuning makes small: error and tremble as shares of the raw ones, the error counting more."""
    return found["error"] / raw["error"] + 0.3 * found["tremble"] / raw["tremble"]


def tuned(name: str, kind: Kind, true: Tensor, usual: FilterConfig) -> FilterConfig:
    """The best strengths of a grid."""
    came, seen = noisy(true, kind, 1)
    raw = figures(kind, smoothed("raw", usual, kind, came, seen), true)

    def judge(method: str, config: FilterConfig) -> float:
        return cost(figures(kind, smoothed(method, config, kind, came, seen), true), raw)

    unit = {"pose": 1, "across": 10, "depth": 3, "points": 5}[name]
    euros = [replace(usual, min_cutoff=c, beta=b * unit) for c, b in itertools.product(CUTOFFS, BETAS)]
    best = min(euros, key=lambda config: judge("one-euro", config))
    indices = [replace(best, index=index) for index in INDICES]
    return min(indices, key=lambda config: judge("velocity", config))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tune", action="store_true", help="look for the best strengths on every second motion")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    values, owners = windows()
    config, told = SmoothConfig(), {}
    for name, kind in KINDS.items():
        strength, true = getattr(config, name), values[name]
        if options.tune:
            strength = tuned(name, kind, true[owners % 2 == 0], strength)
            print(f"{name}: {strength}")
        true = true[owners % 2 == 1]
        came, seen = noisy(true, kind, 2)
        told[name] = {m: figures(kind, smoothed(m, strength, kind, came, seen), true) for m in METHODS}
        print(f"\n{name}, {len(true)} windows of {LENGTH} pictures{'':12}error      tremble, {kind.unit}")
        for method, found in told[name].items():
            print(f"  {method:36} {found['error']:10.2f} {found['tremble']:12.2f}")
    if options.json:
        options.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
