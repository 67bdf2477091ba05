"""Networks as ONNX or TorchScript, read again at once, and the real crops that exports are held against originals on.

The crops are what our own detector finds in frames of the example clips; where these are not at hand, made pictures
stand for them, and the file says which.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import humanpt
from humanpt.data.crops import square_around
from humanpt.data.frame import Frame
from humanpt.data.image import Rgb
from humanpt.data.labelled.record import Floats
from humanpt.data.turned_crops import take_crop, turned_crop
from humanpt.data.video import open_clip
from humanpt.detect.detector import Subject
from humanpt.detect.heatmap import OwnDetector
from humanpt.errors import InputError
from humanpt.live.exported import METADATA, OnnxGraph
from humanpt.models.graph import Graph
from humanpt.models.onnx_export import to_onnx, tracing
from humanpt.tasks.mesh_pictures import ROOM, assumed_intrinsics

GraphLayout = Literal["onnx", "torchscript"]
CROPS = 8
"""Crops that an export is held against its original on."""
CLIPS: Mapping[Subject, str] = {"hand": "hand/*.mp4", "body": "pose2sim_single/videos/*.mp4"}
"""Which example clips show the subject, and are free to be looked at."""
EVERY, FRAMES = 8, 80
"""Every how manyth frame is looked at, and up to which."""

Found = Mapping[str, Tensor]


class Trial(NamedTuple):
    """What an export is tried on."""

    pictures: NDArray[np.uint8]
    """(B, 3, S, S) RGB."""
    cameras: Floats
    """(B, 3, 3) of the crops, pixels."""
    origin: str
    """Where they come from, for a person."""


Run = Callable[[Trial], Found]


def trial_crops(subject: Subject, size: int) -> Trial:
    """Crops of S pixels, of real people or hands where the example clips are at hand."""
    found = found_crops(subject, size)
    if found:
        pictures, cameras = zip(*found, strict=True)
        origin = f"crops of a {subject} found by our own detector in the example clips"
    else:
        across = np.linspace(0, 6, size)
        numbers = range(1, CROPS + 1)
        waves = [np.sin(across[:, None, None] * k + across[None, :, None] + np.arange(3)) for k in numbers]
        pictures = tuple((127 + 127 * wave).astype(np.uint8) for wave in waves)
        cameras = tuple(assumed_intrinsics(size, size) for _ in pictures)
        origin = "made pictures, as no example clips were at hand"
    together = np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2))
    return Trial(pictures=together, cameras=np.stack(cameras).astype(np.float32), origin=origin)


def found_crops(subject: Subject, size: int) -> list[tuple[Rgb, Floats]]:
    """Crops (S, S, 3) and their cameras (3, 3) from the example clips, the surest detection of each frame."""
    clips = sorted((Path(humanpt.__file__).parents[1] / "examples" / "clips").glob(CLIPS[subject]))
    detector = OwnDetector(subject) if clips else None
    crops: list[tuple[Rgb, Floats]] = []
    for clip in clips:
        assert detector is not None
        with closing(cast("Generator[Frame, None, None]", open_clip(clip).frames())) as frames:
            for frame in islice(frames, 0, FRAMES, EVERY):
                if len(crops) == CROPS:
                    return crops
                for box in detector.detect(frame).boxes[:1]:
                    crops.append(_crop(frame.rgb(), box, size))
    return crops


def _crop(picture: Rgb, box: NDArray[np.float32], size: int) -> tuple[Rgb, Floats]:
    square = square_around(box, ROOM).astype(np.float64)
    crop = turned_crop(assumed_intrinsics(picture.shape[1], picture.shape[0]), square, size)
    return take_crop(picture, crop, size), crop.intrinsics.astype(np.float32)


def differences(found: Found, wanted: Found) -> dict[str, dict[str, float]]:
    """The largest and the mean absolute difference of every output."""
    apart = {name: (found[name].float() - value.float()).abs() for name, value in wanted.items()}
    return {name: {"max": float(value.max()), "mean": float(value.mean())} for name, value in apart.items()}


def write_graph(temporary: Path, to: GraphLayout, graph: Graph, trial: Trial) -> Run:
    """Write a network, and open what was written by the program that others would use.

    Returns:
        A function that runs it.

    Raises:
        InputError: if ONNX or ONNX Runtime is missing.
    """
    return (_to_onnx if to == "onnx" else _to_torchscript)(temporary, graph, trial)


def add_meaning(temporary: Path, to: GraphLayout, text: str) -> None:
    """Put what the numbers mean, as JSON, into a file that has been found to be right."""
    if to == "onnx":
        import onnx

        model = onnx.load(str(temporary))
        onnx.helper.set_model_props(model, {METADATA: text})
        onnx.save(model, str(temporary))
        return
    with tracing():
        module = torch.jit.load(str(temporary), map_location="cpu")  # type: ignore[no-untyped-call]
        torch.jit.save(module, str(temporary), _extra_files={f"{METADATA}.json": text})


def as_text(meaning: Mapping[str, Any]) -> str:
    """JSON without blanks: triangles are many."""
    return json.dumps(meaning, separators=(",", ":"))


def _given(graph: Graph, trial: Trial, count: int | None = None) -> tuple[Tensor, ...]:
    given = (trial.pictures, trial.cameras)[: len(graph.inputs)]
    return tuple(torch.from_numpy(array[:count]) for array in given)


def _to_torchscript(temporary: Path, graph: Graph, trial: Trial) -> Run:
    with tracing():
        traced = torch.jit.trace(graph, _given(graph, trial, 2), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, str(temporary))
        module: Any = torch.jit.load(str(temporary), map_location="cpu")  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def again(trial: Trial) -> Found:
        return dict(zip(graph.outputs, module(*_given(graph, trial)), strict=True))

    return again


def _to_onnx(temporary: Path, graph: Graph, trial: Trial) -> Run:
    try:
        import onnx  # noqa: F401 - its absence is told before the work
    except ImportError:
        raise InputError("--to onnx: ONNX is not installed; pip install 'humanpt[onnx]'") from None
    temporary.write_bytes(to_onnx(graph, _given(graph, trial, 2)))
    session = OnnxGraph(temporary)

    def again(trial: Trial) -> Found:
        return session(*_given(graph, trial))

    return again
