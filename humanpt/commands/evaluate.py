"""`humanpt eval`: a fine-tuned network, or a file of predictions, on a benchmark by the benchmark's own rules.

Without other data a run is measured on the samples that it held out from its training. A folder of results holds
`card.json` (the protocol), `results.json` (everything that was found) and `report.html`; for meshes also
`predictions.h5` and, if wanted, what the benchmark's server takes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from humanpt import __version__
from humanpt.commands.evaluate_classes import evaluate_classes
from humanpt.commands.evaluate_dense import evaluate_dense
from humanpt.commands.evaluate_meshes import PREDICTIONS, REPORT, MeshSource, evaluate_meshes
from humanpt.commands.evaluation_samples import HELD_OUT, Chosen, Reading, choose_samples
from humanpt.commands.evaluation_sources import FilePredictions, NetworkPredictions, PredJson
from humanpt.commands.finetune_config import FinetuneDensePoseConfig, FinetuneMeshConfig, Kind
from humanpt.commands.finetune_network import load_finetuned
from humanpt.commands.runs import checkpoint_of
from humanpt.data.labelled import READERS, find_data, open_labelled
from humanpt.data.labelled.open_dense import MARKS as DENSE
from humanpt.data.records import SubjectKind
from humanpt.engine.loop import BEST, LAST
from humanpt.engine.report import Report
from humanpt.engine.runtime import choose_device, describe_device
from humanpt.errors import ConfigError, InputError, OutputError
from humanpt.files import write_json
from humanpt.metrics.dense import Variant
from humanpt.models.mesh_heads import MeshNetwork
from humanpt.scoring.benchmarks import EVALUATION_SPLITS, Changes
from humanpt.scoring.card import Card
from humanpt.scoring.predictions import Predictions
from humanpt.scoring.submissions import refuse_unfit, sequence_frames, write_submission

CARD, RESULTS, SUBMISSION = "card.json", "results.json", "submission.zip"
CHOSEN_BY_THESE = (
    "The step of the run was chosen by its loss on these samples, so figures flatter it a little; --data names others."
)


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is measured, and by which rules."""

    benchmark: str | None = None
    """Whose rules count, by the name of its data set; none takes the data's own."""
    data: str | None = None
    """The samples, a folder or NAME:FOLDER; none takes those that the run held out."""
    split: str | None = None
    """Which part of them, by their owners' name; none takes that for evaluation, or all."""
    most: int | None = None
    """Measure so many samples at most, spread evenly."""
    changes: Changes = field(default_factory=Changes)
    """Of the benchmark's rules."""
    variant: Variant | None = None
    """Of GPS, for dense pose; none takes one k for all."""
    submission: bool = False
    """Whether to write what the benchmark's server takes, too."""
    page: bool = True
    """Whether to write `report.html`, which takes a few seconds."""
    batch: int = 32
    """Samples looked at together; without effect on the figures."""
    workers: int = 2
    """Processes that read pictures; 0 reads in this one."""

    def __post_init__(self) -> None:
        known = (*READERS, *(name for name in DENSE if name not in READERS))
        if self.benchmark is not None and self.benchmark not in known:
            raise ConfigError(f"benchmark is {self.benchmark!r}; choose {', '.join(known)}")
        if self.benchmark is not None and self.data is None:
            raise ConfigError(f"--benchmark {self.benchmark} needs its samples; add --data FOLDER")
        if self.most is not None and self.most < 1:
            raise ConfigError(f"most is {self.most}; at least 1 sample is measured")
        if self.submission and self.most is not None:
            raise ConfigError("a server wants all samples; leave out --most, or --submission")

    @property
    def spec(self) -> str | None:
        """The data set as readers take it."""
        named = self.data is not None and self.data.partition(":")[0] in READERS
        return f"{self.benchmark}:{self.data}" if self.benchmark in READERS and not named else self.data

    def refuse_idle(self, kind: Kind) -> None:
        """Refuse what would change nothing of the figures of a task.

        Raises:
            ConfigError: naming the option.
        """
        meshes, dense = kind in ("hand-mesh", "body-mesh"), kind == "dense-pose"
        idle = {
            f"--benchmark {self.benchmark}": self.benchmark is not None
            and self.benchmark not in (READERS if meshes else DENSE if dense else ()),
            "--reflections": self.changes.reflections is not None and not meshes,
            "--pck": self.changes.pck_mm is not None and not meshes,
            "--gps": self.variant is not None and not dense,
            "--submission": self.submission and not meshes,
        }
        for option, given in idle.items():
            if given:
                raise ConfigError(f"{option}: is not for {kind}, whose figures it does not change; leave it out")


def run(run: Path, config: EvaluateConfig, out: Path | None, report: Report, *, device: str = "auto") -> dict[str, Any]:
    """Measure a fine-tuned network.

    Args:
        run: its folder, or a checkpoint.
        config: what is measured.
        out: folder of the results; None puts it into the run's.
        report: told how far it is.
        device: as for `choose_device`.

    Returns:
        The summary, as written to `results.json`.

    Raises:
        HumanptError: of some kind, for whatever a user can mend.
    """
    where = choose_device(device)
    reading = Reading(device=where, batch=config.batch, workers=config.workers)
    folder = run if run.is_dir() else run.parent
    checkpoint, usual = checkpoint_of(run), checkpoint_of(folder)
    settings, network, header = load_finetuned(checkpoint, where)
    config.refuse_idle(settings.kind)
    chosen = choose_samples(settings, header, folder, config.spec, config.split, config.most, report)
    benchmark = config.benchmark or chosen.dataset
    which = "" if checkpoint.name == usual.name else f"-{checkpoint.stem}"
    which += "" if config.most is None else f"-most-{config.most}"
    out = out or folder / f"eval-{benchmark}-{chosen.split}{which}"
    page = out / REPORT if config.page else None
    if chosen.split == HELD_OUT and checkpoint.name == BEST:
        chosen = replace(chosen, notes=(*chosen.notes, CHOSEN_BY_THESE))
    predictor, begun = f"{run}, step {header.step}", time.monotonic()
    if isinstance(settings, FinetuneMeshConfig):
        source = NetworkPredictions(settings, cast(MeshNetwork, network), chosen.samples(settings), reading, predictor)
        card, figures, details = _meshes(
            source, chosen, config, benchmark, out, report, f"{folder.name} on {benchmark}"
        )
    elif isinstance(settings, FinetuneDensePoseConfig):
        _clear(out)
        variant = config.variant or "one-k"
        card, figures, details = evaluate_dense(settings, network, chosen, variant, reading, page, report, predictor)
    else:
        _clear(out)
        card, figures, details = evaluate_classes(settings, network, chosen, reading, page, report, predictor)
    about: dict[str, Any] = {
        "run": str(run),
        "task": settings.kind,
        "data": chosen.spec,
        "device": describe_device(where),
    }
    about |= {"report": str(out / REPORT) if config.page else None}
    about |= _submitted(config, chosen, benchmark, out)
    return _written(about, card, figures, details, out, time.monotonic() - begun)


def run_file(predictions: Path, config: EvaluateConfig, out: Path | None, report: Report) -> dict[str, Any]:
    """Measure a file of predictions of meshes or key points.

    Args:
        predictions: `predictions.h5` of an evaluation, or a `pred.json` as the benchmark's server takes it.
        config: what is measured; its data must be named.
        out: folder of the results; None puts it beside the file.
        report: told how far it is.

    Returns:
        The summary, as written to `results.json`.

    Raises:
        HumanptError: of some kind, for whatever a user can mend.
    """
    if config.data is None or config.spec is None:
        raise ConfigError("--predictions are compared with labels; add --data NAME:FOLDER")
    theirs = find_data(config.spec)[0]
    json_of = config.benchmark or theirs
    read = PredJson(predictions, json_of) if predictions.suffix == ".json" else Predictions(predictions)
    config.refuse_idle("hand-mesh" if read.layout.subject == "hand" else "body-mesh")
    split = config.split or EVALUATION_SPLITS.get(theirs)
    if split == HELD_OUT:
        raise ConfigError(f"--split {HELD_OUT} is known to a run alone; evaluate the run")
    data = open_labelled(config.spec, split, subject=cast(SubjectKind, read.layout.subject))
    indices = np.arange(len(data))
    if config.most is not None:
        raise ConfigError("--predictions are measured whole; leave out --most")
    source = FilePredictions(read, data, indices, config.batch)
    chosen = Chosen(spec=config.spec, dataset=data.layout.dataset, split=data.layout.split, data=data, indices=indices)
    benchmark = config.benchmark or chosen.dataset
    out = out or predictions.parent / f"eval-{benchmark}-{chosen.split}"
    if (out / PREDICTIONS).resolve() == predictions.resolve():
        raise InputError(f"{out}: would replace the predictions that are measured; choose another --out")
    begun = time.monotonic()
    title = f"{predictions.name} on {benchmark}"
    card, figures, details = _meshes(source, chosen, config, benchmark, out, report, title)
    about: dict[str, Any] = {
        "predictions": str(predictions),
        "task": f"{read.layout.subject}-mesh",
        "data": chosen.spec,
    }
    about |= {"report": str(out / REPORT) if config.page else None}
    about |= _submitted(config, chosen, benchmark, out)
    return _written(about, card, figures, details, out, time.monotonic() - begun)


def _meshes(
    source: MeshSource, chosen: Chosen, config: EvaluateConfig, benchmark: str, out: Path, report: Report, title: str
) -> tuple[Card, dict[str, float], dict[str, Any]]:
    if config.submission:
        refuse_unfit(benchmark, source.layout)
    _clear(out)
    found = evaluate_meshes(
        source,
        chosen.data,
        chosen.indices,
        benchmark=benchmark,
        split=chosen.split,
        changes=config.changes,
        out=out,
        report=report,
        title=title,
        page=config.page,
        notes=chosen.notes,
    )
    return found.card, found.result.figures, found.details


def _clear(out: Path) -> None:
    """Remove what an evaluation before left in its folder, so that what a stopped one leaves there is all its own.

    Raises:
        OutputError: if the folder is that of a run, or a file cannot be removed.
    """
    if (out / LAST).is_file():
        raise OutputError(f"{out}: holds a run, whose report would be replaced; choose another --out")
    for name in (CARD, RESULTS, REPORT, PREDICTIONS, SUBMISSION):
        try:
            (out / name).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{out / name}: cannot be replaced ({error.strerror}); choose another --out") from None


def _submitted(config: EvaluateConfig, chosen: Chosen, benchmark: str, out: Path) -> dict[str, str]:
    """Write the file for the server, if one is wanted; where it is."""
    if not config.submission:
        return {}
    frames = None
    if benchmark == "3dpw":
        frames = sequence_frames(Path(chosen.spec.partition(":")[2] or chosen.spec).expanduser(), chosen.split)
    path = out / SUBMISSION
    write_submission(benchmark, Predictions(out / PREDICTIONS), path, split=chosen.split, frames=frames)
    return {"submission": str(path)}


def _written(
    about: dict[str, Any], card: Card, figures: dict[str, float], details: dict[str, Any], out: Path, seconds: float
) -> dict[str, Any]:
    """Write the card and the results, and return these."""
    summary = {
        "command": "eval",
        "version": __version__,
        "out": str(out),
        **about,
        "benchmark": card.benchmark,
        "split": card.split,
        "samples": card.count,
        "figures": figures,
        "card": card.document(),
        "details": details,
        "seconds": seconds,
        "samples_per_second": card.count / max(seconds, 1e-9),
        "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    write_json(out / CARD, summary["card"])
    write_json(out / RESULTS, summary)
    return summary
