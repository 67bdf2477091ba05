"""The `own` detector: our small network with the weights that humanpt ships, trained on generated people alone.

A frame is shrunk to the area of 240 x 240 pixels (320 x 180 of a wide one), for who is small in it, and to half of the
sides, for who fills it; both are padded with grey at the right and the bottom. Peaks of the heat maps become boxes. A
hand is called left or right where the network is sure enough, else `hand`. The mask of a detection is the subject mask
inside its box.

The shipped files were made by `humanpt finetune detection`; their metadata say how.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from humanpt.config import from_dict, to_dict
from humanpt.detect.detector import BoxKind, DetectConfig, Detections, Frame, Subject
from humanpt.detect.matching import overlaps
from humanpt.errors import InputError
from humanpt.files import whole_file
from humanpt.models.heatmap import COARSEST, STRIDE, HeatMapConfig, HeatMapNet, HeatMaps, boxes_of

Floats = NDArray[np.float32]

SIDE = 240  # of a square of the area of the larger picture that the network sees, in pixels
LONGEST = 400  # longest side of that picture, in pixels
SHRINK = (1, 2)  # the pictures that it sees: this one, and one of half its sides
BAR = 114  # grey of the padding
SURE = 0.65  # probability of a side from which it is told
PEAKS = 60  # most peaks looked at
SCHEMA = "humanpt.heatmap"
SCALE_AT = 0.3  # the score that the threshold chosen on held-out pictures is brought to


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What the network found in one picture, the best first."""

    boxes: Floats
    """(N, 4) edges in pixels of the picture it saw."""
    scores: Floats
    """(N,) from 0 to 1."""
    second: Floats
    """(N,) probability of being of the second kind, 0 where there is one kind."""


def decode(maps: HeatMaps, least: float, max_overlap: float = 0.5, most: int = PEAKS) -> list[Found]:
    """Peaks of heat maps as boxes.

    Args:
        maps: of B pictures.
        least: lowest score of a peak.
        max_overlap: of two boxes with a larger IoU only the better stays.
        most: peaks looked at in each picture.

    Returns:
        B answers.
    """
    heat = maps.centre.sigmoid()
    peaks = torch.where(F.max_pool2d(heat, 3, 1, 1) == heat, heat, 0).flatten(1)  # (B, hw)
    scores, places = peaks.topk(min(most, peaks.shape[1]))
    kind = maps.kind.sigmoid() if maps.kind.shape[1] else torch.zeros_like(heat)
    answers = torch.cat([boxes_of(maps.sides), kind], dim=1).flatten(2).transpose(1, 2).float()  # (B, hw, 5)
    picked = answers.gather(1, places[..., None].expand(-1, -1, 5)).cpu().numpy()
    return [
        _chosen(Found(boxes=row[keep, :4], scores=score[keep], second=row[keep, 4]), max_overlap)
        for score, row in zip(scores.float().cpu().numpy(), picked, strict=True)
        for keep in [score >= least]
    ]


def best(found: Found, max_overlap: float) -> list[int]:
    """The rows of the best boxes, best first: of those on the same place one stays."""
    overlap = overlaps(found.boxes, found.boxes)
    kept: list[int] = []
    for row in np.argsort(-found.scores, kind="stable"):
        if not any(overlap[row, other] > max_overlap for other in kept):
            kept.append(int(row))
    return kept


def _chosen(found: Found, max_overlap: float) -> Found:
    kept = best(found, max_overlap)
    return Found(boxes=found.boxes[kept], scores=found.scores[kept], second=found.second[kept])


def _longest(width: int, height: int) -> int:
    """The longer side of a frame when it has the wanted area."""
    return min(LONGEST, round(SIDE * math.sqrt(max(width, height) / min(width, height))))


def _shrunk(small: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """A picture at every scale that the network sees."""
    height, width = small.shape[:2]
    sizes = [(max(1, round(width / shrink)), max(1, round(height / shrink))) for shrink in SHRINK]
    return [small] + [np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_AREA), np.uint8) for size in sizes[1:]]


def _stretched(boxes: Floats, size: tuple[int, int], frame: tuple[int, int]) -> Floats:
    """Edges in pixels of a picture of one height and width as edges in those of another, cut at its border."""
    scale = np.array([frame[1] / size[1], frame[0] / size[0]] * 2)
    edges = (boxes.astype(np.float64) + 0.5) * scale - 0.5
    border = np.array([frame[1], frame[0]] * 2) - 0.5
    return np.asarray(np.clip(edges, -0.5, border), np.float32)


def letterbox(small: NDArray[np.uint8]) -> Tensor:
    """(h, w, 3) to (1, 3, H, W) from 0 to 1, padded at the right and the bottom to multiples of 32."""
    height, width = small.shape[:2]
    canvas = np.full((-(-height // COARSEST) * COARSEST, -(-width // COARSEST) * COARSEST, 3), BAR, np.uint8)
    canvas[:height, :width] = small
    return torch.from_numpy(canvas).permute(2, 0, 1)[None].float() / 255


def weights_file(subject: Subject) -> Path:
    """Where the shipped weights of a subject lie."""
    return Path(__file__).parent / "weights" / f"heatmap-{subject}.safetensors"


def save_weights(path: Path, network: HeatMapNet, subject: Subject, threshold: float, record: dict[str, Any]) -> None:
    """Write a network for looking: float16, norms taken into the convolutions; `network` itself becomes so.

    Args:
        threshold: the score from which peaks count, brought to 0.3 when the file is used; 0.3 leaves scores alone.
        record: how the weights were made; anything that JSON can hold.

    Raises:
        OutputError: if the file cannot be written.
    """
    network.fuse()
    tensors = {name: value.detach().half().contiguous() for name, value in network.state_dict().items()}
    metadata = {
        "schema": SCHEMA,
        "subject": subject,
        "model": json.dumps(to_dict(network.config)),
        "threshold": repr(threshold),
        "record": json.dumps(record),
    }
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata)


@dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """A network ready to look, and what its file says."""

    network: HeatMapNet
    """Evaluation mode, norms inside the convolutions."""
    threshold: float
    """Score from which peaks count."""
    record: dict[str, Any]
    """How it was made."""


def load_weights(path: Path, subject: Subject) -> Weights:
    """Read what `save_weights` wrote.

    Raises:
        InputError: if the file is missing, damaged, or of another kind or subject.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read ({error}); install humanpt again") from None
    if metadata.get("schema") != SCHEMA or metadata.get("subject") != subject:
        raise InputError(f"{path}: holds no weights of a {subject} detector; humanpt finetune detection makes them")
    network = HeatMapNet(from_dict(HeatMapConfig, json.loads(metadata["model"]), str(path))).fuse()
    network.load_state_dict(tensors)
    return Weights(
        network=network.requires_grad_(False),
        threshold=float(metadata["threshold"]),
        record=json.loads(metadata["record"]),
    )


class OwnDetector:
    """Our own network; see the top of this file.

    Args:
        subject: whose boxes are wanted.
        config: thresholds and threads.
        weights: the file; None takes the shipped one.

    Raises:
        InputError: if the weights cannot be read.
    """

    name = "own"
    remark: str | None = None

    def __init__(self, subject: Subject, config: DetectConfig | None = None, weights: Path | None = None) -> None:
        self.subject: Subject = subject
        self.config = config or DetectConfig()
        self.weights = weights
        loaded = load_weights(weights or weights_file(subject), subject)
        # Where the processor multiplies in bf16, this takes two thirds of the time, and boxes move by a pixel at most.
        self._dtype = torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
        self._network = loaded.network.to(self._dtype)
        self._power = float(np.log(SCALE_AT) / np.log(min(max(loaded.threshold, 0.01), 0.99)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Made anew from its ingredients, which is less to send than the network."""
        return type(self), (self.subject, self.config, self.weights)

    def start(self, clip_name: str, width: int, height: int) -> None:
        """Nothing to prepare: frames are looked at one by one."""

    def detect(self, frame: Frame) -> Detections:
        """Boxes and masks of the subject, best first, cut at the picture's edges."""
        return self.look(frame, self.config.min_score)

    def look(self, frame: Frame, least: float) -> Detections:
        """As `detect`, with another least score."""
        views = [self._view(small, least) for small in _shrunk(frame.small(_longest(frame.width, frame.height)))]
        found = Found(
            boxes=np.concatenate(
                [_stretched(view.found.boxes, view.size, (frame.height, frame.width)) for view in views]
            ),
            scores=np.concatenate([view.found.scores for view in views]),
            second=np.concatenate([view.found.second for view in views]),
        )
        places = [(view, row) for view in views for row in range(len(view.found.scores))]
        keep = [
            row for row in best(found, self.config.max_overlap) if (found.boxes[row, 2:] > found.boxes[row, :2]).all()
        ]
        keep = keep[: self.config.max_detections]
        return Detections(
            boxes=found.boxes[keep],
            scores=found.scores[keep] ** np.float32(self._power),
            kinds=tuple(self._kind(float(found.second[row])) for row in keep),
            masks=tuple(view.mask_inside(row) for view, row in (places[i] for i in keep)),
        )

    def _view(self, small: NDArray[np.uint8], least: float) -> _View:
        """What the network says of one picture."""
        with torch.inference_mode(), _threads(self.config.threads):
            maps = self._network(letterbox(small).to(self._dtype))
            found = decode(maps, least ** (1 / self._power), self.config.max_overlap)[0]
            mask = maps.mask[0, 0].float().numpy()
        return _View(found=found, mask=mask, size=(small.shape[0], small.shape[1]))

    def _kind(self, second: float) -> BoxKind:
        if self.subject == "body":
            return "body"
        return "hand_right" if second >= SURE else "hand_left" if second <= 1 - SURE else "hand"


@dataclass(frozen=True, kw_only=True, eq=False)
class _View:
    """What the network said of one picture."""

    found: Found
    mask: Floats  # (h, w) logits, padding included
    size: tuple[int, int]  # height and width without padding, in pixels

    def mask_inside(self, row: int) -> NDArray[np.bool_]:
        """The mask of one of those found."""
        return _mask_inside(self.mask, self.found.boxes[row], self.size)


def _mask_inside(logits: Floats, box: Floats, size: tuple[int, int]) -> NDArray[np.bool_]:
    """A subject's mask over the whole picture, a cell for every four pixels that the network saw.

    Args:
        logits: (h, w) of the grid, padding included.
        box: edges in pixels that the network saw.
        size: height and width of the picture without padding, in those pixels.
    """
    height, width = (max(1, round(side / 4)) for side in size)
    step_x, step_y = size[1] / width, size[0] / height  # network pixels per mask pixel
    # From mask pixels to the grid: a mask pixel's middle lies at (i + 0.5) step - 0.5, a cell's at 8 j + 3.5.
    grid_from_mask = np.array(
        [
            [step_x / STRIDE, 0, (0.5 * step_x) / STRIDE - 0.5],
            [0, step_y / STRIDE, (0.5 * step_y) / STRIDE - 0.5],
        ]
    )
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    drawn: Any = cv2.warpAffine(logits, grid_from_mask, (width, height), flags=how, borderMode=cv2.BORDER_REPLICATE)
    mask = np.asarray(drawn > 0, np.bool_)
    x1, y1, x2, y2 = (box + 0.5) / np.array([step_x, step_y, step_x, step_y], np.float32)
    inside = np.zeros_like(mask)
    inside[max(0, int(y1)) : int(np.ceil(max(y2, 0))), max(0, int(x1)) : int(np.ceil(max(x2, 0)))] = True
    return mask & inside


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Compute with so many threads inside, and as before outside."""
    before = torch.get_num_threads()
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
