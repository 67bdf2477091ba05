"""`humanpt demo --benchmark CLIP`: what each part of the demo takes on a clip.

The clip is taken twice: one frame after the other, which tells the stages and how long a frame is on its way, and as
the demo does, capture, inference and drawing at the same time, which tells how many frames a second come out. Ratios
are measured in the same run: the network against itself in plain eager fp32 on the same crops, taken turn about, and
the whole pipeline, both ways, against detection and network alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from humanpt import __version__
from humanpt.body.model import Subject
from humanpt.commands.demo import DemoConfig
from humanpt.commands.recoverers import choose_network, open_plain, shipped_weights
from humanpt.config import override
from humanpt.data.image import Rgb
from humanpt.engine.report import Report
from humanpt.engine.runtime import choose_device, describe_device
from humanpt.errors import InputError
from humanpt.live.capture import open_video
from humanpt.live.draw import Drawer, faces_of
from humanpt.live.latency import Latencies
from humanpt.live.loop import Loop
from humanpt.live.pipeline import open_pipeline
from humanpt.live.shot import Shot, Stage, View
from humanpt.live.source import Source
from humanpt.tasks.mesh_pictures import Recoverer, assumed_intrinsics

FRAMES = 300
"""Most frames measured."""
WARM = 10
"""Frames before that: caches fill, and nobody is followed yet."""
TURNS = 40
"""Turns in which a network and its plain form take the same crop."""


def run(
    clip: Path,
    config: DemoConfig,
    changes: Sequence[str],
    models: Sequence[Path],
    report: Report,
    *,
    subject: Subject | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Measure.

    Args:
        clip: a video file or a folder of numbered frames.
        config, changes: as for the demo.
        models: the first is measured; without any the network that comes with humanpt.
        report: told how far it is.
        subject, device: as for the demo.

    Returns:
        Seconds of every stage at p50, p95 and on average; `frames_per_second` of the whole and its time `over_parts`,
        one frame after the other and `overlapped`; and how many times as fast as eager the network is,
        None for an exported file.

    Raises:
        InputError: if there is nobody to be seen in the clip, or it is shorter than the warm-up.
        HumanptError: as the demo.
    """
    config = override(config, changes)
    cv2.setNumThreads(1)
    torch.set_num_threads(config.threads)
    recoverer, _ = choose_network(models, subject, None, config.precision, device, report)
    exported = bool(models) and models[0].suffix == ".onnx"  # which cannot be computed in another way
    plain = None if exported else open_plain(models[0] if models else shipped_weights(recoverer.subject), device=device)
    pipeline = open_pipeline(recoverer, replace(config.pipeline, clip=clip.name))
    drawer = Drawer(faces_of(recoverer.body), bars=False)
    source = open_video(clip)
    times = Latencies(FRAMES)
    wholes, parts = list[float](), list[float]()
    people, size, detections = 0, (0, 0), 0
    report.stage(f"measuring on {clip.name}", FRAMES, "frame")
    for number, shot in enumerate(islice(source.shots(), WARM + FRAMES)):
        begun = time.perf_counter()
        view = pipeline(shot)
        looked = time.perf_counter()
        drawer(view)
        drawn = time.perf_counter()
        if number >= WARM:
            total = shot.decoding + drawn - begun
            seconds: dict[Stage, float] = {**view.seconds, "draw": drawn - looked, "capture": shot.decoding}
            times.add({**seconds, "total": total})
            wholes.append(total)
            parts.append(view.seconds["detect"] + view.seconds["network"])
            people, detections = people + len(view.subjects), detections + view.detected
            size = shot.picture.shape[1], shot.picture.shape[0]
            report.advance(1)
    if len(wholes) < 2:
        raise InputError(f"{clip}: has fewer than {WARM + 2} frames, of which {WARM} only warm up; take a longer clip")
    if not people:
        raise InputError(f"{clip}: nobody was found after its first {WARM} frames; measure on another clip")
    overlapped = open_pipeline(recoverer, replace(config.pipeline, clip=clip.name))
    rate = _overlapped(open_video(clip), overlapped, drawer)
    return {
        "command": "demo benchmark",
        "version": __version__,
        "clip": str(clip),
        "frames": len(wholes),
        "width": size[0],
        "height": size[1],
        "network": recoverer.name,
        "precision": getattr(recoverer, "precision", "fp32"),
        "runtime": getattr(recoverer, "runtime", "torch"),
        "device": describe_device(choose_device(device)),
        "subjects_per_frame": people / len(wholes),
        "detections_per_frame": detections / len(wholes),
        "stages": {stage: asdict(spread) for stage, spread in times.spreads().items()},
        "frames_per_second": len(wholes) / sum(wholes),
        "over_parts": sum(wholes) / sum(parts),
        "overlapped": {"frames_per_second": rate, "over_parts": len(parts) / (rate * sum(parts))},
        "against_eager": None if plain is None else _faster(recoverer, plain),
    }


class _Pace:
    """A sink that notes when frames come, and ends the loop when there are enough."""

    def __init__(self) -> None:
        self.came: list[float] = []
        self.stop: Callable[[], None] = lambda: None

    def show(self, view: View, drawn: Rgb) -> None:
        """Note a frame."""
        self.came.append(time.perf_counter())
        if len(self.came) == WARM + FRAMES:
            self.stop()

    def close(self) -> None:
        """Nothing is held."""


def _overlapped(source: Source, pipeline: Callable[[Shot], View], drawer: Drawer) -> float:
    """Frames a second where capture, inference and drawing go on at the same time and no frame is dropped."""
    pace = _Pace()
    loop = Loop(source, pipeline, drawer, [pace], drop=False)
    pace.stop = loop.stop
    if loop.run().stopped_by not in ("end", "stop"):
        raise KeyboardInterrupt
    return (len(pace.came) - 1 - WARM) / (pace.came[-1] - pace.came[WARM])


def _faster(quick: Recoverer, plain: Recoverer) -> float:
    """How many times as fast one network is as the other, both taking the same crops turn about; by medians."""
    rng, side = np.random.default_rng(0), quick.image_size
    camera = assumed_intrinsics(side, side)[None]
    spent: dict[Recoverer, list[float]] = {quick: [], plain: []}
    for _ in range(TURNS):
        crop = rng.integers(0, 256, (1, side, side, 3), np.uint8)
        for network, times in spent.items():
            begun = time.perf_counter()
            network(crop, camera)
            times.append(time.perf_counter() - begun)
    return float(np.median(spent[plain][3:]) / np.median(spent[quick][3:]))
