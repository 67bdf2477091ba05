"""`mkpairs` with one worker against merely decoding the same clips with decord. Run as a script; pytest leaves it
alone.

    python tests/benchmarks/mkpairs_speed.py [CLIP...] [--rounds N] [--json FILE]

Each clip is read by both in turn, in this process, with one decoder thread; medians over rounds are compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import decord

from humanpt.data.clips import FoundClip, find_clips
from humanpt.data.harvest import HarvestConfig, harvest

CLIPS = Path(__file__).parents[2] / "examples" / "clips"


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def decode(clip: FoundClip) -> None:
    """Every frame as an RGB array, front to back."""
    reader = decord.VideoReader(str(clip.path), num_threads=1)
    for _ in range(len(reader)):
        reader.next().asnumpy()


def make_pairs(clip: FoundClip, folder: Path) -> None:
    """Everything `mkpairs` does with a clip."""
    harvest(clip, HarvestConfig(), folder / "part.h5", lambda frames: None)


def measure(clips: list[FoundClip], rounds: int) -> list[dict[str, object]]:
    """Seconds of both ways per clip."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        for clip in clips:
            ways = {"decord": lambda c=clip: decode(c), "mkpairs": lambda c=clip: make_pairs(c, Path(name))}
            times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
            for _ in range(rounds):
                for way, work in ways.items():
                    times[way].append(timed(work))
            frames = len(decord.VideoReader(str(clip.path), num_threads=1))
            row: dict[str, object] = {"clip": clip.name, "frames": frames}
            for way, pairs in times.items():
                row[f"{way}_wall"] = statistics.median(wall for wall, _ in pairs)
                row[f"{way}_cpu"] = statistics.median(cpu for _, cpu in pairs)
            rows.append(row)
    return rows


def main() -> None:
    """Measure, print a table, and the ratio over all clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path, default=[CLIPS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    words = parser.parse_args()
    rows = measure(find_clips(words.clips), words.rounds)
    print(f"{'clip':44} frames  decord ms/frame  mkpairs ms/frame  ratio (wall)  ratio (CPU)")
    total = {"clip": "all", **{key: sum(row[key] for row in rows) for key in rows[0] if key != "clip"}}
    for row in [*rows, total]:
        wall, cpu = (row[f"decord_{kind}"] / row[f"mkpairs_{kind}"] for kind in ("wall", "cpu"))
        each = [1000 * row[f"{way}_wall"] / row["frames"] for way in ("decord", "mkpairs")]
        print(f"{row['clip'][:44]:44} {row['frames']:6} {each[0]:16.2f} {each[1]:17.2f} {wall:13.2f} {cpu:12.2f}")
    if words.json:
        words.json.write_text(json.dumps([*rows, total], indent=2))


if __name__ == "__main__":
    main()
