"""The `onnx:FILE` detector: a detection model that the user brings, run by ONNX Runtime (extra `onnx`).

The model has one picture as input, (1, 3, H, W); where H or W is open, `DetectConfig.input_size` is taken. The kinds
of models are told in `onnx_layouts.py`. Which class is wanted: by name where the model carries `names` (Ultralytics
writes them); otherwise a single class is the subject, 80 and 365 classes are COCO's and Objects365's with person 0, 91
are COCO's own ids with person 1. Where the number of classes does not show (mmdeploy, YOLOv10) and there are no names,
class 0 is the subject.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from humanpt.detect.detector import BoxKind, DetectConfig, Detections, Frame, Subject, kind_of, serves
from humanpt.detect.onnx_layouts import GREY, LAYOUTS, Floats, prepare, recognise
from humanpt.errors import InputError

PIXEL_MASK_SIDE = 64  # transformers' exports of DETR leave the mask's size open and stretch whatever comes
PERSON = {80: 0, 365: 0, 91: 1}  # index of a person among that many unnamed classes: COCO, Objects365, COCO's own ids


class OnnxDetector:
    """Runs a user's ONNX model on every frame; the top of this file tells which models are known.

    Args:
        path: the model.
        subject: which boxes are wanted.
        config: thresholds, input size, threads.

    Raises:
        InputError: if ONNX Runtime is missing, the file is no model that it can run, the outputs fit no layout, or the
            model does not know the subject.
    """

    remark: str | None = None

    def __init__(self, path: Path, subject: Subject, config: DetectConfig | None = None) -> None:
        self.name = f"onnx:{path}"
        self.path = path
        self.subject = subject
        self.config = config or DetectConfig()
        self._session = _open(path, self.config.threads)
        self._size = self._input_size()  # height, width
        probe = self._run(np.full((1, 3, *self._size), GREY, np.float32))
        names = _class_names(self._session.get_modelmeta().custom_metadata_map.get("names", ""))
        outputs = [output.name for output in self._session.get_outputs()]
        layout = recognise(dict(zip(outputs, probe, strict=True)), self._size, len(names) or None, path.name)
        if layout is None:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in zip(outputs, probe, strict=True))
            raise InputError(f"{path}: the outputs {shapes} fit no known layout; known are {LAYOUTS}")
        self.layout = layout
        self._kinds = _wanted(names, layout.classes, subject, path)

    def __reduce__(self) -> tuple[Any, ...]:
        """A session cannot be pickled; its ingredients can."""
        return type(self), (self.path, self.subject, self.config)

    def start(self, clip_name: str, width: int, height: int) -> None:
        """Nothing to prepare: frames are looked at one by one."""

    def detect(self, frame: Frame) -> Detections:
        """Boxes of the subject, best first, cut at the picture's edges.

        Raises:
            InputError: if the model fails on this frame.
        """
        tensor, scale = prepare(frame.rgb(), self._size, self.layout)
        found = self.layout.decode(self._run(tensor))
        wanted = np.isin(found.classes, list(self._kinds)) & (found.scores >= self.config.min_score)
        wanted &= np.isfinite(found.boxes).all(axis=1)
        order = np.flatnonzero(wanted)[np.argsort(-found.scores[wanted], kind="stable")]
        edges = found.boxes[order] / scale - np.float32(0.5)  # from the picture's corner to pixel centres
        limits = np.array([frame.width, frame.height] * 2, np.float32) - np.float32(0.5)
        edges = np.clip(edges, np.float32(-0.5), limits)
        kinds = [self._kinds[int(index)] for index in found.classes[order]]
        keep = [i for i in range(len(order)) if (edges[i, 2:] > edges[i, :2]).all()]
        if self.layout.suppress:
            keep = _suppress(edges, found.scores[order], kinds, keep, self.config.max_overlap)
        keep = keep[: self.config.max_detections]
        return Detections(
            boxes=edges[keep].astype(np.float32),
            scores=found.scores[order][keep].astype(np.float32),
            kinds=tuple(kinds[i] for i in keep),
        )

    def _input_size(self) -> tuple[int, int]:
        """Height and width of the model's input."""
        inputs = self._session.get_inputs()
        shape = inputs[0].shape if inputs else []
        # open sides have a name or None instead of a number
        fits = len(shape) == 4 and all(
            side == want or not isinstance(side, int) for side, want in zip(shape, (1, 3), strict=False)
        )
        if not fits:
            raise InputError(f"{self.path}: its input is {shape}; it must be one picture, (1, 3, height, width)")
        if inputs[0].type not in ("tensor(float)", "tensor(float16)") or any(
            i.name != "pixel_mask" for i in inputs[1:]
        ):
            listed = ", ".join(f"{i.name} {i.type}" for i in inputs)
            raise InputError(f"{self.path}: the inputs are {listed}; it must be one picture of float or float16")
        height, width = (side if isinstance(side, int) else self.config.input_size for side in shape[2:])
        return height, width

    def _run(self, tensor: Floats) -> list[Floats]:
        """All outputs for one input, as float32."""
        first, *others = self._session.get_inputs()
        feed = {first.name: tensor.astype(np.float16 if first.type == "tensor(float16)" else np.float32)}
        for mask in others:  # pixel_mask of transformers' DETR: True where there is picture, which is everywhere
            side = [1, *(n if isinstance(n, int) else PIXEL_MASK_SIDE for n in mask.shape[1:])]
            feed[mask.name] = np.ones(side, np.bool_ if mask.type == "tensor(bool)" else np.int64)
        try:
            return [np.asarray(output, np.float32) for output in self._session.run(None, feed)]
        except Exception as error:  # ONNX Runtime has no common class for its errors
            shape = " x ".join(str(n) for n in tensor.shape)
            raise InputError(f"{self.path}: cannot be run on an input of {shape} ({_line(error)})") from None


def _open(path: Path, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise InputError(f"onnx:{path}: ONNX Runtime is not installed; pip install 'humanpt[onnx]'") from None
    if not path.is_file():
        raise InputError(f"{path}: there is no such model file; check the path")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what is wrong is in the exception; the log would write to the terminal as well
    available = onnxruntime.get_available_providers()
    providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime has no common class for its errors
        raise InputError(f"{path}: is no ONNX model that ONNX Runtime can open ({_line(error)})") from None


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__


def _class_names(text: str) -> dict[int, str]:
    """The classes that Ultralytics writes into a model's metadata, `{0: 'person', ...}`; empty if there are none."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {}
    if isinstance(value, Mapping):
        return {int(index): str(name) for index, name in value.items()}
    return {index: str(name) for index, name in enumerate(value)} if isinstance(value, list | tuple) else {}


def _wanted(names: Mapping[int, str], count: int | None, subject: Subject, path: Path) -> dict[int, BoxKind]:
    """Classes to look for, each with its kind; InputError if the model has none for the subject."""
    kinds = {index: kind_of(name) for index, name in names.items()}
    wanted = {index: kind for index, kind in kinds.items() if kind is not None and serves(kind, subject)}
    if wanted:
        return wanted
    if (names and len(names) == 1 and kinds.get(0) is None) or (not names and count in (1, None)):
        return {0: subject}  # a model of one thing is brought because that thing is the subject
    if names:
        listed = ", ".join(list(names.values())[:5])
        raise InputError(f"{path}: finds {listed}{', ...' if len(names) > 5 else ''}, but no {subject}")
    if count in PERSON and subject == "body":
        return {PERSON[count]: "body"}
    raise InputError(f"{path}: has {count} classes without names, so which is a {subject}? Give a model of one class")


def _suppress(
    edges: Floats, scores: Floats, kinds: Sequence[BoxKind], candidates: Sequence[int], max_overlap: float
) -> list[int]:
    """Of boxes of one kind that overlap more than allowed keep the best; candidates come and go best first."""
    keep: list[int] = []
    for kind in sorted(set(kinds)):
        group = [i for i in candidates if kinds[i] == kind]
        if hasattr(cv2, "dnn") and hasattr(cv2.dnn, "NMSBoxes"):  # some builds of OpenCV leave the module out
            corner_size = np.concatenate([edges[group][:, :2], edges[group][:, 2:] - edges[group][:, :2]], axis=1)
            chosen = cv2.dnn.NMSBoxes(corner_size.tolist(), scores[group].tolist(), 0.0, max_overlap)
            keep += [group[int(i)] for i in chosen]
        else:
            keep += _suppress_group(edges, group, max_overlap)
    return sorted(keep)


def _suppress_group(edges: Floats, group: Sequence[int], max_overlap: float) -> list[int]:
    keep: list[int] = []
    for i in group:
        low, high = np.maximum(edges[i, :2], edges[keep, :2]), np.minimum(edges[i, 2:], edges[keep, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        area, areas = np.prod(edges[i, 2:] - edges[i, :2]), np.prod(edges[keep, 2:] - edges[keep, :2], axis=1)
        if (shared <= max_overlap * (area + areas - shared)).all():
            keep.append(i)
    return keep
