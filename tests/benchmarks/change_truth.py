"""The change between pictures as mkpairs measures it, against exact joints. A script, not a test.

    python tests/benchmarks/change_truth.py --samples ../shared/samples [--draw docs/images/change.svg]

The sample `synthetic/walk2cam` is a generated walk with known 3D joints and boxes, seen by two cameras. The truth is
the mean shift of all 23 joints over the box size, boxes aligned; hidden joints are counted too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import spearmanr

from humanpt.data.change import ChangeMeter
from humanpt.data.crops import mask_in_square, square_around
from humanpt.data.image import warp_square
from humanpt.data.video import open_clip

MARGIN = 1.2


def compare(folder: Path, camera: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """True and measured change of random pairs of moments, both (count,)."""
    truth = json.loads((folder / "gt.json").read_text())
    intrinsics, rotation, shift = (np.array(truth["cameras"][camera][key]) for key in "KRt")
    points = (np.array(truth["keypoints3d"]) @ rotation.T + shift) @ intrinsics.T
    joints = points[..., :2] / points[..., 2:] - 0.5  # the sample puts pixel centres at halves
    boxes = np.array(truth["boxes"][camera], np.float32) - np.float32(0.5)
    size = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)[:, None, None]
    aligned = (joints - ((boxes[:, :2] + boxes[:, 2:]) / 2)[:, None]) / size
    meter = ChangeMeter(MARGIN)
    views, masks = [], []
    for frame, box in zip(open_clip(folder / f"cam{camera}.mp4").frames(), boxes, strict=True):
        square = square_around(box, MARGIN)
        views.append(meter.view(warp_square(frame.rgb(), square, 256)))
        masks.append(mask_in_square(None, box, square, (frame.width, frame.height)))
    drawn = np.random.default_rng(0).integers(0, len(views), (2 * count, 2))
    pairs = [(i, j) for i, j in drawn if i != j][:count]
    true = np.array([np.linalg.norm(aligned[i] - aligned[j], axis=1).mean() for i, j in pairs])
    return true, np.array([meter.amount(meter.follow(views[i], views[j]), masks[i]) for i, j in pairs])


def main() -> None:
    """Compare, print, and draw if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, default=Path(__file__).parents[3] / "shared" / "samples")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--draw", type=Path)
    words = parser.parse_args()
    folder = words.samples / "synthetic" / "walk2cam"
    if not folder.is_dir():
        print(f"no samples at {folder}; name them with --samples")
        return
    figure = Figure(figsize=(5.2, 4), layout="constrained")
    axes = figure.add_subplot()
    for camera, colour in ((0, "#2563eb"), (1, "#d97706")):
        true, measured = compare(folder, camera, words.count)
        rank, ratio = spearmanr(measured, true)[0], np.median(measured / true)
        print(f"camera {camera}: rank correlation {rank:.2f}, median of measured / true {ratio:.2f}, {len(true)} pairs")
        axes.scatter(
            true, measured, s=8, alpha=0.5, color=colour, label=f"camera {camera}: rank correlation {rank:.2f}"
        )
    axes.axline((0, 0), slope=1, color="#475569", linewidth=1, linestyle="--")
    axes.set_xlabel("mean shift of the 23 joints / box size")
    axes.set_ylabel("change as mkpairs measures it")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    if words.draw:
        words.draw.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(words.draw, metadata={"Date": None} if words.draw.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
