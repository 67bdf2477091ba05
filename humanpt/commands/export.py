"""`humanpt export`: a pre-trained run's weights as naver/croco's code and timm read them, and networks for others.

ONNX, TorchScript and fine-tuned weights are written by `export_network`. What the weights were trained on, and under
which licences, goes with them.
"""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from humanpt import __version__
from humanpt.commands import export_network
from humanpt.commands.export_graph import Trial, differences, trial_crops
from humanpt.commands.initialise import LEDGER_KEY, Start, read_start
from humanpt.config import to_dict
from humanpt.detect.detector import Subject
from humanpt.engine.checkpoint import first_not_finite, put_weights
from humanpt.engine.report import Report
from humanpt.engine.weight_files import sha256
from humanpt.errors import CheckpointError, ConfigError, OutputError
from humanpt.files import whole_file
from humanpt.models.croco import CroCo, CroCoConfig
from humanpt.models.vit import normalise
from humanpt.models.vit_weights import CONFIG_KEY, to_timm
from humanpt.models.weights import to_croco

Layout = Literal["croco", "timm", "onnx", "torchscript", "safetensors"]
PARITY_KEY = "humanpt_parity"
"""Where an exported file keeps how far its answers are from the original's."""
BOUND = 1e-3
"""The largest difference of tokens and normalised pixels that is let through."""
Weights = dict[str, Tensor]
NAMES = {"croco": "croco.pth", "timm": "timm.safetensors"}


def run(run: Path, to: Layout, out: Path | None, report: Report, *, half: bool = False) -> dict[str, Any]:
    """Write the weights of a run in another layout.

    Args:
        run: a run's folder, whose best checkpoint counts, or a checkpoint.
        to: `croco`: the whole network for naver/croco's code, with `croco_kwargs`; `timm`: the encoder, for
            `timm.create_model` with the name and arguments that the file's metadata and the summary tell; `onnx`,
            `torchscript` and `safetensors`: a fine-tuned network, or a pre-trained encoder, see `export_network.run`.
        out: the file to write; None names it croco.pth or timm.safetensors, beside the checkpoint.
        half: whether weights alone are rounded to float16; of `safetensors`.

    Returns:
        The summary: what was written, from what, how to load it.

    Raises:
        CheckpointError: if there is no such checkpoint, it is not of a pre-training run, holds a number that is not
            finite, is of a network that the layout does not know, or the export answers otherwise than the original.
        ConfigError: if `half` is asked for of another layout.
        OutputError: if `out` exists or cannot be written.
    """
    if half and to != "safetensors":
        raise ConfigError(f"--half rounds weights alone; leave it out of --to {to}, or take --to safetensors")
    if to in ("onnx", "torchscript", "safetensors"):
        return export_network.run(run, to, out, report, half=half)
    start = read_start(run)
    path = start.file.path
    if start.header is None or start.config is None:
        raise CheckpointError(f"{path}: it is no checkpoint of humanpt; export a run of `humanpt pretrain`")
    tensors = dict(start.weights.tensors)
    if bad := first_not_finite(tensors.items()):
        raise CheckpointError(f"{path}: the weight {bad} holds NaN or infinity; export an earlier checkpoint")
    out = out or path.with_name(NAMES[to])
    if out.exists():
        raise OutputError(f"{out}: exists already; remove it, or choose another --out")
    ledger = json.dumps(dict(start.header.provenance.ledger))
    subject: Subject = "hand" if start.header.provenance.config.get("subject") == "hand" else "body"
    trial = trial_crops(subject, start.config.image_size)
    write = _write_croco if to == "croco" else _write_timm
    with whole_file(out) as temporary:
        written = write(path, temporary, out, tensors, start.config, ledger, trial)
    report.note(f"{out}: {written['tensors']} tensors for {'naver/croco' if to == 'croco' else 'timm'}")
    return {
        "command": "export",
        "version": __version__,
        "from": str(path),
        "step": start.header.step,
        "to": to,
        "out": str(out),
        "sha256": sha256(out),
        **written,
    }


def _write_croco(
    path: Path, temporary: Path, out: Path, tensors: Weights, config: CroCoConfig, ledger: str, trial: Trial
) -> dict[str, Any]:
    try:
        named, kwargs = to_croco(tensors, config)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}; export its encoder with --to timm") from None
    contents = {"model": _copies(named), "croco_kwargs": kwargs, LEDGER_KEY: ledger}

    def put() -> None:
        packed = io.BytesIO()  # torch would hide what is wrong with a disk behind an error of its own
        torch.save(contents, packed)
        temporary.write_bytes(packed.getbuffer())

    put()
    read = read_start(temporary)
    again = _network(path, dict(read.weights.tensors), dataclasses.replace(config, **_decided(read)))
    parity = contents[PARITY_KEY] = _parity(
        path, trial, _completed(again, trial), _completed(_network(path, tensors, config), trial)
    )
    put()
    load = f"file = torch.load({str(out)!r}); CroCoNet(**file['croco_kwargs']).load_state_dict(file['model'])"
    return {"tensors": len(named), "croco_kwargs": kwargs, "parity": parity, "load": load}


def _write_timm(
    path: Path, temporary: Path, out: Path, tensors: Weights, config: CroCoConfig, ledger: str, trial: Trial
) -> dict[str, Any]:
    named, model, arguments = to_timm(tensors, config)
    metadata = {
        "format": "pt",
        "timm_model": model,
        "timm_arguments": json.dumps(arguments),
        CONFIG_KEY: json.dumps(to_dict(config)),
        LEDGER_KEY: ledger,
    }
    temporary.write_bytes(save(_copies(named), metadata))
    import timm

    again = timm.create_model(model, **arguments).eval()
    again.load_state_dict(load_file(temporary))
    crops = normalise(torch.from_numpy(trial.pictures))
    with torch.no_grad():
        found, wanted = again(crops), _network(path, tensors, config).encoder(crops)
    parity = _parity(path, trial, {"tokens": found}, {"tokens": wanted})
    temporary.write_bytes(save(_copies(named), {**metadata, PARITY_KEY: json.dumps(parity)}))
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    load = f"timm.create_model({model!r}, {given}, checkpoint_path={str(out)!r})"
    return {
        "tensors": len(named),
        "timm_model": model,
        "timm_arguments": arguments,
        "parity": parity,
        "load": load,
    }


def _network(path: Path, tensors: Weights, config: CroCoConfig) -> CroCo:
    """A network with these weights; those of a fine-tuned trunk have no last map, which random numbers stand for."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # so that what stands for them is the same in both networks
        network = CroCo(config)
    put_weights(path, tensors, network)
    return network.eval().requires_grad_(False)


def _decided(read: Start) -> dict[str, Any]:
    """What a file of weights says of the network beyond its sizes."""
    return {"positions": read.weights.positions, "rope_base": read.weights.rope_base}


@torch.no_grad()
def _completed(network: CroCo, trial: Trial) -> dict[str, Tensor]:
    """Tokens of whole crops, and pixels of every other patch, completed with the help of the crop before."""
    crops = normalise(torch.from_numpy(trial.pictures))
    mask = (torch.arange(network.config.num_patches) % 2 == 0).expand(len(crops), -1)
    return {"tokens": network.encoder(crops), "pixels": network(crops, crops.roll(1, dims=0), mask)}


def _parity(path: Path, trial: Trial, found: Weights, wanted: Weights) -> dict[str, Any]:
    """How far the answers of a file are from the original's.

    Raises:
        CheckpointError: if they are others.
    """
    apart = differences(found, wanted)
    for name, difference in apart.items():
        if not difference["max"] <= BOUND:
            raise CheckpointError(
                f"{path}: exported, its {name} differ by up to {difference['max']:.2g}; nothing was written"
            )
    return {"crops": len(trial.pictures), "of": trial.origin, "differences": apart}


def _copies(tensors: Weights) -> dict[str, Tensor]:
    """Tensors with memory of their own: a view of a mapped file would bring the whole file with it."""
    return {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
