"""A network as ONNX, TorchScript or plain weights, written only if it answers as the original does.

What is written is read again by the program that others would use and given crops. Input convention, names of what the
numbers are of, ledger and the differences found go into the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from humanpt import __version__
from humanpt.body.model import LICENSED, Subject
from humanpt.commands.export_graph import Run, Trial, add_meaning, as_text, differences, trial_crops, write_graph
from humanpt.commands.finetune_config import AnyConfig, FinetuneDensePoseConfig, FinetuneMeshConfig
from humanpt.commands.finetune_families import FAMILIES
from humanpt.commands.finetune_network import MEAN, load_finetuned
from humanpt.commands.pretrained import open_pretrained
from humanpt.commands.runs import checkpoint_of
from humanpt.config import to_dict
from humanpt.engine.checkpoint import Header, read_header
from humanpt.engine.report import Report
from humanpt.engine.weight_files import sha256
from humanpt.errors import CheckpointError, OutputError
from humanpt.files import whole_file
from humanpt.live.exported import METADATA
from humanpt.models.classes import ClassesNetwork
from humanpt.models.dense import DensePoseNetwork
from humanpt.models.graph import ClassesGraph, DensePoseGraph, EncoderGraph, Graph
from humanpt.models.mesh_graph import MeshGraph, ParameterGraph
from humanpt.models.mesh_heads import MeshNetwork
from humanpt.models.vit import normalise

NetworkLayout = Literal["onnx", "torchscript", "safetensors"]
SUFFIXES: dict[NetworkLayout, str] = {"onnx": ".onnx", "torchscript": ".pt", "safetensors": ".safetensors"}
BOUNDS = {"keypoints": 1e-4, "vertices": 1e-4, "pixels": 1e-2, "transl": 1e-4}
"""The largest differences that are let through: metres, and pixels of the crop; of other outputs `BOUND`."""
BOUND = 1e-3
HALF_BOUNDS = {"keypoints": 1e-3, "vertices": 1e-3, "pixels": 0.2, "transl": 1e-3}
"""The largest mean differences of weights that were rounded to float16; of other outputs `HALF_BOUND`."""
HALF_BOUND = 1e-2
HALF_WORST = 10
"""How many times the bound of its mean the largest of them may be: people far away move with their scale."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A network to be exported."""

    stem: str
    """What files of its kind are called."""
    network: nn.Module
    """In evaluation mode, on the CPU."""
    graph: Callable[[], Graph]
    """Makes the form that others run."""
    answers: Callable[[nn.Module, Trial], dict[str, Tensor]]
    """All that a network of this kind says of crops, by name."""
    subject: Subject
    image_size: int
    """S, side of a crop in pixels."""
    step: int
    meaning: Mapping[str, Any]
    """What a reader must know of the numbers, as JSON can hold it."""
    left_out: str | None = None
    """What others must bring themselves, for a person."""


def run(run: Path, to: NetworkLayout, out: Path | None, report: Report, *, half: bool = False) -> dict[str, Any]:
    """Write a network for others.

    Args:
        run: a run's folder, whose best checkpoint counts, or a checkpoint: of fine-tuning, or of pre-training by
            completion, whose encoder it is then.
        to: `onnx` for ONNX Runtime and its kin; `torchscript` for `torch.jit.load`, which is code as well as weights;
            `safetensors` for the weights alone of fine-tuning, which humanpt reads as it reads a checkpoint.
        out: the file to write; None names it, such as mesh.onnx or mesh.pt, beside the checkpoint.
        half: whether the matrices and kernels of `safetensors` are rounded to float16: half the size.

    Returns:
        The summary: what was written, from what, and how much it differs.

    Raises:
        CheckpointError: if there is no such checkpoint, it is of a kind that this layout does not know, or the export
            answers otherwise than the original.
        InputError: if ONNX Runtime or ONNX is missing.
        OutputError: if `out` exists or cannot be written.
    """
    path = checkpoint_of(run)
    opened = _open(path, to)
    out = out or path.with_name(opened.stem + SUFFIXES[to])
    if out.exists():
        raise OutputError(f"{out}: exists already; remove it, or choose another --out")
    if to == "onnx" and out.suffix != SUFFIXES[to]:
        raise OutputError(f"{out}: files of ONNX are known by their ending; let --out end in {SUFFIXES[to]}")
    trial = trial_crops(opened.subject, opened.image_size)
    meaning = dict(opened.meaning)
    report.note(f"{out}: writing {to}, held against the original on {len(trial.pictures)} {trial.origin}")
    with whole_file(out) as temporary:
        wanted = opened.answers(opened.network, trial)
        if to == "safetensors":
            again = _to_safetensors(temporary, path, opened, half)
            meaning["weights"] = _types(temporary)
        else:
            graph = opened.graph()
            again = write_graph(temporary, to, graph, trial)
            meaning |= {"inputs": dict(graph.inputs), "outputs": dict(graph.outputs)}
            wanted = {name: wanted[name] for name in graph.outputs}
            if opened.left_out:
                meaning["left_out"] = opened.left_out
                report.note(f"{out}: {opened.left_out}")
        apart = differences(again(trial), wanted)
        if wrong := [name for name, found in apart.items() if not _close(name, found, half)]:
            raise CheckpointError(
                f"{path}: exported to {to}, its {wrong[0]} differ by up to {apart[wrong[0]]['max']:.2g}; "
                "nothing was written"
            )
        meaning["parity"] = {"crops": len(trial.pictures), "of": trial.origin, "differences": apart}
        if to == "safetensors":
            _add_to_weights(temporary, as_text(meaning))
        else:
            add_meaning(temporary, to, as_text(meaning))
    return {
        "command": "export",
        "version": __version__,
        "from": str(path),
        "step": opened.step,
        "to": to,
        "out": str(out),
        "sha256": sha256(out),
        "outputs": list(wanted),
        "weights": meaning.get("weights", "float32"),
        "parity": meaning["parity"],
        "left_out": meaning.get("left_out"),
        "load": _load(to, out, opened),
    }


def _open(path: Path, to: NetworkLayout) -> Opened:
    header = read_header(path)
    if header.provenance.recipe not in FAMILIES:
        return _encoder(path, header, to)
    config, network, header = load_finetuned(path, torch.device("cpu"))
    about = _about(header) | {"kind": config.kind}
    if isinstance(network, MeshNetwork):
        assert isinstance(config, FinetuneMeshConfig)
        return _meshes(path, config, network, header, about, to)
    size = config.image_size
    if isinstance(network, DensePoseNetwork):
        assert isinstance(config, FinetuneDensePoseConfig)
        names = {"part_names": list(config.task.part_names), "charts": config.task.charts}
        return Opened(
            stem="dense-pose",
            network=network,
            graph=lambda: DensePoseGraph(network),
            answers=_dense_pose,
            subject=config.subject,
            image_size=size,
            step=header.step,
            meaning={**about, "image_size": size, **names},
        )
    assert isinstance(network, ClassesNetwork)
    return Opened(
        stem="classes",
        network=network,
        graph=lambda: ClassesGraph(network),
        answers=_logits,
        subject="hand",
        image_size=size,
        step=header.step,
        meaning={**about, "image_size": size, "class_names": _class_names(config)},
    )


def _about(header: Header) -> dict[str, Any]:
    return {"humanpt_version": __version__, "step": header.step, "ledger": dict(header.provenance.ledger)}


def _class_names(config: AnyConfig) -> list[str]:
    names: tuple[str, ...] = getattr(config.task, "class_names", ())
    return list(names)


def _encoder(path: Path, header: Header, to: NetworkLayout) -> Opened:
    if to == "safetensors":
        raise CheckpointError(f"{path}: it is pre-trained; export its weights with --to timm or --to croco")
    pretrained = open_pretrained(path, device="cpu", precision="fp32")
    model, about = pretrained.task.model, _about(header)
    return Opened(
        stem="encoder",
        network=model,
        graph=lambda: EncoderGraph(model),
        answers=_tokens,
        subject=pretrained.subject,
        image_size=model.config.image_size,
        step=header.step,
        meaning={**about, "kind": "encoder", "image_size": model.config.image_size, "model": to_dict(model.config)},
    )


def _meshes(
    path: Path,
    config: FinetuneMeshConfig,
    network: MeshNetwork,
    header: Header,
    about: Mapping[str, Any],
    to: NetworkLayout,
) -> Opened:
    model, size = config.task.model, network.trunk.config.image_size
    licensed = model in LICENSED
    if licensed and config.task.free and to != "safetensors":
        raise CheckpointError(
            f"{path}: its vertices are told from a mesh of {model}, whose numbers may not be put into a file; "
            "export its weights with --to safetensors"
        )
    meaning = {
        **about,
        "task": to_dict(config.task),
        "image_size": size,
        "hands": "crops show right hands; a left hand is mirrored before, its mesh mirrored (x negated) after",
        "keypoint_names": list(network.keypoint_names),
        "body": asdict(network.body.layout),
    }
    if to != "safetensors" and not licensed:  # whoever runs weights alone has the body model, and its triangles
        meaning["faces"] = network.body.faces.tolist()
    return Opened(
        stem="mesh",
        network=network,
        graph=lambda: (ParameterGraph if licensed else MeshGraph)(network),
        answers=_mesh,
        subject=config.task.subject,
        image_size=size,
        step=header.step,
        meaning=meaning,
        left_out=f"{model} is not in it, as its licence asks: give its own files pose and shape for the mesh"
        if licensed
        else None,
    )


@torch.no_grad()
def _mesh(network: nn.Module, trial: Trial) -> dict[str, Tensor]:
    assert isinstance(network, MeshNetwork)
    crops = normalise(torch.from_numpy(trial.pictures))
    other = crops if network.config.views == 2 else None
    found = network(crops, other, intrinsics=torch.from_numpy(trial.cameras))._replace(heat=None)
    return {name: value for name, value in found._asdict().items() if value is not None}


@torch.no_grad()
def _dense_pose(network: nn.Module, trial: Trial) -> dict[str, Tensor]:
    maps = network(normalise(torch.from_numpy(trial.pictures)))
    return {"parts": maps.parts, "uv": maps.uv}


@torch.no_grad()
def _logits(network: nn.Module, trial: Trial) -> dict[str, Tensor]:
    return {"logits": network(normalise(torch.from_numpy(trial.pictures)))}


@torch.no_grad()
def _tokens(network: nn.Module, trial: Trial) -> dict[str, Tensor]:
    encoder: Any = network.encoder
    return {"tokens": encoder(normalise(torch.from_numpy(trial.pictures)))}


def _close(name: str, found: Mapping[str, float], half: bool) -> bool:
    """Whether an output is near enough to the original's; what is not a number is not."""
    if not half:
        return found["max"] <= BOUNDS.get(name, BOUND)
    bound = HALF_BOUNDS.get(name, HALF_BOUND)
    return found["mean"] <= bound and found["max"] <= HALF_WORST * bound


def _to_safetensors(temporary: Path, path: Path, opened: Opened, half: bool) -> Run:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys() if name.startswith(MEAN)}  # noqa: SIM118
        metadata = file.metadata()
    if half:  # biases, norms and means are few, and of these a rounding moves the whole mesh
        many = {name for name, tensor in tensors.items() if name.endswith(".weight") and tensor.ndim > 1}
        tensors = {name: tensor.half() if name in many else tensor for name, tensor in tensors.items()}
    save_file(tensors, temporary, metadata)
    network = load_finetuned(temporary, torch.device("cpu"))[1]
    return lambda trial: opened.answers(network, trial)


def _types(temporary: Path) -> str:
    """What the numbers of a file of weights are stored in, for a person."""
    with safe_open(temporary, framework="pt") as file:
        found = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - it is no mapping
    return "float16 matrices and kernels, the rest float32" if "F16" in found else "float32"


def _add_to_weights(temporary: Path, text: str) -> None:
    with safe_open(temporary, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        metadata = file.metadata()
    save_file(tensors, temporary, {**metadata, METADATA: text})


def _load(to: NetworkLayout, out: Path, opened: Opened) -> str:
    """How to open what was written."""
    if to == "torchscript":
        return f"torch.jit.load({str(out)!r})"
    if opened.stem == "mesh":
        return f"humanpt demo --model {out}"
    return f"onnxruntime.InferenceSession({str(out)!r})" if to == "onnx" else f"{out}, where a run is asked for"
