"""`humanpt pretrain`: shards of pairs in, a trained network and a report out."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from humanpt import __version__
from humanpt.commands.generated_pairs import USUAL, pairs_at_hand
from humanpt.commands.initialise import decided_by, initialise, refuse_other_init
from humanpt.commands.probe_set import probe_pairs
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
from humanpt.data.shards import PairSet
from humanpt.data.worker_memory import check_workers, pair_bytes
from humanpt.engine.checkpoint import Header, Provenance
from humanpt.engine.distributed import World, join
from humanpt.engine.journal import read_log
from humanpt.engine.loop import LAST, LOG, TrainResult, train
from humanpt.engine.loop_config import LoopConfig
from humanpt.engine.optim import OptimConfig
from humanpt.engine.report import Report, Silent
from humanpt.engine.run_folder import sole_writer
from humanpt.engine.runtime import (
    Precision,
    autocast,
    choose_device,
    choose_precision,
    describe_device,
    seed_everything,
)
from humanpt.errors import CheckpointError, ConfigError, InputError
from humanpt.files import write_json, write_whole
from humanpt.models.attention import fastest_attention
from humanpt.pages.training import write_training_report
from humanpt.tasks.attention_maps import AttentionPanel
from humanpt.tasks.completion import (
    KIND_NAMES,
    CompletionConfig,
    CompletionSamples,
    CompletionTask,
    HeldOutPairs,
    Panel,
    collate,
)
from humanpt.tasks.completion_health import Health, data_warnings
from humanpt.tasks.probe import Probe, ProbeConfig

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
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    """What is read from the frozen features at every evaluation."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """What products are computed in; auto takes bf16 where the device multiplies in it."""
    attention: Literal["auto", "fused", "plain"] = "auto"
    """Kernel of attention; auto measures both when a run begins, and the faster one is kept in the run's config."""
    compile: bool | None = None
    """Whether blocks are compiled by torch.compile; None compiles them on CUDA."""
    checkpoint_activations: bool = False
    """Whether blocks compute what is inside them again backward: less memory for more time, equal results."""
    workers: int = 2
    """Processes that read and augment pairs, for each process that trains."""
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
        if self.loop.parallel == "fsdp" and self.task.mask.cross_view != self.task.mask.cross_pose:
            raise ConfigError(
                "loop.parallel=fsdp needs one ratio for both kinds of pairs, as all processes must run the network "
                "equally often; set task.mask.cross_view and task.mask.cross_pose alike, or loop.parallel=ddp"
            )


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
    dry: bool = False,
) -> dict[str, Any]:
    """Pre-train, or go on with a run; by one process, or by as many as torchrun starts.

    Args:
        config: a recipe's config.
        changes: `field=value` texts applied to it, or, on resuming, to what the run was begun with.
        data: folders of shards; None means `pairs`, or generated ones if that holds none, or on resuming those that the
            run was begun with.
        out: the run's folder; None names a new one under runs/, or on resuming the newest of this recipe there.
        device: as for `choose_device`.
        init: a run, a checkpoint or a file of weights by others to start from; see `commands.initialise`.
        resume: go on from the run's last checkpoint.
        dry: train nothing and write nothing, but say what the run would take.

    Returns:
        The summary, as written to `summary.json` of the run; or what `commands.dry_run` says.

    Raises:
        HumanptError: of some kind, for whatever a user can mend.
    """
    for change in changes:
        if change.partition("=")[0].strip() in ("recipe", "subject"):
            raise ConfigError(f"--set {change}: choose these by --recipe, and by --hand or --body")
    with join() as world:
        report = report if world.is_first else Silent()
        where = world.own(choose_device(device))
        name = f"{config.subject}-{config.recipe}"
        out = world.share(out or (newest_run(name) if resume else new_run(name)))
        if resume:
            begun, header = _begun_with(out, config)
            refuse_other_init(init, header)
            config = override(begun, changes)
            tell_changes(begun, config, report)
            data = data or [Path(folder) for folder in header.provenance.ledger["data"]]
        else:
            header = None
            with world.first_alone():
                if world.is_first and not dry:
                    refuse_used(out)
            config = override(config, changes)
            if init is not None:
                task = config.task
                config = replace(config, task=replace(task, model=decided_by(init, task.model)))
            with world.first_alone():
                data = data or [USUAL if dry else pairs_at_hand(config.subject, report)]
        if dry:
            return _dry_run(config, data, out, where, world, report)
        with sole_writer(out) if world.is_first else nullcontext():
            return _train(config, data, out, where, world, report, init, header)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pairs:
    """The pairs of a run and their split."""

    all: PairSet
    training: NDArray[np.int64]
    heldout: NDArray[np.int64]
    samples: CompletionSamples


def _open_pairs(config: PretrainConfig, data: Sequence[Path], world: World) -> _Pairs:
    cut, pictures = config.task.model.image_size, 1 if config.task.objective == "mae" else 2
    pairs = PairSet.open(data, subject_kind=config.subject)
    if config.task.augment_on_device:
        cut = pairs.crop_size or config.task.augment.stored_size
    check_workers(config.workers * world.neighbours, config.loop.micro_batch // world.size * pair_bytes(cut, pictures))
    training, heldout = pairs.split(config.heldout, config.seed)
    samples = CompletionSamples(pairs, training, config.task, config.seed, config.loop.batch_size)
    if config.loop.batch_size > len(samples):
        raise ConfigError(
            f"batch_size is {config.loop.batch_size}, but there are only {len(samples)} training pairs; "
            f"take --batch-size {len(samples)} or less, or make more pairs"
        )
    return _Pairs(all=pairs, training=training, heldout=heldout, samples=samples)


def _settle(config: PretrainConfig, where: torch.device, how: Precision) -> PretrainConfig:
    """The config with what a run measures at its beginning, so that a resumed one computes alike."""
    if config.attention != "auto":
        return config
    dtype = torch.bfloat16 if how == "bf16" else torch.float32
    return replace(config, attention=fastest_attention(config.task.model, where, dtype))


def _make_task(
    config: PretrainConfig, pairs: _Pairs, where: torch.device, world: World, report: Report
) -> CompletionTask:
    """The network with its held-out pairs and its probe, ready to train."""
    # A process per core is the parallelism; and it is set here because OpenCV's threads do not survive a fork: a loader
    # process that touched them would wait for ever.
    cv2.setNumThreads(1)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    probe = None
    if config.probe.pictures:
        with world.first_alone():
            probe = Probe(probe_pairs(config.subject, config.probe, report), config.probe, config.task.augment)
    seed_everything(config.seed)
    task = CompletionTask(config.task, HeldOutPairs(pairs.all, pairs.heldout, config.task), probe=probe)
    assert config.attention != "auto"
    task.model.attention = config.attention
    task.model.checkpoint_activations = config.checkpoint_activations
    if where.type == "cuda" if config.compile is None else config.compile:
        task.model.compile_blocks()
    return task


def _dry_run(
    config: PretrainConfig, data: Sequence[Path], out: Path, where: torch.device, world: World, report: Report
) -> dict[str, Any]:
    from humanpt.commands.dry_run import dry_run  # which measures by the config of this module

    how = choose_precision(config.precision, where)
    pairs = _open_pairs(config, data, world)
    config = _settle(replace(config, probe=replace(config.probe, pictures=0), compile=False), where, how)
    task = _make_task(config, pairs, where, world, report)
    return dry_run(config, task, pairs.samples, out, report, device=where, precision=how, processes=world.size)


def _train(
    config: PretrainConfig,
    data: Sequence[Path],
    out: Path,
    where: torch.device,
    world: World,
    report: Report,
    init: Path | None,
    header: Header | None,
) -> dict[str, Any]:
    """Train a run that is begun with `config`, or goes on from the checkpoint of `header`."""
    how = choose_precision(config.precision, where)
    pairs = _open_pairs(config, data, world)
    config = world.share(_settle(config, where, how))
    task = _make_task(config, pairs, where, world, report)
    ledger = _ledger(pairs.all, pairs.training, pairs.heldout, data)
    if header is not None:
        _same_data(header.provenance.ledger, ledger, out / LAST)
        ledger["init"] = header.provenance.ledger["init"]
    elif init is not None:
        ledger["init"] = initialise(task.model, init, report)
    if world.is_first and header is None:
        write_whole(out / CONFIG, to_json(config) + "\n")
    count, batch = len(pairs.samples), config.loop.batch_size
    of_kinds = ", ".join(
        f"{number} {name.replace('_', '-')}"
        for name, number in zip(
            KIND_NAMES, np.bincount(pairs.all.kind[pairs.samples.indices], minlength=2), strict=True
        )
    )
    report.note(
        f"{out}: {count} pairs to train on ({of_kinds}), {len(pairs.heldout)} held out, {describe_device(where)}, {how}"
    )
    doubts = data_warnings(pairs.all, pairs.training, pairs.heldout, config.task) if world.is_first else []
    for doubt in doubts:
        report.note(f"warning: {doubt}")
    report.stage(f"pre-training {config.recipe}", config.loop.total_steps(count), "step")
    result = train(
        task,
        partial(make_batches, pairs.samples, collate, config.loop, config.workers, world),
        loop=config.loop,
        optim=config.optim,
        epoch_size=count,
        out=out,
        provenance=Provenance(recipe=config.recipe, config=to_dict(config), ledger=ledger),
        device=where,
        precision=how,
        report=report,
        resume=None if header is None else out / LAST,
        world=world,
        watch=Health(
            warmup=config.optim.schedule(batch, count / batch).warmup,
            normalised=config.task.normalise_target,
            workers=config.workers,
            past=() if header is None else read_log(out / LOG, header.step),
        ),
    )
    task.model.eval()
    with torch.no_grad(), autocast(where, how):  # by all processes, which may hold the network between them
        panels, attention = _panels(task, pairs, config)
    if not world.is_first:
        return {"stopped_by": result.stopped_by, "interrupted": result.interrupted}
    if header is not None:  # what the run was begun with stands until a resume has been accepted
        write_whole(out / CONFIG, to_json(config) + "\n")
    log = read_log(out / LOG)
    summary = _summary(config, result, log, ledger, doubts, out, describe_device(where), how)
    write_training_report(out / REPORT, summary, log, panels, attention)
    write_json(out / SUMMARY, summary)
    return summary


def _begun_with(out: Path, config: PretrainConfig) -> tuple[PretrainConfig, Header]:
    """The config that a run was begun with, for the same recipe and subject, and the header of its checkpoint."""
    header = header_to_resume(out)
    begun = from_dict(PretrainConfig, header.provenance.config, str(out / LAST))
    if (begun.recipe, begun.subject) != (config.recipe, config.subject):
        raise CheckpointError(
            f"{out}: was begun with --recipe {begun.recipe} --{begun.subject}; give the same to resume it"
        )
    return begun, header


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
    task: CompletionTask, pairs: _Pairs, config: PretrainConfig
) -> tuple[dict[str, list[Panel]], list[AttentionPanel]]:
    """Completed pictures for the report, some of training and some of held-out pairs, and where patches look."""
    found: dict[str, list[Panel]] = {}
    attention: list[AttentionPanel] = []
    for name, rows in (("held out", pairs.heldout), ("training", pairs.training)):
        shown = HeldOutPairs(pairs.all, rows, config.task)
        if not len(shown):
            found[name] = []
            continue
        batch = collate([shown[place] for place in range(min(PANELS, len(shown)))])
        found[name] = task.panels(batch)
        attention = attention or task.attention(batch)
    return found, attention


def _summary(
    config: PretrainConfig,
    result: TrainResult,
    log: Sequence[Mapping[str, Any]],
    ledger: dict[str, Any],
    warnings: Sequence[str],
    out: Path,
    device: str,
    precision: str,
) -> dict[str, Any]:
    return {
        "command": "pretrain",
        "version": __version__,
        "out": str(out),
        "recipe": config.recipe,
        "subject": config.subject,
        "device": device,
        "precision": precision,
        "pairs_per_second": result.samples_per_second,
        "report": str(out / REPORT),
        "data": ledger,
        "config": to_dict(config),
        **outcome(result, log, warnings),
    }
