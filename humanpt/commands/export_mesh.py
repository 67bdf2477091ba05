"""A fine-tuned mesh network as ONNX, TorchScript or plain weights, written only if it answers as the original does.

What is written is read again by the program that others would use and given crops of real pictures, where the example
clips are at hand, else made ones. Input convention, body model, ledger and the differences found go into the file.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

import humanpt
from humanpt import __version__
from humanpt.body.model import LICENSED
from humanpt.commands.finetune_config import FinetuneMeshConfig
from humanpt.commands.finetune_network import MEAN, load_finetuned
from humanpt.commands.recoverers import MESH_KINDS
from humanpt.commands.runs import checkpoint_of
from humanpt.config import to_dict
from humanpt.data.frame import Frame
from humanpt.data.image import Rgb, resize_square
from humanpt.data.video import open_clip
from humanpt.engine.checkpoint import Header
from humanpt.engine.report import Report
from humanpt.engine.weight_files import sha256
from humanpt.errors import CheckpointError, ConfigError, InputError, OutputError
from humanpt.files import whole_file
from humanpt.live.exported import METADATA, OnnxGraph
from humanpt.models.mesh_graph import INPUTS, OUTPUTS, MeshGraph
from humanpt.models.mesh_heads import MeshNetwork
from humanpt.models.vit import normalise

MeshLayout = Literal["onnx", "torchscript", "safetensors"]
NAMES: dict[MeshLayout, str] = {"onnx": "mesh.onnx", "torchscript": "mesh.pt", "safetensors": "mesh.safetensors"}
OPSET = 17
CROPS = 8
"""Crops that an export is held against its original on."""
BOUNDS = {"keypoints": 1e-4, "vertices": 1e-4, "pixels": 1e-2, "transl": 1e-4}
"""The largest differences that are let through: metres, and pixels of the crop; of other outputs `BOUND`."""
BOUND = 1e-3
HALF_BOUNDS = {"keypoints": 1e-3, "vertices": 1e-3, "pixels": 0.2, "transl": 1e-3}
"""The largest mean differences of weights that were rounded to float16; of other outputs `HALF_BOUND`."""
HALF_BOUND = 1e-2
HALF_WORST = 10
"""How many times the bound of its mean the largest of them may be: people far away move with their scale."""

Run = Callable[[NDArray[np.uint8], NDArray[np.float32]], Mapping[str, Tensor]]


def run(run: Path, to: MeshLayout, out: Path | None, report: Report, *, half: bool = False) -> dict[str, Any]:
    """Write a fine-tuned mesh network for others.

    Args:
        run: a run's folder, whose best checkpoint counts, or a checkpoint.
        to: `onnx` for ONNX Runtime and its kin; `torchscript` for `torch.jit.load`, which is code as well as weights;
            `safetensors` for weights alone, which humanpt reads as it reads a checkpoint.
        out: the file to write; None names it mesh.onnx, mesh.pt or mesh.safetensors, beside the checkpoint.
        half: whether the matrices and kernels of weights alone are rounded to float16: half the size.

    Returns:
        The summary: what was written, from what, and how much it differs.

    Raises:
        CheckpointError: if there is no such checkpoint, it is of another task, of a licensed body model whose numbers
            may not be put into a file, or the export answers otherwise than the original.
        ConfigError: if `half` is asked for of another layout.
        InputError: if ONNX Runtime or ONNX is missing.
        OutputError: if `out` exists or cannot be written.
    """
    if half and to != "safetensors":
        raise ConfigError(f"--half rounds weights alone; leave it out of --to {to}, or take --to safetensors")
    config, loaded, header = load_finetuned(run, torch.device("cpu"), MESH_KINDS)
    assert isinstance(config, FinetuneMeshConfig)
    network, path = cast("MeshNetwork", loaded), checkpoint_of(run)
    if config.task.model in LICENSED and not config.task.free and to != "safetensors":
        raise CheckpointError(
            f"{path}: its meshes are made by {config.task.model}, whose numbers may not be put into a file; "
            "export its weights with --to safetensors"
        )
    out = out or path.with_name(NAMES[to])
    if out.exists():
        raise OutputError(f"{out}: exists already; remove it, or choose another --out")
    graph = MeshGraph(network)
    pictures = trial_crops(network.trunk.config.image_size)
    cameras = _cameras(pictures)
    meaning = _meaning(network, config, header, graph.outputs)
    if to != "safetensors":  # whoever runs weights alone has the body model, and with it the triangles
        meaning["faces"] = network.body.faces.tolist()
    report.note(f"{out}: writing {to}, held against the original on {len(pictures)} crops")
    with whole_file(out) as temporary:
        if to == "safetensors":
            again = _to_safetensors(temporary, graph, path, half)
        else:
            again = (_to_onnx if to == "onnx" else _to_torchscript)(temporary, graph, pictures, cameras)
        parity = differences(again(pictures, cameras), _original(network, graph.outputs, pictures, cameras))
        if wrong := [name for name, found in parity.items() if not _close(name, found, half)]:
            raise CheckpointError(
                f"{path}: exported to {to}, its {wrong[0]} differ by up to {parity[wrong[0]]['max']:.2g}; "
                "nothing was written"
            )
        meaning["weights"] = "float16 matrices and kernels, the rest float32" if half else "float32"
        meaning["parity"] = {"crops": len(pictures), "differences": parity}
        _add_meaning(temporary, to, json.dumps(meaning, separators=(",", ":")), again)
    return {
        "command": "export",
        "version": __version__,
        "from": str(path),
        "step": header.step,
        "to": to,
        "out": str(out),
        "sha256": sha256(out),
        "outputs": list(graph.outputs),
        "weights": meaning["weights"],
        "parity": meaning["parity"],
        "load": f"humanpt demo --model {out}" if to == "onnx" else _load(to, out),
    }


def trial_crops(size: int) -> NDArray[np.uint8]:
    """(B, 3, S, S) uint8: squares of frames of the example clips, where they are at hand, else colours that flow."""
    clips = sorted((Path(humanpt.__file__).parents[1] / "examples" / "clips" / "hand").glob("*.mp4"))
    pictures: list[Rgb] = []
    for clip in clips[:1]:
        with closing(cast("Generator[Frame, None, None]", open_clip(clip).frames())) as frames:
            for frame in islice(frames, CROPS):
                rgb = frame.rgb()
                side = min(rgb.shape[:2])
                pictures.append(resize_square(np.ascontiguousarray(rgb[:side, :side]), size))
    if not pictures:
        across, numbers = np.linspace(0, 6, size), range(1, CROPS + 1)
        waves = [np.sin(across[:, None, None] * k + across[None, :, None] + np.arange(3)) for k in numbers]
        pictures = [(127 + 127 * wave).astype(np.uint8) for wave in waves]
    return np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2))


def differences(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, dict[str, float]]:
    """The largest and the mean absolute difference of every output."""
    apart = {name: (found[name] - value).abs() for name, value in wanted.items()}
    return {name: {"max": float(value.max()), "mean": float(value.mean())} for name, value in apart.items()}


def _close(name: str, found: Mapping[str, float], half: bool) -> bool:
    """Whether an output is near enough to the original's; what is not a number is not."""
    if not half:
        return found["max"] <= BOUNDS.get(name, BOUND)
    bound = HALF_BOUNDS.get(name, HALF_BOUND)
    return found["mean"] <= bound and found["max"] <= HALF_WORST * bound


def _cameras(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(B, 3, 3) cameras of which each sees at another angle."""
    size = pictures.shape[-1]
    cameras = np.tile(np.eye(3, dtype=np.float32), (len(pictures), 1, 1))
    cameras[:, 0, 0] = cameras[:, 1, 1] = size * np.linspace(1, 4, len(pictures))
    cameras[:, :2, 2] = (size - 1) / 2
    return cameras


@torch.no_grad()
def _original(
    network: MeshNetwork, names: tuple[str, ...], pictures: NDArray[np.uint8], cameras: NDArray[np.float32]
) -> dict[str, Tensor]:
    crops = normalise(torch.from_numpy(pictures))
    found = network(crops, crops if network.config.views == 2 else None, intrinsics=torch.from_numpy(cameras))
    return {name: getattr(found, name) for name in names}


def _meaning(
    network: MeshNetwork, config: FinetuneMeshConfig, header: Header, outputs: tuple[str, ...]
) -> dict[str, Any]:
    """What a reader must know of the numbers, as JSON can hold it."""
    return {
        "humanpt_version": __version__,
        "kind": config.kind,
        "step": header.step,
        "task": to_dict(config.task),
        "image_size": network.trunk.config.image_size,
        "inputs": INPUTS,
        "outputs": {name: OUTPUTS[name] for name in outputs},
        "hands": "crops show right hands; a left hand is mirrored before, its mesh mirrored (x negated) after",
        "keypoint_names": list(network.keypoint_names),
        "body": asdict(network.body.layout),
        "ledger": dict(header.provenance.ledger),
    }


@contextmanager
def _old_ways() -> Iterator[None]:
    """TorchScript, which torch calls old; and tracing, which warns of every size that never changes."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        yield


def _traced(graph: MeshGraph, pictures: NDArray[np.uint8], cameras: NDArray[np.float32]) -> Any:
    example = torch.from_numpy(pictures[:2]), torch.from_numpy(cameras[:2])
    with _old_ways():
        return torch.jit.trace(graph, example, check_trace=False)  # type: ignore[no-untyped-call]


def _to_torchscript(
    temporary: Path, graph: MeshGraph, pictures: NDArray[np.uint8], cameras: NDArray[np.float32]
) -> Run:
    with _old_ways():
        torch.jit.save(_traced(graph, pictures, cameras), str(temporary))
        module: Any = torch.jit.load(str(temporary), map_location="cpu")  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def again(pictures: NDArray[np.uint8], cameras: NDArray[np.float32]) -> dict[str, Tensor]:
        return dict(zip(graph.outputs, module(torch.from_numpy(pictures), torch.from_numpy(cameras)), strict=True))

    return again


def _to_onnx(temporary: Path, graph: MeshGraph, pictures: NDArray[np.uint8], cameras: NDArray[np.float32]) -> Run:
    try:
        import onnx  # noqa: F401 - its absence is told before the work
    except ImportError:
        raise InputError("--to onnx: ONNX is not installed; pip install 'humanpt[onnx]'") from None
    names = list(INPUTS)
    with _old_ways():
        torch.onnx.register_custom_op_symbolic("aten::mT", _transposed, OPSET)  # type: ignore[attr-defined]
        torch.onnx.export(
            graph,
            (torch.from_numpy(pictures[:2]), torch.from_numpy(cameras[:2])),
            str(temporary),
            dynamo=False,  # torch.export takes minutes for what this takes seconds
            input_names=names,
            output_names=list(graph.outputs),
            dynamic_axes={name: {0: "batch"} for name in (*names, *graph.outputs)},
            opset_version=OPSET,
        )
    session = OnnxGraph(temporary)

    def again(pictures: NDArray[np.uint8], cameras: NDArray[np.float32]) -> dict[str, Tensor]:
        return {name: torch.from_numpy(value) for name, value in session(pictures, cameras).items()}

    return again


def _transposed(graph: Any, matrix: Any) -> Any:
    """The last two axes of a tensor swapped, in ONNX; its exporter does not know `mT`."""
    rank = matrix.type().dim()
    return graph.op("Transpose", matrix, perm_i=[*range(rank - 2), rank - 1, rank - 2])


def _to_safetensors(temporary: Path, graph: MeshGraph, path: Path, half: bool) -> Run:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys() if name.startswith(MEAN)}  # noqa: SIM118
        metadata = file.metadata()
    if half:  # biases, norms and means are few, and of these a rounding moves the whole mesh
        many = {name for name, tensor in tensors.items() if name.endswith(".weight") and tensor.ndim > 1}
        tensors = {name: tensor.half() if name in many else tensor for name, tensor in tensors.items()}
    save_file(tensors, temporary, metadata)
    network = cast("MeshNetwork", load_finetuned(temporary, torch.device("cpu"), MESH_KINDS)[1])
    return lambda pictures, cameras: _original(network, graph.outputs, pictures, cameras)


def _add_meaning(temporary: Path, to: MeshLayout, text: str, again: Run) -> None:
    """Put what the numbers mean into a file that has been found to be right."""
    if to == "onnx":
        import onnx

        model = onnx.load(str(temporary))
        onnx.helper.set_model_props(model, {METADATA: text})
        onnx.save(model, str(temporary))
    elif to == "torchscript":
        with _old_ways():
            module = torch.jit.load(str(temporary), map_location="cpu")  # type: ignore[no-untyped-call]
            extra = {f"{METADATA}.json": text}
            torch.jit.save(module, str(temporary), _extra_files=extra)
    else:
        with safe_open(temporary, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            metadata = file.metadata()
        save_file(tensors, temporary, {**metadata, METADATA: text})


def _load(to: MeshLayout, out: Path) -> str:
    return f"torch.jit.load({str(out)!r})(image, intrinsics)" if to == "torchscript" else f"--model {out}"
