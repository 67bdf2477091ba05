"""`humanpt eval transfer`: what first weights are worth, by fine-tuning from each of them on few labels and on many.

Only the first weights differ: head, schedule, seeds and the choice of labels are the same for all. Every run is then
measured on other data than any of them saw. The folder holds the runs, `transfer.json`, `transfer.md` (the table) and
`report.html` (table and plot); with `--resume` the runs that are missing are made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from humanpt import __version__
from humanpt.commands import evaluate, finetune
from humanpt.commands.evaluate import EvaluateConfig
from humanpt.commands.evaluation_samples import place_of
from humanpt.commands.finetune_config import AnyConfig, Kind
from humanpt.commands.initialise import decided_by, read_start
from humanpt.commands.runs import SUMMARY, new_run
from humanpt.config import override, to_dict
from humanpt.engine.loop import LAST
from humanpt.engine.report import Report, Silent
from humanpt.engine.run_folder import sole_writer
from humanpt.engine.weight_files import sha256
from humanpt.errors import ConfigError, InputError, OutputError
from humanpt.files import write_json, write_whole
from humanpt.models.croco import CroCoConfig
from humanpt.pages.transfer import Outcome, summarise, tables_in_markdown, write_transfer_report
from humanpt.workers import Progress, Tell, run_jobs

RESULT, TABLE, REPORT, RUNS, TEST = "transfer.json", "transfer.md", "report.html", "runs", "test"
OF_MANY = {"labels": "--labels", "seed": "--seeds"}
"""Fields of which a comparison has several values, and the options that give them."""
RANDOM = "random"
"""Name of the first weights that no file gives."""

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
        told = {"config": to_dict(self.config), "inits": files, "data": self.data, "test": self.test}
        plain: dict[str, Any] = json.loads(json.dumps(told))
        return plain


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
    config = override(config, changes)
    found = parse_inits(inits)
    out = out or new_run(f"transfer-{config.kind}")
    comparison = Comparison(
        config=replace(config, encoder=_common_encoder(found, config.encoder)),
        fixed=fixed,
        inits=found,
        shares=tuple(sorted(set(shares))),
        seeds=tuple(range(seeds)),
        data=data,
        test=test,
        out=out,
        device=device,
    )
    if data is not None and test is not None and place_of(data) == place_of(test):
        raise ConfigError(f"--test {test}: it is what is learned from; give data of other people, or leave it out")
    settings = comparison.settings()
    with sole_writer(out):
        _begin(out, settings, resume=resume)
        stopped = _make(comparison, jobs, report)
        document = _document(comparison, settings) | {
            "interrupted": stopped is not None,
            "stopped_by": stopped,
        }
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


def _common_encoder(inits: Mapping[str, Path | None], usual: CroCoConfig) -> CroCoConfig:
    """The encoder of all first weights, which is that of the random ones.

    Raises:
        ConfigError: if they differ in size, for then more than the first weights would differ.
    """
    encoders = {}
    for name, path in inits.items():
        if path is not None:
            encoders[name] = read_start(path).config or decided_by(path, usual)
    sizes = {name: _size(encoder) for name, encoder in encoders.items()}
    (first, size), *others = sizes.items()
    for name, other in others:
        if other != size:
            differing = ", ".join(f"{key} {size[key]} and {other[key]}" for key in size if size[key] != other[key])
            raise ConfigError(f"--init {first} and {name}: their encoders differ ({differing}); compare equal ones")
    return encoders[first]


def _size(encoder: CroCoConfig) -> dict[str, int]:
    names = ("image_size", "patch_size", "enc_depth", "enc_dim", "enc_heads")
    return {name: getattr(encoder, name) for name in names}


def _begin(out: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
    """Refuse a folder that holds another comparison, or one that is not to be resumed."""
    if not (out / RESULT).is_file():
        if resume and not out.is_dir():
            raise InputError(f"{out}: no such folder to resume; check --out, or leave out --resume")
        write_json(out / RESULT, {"settings": settings})
        return
    if not resume:
        raise OutputError(f"{out}: it already holds a comparison; go on with it by --resume, or choose another --out")
    begun = json.loads((out / RESULT).read_text())["settings"]
    differing = [name for name in settings if begun.get(name) != settings[name]]
    if differing:
        raise ConfigError(f"{out}: was begun with another {', '.join(differing)}; give the same, or another --out")


def _make(comparison: Comparison, jobs: int, report: Report) -> str | None:
    """Make the runs that are missing; the signal that stopped it, if one did."""
    missing = [job for job in comparison.jobs if not _result(comparison, job).is_file()]
    steps = comparison.config.loop.steps
    if steps is None:
        raise ConfigError("loop.steps is none; a comparison needs a length in steps, which all shares of labels have")
    report.stage("comparing", steps * len(comparison.jobs), "step")
    report.advance(steps * (len(comparison.jobs) - len(missing)))
    if jobs == 1:
        return next((signal for job in missing if (signal := _work(comparison, job, report.advance))), None)
    for event in _in_processes(comparison, missing, jobs):
        if isinstance(event, Progress):
            report.advance(event.amount)
        elif event.problem is not None:
            raise InputError(f"{comparison.out / event.job.folder}: {event.problem}")
    return None


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
        [],
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


def _result(comparison: Comparison, job: Job) -> Path:
    return comparison.out / job.folder / TEST / evaluate.RESULTS


def _document(comparison: Comparison, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is known so far."""
    outcomes = []
    for job in comparison.jobs:
        if _result(comparison, job).is_file():
            results = json.loads(_result(comparison, job).read_text())
            labelled = json.loads((comparison.out / job.folder / SUMMARY).read_text())["labelled"]
            outcomes.append(Outcome(*job, labelled, dict(results["figures"])))
    return {
        "command": "eval transfer",
        "version": __version__,
        "task": comparison.config.kind,
        "out": str(comparison.out),
        "metric": MEASURES[comparison.config.kind][0],
        "baseline": RANDOM,
        "shares": list(comparison.shares),
        "seeds": list(comparison.seeds),
        "steps": comparison.config.loop.steps,
        "batch_size": comparison.config.loop.batch_size,
        "outcomes": [outcome._asdict() for outcome in outcomes],
        "tables": {figure: summarise(outcomes, figure) for figure in MEASURES[comparison.config.kind]},
        "settings": settings,
        "report": str(comparison.out / REPORT),
    }
