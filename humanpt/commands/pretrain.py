"""`humanpt pretrain`: shards of pairs in, a trained network and a report out."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from humanpt import __version__
from humanpt.commands.generated_pairs import pairs_at_hand
from humanpt.commands.runs import CONFIG, SUMMARY, make_batches, new_run, newest_run, refuse_used
from humanpt.config import field_names, from_dict, override, to_dict, to_json
from humanpt.data.shards import PairSet
from humanpt.engine.checkpoint import Header, Provenance, load_weights, read_header
from humanpt.engine.loop import BEST, LAST, LOG, LoopConfig, TrainResult, train
from humanpt.engine.optim import OptimConfig
from humanpt.engine.report import Report
from humanpt.engine.runtime import autocast, choose_device, choose_precision, describe_device, seed_everything
from humanpt.errors import CheckpointError, ConfigError, InputError
from humanpt.files import write_json, write_whole
from humanpt.pages.training import write_training_report
from humanpt.tasks.completion import (
    CompletionConfig,
    CompletionSamples,
    CompletionTask,
    HeldOutPairs,
    Panel,
    collate,
)

REPORT = "report.html"
PANELS = 6  # completed pictures of each kind in the report


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """A whole pre-training run but for its data and device."""

    recipe: str
    """Name of the recipe that this came from."""
    subject: Literal["body", "hand"] = "body"
    """Whose pairs are trained on."""
    task: CompletionConfig = field(default_factory=CompletionConfig)
    """Network, mask, pictures and loss."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """Optimiser and schedule."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Length, batch, and when to log, evaluate and save."""
    heldout: float = 0.1
    """Share of the pairs that is held out, by whole clips; with a single clip nothing is."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """What products are computed in; auto takes bf16 where the device multiplies in it."""
    workers: int = 2
    """Processes that read and augment pairs."""
    threads: int | None = None
    """CPU threads of the network; None leaves it to torch. Part of what makes two runs on a CPU equal to the bit."""
    seed: int = 0
    """Seed of the first weights, the split, the order and every draw."""

    def __post_init__(self) -> None:
        if not 0 <= self.heldout < 1:
            raise ConfigError(f"heldout is {self.heldout}; it is a share of the pairs, from 0 to below 1")
        if self.workers < 0:
            raise ConfigError(f"workers is {self.workers}; it must not be negative")
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"threads is {self.threads}; it must be at least 1")


def run(
    config: PretrainConfig,
    changes: Sequence[str],
    data: Sequence[Path] | None,
    out: Path | None,
    report: Report,
    *,
    device: str = "auto",
    init: Path | None = None,
    resume: bool = False,
) -> dict[str, Any]:
    """Pre-train, or go on with a run.

    Args:
        config: a recipe's config.
        changes: `field=value` texts applied to it, or, on resuming, to what the run was begun with.
        data: folders of shards; None means `pairs`, or generated ones if that holds none, or on resuming those that the
            run was begun with.
        out: the run's folder; None names a new one under runs/, or on resuming the newest of this recipe there.
        device: as for `choose_device`.
        init: a run or checkpoint whose weights to start from.
        resume: go on from the run's last checkpoint.

    Returns:
        The summary, as written to `summary.json` of the run.

    Raises:
        HumanptError: of some kind, for whatever a user can mend.
    """
    if resume and init is not None:
        raise ConfigError("--resume goes on with the run's own weights; leave out --init")
    where = choose_device(device)
    name = f"{config.subject}-{config.recipe}"
    out = out or (newest_run(name) if resume else new_run(name))
    last = out / LAST
    for change in changes:
        if change.partition("=")[0].strip() in ("recipe", "subject"):
            raise ConfigError(f"--set {change}: choose these by --recipe, and by --hand or --body")
    if resume:
        begun, header = _begun_with(out, config)
        config = override(begun, changes)
        _tell_changes(begun, config, report)
        data = data or [Path(folder) for folder in header.provenance.ledger["data"]]
    else:
        refuse_used(out)
        config = override(config, changes)
        data = data or [pairs_at_hand(config.subject, report)]
    how = choose_precision(config.precision, where)
    pairs = PairSet.open(data, subject_kind=config.subject)
    training, heldout = pairs.split(config.heldout, config.seed)
    # A process per core is the parallelism; and it is set here because OpenCV's threads do not survive a fork: a loader
    # process that touched them would wait for ever.
    cv2.setNumThreads(1)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    seed_everything(config.seed)
    task = CompletionTask(config.task, HeldOutPairs(pairs, heldout, config.task))
    samples = CompletionSamples(pairs, training, config.task, config.seed, config.loop.batch_size)
    if config.loop.batch_size > len(samples):
        raise ConfigError(
            f"batch_size is {config.loop.batch_size}, but there are only {len(samples)} training pairs; "
            f"take --batch-size {len(samples)} or less, or make more pairs"
        )
    ledger = _ledger(pairs, training, heldout, data)
    if resume:
        _same_data(header.provenance.ledger, ledger, last)
        ledger["init"] = header.provenance.ledger["init"]
    elif init is not None:
        ledger["init"] = _initialise(task, init, report)
    write_whole(out / CONFIG, to_json(config) + "\n")
    report.note(f"{out}: {len(samples)} pairs to train on, {len(heldout)} held out, {describe_device(where)}, {how}")
    total = config.loop.total_steps(len(samples))
    report.stage(f"pre-training {config.recipe}", total, "step")
    result = train(
        task,
        partial(make_batches, samples, collate, config.loop, config.workers),
        loop=config.loop,
        optim=config.optim,
        epoch_size=len(samples),
        out=out,
        provenance=Provenance(recipe=config.recipe, config=to_dict(config), ledger=ledger),
        device=where,
        precision=how,
        report=report,
        resume=last if resume else None,
    )
    with torch.no_grad(), autocast(where, how):
        panels = _panels(task, pairs, training, heldout, config)
    log = _read_log(out / LOG)
    summary = _summary(config, result, log, ledger, out, describe_device(where), how)
    write_training_report(out / REPORT, summary, log, panels)
    write_json(out / SUMMARY, summary)
    return summary


def _tell_changes(begun: PretrainConfig, config: PretrainConfig, report: Report) -> None:
    """Say what a resumed run does otherwise than it was begun, but for its length."""
    free = ("loop.steps", "loop.epochs", "loop.log_every", "loop.eval_every", "loop.save_every", "loop.save_seconds")
    changed = [name for name in field_names(config) if _value(begun, name) != _value(config, name)]
    if changed := [name for name in changed if name not in free]:
        report.note(f"changed on resuming: {', '.join(changed)}; the run is no longer the one that it was begun as")


def _value(config: Any, name: str) -> Any:
    return reduce(getattr, name.split("."), config)


def _begun_with(out: Path, config: PretrainConfig) -> tuple[PretrainConfig, Header]:
    """The config that a run was begun with, for the same recipe and subject, and the header of its checkpoint."""
    if not (out / LAST).is_file():
        raise CheckpointError(f"{out}: holds no {LAST}, so nothing was saved there yet; start again without --resume")
    header = read_header(out / LAST)
    begun = from_dict(PretrainConfig, header.provenance.config, str(out / LAST))
    if (begun.recipe, begun.subject) != (config.recipe, config.subject):
        raise CheckpointError(
            f"{out}: was begun with --recipe {begun.recipe} --{begun.subject}; give the same to resume it"
        )
    return begun, header


def _initialise(task: CompletionTask, init: Path, report: Report) -> dict[str, Any]:
    """Take weights from a checkpoint, or from the best one of a run; where these come from, for the ledger."""
    file = init if not init.is_dir() else init / BEST if (init / BEST).is_file() else init / LAST
    report.note(f"{file}: {load_weights(file, task.model).summary()}")
    return {"file": str(file), "ledger": dict(read_header(file).provenance.ledger)}


def _ledger(
    pairs: PairSet, training: NDArray[np.int64], heldout: NDArray[np.int64], data: Sequence[Path]
) -> dict[str, Any]:
    """What the weights come from: shards, clips with their licences, the split; `init` is for the first weights."""

    def names(rows: NDArray[np.int64]) -> list[str]:
        return sorted({pairs.sequences[number] for number in pairs.sequence[rows]})

    sources = {(s.path, s.sha256, s.licence) for reader in pairs.readers for s in reader.sources}
    return {
        "data": [str(folder) for folder in data],
        "shards": [
            [reader.path.name, len(reader), zlib.crc32(reader.column("checksum").tobytes())] for reader in pairs.readers
        ],
        "sources": [dict(zip(("path", "sha256", "licence"), source, strict=True)) for source in sorted(sources)],
        "training": {"pairs": len(training), "sequences": names(training)},
        "heldout": {"pairs": len(heldout), "sequences": names(heldout)},
        "init": None,
    }


def _same_data(begun: Mapping[str, Any], ledger: Mapping[str, Any], last: Path) -> None:
    """Refuse to go on with other pairs: the order of samples would be another."""
    for what in ("shards", "training", "heldout"):
        if begun[what] != json.loads(json.dumps(ledger[what])):
            raise InputError(
                f"{', '.join(ledger['data'])}: not the pairs that this run was begun with ({what} differ); bring those "
                f"back, or begin a new run with --init {last}"
            )


def _panels(
    task: CompletionTask,
    pairs: PairSet,
    training: NDArray[np.int64],
    heldout: NDArray[np.int64],
    config: PretrainConfig,
) -> dict[str, list[Panel]]:
    """Completed pictures for the report, some of training and some of held-out pairs."""
    task.model.eval()
    found = {}
    for name, rows in (("held out", heldout), ("training", training)):
        shown = HeldOutPairs(pairs, rows, config.task)
        count = min(PANELS, len(shown))
        found[name] = task.panels(collate([shown[place] for place in range(count)])) if count else []
    return found


def _read_log(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _summary(
    config: PretrainConfig,
    result: TrainResult,
    log: Sequence[Mapping[str, Any]],
    ledger: dict[str, Any],
    out: Path,
    device: str,
    precision: str,
) -> dict[str, Any]:
    newest: dict[str, Any] = {}  # of every figure, since not every line of the log has all of them
    for line in log:
        newest |= {name: value for name, value in line.items() if value is not None}
    return {
        "command": "pretrain",
        "version": __version__,
        "out": str(out),
        "recipe": config.recipe,
        "subject": config.subject,
        "device": device,
        "precision": precision,
        "steps": result.steps,
        "interrupted": result.interrupted,
        "seconds": result.seconds,
        "pairs_per_second": result.samples_per_second,
        "figures": newest,
        "best_loss": result.best_loss,
        "best_step": result.best_step,
        "best_by": result.best_by,
        "last": str(result.last),
        "best": str(result.best) if result.best else None,
        "report": str(out / REPORT),
        "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
        "data": ledger,
        "config": to_dict(config),
    }
