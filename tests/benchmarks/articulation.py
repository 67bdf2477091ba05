"""What frozen features know of how a hand or body is bent, apart from how it is turned. Not a test.

    python -m tests.benchmarks articulation --subject hand --data runs/hands --test runs/other-hands \
        --runs runs/mae runs/both

A ridge regression reads the key points of generated pictures from the frozen tokens: as the camera sees them, and
brought onto the mean pose by a similarity, after which bending and proportions are left. Random weights are
measured first, in a network like that of the first run. Told are R2, the share of the variance over other people that
the regression explains, and errors; the mean pose is what no features give. Three minutes for five networks of 64 px.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from humanpt.commands.initialise import initialise, read_start
from humanpt.data.augment import AugmentConfig, centre_view
from humanpt.data.image import resize_square
from humanpt.data.labelled.generated import GeneratedSet
from humanpt.data.labelled.record import mirrored
from humanpt.engine.report import Silent
from humanpt.metrics import mpjpe, pa_mpjpe
from humanpt.metrics.pose import aligned
from humanpt.models.croco import CroCo
from humanpt.models.vit import normalise
from humanpt.tasks.probe import fit_ridge, pool

CELLS = 4  # tokens are averaged in 4 x 4 cells
ROUNDS = 5
BATCH = 100


class Examples(NamedTuple):
    """Pictures (B, 3, S, S) uint8 and key points (B, K, 3) in metres from the root."""

    pictures: Tensor
    keypoints: Tensor


def examples(folder: Path, subject: str, count: int, size: int) -> Examples:
    """Pictures spread evenly over a generated set, left hands mirrored."""
    pairs = GeneratedSet.open([folder], subject=subject)
    names, augment = pairs.layout.keypoint_names, AugmentConfig(crop_size=size)
    roots = [names.index(name) for name in pairs.layout.root_names]
    pictures, keypoints = [], []
    for index in np.linspace(0, len(pairs) - 1, min(count, len(pairs))).astype(int).tolist():
        labels, picture = pairs.labels(index), pairs.picture(index)
        if labels.side == "left":
            labels, picture = mirrored(labels, picture.shape[1]), np.ascontiguousarray(picture[:, ::-1])
        pictures.append(centre_view(resize_square(picture, augment.stored_size), augment))
        keypoints.append(labels.keypoints - labels.keypoints[roots].mean(axis=0))
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return Examples(stacked, torch.from_numpy(np.stack(keypoints)).double())


def mean_pose(poses: Tensor) -> Tensor:
    """(K, 3): the mean of poses (B, K, 3), each brought onto it by a similarity, as large as they are."""
    mean, sizes = poses[0], (poses - poses.mean(dim=1, keepdim=True)).norm(dim=(1, 2))
    for _ in range(ROUNDS):
        mean = onto(poses, mean).mean(dim=0)
        mean = mean * sizes.mean() / (mean - mean.mean(dim=0)).norm()
    return mean


def onto(poses: Tensor, mean: Tensor) -> Tensor:
    """Poses (B, K, 3) as they lie nearest to one (K, 3)."""
    return aligned(poses, mean.expand_as(poses))


@torch.no_grad()
def features(model: CroCo, pictures: Tensor) -> Tensor:
    """(B, C) pooled tokens."""
    parts = [
        pool(model.features(normalise(pictures[start : start + BATCH])), model.config.grid, CELLS)
        for start in range(0, len(pictures), BATCH)
    ]
    return torch.cat(parts).double()


def told(fitted: Tensor, true: Tensor, mean: Tensor) -> str:
    """R2 and errors of points (B, K, 3); `mean` (K, 3) is that of the points that were fitted to."""
    explained = 1 - (fitted - true).square().sum() / (mean - true).square().sum()
    return f"{explained:9.3f}{mpjpe(fitted, true).mean() * 1000:9.1f}{pa_mpjpe(fitted, true).mean() * 1000:9.2f}"


def main() -> None:
    """Measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", choices=("hand", "body"), default="hand")
    parser.add_argument("--data", type=Path, required=True, help="generated pairs to fit to")
    parser.add_argument("--test", type=Path, required=True, help="generated pairs of other people")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="pre-training runs of one size")
    parser.add_argument("--count", type=int, default=3000, help="pictures to fit to")
    parser.add_argument("--test-count", type=int, default=800)
    words = parser.parse_args()
    config = read_start(words.runs[0]).config
    assert config is not None, f"{words.runs[0]} is no run of pretrain"
    fit, test = (
        examples(folder, words.subject, count, config.image_size)
        for folder, count in ((words.data, words.count), (words.test, words.test_count))
    )
    mean = mean_pose(fit.keypoints)
    learned, asked = ((part.keypoints, onto(part.keypoints, mean)) for part in (fit, test))
    means = [points.mean(dim=0) for points in learned]
    print(f"{'':32}{'as seen':>27}{'on the mean pose':>27}")
    print(f"{'':32}" + 2 * f"{'R2':>9}{'MPJPE':>9}{'PA, mm':>9}")
    rows = [("mean pose", [mean.expand_as(test.keypoints) for mean in means])]
    for path in (None, *words.runs):
        torch.manual_seed(0)
        model = CroCo(config).eval()
        if path is not None:
            initialise(model, path, Silent())
        seen, new = features(model, fit.pictures), features(model, test.pictures)
        read = [fit_ridge(seen, points.flatten(1)).apply(new).view_as(test.keypoints) for points in learned]
        rows.append(("random weights" if path is None else path.name, read))
    for name, fitted in rows:
        cells = map(told, fitted, asked, means)
        print(f"{name:32}" + "".join(cells))


if __name__ == "__main__":
    main()
