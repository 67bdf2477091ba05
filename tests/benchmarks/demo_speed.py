"""What every stage of `humanpt demo` takes at batch 1, with the networks that come with humanpt, on the shipped clips.

    python -m tests.benchmarks demo_speed [--frames N] [--threads N]

One hand, and one person from four sides, at 640 x 480, one frame after the other. Two ratios are measured in the same
run, in CPU time as the machine may be busy: the network against itself in plain eager fp32 on the same crops, taken
turn about (goal: at least 2), and the whole pipeline against detection and network alone (goal: at most 1.5).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from humanpt.commands.recoverers import open_plain, open_recoverer, shipped_weights
from humanpt.live.capture import open_video
from humanpt.live.draw import Drawer, faces_of
from humanpt.live.pipeline import PipelineConfig, open_pipeline
from humanpt.tasks.mesh_pictures import recover_boxes

CLIPS = Path(__file__).parents[2] / "examples" / "clips"
ON = {
    "hand": [CLIPS / "hand" / "human_hand_video.mp4"],
    "body": sorted((CLIPS / "pose2sim_single" / "videos").glob("cam*.mp4")),
}
WIDTH, HEIGHT = 640, 480
WARM = 10
"""Frames of every clip before those that count: caches fill, and nobody is followed yet."""
STAGES = ("capture", "detect", "network", "smooth", "draw")


class Clocks:
    """Milliseconds of every frame by stage, on the wall and of the processor."""

    def __init__(self) -> None:
        self.frames: list[dict[str, tuple[float, float]]] = []

    def begin(self) -> None:
        """The next frame."""
        self.frames.append(defaultdict(lambda: (0.0, 0.0)))

    def timed(self, stage: str, function: Callable) -> Callable:
        """The same function, whose time counts for a stage."""

        def clocked(*given):
            wall, cpu = time.perf_counter(), time.process_time()
            answer = function(*given)
            spent = time.perf_counter() - wall, time.process_time() - cpu
            before = self.frames[-1][stage]
            self.frames[-1][stage] = before[0] + 1000 * spent[0], before[1] + 1000 * spent[1]
            return answer

        return clocked

    def of(self, *stages: str) -> np.ndarray:
        """(frames, 2) milliseconds of some stages together, wall and CPU."""
        return np.array([np.sum([frame[stage] for stage in stages], axis=0) for frame in self.frames])


def main() -> None:
    """Print a table and two ratios for hands and bodies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=60, help="of every clip that count")
    parser.add_argument("--threads", type=int, default=1, help="of the network")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    for subject, clips in ON.items():
        measure(subject, clips, options.frames)


def measure(subject: str, clips: list[Path], frames: int) -> None:
    """Print the figures of one network."""
    weights = shipped_weights(subject)
    quick, plain = (partial(recover_boxes, opened) for opened in (open_recoverer(weights), open_plain(weights)))
    recoverer = quick.args[0]
    clocks, turns, seen, detected = Clocks(), Clocks(), 0, 0
    for clip in clips:
        pipeline = open_pipeline(recoverer, PipelineConfig(subject=subject))
        drawer = Drawer(faces_of(recoverer.body))
        pipeline.look = clocks.timed("detect", pipeline.look)
        pipeline._recover = clocks.timed("network", _remembering(quick, boxes := []))
        pipeline._subjects = clocks.timed("smooth", pipeline._subjects)
        draw = clocks.timed("draw", drawer)
        with tempfile.TemporaryDirectory() as folder:
            source = open_video(_small(clip, Path(folder) / "clip.mp4", WARM + frames))
            shots = iter(source.shots())
            take = clocks.timed("capture", lambda shots=shots: next(shots, None))
            for number in range(WARM + frames):
                clocks.begin()
                if (shot := take()) is None:
                    clocks.frames.pop()
                    break
                view = pipeline(shot)
                draw(view)
                if number < WARM:
                    clocks.frames.pop()
                    continue
                seen, detected = seen + len(view.subjects), detected + view.detected
                if boxes and number % 4 == 0:
                    turns.begin()
                    for name, form in {"quick": quick, "plain": plain}.items():
                        turns.timed(name, form)(*boxes)
    print(f"\n{weights.name}, {len(clocks.frames)} frames of {len(clips)} clip(s) at {WIDTH} x {HEIGHT}", end=": ")
    print(f"{seen / len(clocks.frames):.2f} subjects and {detected / len(clocks.frames):.2f} detections a frame")
    print(f"{'milliseconds':>12} {'wall p50':>9} {'p95':>6} {'CPU p50':>9} {'p95':>6} {'mean':>6}")
    for name, stages in {**{stage: (stage,) for stage in STAGES}, "whole": STAGES}.items():
        spent = clocks.of(*stages)
        (wall50, cpu50), (wall95, cpu95) = np.percentile(spent, (50, 95), axis=0)
        print(f"{name:>12} {wall50:9.1f} {wall95:6.1f} {cpu50:9.1f} {cpu95:6.1f} {spent[:, 1].mean():6.1f}")
    plainly, quickly = (np.median(turns.of(name)[:, 1]) for name in ("plain", "quick"))
    over = clocks.of(*STAGES)[:, 1].sum() / clocks.of("detect", "network")[:, 1].sum()
    print(f"network {plainly / quickly:.2f} times as fast as in plain eager fp32 ({quickly:.1f} of {plainly:.1f} ms)")
    print(f"whole pipeline {over:.2f} times detection and network", end="; ")
    print(f"{1000 / clocks.of(*STAGES)[:, 1].mean():.1f} frames a second of CPU time")


def _remembering(recover: Callable, last: list) -> Callable:
    """The same, which keeps what it was last given."""

    def remembering(*given):
        last[:] = given
        return recover(*given)

    return remembering


def _small(clip: Path, target: Path, count: int) -> Path:
    """The first frames of a clip as a file of 640 x 480, whose reading counts."""
    with av.open(str(clip)) as source, av.open(str(target), "w") as sink:
        stream = sink.add_stream("libx264", rate=source.streams.video[0].average_rate)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in islice(source.decode(video=0), count):
            small = cv2.resize(frame.to_ndarray(format="rgb24"), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
            sink.mux(stream.encode(av.VideoFrame.from_ndarray(small, format="rgb24")))
        sink.mux(stream.encode())
    return target


if __name__ == "__main__":
    main()
