"""The kinds of ONNX detection models: how each is known, what its input is, how its outputs become boxes.

What kind a model is shows in the shapes of its outputs for one grey picture; N is any number, C the number of classes:

- YOLOX: one output (1, N, 5 + C), N the cells of grids of stride 8, 16, 32 (and 64). Input BGR, 0 to 255. Models with
  the grid already undone have the same shapes; they are known by numbers: centres in pixels follow the grid and pass
  32, offsets in cells do neither.
- mmdeploy: dets (1, N, 5) and labels (1, N). Input BGR with RTMDet's mean and deviation; a file with `yolox` in its
  name, as rtmlib and mmdeploy call them, has the same outputs and is fed plain BGR, 0 to 255.
- YOLOv8 to v12: (1, 4 + C, N). Input RGB, 0 to 1. Masks or key points in further channels are passed over.
- YOLOv10, YOLO26 and others without suppression: (1, N, 6) with corners, score, class. Input RGB, 0 to 1.
- DETR: boxes (1, Q, 4), centre and size from 0 to 1, and logits (1, Q, C). The picture is stretched, not padded; input
  RGB with ImageNet's mean and deviation. 2, 81 or 92 logits end in "no object" and go through a softmax, others
  through a sigmoid; 80 logits are RT-DETR, whose input is plain RGB, 0 to 1.

All but DETR see the picture at the top left of a grey (114) canvas.

Sources: YOLOX's grids, Megvii-BaseDetection/YOLOX yolox/utils/demo_utils.py; its input, Tau-J/rtmlib; DETR's and
RT-DETR's inputs, preprocessor_config.json of facebook/detr-resnet-50 and PekingU/rtdetr_r50vd_coco_o365.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

Floats = NDArray[np.float32]

LAYOUTS = (
    "YOLOX (1, N, 5 + C); mmdeploy (1, N, 5) and (1, N); YOLOv8 (1, 4 + C, N); "
    "YOLOv10 (1, N, 6); DETR (1, Q, C) and (1, Q, 4)"
)
STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32))  # grids in use, the common one first
GREY = 114


class Found(NamedTuple):
    """What a model found, in its input's pixels: edges from the corner of the input picture, score and class."""

    boxes: Floats  # (M, 4) x1, y1, x2, y2
    scores: Floats  # (M,)
    classes: NDArray[np.int64]  # (M,)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One kind of model: how its input is prepared and its outputs are read."""

    name: str
    """What it is called in error lines."""
    decode: Callable[[Sequence[Floats]], Found]
    """Outputs, in the model's order, to boxes in the input's pixels."""
    classes: int | None
    """Number of classes, None where the shapes do not tell."""
    suppress: bool
    """Whether boxes of one subject come several times."""
    stretch: bool = False
    """Whether the picture fills the input, instead of keeping its proportions at the top left."""
    bgr: bool = False
    """Whether the input is BGR instead of RGB."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Taken off each channel, in the input's order of channels."""
    std: tuple[float, float, float] = (255.0, 255.0, 255.0)
    """Each channel is divided by this."""


def prepare(rgb: NDArray[np.uint8], size: tuple[int, int], layout: Layout) -> tuple[Floats, Floats]:
    """Bring a picture into a model's input.

    Args:
        rgb: (H, W, 3) picture.
        size: height and width of the input.
        layout: how the model wants it.

    Returns:
        the (1, 3, *size) input, and (4,) input pixels per source pixel along x, y, x, y. The corners of both pictures
        coincide, so edges counted from the corner differ by this factor alone.
    """
    height, width = rgb.shape[:2]
    new_height, new_width = size
    if not layout.stretch:
        ratio = min(new_width / width, new_height / height)
        new_width, new_height = max(1, round(width * ratio)), max(1, round(height * ratio))
    canvas = np.full((*size, 3), GREY, np.uint8)
    canvas[:new_height, :new_width] = cv2.resize(rgb, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    channels = canvas[..., ::-1] if layout.bgr else canvas
    values = (channels.astype(np.float32) - np.array(layout.mean, np.float32)) / np.array(layout.std, np.float32)
    scale = np.array([new_width / width, new_height / height] * 2, np.float32)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None]), scale


def recognise(
    outputs: Mapping[str, Floats], size: tuple[int, int], named: int | None = None, file_name: str = ""
) -> Layout | None:
    """Tell which kind of model gave these outputs for one grey picture; None if none of those we know.

    Args:
        outputs: the model's outputs by name, in its order.
        size: height and width of its input.
        named: number of classes, where the model says so itself.
        file_name: of the model; tells mmdeploy's YOLOX from its RTMDet.
    """
    arrays = list(outputs.values())
    tables = {i: array.shape[1:] for i, array in enumerate(arrays) if array.ndim == 3 and array.shape[0] == 1}
    for i, (count, columns) in tables.items():
        labels = next((j for j, array in enumerate(arrays) if array.shape == (1, count)), None)
        if columns == 5 and labels is not None:
            return _mmdeploy(i, labels, named, plain="yolox" in file_name.lower())
    for i, (count, columns) in tables.items():
        others = [j for j, shape in tables.items() if j != i and shape[0] == count and shape[1] != 4]
        if columns == 4 and others and _cells(size, count) is None:
            names = list(outputs)
            logits = next((j for j in others if "logit" in names[j].lower()), others[0])  # else hidden states may match
            return _detr(i, logits, size, tables[logits][1])
    for i, (rows, columns) in tables.items():
        cells = _cells(size, rows)
        if cells is not None and columns >= 6:
            return _yolox(i, cells, columns - 5, undone=_grid_is_undone(arrays[i][0], cells))
        if columns == 6:
            return _end_to_end(i, named)
        if rows >= 5 and _cells(size, columns) is not None:
            prototypes = any(array.ndim == 4 and array.shape[1] == 32 for array in arrays)  # a model of masks
            return _yolov8(i, named or rows - 4 - 32 * prototypes)
    return None


def _cells(size: tuple[int, int], count: int) -> Floats | None:
    """(count, 3) x, y and stride of the cells of a model's grids, if these grids have `count` cells."""
    for strides in STRIDES:
        grids = []
        for stride in strides:
            y, x = np.mgrid[: size[0] // stride, : size[1] // stride]
            grids.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, stride)], axis=1))
        cells = np.concatenate(grids).astype(np.float32)
        if len(cells) == count:
            return cells
    return None


def _grid_is_undone(rows: Floats, cells: Floats) -> bool:
    """Whether a YOLOX output is in pixels already: its numbers pass 32, and centres lie near their cells."""
    rows, cells = rows[rows[:, :4].any(axis=1)], cells[rows[:, :4].any(axis=1)]
    if len(rows) == 0 or np.abs(rows[:, :4]).max() <= 32:
        return False
    in_pixels = np.abs(rows[:, :2] / cells[:, 2:] - cells[:, :2])
    return bool(np.median(np.abs(rows[:, :2])) > np.median(in_pixels))


def _from_centres(centre_size: Floats) -> Floats:
    """(M, 4) centre and size to edges."""
    centres, halves = centre_size[:, :2], centre_size[:, 2:4] / 2
    return np.concatenate([centres - halves, centres + halves], axis=1)


def _best(boxes: Floats, scores: Floats) -> Found:
    """Keep each box's best class; scores are (M, C)."""
    classes = scores.argmax(axis=1)
    return Found(boxes, scores[np.arange(len(scores)), classes], classes)


def _yolox(output: int, cells: Floats, classes: int, undone: bool) -> Layout:
    def decode(outputs: Sequence[Floats]) -> Found:
        rows = outputs[output][0]
        boxes = rows[:, :4]
        if not undone:
            stride = cells[:, 2:]
            size = np.exp(np.minimum(boxes[:, 2:], 20)) * stride  # e^20 is beyond any picture
            boxes = np.concatenate([(boxes[:, :2] + cells[:, :2]) * stride, size], axis=1)
        return _best(_from_centres(boxes), rows[:, 4:5] * rows[:, 5:])

    name = "YOLOX with its grid undone" if undone else "YOLOX"
    return Layout(name=name, decode=decode, classes=classes, suppress=True, bgr=True, std=(1.0, 1.0, 1.0))


def _mmdeploy(dets: int, labels: int, classes: int | None, plain: bool) -> Layout:
    def decode(outputs: Sequence[Floats]) -> Found:
        rows = outputs[dets][0]
        return Found(rows[:, :4], rows[:, 4], outputs[labels][0].astype(np.int64))

    if plain:
        return Layout(
            name="mmdeploy YOLOX", decode=decode, classes=classes, suppress=False, bgr=True, std=(1.0, 1.0, 1.0)
        )
    mean, std = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
    return Layout(name="mmdeploy", decode=decode, classes=classes, suppress=False, bgr=True, mean=mean, std=std)


def _yolov8(output: int, classes: int) -> Layout:
    def decode(outputs: Sequence[Floats]) -> Found:
        rows = outputs[output][0].T
        return _best(_from_centres(rows[:, :4]), rows[:, 4 : 4 + classes])

    return Layout(name="YOLOv8", decode=decode, classes=classes, suppress=True)


def _end_to_end(output: int, classes: int | None) -> Layout:
    def decode(outputs: Sequence[Floats]) -> Found:
        rows = outputs[output][0]
        return Found(rows[:, :4], rows[:, 4], np.nan_to_num(rows[:, 5], nan=-1).round().astype(np.int64))

    return Layout(name="YOLOv10", decode=decode, classes=classes, suppress=False)


def _detr(boxes: int, logits: int, size: tuple[int, int], count: int) -> Layout:
    ends_in_nothing = count in (2, 81, 92)
    pixels = np.array([size[1], size[0]] * 2, np.float32)

    def decode(outputs: Sequence[Floats]) -> Found:
        values = outputs[logits][0]
        scores = softmax(values, axis=1)[:, :-1] if ends_in_nothing else expit(values)
        return _best(_from_centres(outputs[boxes][0]) * pixels, scores)

    classes = count - ends_in_nothing
    if count == 80:
        return Layout(name="RT-DETR", decode=decode, classes=classes, suppress=False, stretch=True)
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    return Layout(name="DETR", decode=decode, classes=classes, suppress=False, stretch=True, mean=mean, std=std)
