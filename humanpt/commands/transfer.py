"""`humanpt eval transfer`: what first weights are worth, by fine-tuning from each of them on few labels and on many.

Only the first weights differ: head, schedule, seeds and the choice of labels are the same for all. Every run is then
measured on other data than any of them saw, as is a constant that looks at no picture. The folder holds the runs,
`transfer.json`, `transfer.md` (the table) and `report.html` (table and plot); with `--resume` the runs that are missing
are made.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
import torch

from humanpt import __version__
from humanpt.commands import evaluate, finetune
from humanpt.commands.evaluate import EvaluateConfig
from humanpt.commands.evaluate_meshes import PREDICTIONS
from humanpt.commands.evaluation_samples import official_split
from humanpt.commands.finetune_config import AnyConfig, FinetuneMeshConfig, Kind
from humanpt.commands.finetune_families import FAMILIES, Indices
from humanpt.commands.finetune_network import with_encoder_of
from humanpt.commands.initialise import read_start
from humanpt.commands.runs import SUMMARY, new_run
from humanpt.config import override, to_dict
from humanpt.data.labelled.class_folders import ClassSet
from humanpt.data.split import spread
from humanpt.engine.loop import LAST
from humanpt.engine.report import Report, Silent
from humanpt.engine.run_folder import sole_writer
from humanpt.engine.runtime import Interrupt, heard_stoppers
from humanpt.engine.weight_files import sha256
from humanpt.errors import ConfigError, InputError, OutputError
from humanpt.files import write_json, write_whole
from humanpt.models.croco import CroCoConfig
from humanpt.pages.transfer import Outcome, summarise, tables_in_markdown, write_transfer_report
from humanpt.tasks.mesh_recovery import mean_pose_figures
from humanpt.workers import Progress, Tell, run_jobs

RESULT, TABLE, REPORT, RUNS, TEST = "transfer.json", "transfer.md", "report.html", "runs", "test"
OF_MANY = {"labels": "--labels", "seed": "--seeds"}
"""Fields of which a comparison has several values, and the options that give them."""
RANDOM = "random"
"""Name of the first weights that no file gives."""
MOST_POSES = 5000
"""Labels that a mean pose is of, at most, spread evenly over the samples."""
SAVING = 60.0
"""Seconds that runs in processes of their own have to save when the whole is stopped."""

MEASURES: Mapping[Kind, tuple[str, ...]] = {
    "hand-mesh": ("pa_mpjpe_mm", "mpjpe_mm"),
    "body-mesh": ("pa_mpjpe_mm", "mpjpe_mm"),
    "dense-pose": ("gps_ap", "mask_iou"),
    "gesture": ("top1", "mean_per_class"),
    "grasp": ("top1", "mean_per_class"),
}
"""The figures that are compared in each task, the deciding one first."""


class Job(NamedTuple):
    """One fine-tuning and its measurement."""

    init: str
    share: float
    seed: int

    @property
    def folder(self) -> Path:
        """Its run, within the folder of the comparison."""
        return Path(RUNS) / f"{self.init}-{100 * self.share:g}-percent-seed-{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is compared, and how."""

    config: AnyConfig
    """The fine-tuning that all share, but for share and seed."""
    fixed: frozenset[str]
    """Fields of it that were chosen, which the data may not change."""
    changes: tuple[str, ...]
    """The `field=value` texts among these that are of the encoder, which first weights may not change."""
    inits: Mapping[str, Path | None]
    """First weights by name, random ones among them."""
    shares: tuple[float, ...]
    """Shares of the labels."""
    seeds: tuple[int, ...]
    """Seeds of head, order and choice of labels."""
    data: str | None
    """What is learned from, as `finetune --data` takes it."""
    test: str | None
    """What is measured on, of other people; None takes what each run holds out, the same for all with one seed."""
    out: Path
    """The folder of the comparison."""
    device: str
    """As for `choose_device`."""

    def __post_init__(self) -> None:
        if not self.shares or not all(0 < share <= 1 for share in self.shares):
            raise ConfigError(f"--labels: shares are {self.shares}; they lie above 0 and are at most 1")
        if not self.seeds:
            raise ConfigError("--seeds is 0; a comparison needs at least one")

    @property
    def jobs(self) -> list[Job]:
        """Every run, so ordered that a comparison cut short has compared something."""
        return [Job(init, share, seed) for seed, share, init in product(self.seeds, self.shares, self.inits)]

    def settings(self) -> dict[str, Any]:
        """What must be the same on resuming."""
        files = {
            name: None if path is None else sha256(read_start(path).file.path) for name, path in self.inits.items()
        }
        told = {
            "version": __version__,
            "config": to_dict(self.config),
            "inits": files,
            "data": self.data,
            "test": self.test,
        }
        plain: dict[str, Any] = json.loads(json.dumps(told))
        return plain

    def learned(self, report: Report) -> Any:
        """The data that are learned from, of the kind that the task opens."""
        return FAMILIES[self.config.kind].open(self.config, self.data, report)[1]

    def measured(self, seed: int, report: Report) -> tuple[Any, Indices]:
        """The data that the runs of a seed are measured on, and which samples of them."""
        family = FAMILIES[self.config.kind]
        if self.test is None:
            data = self.learned(report)
            return data, family.split(replace(self.config, seed=seed), data)[1]
        split = official_split(self.config, self.test)
        data = family.open(replace(self.config, split=split), self.test, report)[1]
        return data, np.arange(len(data))


def run(
    config: AnyConfig,
    changes: Sequence[str],
    inits: Sequence[str],
    data: str | None,
    test: str | None,
    out: Path | None,
    report: Report,
    *,
    shares: Sequence[float] = (0.01, 0.1, 1.0),
    seeds: int = 3,
    jobs: int = 1,
    device: str = "auto",
    resume: bool = False,
) -> dict[str, Any]:
    """Compare first weights.

    Args:
        config: a recipe's config.
        changes: `field=value` texts applied to it.
        inits: NAME=FILE each, a run, a checkpoint or a file of weights by others; random ones are always compared too.
        data: labelled data to learn from; None generates some where the task allows.
        test: labelled data to measure on, of other people; None takes what each run holds out of `data`.
        out: the folder of the comparison; None names a new one under runs/.
        shares: of the labels.
        seeds: how many; from 0.
        jobs: runs at once, each in a process of its own.
        device: as for `choose_device`.
        resume: make the runs that are missing in `out`.

    Returns:
        The document of `transfer.json`.

    Raises:
        HumanptError: of some kind, for whatever a user can mend.
    """
    fixed = frozenset(change.partition("=")[0].strip() for change in changes)
    for name in sorted(fixed & OF_MANY.keys()):
        raise ConfigError(f"--set {name}: a comparison has several; choose them by {OF_MANY[name]}")
    found = parse_inits(inits)
    out = out or new_run(f"transfer-{config.kind}")
    comparison = Comparison(
        config=_common_config(found, override(config, changes), changes),
        fixed=fixed,
        changes=tuple(change for change in changes if change.startswith("encoder.")),
        inits=found,
        shares=tuple(sorted(set(shares))),
        seeds=tuple(range(seeds)),
        data=data,
        test=test,
        out=out,
        device=device,
    )
    _refuse_shared(comparison, report)
    settings = comparison.settings()
    with sole_writer(out):
        _begin(out, settings, resume=resume)
        stopped = _make(comparison, jobs, report)
        document = _document(comparison, settings) | {"stopped_by": stopped}
        write_whole(out / TABLE, tables_in_markdown(document))
        write_transfer_report(out / REPORT, document)
        write_json(out / RESULT, document)
    return document


def parse_inits(texts: Sequence[str]) -> dict[str, Path | None]:
    """First weights by name, random ones first.

    Raises:
        ConfigError: if a text is no NAME=FILE, or a name comes twice.
    """
    found: dict[str, Path | None] = {RANDOM: None}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or not name or not path or "/" in name:
            raise ConfigError(f"--init {text}: write it as NAME=FILE, for example --init mae=runs/hand-mae")
        if name in found:
            raise ConfigError(
                f"--init {text}: there is a {name!r} already; give every first weights a name of their own"
            )
        found[name] = Path(path)
    if len(found) == 1:
        raise ConfigError("there is nothing to compare random weights with; give --init NAME=FILE")
    return found


def _common_config(inits: Mapping[str, Path | None], config: AnyConfig, changes: Sequence[str]) -> AnyConfig:
    """The config of all runs, with the encoder of the first weights named first, which random ones get too.

    Raises:
        ConfigError: if encoders differ in size, for then more than the first weights would differ.
    """
    configs = {name: with_encoder_of(path, config, changes) for name, path in inits.items() if path is not None}
    two = FAMILIES[config.kind].views(config) == 2
    sizes = {name: _size(one.encoder, with_decoder=two) for name, one in configs.items()}
    (first, size), *others = sizes.items()
    for name, other in others:
        if other != size:
            differing = ", ".join(f"{key} {size[key]} and {other[key]}" for key in size if size[key] != other[key])
            raise ConfigError(f"--init {first} and {name}: their networks differ ({differing}); compare equal ones")
    common = configs[first]
    tasks = [one.task for one in configs.values() if isinstance(one, FinetuneMeshConfig)]
    if isinstance(common, FinetuneMeshConfig) and any(task.decoder == "random" for task in tasks):
        return replace(common, task=replace(common.task, decoder="random"))  # some have none that saw two pictures
    return common


def _size(encoder: CroCoConfig, *, with_decoder: bool) -> dict[str, int]:
    names = ["image_size", "patch_size", "enc_depth", "enc_dim", "enc_heads"]
    names += ["dec_depth", "dec_dim", "dec_heads"] if with_decoder else []
    return {name: getattr(encoder, name) for name in names}


def _refuse_shared(comparison: Comparison, report: Report) -> None:
    """Refuse to measure on a sample that is learned from.

    Raises:
        ConfigError: naming one.
    """
    if comparison.test is None:
        return
    data, _ = comparison.measured(comparison.seeds[0], report)
    if both := _names(comparison.learned(report)) & _names(data):
        raise ConfigError(
            f"--test {comparison.test}: {min(both)[1]} is among what is learned from too; give data of other people, "
            "or leave it out"
        )


def _names(data: Any) -> set[tuple[str, str]]:
    """What tells the samples of a data set from those of all others."""
    if isinstance(data, ClassSet):
        return {("", str(path.resolve())) for path in data.paths}
    return {(data.layout.dataset, data.name(number)) for number in range(len(data))}


def _begin(out: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
    """Refuse a folder that holds another comparison, or one that is not to be resumed."""
    if not (out / RESULT).is_file():
        if resume and not out.is_dir():
            raise InputError(f"{out}: no such folder to resume; check --out, or leave out --resume")
        write_json(out / RESULT, {"settings": settings})
        return
    if not resume:
        raise OutputError(f"{out}: it already holds a comparison; go on with it by --resume, or choose another --out")
    try:
        begun = {"version": "0.1.0"} | json.loads((out / RESULT).read_text())["settings"]  # which did not tell it
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{out / RESULT}: damaged, or not of a comparison; remove it if the runs beside it are of one, or choose "
            "another --out"
        ) from None
    differing = [name for name in settings if begun.get(name) != settings[name]]
    if differing:
        raise ConfigError(f"{out}: was begun with another {', '.join(differing)}; give the same, or another --out")


def _make(comparison: Comparison, jobs: int, report: Report) -> str | None:
    """Make the runs that are missing; the signal that stopped it, if one did."""
    outcomes = _outcomes(comparison)
    _compared(comparison, outcomes)
    done = {Job(*outcome[:3]) for outcome in outcomes}
    missing = [job for job in comparison.jobs if job not in done]
    steps = comparison.config.loop.steps
    if steps is None:
        raise ConfigError("loop.steps is none; a comparison needs a length in steps, which all shares of labels have")
    report.stage("comparing", steps * len(comparison.jobs), "step")
    report.advance(steps * len(done))
    with _stoppable(jobs) as interrupt:
        try:
            if jobs == 1:
                return next((by for job in missing if (by := _work(comparison, job, report.advance))), None)
            for event in _in_processes(comparison, missing, jobs):
                if isinstance(event, Progress):
                    report.advance(event.amount)
                elif event.problem is not None:
                    raise InputError(f"{comparison.out / event.job.folder}: {event.problem}")
        except KeyboardInterrupt:
            return signal.Signals(interrupt.signal or signal.SIGINT).name
    return None


@contextmanager
def _stoppable(jobs: int) -> Iterator[Interrupt]:
    """Inside, a signal that asks to stop raises KeyboardInterrupt; runs in processes of their own may save before."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():  # only there can signals be caught
        yield interrupt
        return

    def stop(number: int, frame: FrameType | None) -> None:
        again, interrupt.signal = interrupt.asked, number
        if jobs > 1 and not again:
            runs, until = multiprocessing.active_children(), time.monotonic() + SAVING
            for run in runs:
                run.terminate()  # one that trains saves
            for run in runs:
                run.join(max(0.0, until - time.monotonic()))
        raise KeyboardInterrupt

    before = {stopper: signal.signal(stopper, stop) for stopper in heard_stoppers()}
    try:
        yield interrupt
    finally:
        for stopper, handler in before.items():
            signal.signal(stopper, handler)


def _in_processes(comparison: Comparison, missing: Sequence[Job], jobs: int) -> Iterator[Any]:
    """The runs in processes of their own, which read pictures themselves: they may not start others."""
    alone = replace(comparison, config=replace(comparison.config, workers=0))
    return run_jobs(partial(_work, alone), missing, jobs, preload=["humanpt.commands.finetune"])


def _work(comparison: Comparison, job: Job, tell: Tell) -> str | None:
    """Make one run and measure it; the signal that stopped it, if one did."""
    folder, config = comparison.out / job.folder, comparison.config
    begun = (folder / LAST).is_file()
    summary = finetune.run(
        replace(config, labels=job.share, seed=job.seed),
        comparison.changes,
        comparison.data,
        folder,
        _Steps(tell),
        init=None if begun else comparison.inits[job.init],
        device=comparison.device,
        resume=begun,
        fixed=comparison.fixed,
    )
    if summary["interrupted"]:
        return str(summary["stopped_by"])
    measured = EvaluateConfig(data=comparison.test, workers=config.workers, page=False)
    # The last weights, for the best are chosen by labels that are held out, of which few labels would have many.
    evaluate.run(folder / LAST, measured, folder / TEST, Silent(), device=comparison.device)
    (folder / TEST / PREDICTIONS).unlink(missing_ok=True)  # large, and nothing reads them
    _compared(comparison, _outcomes(comparison))
    return None


class _Steps(Silent):
    """Passes on the steps of training, and nothing else."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._counted = False

    def stage(self, name: str, total: int | None, unit: str) -> None:
        """Note what is counted from here on."""
        self._counted = name == "training"

    def advance(self, amount: float = 1, **figures: float) -> None:
        """Pass on steps."""
        if self._counted:
            self._tell(int(amount))


def _outcomes(comparison: Comparison) -> list[Outcome]:
    """All runs that are measured.

    Raises:
        InputError: if the results of one are damaged.
    """
    return [
        Outcome(*job, _read(folder / SUMMARY)["labelled"], _figures(folder / TEST / evaluate.RESULTS))
        for job in comparison.jobs
        if ((folder := comparison.out / job.folder) / TEST / evaluate.RESULTS).is_file()
    ]


def _figures(path: Path) -> dict[str, float]:
    """The figures of an evaluation that are known."""
    return {name: value for name, value in _read(path)["figures"].items() if value is not None}


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); remove the run's folder and make it by --resume") from None


def _compared(comparison: Comparison, outcomes: Sequence[Outcome]) -> list[str]:
    """The figures that all outcomes have, the deciding one first.

    Raises:
        InputError: if there is none, which more runs would not mend.
    """
    wanted = MEASURES[comparison.config.kind]
    found = [name for name in wanted if all(name in outcome.figures for outcome in outcomes)]
    if not found:
        raise InputError(
            f"{comparison.test or comparison.data}: its labels give none of {', '.join(wanted)}; measure on data with "
            "such labels by --test, into another --out"
        )
    return found


def _reference(comparison: Comparison, outcomes: Sequence[Outcome]) -> dict[str, float]:
    """What the mean pose of the data scores on them, by figure and in mm; empty for other tasks than meshes."""
    if not outcomes or not isinstance(comparison.config, FinetuneMeshConfig):
        return {}
    first = {outcome.seed: Job(*outcome[:3]) for outcome in outcomes}  # each seed holds out others
    jobs = list(first.values()) if comparison.test is None else list(first.values())[:1]
    values = [value for job in jobs if (value := _mean_pose(comparison, job)) is not None]
    return {"pa_mpjpe_mm": statistics.fmean(values)} if values else {}


def _mean_pose(comparison: Comparison, job: Job) -> float | None:
    """What the mean pose of the samples that a run was measured on scores on the key points that were compared."""
    data, indices = comparison.measured(job.seed, Silent())
    joints = _read(comparison.out / job.folder / TEST / evaluate.RESULTS)["card"]["joints"]
    places = [data.layout.keypoint_names.index(name) for name in joints]
    poses = []
    for number in spread(indices, MOST_POSES).tolist():
        labels = data.labels(number)
        poses.append(labels.keypoints[places] * ((-1, 1, 1) if labels.side == "left" else 1))  # as networks see hands
    return mean_pose_figures(torch.from_numpy(np.stack(poses)).float()).get("mean_pa_mpjpe_mm")


def _document(comparison: Comparison, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is known so far."""
    outcomes = _outcomes(comparison)
    compared = _compared(comparison, outcomes)
    return {
        "command": "eval transfer",
        "version": __version__,
        "task": comparison.config.kind,
        "out": str(comparison.out),
        "metric": compared[0],
        "baseline": RANDOM,
        "reference": _reference(comparison, outcomes),
        "shares": list(comparison.shares),
        "seeds": list(comparison.seeds),
        "steps": comparison.config.loop.steps,
        "batch_size": comparison.config.loop.batch_size,
        "asked": len(comparison.jobs),
        "interrupted": len(outcomes) < len(comparison.jobs),
        "outcomes": [outcome._asdict() for outcome in outcomes],
        "tables": {figure: summarise(outcomes, figure) for figure in compared if outcomes},
        "settings": settings,
        "report": str(comparison.out / REPORT),
    }
