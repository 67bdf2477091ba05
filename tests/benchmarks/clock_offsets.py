"""How well clock offsets are found again: real clips of four cameras in step, cut at the start, at other rates, and
against clips of other scenes. Run as a script; pytest leaves it alone.

    python tests/benchmarks/clock_offsets.py [--samples FOLDER] [--json FILE]
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np

from humanpt.data.captures.clock_offset import MotionTrace, estimate_offsets, motion_trace
from humanpt.data.clips import find_clips
from humanpt.data.video import open_clip

ROOT = Path(__file__).parents[2]
RULES = {"longest": 10.0, "confidence": 0.2, "smallest": 0.0}


def trace(path: Path, every: int = 1) -> MotionTrace:
    """The motion of a clip of which only every so many frames are kept."""
    return motion_trace((frame for frame in open_clip(path).frames() if frame.number % every == 0), 120.0)


def cut(whole: MotionTrace, seconds: float) -> MotionTrace:
    """The clip without its beginning."""
    kept = whole.times > seconds
    return MotionTrace(times=whole.times[kept] - seconds, amount=whole.amount[kept], height=whole.height[kept])


def shifted(capture: dict[str, list[MotionTrace]], every: int, step: float) -> list[dict[str, object]]:
    """Each camera cut by several times; errors in frames against what was measured before the cut."""
    rows: list[dict[str, object]] = []
    whole = [traces[0] for traces in capture.values()]
    for number, (name, traces) in enumerate(capture.items()):
        before = [traces[every > 1] if i == number else other for i, other in enumerate(whole)]
        told = np.array([offset.measured for offset in estimate_offsets(before, **RULES)])
        for seconds in (0.1, 0.2, 1 / 3, 0.5):
            late = [cut(other, seconds) if i == number else other for i, other in enumerate(before)]
            found = estimate_offsets(late, **RULES)
            moved = np.array([offset.measured for offset in found]) - told
            moved -= moved[(number + 1) % len(whole)]
            error = float(abs(moved[number] - seconds) / step)
            rows.append({"camera": name, "cut": seconds, "error": error, "confidence": found[number].confidence})
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, default=ROOT.parent / "shared" / "samples")
    parser.add_argument("--json", type=Path)
    words = parser.parse_args()
    videos = ROOT / "examples" / "clips" / "pose2sim_single" / "videos"
    capture = {path.stem: [trace(path), trace(path, 2)] for path in sorted(videos.glob("*.mp4"))}
    report: dict[str, object] = {}
    for every, rate in ((1, 60), (2, 30)):
        rows = shifted(capture, every, 1 / rate)
        report[f"{rate} fps"] = rows
        print(f"the cut camera at {rate} frames per second, the others at 60")
        print("camera  cut (s)  error (frames)  confidence")
        for row in rows:
            print(f"{row['camera']:6} {row['cut']:8.2f} {row['error']:15.2f} {row['confidence']:11.2f}")
    others = {}
    if words.samples.is_dir():
        folders = [words.samples / part for part in ("videos/sam2", "videos/hand", "synthetic/walk2cam")]
        others = {clip.name: trace(clip.path) for clip in find_clips(folders)}
    mine = {name: traces[0] for name, traces in capture.items()}
    strangers = [
        (first, second)
        for first, second in itertools.combinations([*mine, *others], 2)
        if not (first in mine and second in mine) and {first, second} != {"cam0.mp4", "cam1.mp4"}
    ]
    everything = mine | others
    sure = [
        estimate_offsets([everything[first], everything[second]], **RULES)[1].confidence for first, second in strangers
    ]
    if sure:
        report["strangers"] = sure
        print(f"{len(sure)} pairs of clips of different scenes: confidence at most {max(sure):.2f}")
    if words.json:
        words.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
