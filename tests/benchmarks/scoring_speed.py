"""How fast meshes are scored: FreiHAND's 3,960 samples by its rules, and how many times a scorer that goes one by one.

python tests/benchmarks/scoring_speed.py [--samples N] [--one-by-one N] [--json FILE]

CPU time, one thread, made hands of FreiHAND's sizes (21 key points, 778 vertices) and predictions about 1 cm off. The
baseline is NumPy and SciPy sample by sample (tests/scoring/one_by_one.py), and the same with k-d trees for the nearest
vertices; both look at a part of the samples, and their figures are checked against the stream's.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import KDTree

sys.path.insert(0, str(Path(__file__).parents[2]))

from humanpt.scoring.freihand import EVALUATION_SAMPLES, freihand_protocol
from humanpt.scoring.pose import Points, PoseScores
from tests.scoring import one_by_one
from tests.scoring.hands import made_hands

BATCH = 64


def with_trees(predicted, true, limit):
    """The F-score by k-d trees instead of all pairs."""
    near = [KDTree(one).query(other)[0] < limit for one, other in ((true, predicted), (predicted, true))]
    precision, recall = (each.mean() for each in near)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def stream(predicted: Points, true: Points) -> tuple[dict[str, float], float]:
    """Figures, and CPU seconds."""
    begun = time.process_time()
    scores = PoseScores(freihand_protocol())
    for first in range(0, len(true.keypoints), BATCH):
        rows = slice(first, first + BATCH)
        scores.add(*(Points(part.keypoints[rows], part.vertices[rows]) for part in (predicted, true)))
    figures = scores.result().figures
    return figures, time.process_time() - begun


def alone(predicted: Points, true: Points, count: int) -> tuple[dict[str, float], float]:
    """Figures of the first samples by the scorer that goes one by one, and CPU seconds."""
    begun = time.process_time()
    figures = one_by_one.score(*(part[:count].numpy() for part in (*predicted, *true)))
    return figures, time.process_time() - begun


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=EVALUATION_SAMPLES)
    parser.add_argument("--one-by-one", type=int, default=100, help="samples that the baselines score")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    few = made_hands(min(options.samples, 256))  # repeated: what they are does not change the time
    rounds = -(-options.samples // len(few[0]))
    true = Points(*(part.repeat(rounds, 1, 1)[: options.samples] for part in few))
    rng = torch.Generator().manual_seed(0)
    shift = 0.01 * torch.randn(options.samples, 1, 3, generator=rng, dtype=torch.float64)
    noise = (0.003 * torch.randn(part.shape, generator=rng, dtype=part.dtype) for part in true)
    predicted = Points(*(part + shift + more for part, more in zip(true, noise, strict=True)))
    count = options.one_by_one
    figures, seconds = stream(predicted, true)
    part, _ = stream(*(Points(*(part[:count] for part in points)) for points in (predicted, true)))
    found = {"samples": options.samples, "seconds": seconds, "samples_per_second": options.samples / seconds}
    print(f"stream                     {seconds:7.2f} s for {options.samples:,} samples")
    for name, scorer in (("all pairs", one_by_one.f_score), ("k-d trees", with_trees)):
        one_by_one.f_score = scorer
        slow, spent = alone(predicted, true, count)
        assert np.allclose([part[key] for key in slow], list(slow.values()), rtol=1e-9, atol=1e-12)
        ratio = spent / count / (seconds / options.samples)
        found |= {f"one by one, {name}, seconds for all": spent / count * options.samples, f"ratio, {name}": ratio}
        print(f"one by one, {name:10}     {spent / count * options.samples:7.2f} s for as many; {ratio:.1f} times")
    print(f"PA of the mesh {figures['pa_pve_mm']:.3f} mm, F@5 {figures['raw_f_at_5']:.4f}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
