"""`humanpt finetune TASK`: labelled pictures and a pre-trained encoder in, a network for a task and a report out.

A run's folder holds what `engine/loop.py` writes, `labels.json` (the samples that were trained on), `summary.json` and
`report.html`. What evaluates, and what `load_finetuned` gives, is the running mean of the weights.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch

from humanpt import __version__
from humanpt.commands.finetune_config import AnyConfig, refuse_epochs
from humanpt.commands.finetune_data import doubts_about, ledger_of, open_data, refuse_other_data
from humanpt.commands.finetune_families import FAMILIES, Family
from humanpt.commands.finetune_network import load_finetuned, make_model, with_encoder_of
from humanpt.commands.initialise import refuse_other_init
from humanpt.commands.runs import (
    CONFIG,
    SUMMARY,
    header_to_resume,
    make_batches,
    new_run,
    newest_run,
    outcome,
    refuse_used,
    tell_changes,
)
from humanpt.config import from_dict, override, to_dict, to_json
from humanpt.data.labelled.subset import write_labels
from humanpt.engine.checkpoint import Header, Provenance
from humanpt.engine.distributed import World, join
from humanpt.engine.journal import read_log
from humanpt.engine.loop import LAST, LOG, TrainResult, train
from humanpt.engine.report import Report, Silent
from humanpt.engine.run_folder import sole_writer
from humanpt.engine.runtime import Precision, autocast, choose_device, choose_precision, describe_device
from humanpt.errors import CheckpointError, ConfigError
from humanpt.files import write_json, write_whole
from humanpt.models.attention import fastest_attention
from humanpt.pages.figures import newest_figures
from humanpt.pages.finetuning import write_finetuning_report

__all__ = ["LABELS", "REPORT", "SUMMARY", "load_finetuned", "run"]

REPORT, LABELS = "report.html", "labels.json"
WARM_UP = 0.05  # of the cosine, where nobody says


def run(
    config: AnyConfig,
    changes: Sequence[str],
    data: str | None,
    out: Path | None,
    report: Report,
    *,
    init: Path | None = None,
    device: str = "auto",
    resume: bool = False,
    fixed: Collection[str] = (),
) -> dict[str, Any]:
    """Fine-tune, or go on with a run; by one process, or by as many as torchrun starts.

    Args:
        config: a recipe's config.
        changes: `field=value` texts applied to it, or, on resuming, to what the run was begun with.
        data: NAME:ROOT or a folder of a labelled data set; None generates some where the task allows, or on resuming
            means that which the run was begun with.
        out: the run's folder; None names a new one under runs/, or on resuming the newest of this kind there.
        init: a run, a checkpoint or a file of weights by others to start from; None starts from random weights.
        device: as for `choose_device`.
        resume: go on from the run's last checkpoint.
        fixed: fields of `config` that the data may not change, besides those of `changes`; with `recipe` among them
            only a run of that recipe is resumed.

    Returns:
        The summary, as written to `summary.json` of the run.

    Raises:
        HumanptError: of some kind, for whatever a user can mend.
    """
    chosen = [change.partition("=")[0].strip() for change in changes]
    if wrong := [name for name in chosen if name in ("kind", "recipe")]:
        raise ConfigError(f"--set {wrong[0]}: choose it by the command and by --recipe")
    refuse_epochs([*chosen, *fixed])
    with join() as world:
        report = report if world.is_first else Silent()
        where = world.own(choose_device(device))
        out = world.share(out or (newest_run(config.kind) if resume else new_run(config.kind)))
        header = None
        if resume:
            begun, header = _begun_with(out, config, fixed)
            refuse_other_init(init, header)
            config = override(begun, changes)
            tell_changes(begun, config, report)
            data = data or header.provenance.ledger["data"]
        else:
            with world.first_alone():
                if world.is_first:
                    refuse_used(out, frozenset({LABELS}))
            config = override(config, changes)
            if init is not None:
                config = with_encoder_of(init, config, changes)
        with sole_writer(out) if world.is_first else nullcontext():
            return _train(config, data, None if resume else [*chosen, *fixed], out, where, world, report, init, header)


def _settle(config: AnyConfig, where: torch.device, how: Precision, epoch_size: int) -> AnyConfig:
    """The config with what a run decides at its beginning, so that a resumed one goes on alike."""
    optim = config.optim
    cosine = optim.cosine_steps or config.loop.total_steps(epoch_size)
    warmup = round(WARM_UP * cosine) if optim.warmup_steps is None else optim.warmup_steps
    config = replace(config, optim=replace(optim, cosine_steps=cosine, warmup_steps=warmup))
    if config.attention == "auto" and getattr(config, "trunk", "vit") == "vit":
        dtype = torch.bfloat16 if how == "bf16" else torch.float32
        config = replace(config, attention=fastest_attention(config.encoder, where, dtype))
    return config


def _train(
    config: AnyConfig,
    spec: str | None,
    chosen: Collection[str] | None,
    out: Path,
    where: torch.device,
    world: World,
    report: Report,
    init: Path | None,
    header: Header | None,
) -> dict[str, Any]:
    """Train a run that is begun with `config`, or goes on from the checkpoint of `header`."""
    cv2.setNumThreads(1)  # see commands/pretrain.py
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    how = choose_precision(config.precision, where)
    config, pictures = open_data(config, spec, chosen, world, report)
    count = len(pictures.training)
    config = world.share(_settle(config, where, how, count))
    model, begun = make_model(config, pictures.stream, init, report, fresh=header is None)
    family: Family[Any, Any] = FAMILIES[config.kind]
    task = family.task(config, model, pictures.measured)
    ledger = ledger_of(config, pictures) | {"init": begun}
    if header is not None:
        refuse_other_data(header.provenance.ledger, ledger, out / LAST)
        ledger["init"] = header.provenance.ledger["init"]
    elif world.is_first:
        write_whole(out / CONFIG, to_json(config) + "\n")
        write_labels(out / LABELS, pictures.names(pictures.training), config.labels, config.seed)
    report.note(
        f"{out}: {count} labelled pictures to train on (labels={config.labels:g}), {len(pictures.heldout)} held out, "
        f"{describe_device(where)}, {how}"
    )
    warnings = doubts_about(config, pictures)
    for warning in warnings:
        report.note(f"warning: {warning}")
    report.stage(f"fine-tuning for {config.kind}", config.loop.total_steps(count), "step")
    result = train(
        task,
        partial(make_batches, pictures.stream, family.collate, config.loop, config.workers, world),
        loop=config.loop,
        optim=config.optim,
        epoch_size=count,
        out=out,
        provenance=Provenance(recipe=config.kind, config=to_dict(config), ledger=ledger),
        device=where,
        precision=how,
        report=report,
        resume=None if header is None else out / LAST,
        unit="pictures",
        world=world,
    )
    if not world.is_first:
        return {"stopped_by": result.stopped_by, "interrupted": result.interrupted}
    if header is not None:  # what the run was begun with stands until a resume has been accepted
        write_whole(out / CONFIG, to_json(config) + "\n")
    task.model.eval()
    with torch.no_grad(), autocast(where, how):
        panels = task.pictures()
    log = read_log(out / LOG)
    summary = _summary(config, result, log, ledger, warnings, out, describe_device(where), how)
    write_finetuning_report(out / REPORT, summary, log, panels)
    write_json(out / SUMMARY, summary)
    return summary


def _begun_with(out: Path, config: AnyConfig, fixed: Collection[str]) -> tuple[AnyConfig, Header]:
    """The config that a run of the same kind was begun with, and the header of its checkpoint."""
    header = header_to_resume(out)
    if header.provenance.recipe != config.kind:
        raise CheckpointError(f"{out}: was begun for {header.provenance.recipe}, not {config.kind}; resume it as that")
    begun: AnyConfig = from_dict(FAMILIES[config.kind].config_type, header.provenance.config, str(out / LAST))
    if "recipe" in fixed and begun.recipe != config.recipe:
        raise CheckpointError(f"{out}: was begun with --recipe {begun.recipe}; give the same to resume it")
    return begun, header


def _summary(
    config: AnyConfig,
    result: TrainResult,
    log: Sequence[Mapping[str, Any]],
    ledger: dict[str, Any],
    warnings: Sequence[str],
    out: Path,
    device: str,
    precision: str,
) -> dict[str, Any]:
    waiting = [line["waiting"] for line in log if "waiting" in line]
    return {
        "command": "finetune",
        "task": config.kind,
        "version": __version__,
        "out": str(out),
        "recipe": config.recipe,
        "device": device,
        "precision": precision,
        "init": "random" if ledger["init"] is None else ledger["init"]["file"],
        "labels": config.labels,
        "labelled": ledger["training"]["pictures"],
        "heldout": ledger["heldout"]["pictures"],
        "tune": config.tune,
        "pictures_per_second": result.samples_per_second,
        "waiting": sum(waiting) / len(waiting) if waiting else None,
        "report": str(out / REPORT),
        "data": ledger,
        "config": to_dict(config),
        **outcome(result, log, warnings),
        "best_figures": newest_figures([line for line in log if line["step"] == result.best_step]),
    }
