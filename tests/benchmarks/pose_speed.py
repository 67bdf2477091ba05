"""How fast natural poses are drawn, and how well the quick collision test agrees with the exact one. Run as a script.

python tests/benchmarks/pose_speed.py [--poses N] [--json FILE]

CPU time, one thread. The exact test counts triangles that cut through another part of the body.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from humanpt.body.model import load_body_model
from humanpt.data.mocap.read import free_motions, retarget
from humanpt.data.poses import gestures
from humanpt.data.poses import sample as poses

TRIANGLES = (20, 50, 100, 200)


def milliseconds(work, rounds: int) -> float:
    """Least CPU milliseconds of one call."""
    times = []
    for _ in range(rounds):
        before = time.process_time()
        work()
        times.append(time.process_time() - before)
    return 1000 * min(times)


def proposals(sampler, rng: np.random.Generator, count: int) -> tuple[torch.Tensor, np.ndarray]:
    """Poses before any is rejected, and which the quick test rejects."""
    if isinstance(sampler, poses.HandPoses):
        rows = gestures.draw_hands(rng, count)
        return sampler.pose_of(rows), sampler.hand.collides(rows)
    turned, _, free = sampler.propose(rng, count)
    return poses.as_pose(sampler.model, turned), ~free


def exact(model, pose: torch.Tensor) -> tuple[np.ndarray, float]:
    """Colliding triangles of each pose, and CPU milliseconds a pose."""
    counts, spent = [], 0.0
    for part in pose.split(16):
        with torch.no_grad():
            mesh = model(model.mean_shape(), part, torch.zeros(1, 3))
        before = time.process_time()
        counts.append(poses.colliding(model, mesh).numpy())
        spent += time.process_time() - before
    return np.concatenate(counts), 1000 * spent / len(pose)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--poses", type=int, default=300, help="poses that the exact test sees")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, dict[str, float]] = {}
    for name, kind in (("anny-body", poses.BodyPoses), ("anny-hand", poses.HandPoses)):
        model = load_body_model(name)
        sampler, rng = kind(model), np.random.default_rng(0)
        found = figures.setdefault(name, {})
        found["measure the model, ms"] = milliseconds(lambda kind=kind, model=model: kind(model), 3)
        found["one pose, ms"] = milliseconds(lambda sampler=sampler, rng=rng: sampler.sample(rng, 1), 20)
        found["poses/s in batches of 500"] = 500e3 / milliseconds(
            lambda sampler=sampler, rng=rng: sampler.sample(rng, 500), 5
        )
        pose, rejected = proposals(sampler, rng, options.poses)
        cut, spent = exact(model, pose)
        found["exact test, ms"] = spent
        found["rejected"] = float(rejected.mean())
        for limit in TRIANGLES:
            collides = cut > limit
            both = (collides & rejected).sum()
            found[f"more than {limit} triangles"] = float(collides.mean())
            found[f"precision at {limit}"] = float(both / max(rejected.sum(), 1))
            found[f"recall at {limit}"] = float(both / max(collides.sum(), 1))
            found[f"share of kept poses above {limit}"] = float(collides[~rejected].mean())
        print(f"\n{name}")
        for text, value in found.items():
            print(f"  {text:34} {value:10.3f}")
    body = load_body_model("anny-body")
    motion = max(free_motions(), key=len)
    figures["retarget"] = {"ms a frame": milliseconds(lambda: retarget(motion, body), 3) / len(motion)}
    print(f"\nretargeting, {len(motion)} frames: {figures['retarget']['ms a frame']:.3f} ms a frame")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
