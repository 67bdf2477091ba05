"""`humanpt export`: a pre-trained run's weights as naver/croco's code and timm read them, and networks for others.

ONNX, TorchScript and fine-tuned weights are written by `export_network`. What the weights were trained on, and under
which licences, goes with them.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import Tensor

from humanpt import __version__
from humanpt.commands import export_network
from humanpt.commands.initialise import LEDGER_KEY, read_start
from humanpt.config import to_dict
from humanpt.engine.checkpoint import first_not_finite
from humanpt.engine.report import Report
from humanpt.engine.weight_files import sha256
from humanpt.errors import CheckpointError, ConfigError, OutputError
from humanpt.files import whole_file
from humanpt.models.croco import CroCoConfig
from humanpt.models.vit_weights import CONFIG_KEY, to_timm
from humanpt.models.weights import to_croco

Layout = Literal["croco", "timm", "onnx", "torchscript", "safetensors"]
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
            finite, or is of a network that the layout does not know.
        ConfigError: if `half` is asked for of another layout.
        OutputError: if `out` exists or cannot be written.
    """
    if to in ("onnx", "torchscript", "safetensors"):
        return export_network.run(run, to, out, report, half=half)
    if half:
        raise ConfigError(f"--half rounds weights alone; leave it out of --to {to}, or take --to safetensors")
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
    if to == "croco":
        written = _write_croco(path, out, tensors, start.config, ledger)
    else:
        written = _write_timm(out, tensors, start.config, ledger)
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


def _write_croco(path: Path, out: Path, tensors: dict[str, Tensor], config: CroCoConfig, ledger: str) -> dict[str, Any]:
    try:
        named, kwargs = to_croco(tensors, config)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}; export its encoder with --to timm") from None
    contents = {"model": _copies(named), "croco_kwargs": kwargs, LEDGER_KEY: ledger}
    with whole_file(out) as temporary:
        packed = io.BytesIO()  # torch would hide what is wrong with a disk behind an error of its own
        torch.save(contents, packed)
        temporary.write_bytes(packed.getbuffer())
    load = f"file = torch.load({str(out)!r}); CroCoNet(**file['croco_kwargs']).load_state_dict(file['model'])"
    return {"tensors": len(named), "croco_kwargs": kwargs, "load": load}


def _write_timm(out: Path, tensors: dict[str, Tensor], config: CroCoConfig, ledger: str) -> dict[str, Any]:
    named, model, arguments = to_timm(tensors, config)
    metadata = {
        "format": "pt",
        "timm_model": model,
        "timm_arguments": json.dumps(arguments),
        CONFIG_KEY: json.dumps(to_dict(config)),
        LEDGER_KEY: ledger,
    }
    with whole_file(out) as temporary:
        temporary.write_bytes(save(_copies(named), metadata))
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    load = f"timm.create_model({model!r}, {given}, checkpoint_path={str(out)!r})"
    return {"tensors": len(named), "timm_model": model, "timm_arguments": arguments, "load": load}


def _copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with memory of their own: a view of a mapped file would bring the whole file with it."""
    return {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
