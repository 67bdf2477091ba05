"""Pairs per CPU second of the training loader, against PIL + torchvision over JPEG files. A script, not a test.

    python tests/benchmarks/loader_speed.py --workers 2 --json loader.json

The baseline does what loaders of image pairs usually do: it opens two JPEG files with PIL, crops each at random,
jitters brightness, contrast and saturation with torchvision, and normalises to float tensors. Ours reads the same
pictures from shards, verifies their checksums, draws the mask as well, and hands over bytes that the device
normalises. Every round visits all loaders with the same pairs; the medians of the rounds are compared. A CPU second
is one of the process's own time, so other work on the machine counts only by the caches and cores that it shares.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from humanpt.commands.generated_pairs import pairs_at_hand
from humanpt.data.order import StreamBatches
from humanpt.data.shards import PairSet
from humanpt.engine.report import Silent
from humanpt.models.vit import IMAGE_MEAN, IMAGE_STD
from humanpt.tasks.completion_pairs import CompletionConfig, CompletionSamples, collate

BASELINE = "PIL + torchvision over JPEG files, float out"
BATCH = 32


class FilePairs(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """The baseline: pairs of JPEG files."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count
        self.transform = v2.Compose(
            [
                v2.RandomCrop(224),
                v2.ColorJitter(0.4, 0.4, 0.4),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(IMAGE_MEAN, IMAGE_STD),
            ]
        )

    def __getitem__(self, position: int) -> tuple[torch.Tensor, torch.Tensor]:
        files = (self.folder / f"{position % self.count:06d}_{which}.jpg" for which in range(2))
        one, two = (self.transform(Image.open(file).convert("RGB")) for file in files)
        return one, two


def float_out(samples: Sequence[Any]) -> Any:
    """Our batch, normalised on the host."""
    return collate(samples).views()


def decoding(pairs: PairSet, count: int) -> Callable[[Sequence[int]], None]:
    """The floor: decode the two pictures and nothing else."""

    def visit(positions: Sequence[int]) -> None:
        for position in positions:
            pairs.images(position % count)

    return visit


def batched(samples: Any, collate_fn: Callable[[Any], Any]) -> Callable[[Sequence[int]], None]:
    """Visit positions batch by batch in this process, as a worker does."""

    def visit(positions: Sequence[int]) -> None:
        for start in range(0, len(positions), BATCH):
            collate_fn([samples[position] for position in positions[start : start + BATCH]])

    return visit


def with_workers(samples: Any, collate_fn: Callable[[Any], Any], workers: int, batches: int) -> float:
    """Pairs per second of wall time through a DataLoader, its start left out."""
    stream = StreamBatches(BATCH, stop_step=batches + 2 * workers)
    loader = DataLoader(samples, batch_sampler=stream, collate_fn=collate_fn, num_workers=workers, prefetch_factor=2)
    found = iter(loader)
    for _ in range(2 * workers):
        next(found)
    began = time.perf_counter()
    for _ in range(batches):
        next(found)
    speed = batches * BATCH / (time.perf_counter() - began)
    del found
    return speed


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of shards; else as `humanpt pretrain` does")
    parser.add_argument("--pairs", type=int, default=512, help="pairs per loader and round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--workers", type=int, default=2, help="processes of the last column; 0 leaves it out")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    pairs = PairSet.open([options.data or pairs_at_hand("body", Silent())])
    chosen = np.arange(min(len(pairs), options.pairs))
    config = CompletionConfig(view_share=None)
    ours = CompletionSamples(pairs, chosen, config, 0, BATCH)
    staged = CompletionSamples(pairs, chosen, replace(config, augment_on_device=True), 0, BATCH)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for index in chosen.tolist():
            for which, jpeg in enumerate(pairs.jpegs(index)):
                (folder / f"{index:06d}_{which}.jpg").write_bytes(jpeg)
        files = FilePairs(folder, len(chosen))
        loaders: dict[str, tuple[Any, Callable[[Any], Any]]] = {
            BASELINE: (files, torch.utils.data.default_collate),
            "humanpt, bytes out": (ours, collate),
            "humanpt, float out": (ours, float_out),
            "humanpt, augment_on_device": (staged, collate),
        }
        visits = {name: batched(*loader) for name, loader in loaders.items()}
        visits["decoding alone (simplejpeg), verified"] = decoding(pairs, len(chosen))
        speeds: dict[str, list[float]] = {name: [] for name in visits}
        walls: dict[str, list[float]] = {name: [] for name in loaders}
        for turn in range(options.rounds + 1):  # the first warms caches and is not counted
            positions = list(range(turn * options.pairs, (turn + 1) * options.pairs))
            for name, visit in visits.items():
                began = time.process_time()
                visit(positions)
                speeds[name].append(options.pairs / (time.process_time() - began))
            for name, loader in loaders.items() if options.workers else ():
                walls[name].append(with_workers(*loader, options.workers, max(2, options.pairs // BATCH)))
    per_second = {name: statistics.median(found[1:]) for name, found in speeds.items()}
    of_workers = {name: statistics.median(found[1:]) for name, found in walls.items() if found}
    print(f"{len(chosen)} pairs, {options.rounds} rounds; pairs per second (times the baseline)")
    print(f"{'':45}{'per CPU second':>20}{f'{options.workers} processes':>20}")
    for name, speed in per_second.items():
        cells = [f"{speed:.0f} ({speed / per_second[BASELINE]:.2f})"]
        if name in of_workers:
            cells.append(f"{of_workers[name]:.0f} ({of_workers[name] / of_workers[BASELINE]:.2f})")
        print(f"{name:45}" + "".join(f"{cell:>20}" for cell in cells))
    if options.json:
        options.json.write_text(json.dumps({"per_cpu_second": per_second, "workers": of_workers}, indent=2))


if __name__ == "__main__":
    main()
