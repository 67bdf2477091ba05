"""Exported mesh networks, run by ONNX Runtime (extra `onnx`) from nothing but the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.body.model import Subject, load_body_model
from humanpt.config import from_dict
from humanpt.data.labelled.record import Floats
from humanpt.errors import InputError
from humanpt.models.mesh_heads import MeshPrediction, ModelPoints, root_place, seen_at
from humanpt.tasks.mesh_config import MeshConfig

METADATA = "humanpt"
"""Under this name an exported file keeps, as JSON, what its numbers mean."""


class OnnxGraph:
    """An exported network: crops and cameras in, arrays by name out.

    Args:
        path: the file.
        threads: of the processor; None leaves the choice to ONNX Runtime.

    Raises:
        InputError: if ONNX Runtime is missing or cannot open the file.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise InputError(f"{path}: ONNX Runtime is not installed; pip install 'humanpt[onnx]'") from None
        if not path.is_file():
            raise InputError(f"{path}: there is no such model file; check the path")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 4  # what is wrong is in the exception; the log would write to the terminal as well
        available = onnxruntime.get_available_providers()
        providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # ONNX Runtime has no common class for its errors
            line = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
            raise InputError(f"{path}: is no ONNX model that ONNX Runtime can open ({line})") from None
        self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        self._outputs = [output.name for output in self._session.get_outputs()]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what comes out."""
        return tuple(self._outputs)

    def __call__(self, image: NDArray[np.uint8], intrinsics: Floats | None = None) -> dict[str, Floats]:
        """(B, 3, S, S) uint8 crops and, where it is asked for, (B, 3, 3) cameras to the file's outputs by name."""
        inputs: dict[str, Any] = {"image": np.ascontiguousarray(image)}
        if intrinsics is not None:
            inputs["intrinsics"] = np.ascontiguousarray(intrinsics)
        return dict(zip(self._outputs, self._session.run(None, inputs), strict=True))


class OnnxRecoverer:
    """An exported mesh network; meets `tasks.mesh_pictures.Recoverer`.

    Of a licensed body model the file gives pose, shape and camera; the user's own files then make the mesh.

    Args:
        path: a file that `humanpt export RUN --to onnx` wrote.
        threads: as for `OnnxGraph`.

    Raises:
        InputError: if ONNX Runtime is missing, or the file is no such file.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self._graph = OnnxGraph(path, threads)
        try:
            meaning = json.loads(self._graph.metadata[METADATA])
            self.config = from_dict(MeshConfig, meaning["task"], str(path))
            self.image_size = int(meaning["image_size"])
            self.keypoint_names = tuple(meaning["keypoint_names"])
            self.ledger: Mapping[str, Any] = meaning["ledger"]
        except (KeyError, ValueError, TypeError):
            raise InputError(f"{path}: is no mesh network of `humanpt export RUN --to onnx`; export a run") from None
        self.name = str(path)
        self.subject: Subject = self.config.subject
        self.body = load_body_model(self.config.model)
        self._points = None if "vertices" in self._graph.outputs else ModelPoints(self.body, self.subject)
        self.precision = "fp32"

    def __call__(self, crops: NDArray[np.uint8], intrinsics: Floats) -> MeshPrediction:
        """Predict; see `Recoverer`."""
        pictures = crops.transpose(0, 3, 1, 2)
        arrays = self._graph(pictures, None if self._points else intrinsics)
        found = {name: torch.from_numpy(value) for name, value in arrays.items()}
        if self._points is None:
            return MeshPrediction(**{name: found.get(name) for name in MeshPrediction._fields})  # type: ignore[arg-type]
        return self._by_parameters(self._points, found, torch.from_numpy(intrinsics))

    @torch.inference_mode()
    def _by_parameters(self, points: ModelPoints, found: Mapping[str, Tensor], intrinsics: Tensor) -> MeshPrediction:
        """The mesh that a body model gives parameters, where the camera puts it."""
        camera, pose, shape = (found[name] for name in ("camera", "pose", "shape"))
        place = root_place(camera, intrinsics, self.image_size)[:, None]
        keypoints, vertices, shift = points(shape, pose)
        return MeshPrediction(
            keypoints=keypoints + place,
            vertices=vertices + place,
            pixels=seen_at(keypoints, place, intrinsics),
            camera=camera,
            turn=points.turn_of(pose),
            pose=pose,
            shape=shape,
            transl=shift + place[:, 0],
            side=found.get("side"),
        )
