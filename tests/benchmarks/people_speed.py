"""Finished generated pictures per second and core, bodies and hands, and on a GPU. A script, not a test.

    python tests/benchmarks/people_speed.py [--pairs 48] [--size 224] [--json people.json]

Finished means in a shard: posed, dressed, lit, drawn at 2 x 2 samples a pixel, labelled, encoded, with truth. Seconds
are those of the process on the CPU, one thread; the first pairs, which load models, motions and tables, are left out.
The time is split by steps. The line for a GPU is wall time of one process, and is skipped where there is none.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from humanpt.data.pairs import PairConfig
from humanpt.data.people import pair_maker
from humanpt.data.people.generate import PeopleConfig, make_people

GOAL = 25.0
STEPS = {
    "draw_scene": "poses, looks, room",
    "draw_views": "cameras",
    "assemble": "clothes",
    "label_raster": "labels",
    "render": "colour",
    "encode_jpeg": "JPEG",
}


class Steps:
    """Adds up the CPU time of some functions that make a pair."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STEPS, 0.0)
        self.before = {name: getattr(pair_maker, name) for name in STEPS}

    def __enter__(self) -> Steps:
        for name, function in self.before.items():
            setattr(pair_maker, name, self._timed(name, function))
        return self

    def __exit__(self, *_: object) -> None:
        for name, function in self.before.items():
            setattr(pair_maker, name, function)

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[name] += time.process_time() - began

        return timed


def measure(config: PeopleConfig, clock: Callable[[], float]) -> tuple[float, dict[str, float]]:
    """Pictures per second of a configuration, and the milliseconds that each takes by steps."""
    marks: list[float] = []
    warm = min(8, config.count // 2)
    with tempfile.TemporaryDirectory() as folder, Steps() as steps:

        def tell(_: int) -> None:
            marks.append(clock())
            if len(marks) == warm:
                steps.seconds.update(dict.fromkeys(STEPS, 0.0))

        make_people(0, config.count, config, Path(folder) / "pairs.h5", tell)
    pictures = 2 * (config.count - warm)
    seconds = marks[-1] - marks[warm - 1]
    parts = {name: 1e3 * spent / pictures for name, spent in steps.seconds.items()}
    return pictures / seconds, parts | {"all": 1e3 * seconds / pictures}


def main() -> None:
    """Print a line for each subject and device."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--per-scene", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"{options.pairs} pairs at {options.size} px; goal: {GOAL:.0f} pictures per second and core")
    results: dict[str, Any] = {}
    devices: list[tuple[str, Callable[[], float]]] = [("cpu", time.process_time)]
    if torch.cuda.is_available():
        devices.append(("cuda", time.perf_counter))
    else:
        print("cuda: skipped, no GPU here")
    for device, clock in devices:
        for subject in ("body", "hand"):
            config = PeopleConfig(
                subject=subject,
                count=options.pairs,
                pairs_per_scene=options.per_scene,
                device=device,
                pairs=PairConfig(crop_size=options.size),
            )
            rate, parts = measure(config, clock)
            results[f"{subject} {device}"] = {"pictures_per_second": rate, "milliseconds": parts}
            split = ", ".join(f"{STEPS[name]} {parts[name]:.1f}" for name in STEPS)
            print(f"{subject} on {device}: {rate:.1f} pictures/s, {parts['all']:.1f} ms each ({split} ms)", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
