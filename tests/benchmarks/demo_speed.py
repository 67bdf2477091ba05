"""What every stage of `humanpt demo` takes at batch 1, with the networks that come with humanpt, on the shipped clips.

    python -m tests.benchmarks demo_speed [--frames N] [--threads N]

One hand, and one person from four sides, at 640 x 480, by `humanpt demo --benchmark`. Goals: the network at least 2
times as fast as itself in plain eager fp32, and the whole pipeline at most 1.5 times detection and network.
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import islice
from pathlib import Path

import av
import cv2

from humanpt.cli.results import show_benchmark
from humanpt.commands import demo_benchmark
from humanpt.commands.demo import DemoConfig
from humanpt.engine.report import Silent

CLIPS = Path(__file__).parents[2] / "examples" / "clips"
ON = {
    "hand": [CLIPS / "hand" / "human_hand_video.mp4"],
    "body": sorted((CLIPS / "pose2sim_single" / "videos").glob("cam*.mp4")),
}
WIDTH, HEIGHT = 640, 480


def main() -> None:
    """Print the stages and the ratios for hands and bodies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=70, help="of every clip")
    parser.add_argument("--threads", type=int, default=1, help="of the network")
    options = parser.parse_args()
    for subject, clips in ON.items():
        with tempfile.TemporaryDirectory() as folder:
            clip = _small(clips, Path(folder) / f"{subject}.mp4", options.frames)
            config = DemoConfig(threads=options.threads)
            measured = demo_benchmark.run(clip, config, [], [], Silent(), subject=subject, device="cpu")
        subjects, detections = measured["subjects_per_frame"], measured["detections_per_frame"]
        names = ", ".join(path.name for path in clips)
        print(f"\n{names}: {subjects:.2f} subjects and {detections:.2f} detections a frame")
        show_benchmark(measured)


def _small(clips: list[Path], target: Path, count: int) -> Path:
    """The first frames of clips, one after the other, as a file of 640 x 480."""
    with av.open(str(target), "w") as sink:
        stream = sink.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for clip in clips:
            with av.open(str(clip)) as source:
                for frame in islice(source.decode(video=0), count):
                    small = cv2.resize(frame.to_ndarray(format="rgb24"), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
                    sink.mux(stream.encode(av.VideoFrame.from_ndarray(small, format="rgb24")))
        sink.mux(stream.encode())
    return target


if __name__ == "__main__":
    main()
