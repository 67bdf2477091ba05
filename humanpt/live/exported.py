"""Mesh networks run by ONNX Runtime (extra `onnx`): exported ones from nothing but the file, and others as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.body.anny import AnnyModel
from humanpt.body.model import Subject, load_body_model
from humanpt.config import from_dict
from humanpt.data.labelled.record import Floats
from humanpt.errors import InputError
from humanpt.models.mesh_graph import MeshGraph, ParameterGraph, PointsGraph
from humanpt.models.mesh_heads import MeshNetwork, MeshPrediction, ModelPoints, root_place, seen_at
from humanpt.models.mesh_inference import quick_points
from humanpt.models.onnx_export import to_onnx
from humanpt.tasks.mesh_config import MeshConfig
from humanpt.tasks.mesh_pictures import assumed_intrinsics

CUDA = "CUDAExecutionProvider"
METADATA = "humanpt"
"""Under this name an exported file keeps, as JSON, what its numbers mean."""


def has_cuda() -> bool:
    """Whether ONNX Runtime is there and computes on GPUs here."""
    try:
        import onnxruntime
    except ImportError:
        return False
    return CUDA in onnxruntime.get_available_providers()


class OnnxGraph:
    """A network run by ONNX Runtime.

    Args:
        model: the file, or what is in it.
        threads: of the processor; None leaves the choice to ONNX Runtime.
        cuda: whether a GPU is to compute, if ONNX Runtime can have it: see `has_cuda`.

    Raises:
        InputError: if ONNX Runtime is missing or cannot open the file.
    """

    def __init__(self, model: Path | bytes, threads: int | None = None, *, cuda: bool = False) -> None:
        path = model if isinstance(model, Path) else Path("the network")
        try:
            import onnxruntime
        except ImportError:
            raise InputError(f"{path}: ONNX Runtime is not installed; pip install 'humanpt[onnx]'") from None
        if isinstance(model, Path) and not path.is_file():
            raise InputError(f"{path}: there is no such model file; check the path")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 4  # what is wrong is in the exception; the log would write to the terminal as well
        providers = [CUDA, "CPUExecutionProvider"] if cuda and has_cuda() else ["CPUExecutionProvider"]
        try:
            source = model if isinstance(model, bytes) else str(model)
            self._session: Any = onnxruntime.InferenceSession(source, options, providers=providers)
        except Exception as error:  # ONNX Runtime has no common class for its errors
            line = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
            raise InputError(f"{path}: is no ONNX model that ONNX Runtime can open ({line})") from None
        self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.inputs: tuple[str, ...] = tuple(given.name for given in self._session.get_inputs())
        """Names of what goes in."""
        self.outputs: tuple[str, ...] = tuple(output.name for output in self._session.get_outputs())
        """Names of what comes out."""

    def __call__(self, *given: Tensor) -> dict[str, Tensor]:
        """The outputs by name, of CPU tensors in the order of the inputs; what is given beyond these is left out."""
        inputs = {name: tensor.contiguous().numpy() for name, tensor in zip(self.inputs, given, strict=False)}
        found = self._session.run(None, inputs)
        return {name: torch.from_numpy(array) for name, array in zip(self.outputs, found, strict=True)}


class RuntimePoints(ModelPoints):
    """A body model run by ONNX Runtime.

    Args:
        points: the model, on the CPU.
        threads: as for `OnnxGraph`.
    """

    def __init__(self, points: ModelPoints, threads: int | None = None) -> None:
        super().__init__(points.body, points.body.layout.subject)
        shape, pose = points.body.mean_shape().cpu(), points.body.identity_pose().cpu()
        given = shape.expand(2, -1), pose.expand(2, -1, -1, -1)
        self._graph = OnnxGraph(to_onnx(PointsGraph(points), given), threads)

    def forward(self, shape: Tensor, pose: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As of `ModelPoints`."""
        found = self._graph(shape, pose)
        return found["keypoints"], found["vertices"], found["shift"]


class GraphRecoverer:
    """A mesh network that ONNX Runtime runs; with the body model in it, or beside it. Meets most of `Recoverer`.

    Args:
        graph: crops (B, 3, S, S) and, with the body model in it, cameras (B, 3, 3) to the answers.
        points: the body model, for a graph without it.
        config: of the network's task.
        image_size: S.
    """

    precision = "fp32"
    runtime = "ONNX Runtime"

    def __init__(self, graph: OnnxGraph, points: ModelPoints | None, config: MeshConfig, image_size: int) -> None:
        self._graph, self._apart = graph, points
        self.config, self.image_size = config, image_size
        self.subject: Subject = config.subject

    def __call__(self, crops: NDArray[np.uint8], intrinsics: Floats) -> MeshPrediction:
        """Predict; see `Recoverer`."""
        cameras = torch.from_numpy(intrinsics)
        found = self._graph(torch.from_numpy(crops.transpose(0, 3, 1, 2)), cameras)
        if self._apart is None:
            return MeshPrediction(**{name: found.get(name) for name in MeshPrediction._fields})  # type: ignore[arg-type]
        return self._by_parameters(self._apart, found, cameras)

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


class OnnxRecoverer(GraphRecoverer):
    """An exported mesh network; meets `tasks.mesh_pictures.Recoverer`.

    Of a licensed body model the file gives pose, shape and camera; the user's own files then make the mesh.

    Args:
        path: a file that `humanpt export RUN --to onnx` wrote.
        threads, cuda: as for `OnnxGraph`.

    Raises:
        InputError: if ONNX Runtime is missing, or the file is no such file.
    """

    def __init__(self, path: Path, threads: int | None = None, *, cuda: bool = False) -> None:
        graph = OnnxGraph(path, threads, cuda=cuda)
        try:
            meaning = json.loads(graph.metadata[METADATA])
            config = from_dict(MeshConfig, meaning["task"], str(path))
            image_size = int(meaning["image_size"])
            self.keypoint_names = tuple(meaning["keypoint_names"])
            self.ledger: Mapping[str, Any] = meaning["ledger"]
        except (KeyError, ValueError, TypeError):
            raise InputError(f"{path}: is no mesh network of `humanpt export RUN --to onnx`; export a run") from None
        self.name = str(path)
        self.body = load_body_model(config.model)
        points = quick_points(ModelPoints(self.body, config.subject))
        self.points = None if config.free else points
        apart = None if "vertices" in graph.outputs else points
        super().__init__(graph, apart, config, image_size)


class RuntimeRecoverer(GraphRecoverer):
    """A fine-tuned network handed to ONNX Runtime as it is, without a file; meets `Recoverer`.

    Its body model is handed over apart, so that what steadies poses can ask it again.

    Args:
        network: as `load_finetuned` gives it, on the CPU; it stays as it is.
        config: of its task.
        name: what it was made from.
        ledger: of its weights.
        threads: as for `OnnxGraph`.
    """

    def __init__(
        self,
        network: MeshNetwork,
        config: MeshConfig,
        name: str = "network",
        ledger: Mapping[str, Any] | None = None,
        threads: int | None = None,
    ) -> None:
        self.name, self.ledger = name, ledger or {}
        self.keypoint_names = tuple(network.keypoint_names)
        self.body = network.body
        self.points: ModelPoints | None = None
        if not config.free:  # the numbers of licensed models need not be known to ONNX
            free = isinstance(network.body, AnnyModel)
            self.points = RuntimePoints(network.points, threads) if free else network.points
        size = network.trunk.config.image_size
        crops = torch.zeros(2, 3, size, size, dtype=torch.uint8)
        cameras = torch.from_numpy(assumed_intrinsics(size, size)).expand(2, 3, 3)
        graph = MeshGraph(network) if config.free else ParameterGraph(network)
        made = to_onnx(graph, (crops, cameras)[: len(graph.inputs)])
        super().__init__(OnnxGraph(made, threads), self.points, config, size)
