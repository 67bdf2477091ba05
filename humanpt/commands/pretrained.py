"""Open a pre-trained network, ready to complete pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humanpt.commands.runs import checkpoint_of
from humanpt.config import from_dict
from humanpt.detect.detector import Subject
from humanpt.engine.checkpoint import load_weights, read_header
from humanpt.engine.runtime import Precision, choose_device, choose_precision
from humanpt.errors import CheckpointError
from humanpt.tasks.completion import CompletionConfig, CompletionTask


@dataclass(frozen=True, kw_only=True, eq=False)
class Pretrained:
    """A network of `humanpt pretrain`."""

    name: str
    """The path it was asked for by."""
    subject: Subject
    """Whom it was trained on."""
    task: CompletionTask
    """The network on its device, in evaluation mode, and how it was trained."""
    precision: Precision
    """What it is to be computed in."""
    ledger: Mapping[str, Any]
    """What it was trained on, with licences."""


def open_pretrained(run: Path, *, device: str = "auto", precision: str = "auto") -> Pretrained:
    """Open a pre-trained network.

    Args:
        run: a run's folder, whose best checkpoint counts, or a checkpoint.
        device: where it computes, as `engine.runtime.choose_device` takes it.
        precision: as `engine.runtime.choose_precision` takes it, but that auto is fp32 on a CPU: for one small picture
            bf16 is no faster there.

    Raises:
        CheckpointError: if there is none, it is damaged, or it was not trained by completion.
        ConfigError: if there is no such device or precision, or its config is of another version of humanpt.
    """
    path = checkpoint_of(run)
    header = read_header(path)
    saved = header.provenance.config
    task = saved.get("task")
    if not isinstance(task, Mapping) or not {"model", "mask"} <= task.keys():
        raise CheckpointError(
            f"{path}: it is of the recipe {header.provenance.recipe}, and not pre-trained by completion; "
            "give a run of `humanpt pretrain`"
        )
    completion = CompletionTask(from_dict(CompletionConfig, task, str(path)))
    fitted = load_weights(path, completion.model)
    if fitted.missing or fitted.misshaped or fitted.unexpected:
        raise CheckpointError(f"{path}: its weights are not those of its config: {fitted.summary()}; take another")
    where = choose_device(device)
    completion.model.to(where).eval().requires_grad_(False)
    return Pretrained(
        name=str(run),
        subject=saved["subject"],
        task=completion,
        precision=choose_precision("fp32" if precision == "auto" and where.type == "cpu" else precision, where),
        ledger=header.provenance.ledger,
    )
