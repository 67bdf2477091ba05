"""`humanpt finetune detection`: generated people in, a detector's weights out.

A run's folder holds its cut-outs (made once, part by part, by several processes; another run may use them too), what
`engine/loop.py` writes, `detector.safetensors` (float16, ready to look, with the record of how it was made) and
`summary.json`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import cv2
import numpy as np
import torch

from humanpt import __version__
from humanpt.commands.finetune_config import refuse_epochs
from humanpt.commands.runs import (
    CONFIG,
    SUMMARY,
    header_to_resume,
    make_batches,
    new_run,
    newest_run,
    outcome,
    refuse_used,
)
from humanpt.config import from_dict, override, to_dict, to_json
from humanpt.data.detection.backdrops import PLACES, Backdrops
from humanpt.data.detection.cutout_people import CutOutConfig, make_cutouts
from humanpt.data.detection.cutouts import INDEX, CutOuts, part_name
from humanpt.data.detection.pictures import Composer
from humanpt.data.frame import ArrayFrame
from humanpt.detect.detector import DetectConfig
from humanpt.detect.heatmap import SCALE_AT, SIDE, OwnDetector, save_weights
from humanpt.detect.matching import Matches, match, recall_at
from humanpt.engine.checkpoint import Provenance, load_weights, read_header
from humanpt.engine.distributed import ALONE
from humanpt.engine.loop import LAST, TrainResult, train
from humanpt.engine.loop_config import LoopConfig
from humanpt.engine.optim import OptimConfig
from humanpt.engine.report import Report
from humanpt.engine.runtime import choose_device, choose_precision, describe_device, seed_everything
from humanpt.errors import CheckpointError, ConfigError, InputError
from humanpt.files import write_json, write_whole
from humanpt.models.heatmap import COARSEST
from humanpt.tasks.detection import (
    ALLOWED,
    LOW_SCORE,
    DetectionConfig,
    DetectionSamples,
    DetectionTask,
    collate,
)
from humanpt.workers import Progress, Tell, run_jobs

WEIGHTS, CUTOUTS = "detector.safetensors", "cutouts"
PART = 100  # persons whose cut-outs are made together


@dataclass(frozen=True, kw_only=True)
class FinetuneDetectionConfig:
    """A detector's whole training but for its backgrounds and device."""

    recipe: str
    """Name of the recipe that this came from."""
    cutouts: CutOutConfig = field(default_factory=CutOutConfig)
    """People to generate."""
    task: DetectionConfig = field(default_factory=DetectionConfig)
    """Network, pictures and loss."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """Optimiser and schedule."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Length, batch, and when to log, evaluate and save."""
    frames: int = 300
    """Held-out pictures of a frame's size on which the threshold is chosen."""
    heldout: float = 0.08
    """Share of people, photographs and things that is held out for the figures and the threshold."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """What products are computed in; auto takes bf16 where the device multiplies in it."""
    workers: int = 1
    """Processes that compose pictures; generating people takes as many processes as there are cores."""
    threads: int | None = None
    """CPU threads of the network; None leaves it to torch."""
    seed: int = 0
    """Seed of the first weights and of every picture."""

    def __post_init__(self) -> None:
        if not 0 < self.heldout < 1:
            raise ConfigError(f"heldout is {self.heldout}; it is a share, above 0 and below 1")
        if self.frames < 1:
            raise ConfigError(f"frames is {self.frames}; the threshold needs at least 1")
        if self.workers < 0:
            raise ConfigError(f"workers is {self.workers}; it must not be negative")
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"threads is {self.threads}; it must be at least 1")
        if self.loop.steps is None:
            raise ConfigError("loop.steps is none; pictures never end here, so a run is measured in steps")


def run(
    config: FinetuneDetectionConfig,
    changes: Sequence[str],
    out: Path | None,
    report: Report,
    *,
    backgrounds: Path | None = None,
    cutouts: Path | None = None,
    cores: int = 1,
    device: str = "auto",
    init: Path | None = None,
    resume: bool = False,
) -> dict[str, Any]:
    """Train a detector, or go on with a run.

    Args:
        config: a recipe's config.
        changes: `field=value` texts applied to it, or, on resuming, to what the run was begun with.
        out: the run's folder; None names a new one under runs/, or on resuming the newest there.
        backgrounds: a folder of photographs with nobody in them; None leaves rooms and clutter.
        cutouts: where cut-outs are or go; None keeps them in the run's folder.
        cores: processes that generate people.
        device: as for `choose_device`.
        init: a checkpoint whose weights to start from.
        resume: go on from the run's last checkpoint.

    Returns:
        The summary, as written to `summary.json` of the run.

    Raises:
        HumanptError: of some kind, for whatever a user can mend.
    """
    subject = config.task.pictures.subject
    if resume and init is not None:
        raise ConfigError("--resume goes on with the run's own weights; leave out --init")
    refuse_epochs(change.partition("=")[0].strip() for change in changes)
    where = choose_device(device)
    name = f"detector-{subject}"
    out = out or (newest_run(name) if resume else new_run(name))
    last, header = out / LAST, None
    if resume:
        header = header_to_resume(out)
        config = from_dict(FinetuneDetectionConfig, header.provenance.config, str(last))
        if config.task.pictures.subject != subject:
            raise CheckpointError(f"{out}: finds a {config.task.pictures.subject}; resume it with its own subject")
    else:
        refuse_used(out, frozenset({CUTOUTS}))
    config = override(config, changes)
    how = choose_precision(config.precision, where)
    cutouts = cutouts or out / CUTOUTS
    _generate(config.cutouts, cutouts, cores, report)
    cv2.setNumThreads(1)  # see commands/pretrain.py
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    seed_everything(config.seed)
    training, heldout = _composers(config, CutOuts(cutouts), Backdrops(backgrounds))
    task = DetectionTask(config.task, heldout, config.seed + 1)
    task.model.to(memory_format=torch.channels_last)
    ledger = _ledger(config, training, heldout, backgrounds)
    if header is not None:
        _refuse_other_data(header.provenance.ledger, ledger, last)
        ledger["init"] = header.provenance.ledger["init"]
    elif init is not None:
        report.note(f"{init}: {load_weights(init, task.model).summary()}")
        ledger["init"] = {
            "config": dict(read_header(init).provenance.config),
            "ledger": dict(read_header(init).provenance.ledger),
            "steps": read_header(init).step,
        }
    write_whole(out / CONFIG, to_json(config) + "\n")
    report.note(f"{out}: {ledger['cutouts']} cut-outs, {ledger['photographs']} photographs, {describe_device(where)}")
    result = train(
        task,
        partial(make_batches, DetectionSamples(training, config.seed), collate, config.loop, config.workers, ALONE),
        loop=config.loop,
        optim=config.optim,
        epoch_size=config.loop.batch_size * 1000,
        out=out,
        provenance=Provenance(recipe=config.recipe, config=to_dict(config), ledger=ledger),
        device=where,
        precision=how,
        report=report,
        resume=last if resume else None,
        unit="pictures",
    )
    report.stage("choosing the threshold", config.frames, "frame")
    network = task.model.average.cpu()
    with TemporaryDirectory() as folder:  # the run's own file is written once, when its threshold is known
        save_weights(Path(folder) / WEIGHTS, network, subject, SCALE_AT, {})
        detector = OwnDetector(subject, DetectConfig(min_score=LOW_SCORE), Path(folder) / WEIGHTS)
    frames = Composer(
        heldout.cutouts,
        heldout.chosen,
        heldout.backdrops,
        replace(config.task.pictures, size=-(-SIDE // COARSEST) * COARSEST),
        heldout.places,
    )
    figures = _measure(detector, frames, config, report)
    summary = _summary(config, result, figures, ledger, out, describe_device(where), how)
    record = {name: summary[name] for name in ("version", "recipe", "steps", "figures", "data", "config", "licence")}
    save_weights(out / WEIGHTS, network, subject, figures["threshold"], record)
    write_json(out / SUMMARY, summary)
    return summary


def _measure(
    detector: OwnDetector, frames: Composer, config: FinetuneDetectionConfig, report: Report
) -> dict[str, float]:
    """What the finished detector finds in held-out pictures of a frame's size.

    Returns:
        `recall` at 0.3 false boxes per frame and IoU 0.4; `threshold`, the score at which that is; and for hands
        `sided`, the share of the hands found there whose side is told, and `side`, the share of those told right.
    """
    matches: list[Matches] = []
    told: list[tuple[float, bool, bool]] = []  # score, whether the side is told, and whether it is right
    for number in range(config.frames):
        picture = frames.picture(config.seed + 2, number)
        found = detector.detect(ArrayFrame(number, float(number), picture.rgb))
        one = match(found.boxes, found.scores, picture.boxes, picture.doubtful)
        matches.append(one)
        for score, row, true in zip(one.scores, one.order, one.met, strict=True):
            if true >= 0:
                kind = found.kinds[row]
                told.append((float(score), kind != "hand", kind == ("hand_left", "hand_right")[picture.kinds[true]]))
        report.advance()
    recall, threshold = recall_at(matches, ALLOWED)
    figures = {"recall": recall, "threshold": threshold}
    if detector.subject == "hand":
        known = [right for score, sided, right in told if sided and score >= threshold]
        figures["sided"] = len(known) / max(1, sum(score >= threshold for score, _, _ in told))
        figures["side"] = sum(known) / max(1, len(known))
    return figures


def _generate(config: CutOutConfig, folder: Path, cores: int, report: Report) -> None:
    """Make the cut-outs that are not there yet.

    Raises:
        ConfigError: if those that are there were made otherwise.
        InputError: if a part failed.
    """
    # One set serves runs of any length: it grows by more people, each of whom depends on nobody else.
    stamp, settings = folder / CONFIG, to_json(replace(config, people=1)) + "\n"
    if stamp.is_file() and stamp.read_text() != settings:
        raise ConfigError(f"{folder}: its cut-outs were made with other settings; choose another --cutouts")
    write_whole(stamp, settings)
    missing = [first for first in range(0, config.people, PART) if not (folder / part_name(first) / INDEX).is_file()]
    if not missing:
        return
    report.stage("generating people", sum(min(PART, config.people - first) for first in missing), "person")
    work = partial(_make_part, config, folder)
    for event in run_jobs(work, missing, cores, preload=["humanpt.data.detection.cutout_people"]):
        if isinstance(event, Progress):
            report.advance(event.amount)
        elif event.problem is not None:
            raise InputError(f"{folder / part_name(event.job)}: {event.problem}")


def _make_part(config: CutOutConfig, folder: Path, first: int, tell: Tell) -> None:
    torch.set_num_threads(1)  # a process per core is the parallelism
    make_cutouts(first, min(PART, config.people - first), config, folder / part_name(first), lambda: tell(1))


def _composers(config: FinetuneDetectionConfig, cutouts: CutOuts, backdrops: Backdrops) -> tuple[Composer, Composer]:
    """Makers of training and of held-out pictures, which share no person, photograph or thing."""
    every = max(2, round(1 / config.heldout))
    numbers = np.flatnonzero(cutouts.person < config.cutouts.people)
    out = cutouts.person[numbers] % every == every - 1
    border = round(PLACES * (1 - config.heldout))
    return (
        Composer(cutouts, numbers[~out], backdrops, config.task.pictures, (0, border)),
        Composer(cutouts, numbers[out], backdrops, config.task.pictures, (border, PLACES)),
    )


def _ledger(
    config: FinetuneDetectionConfig, training: Composer, heldout: Composer, backgrounds: Path | None
) -> dict[str, Any]:
    """What the weights come from; `init` is for the first weights."""
    files = sorted(path for path in backgrounds.rglob("*") if path.is_file()) if backgrounds is not None else []
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    packages = sorted({file.stem.partition("_")[0] for file in files})
    return {
        "cutouts": len(training.chosen) + len(heldout.chosen),
        "people": config.cutouts.people,
        "body_models": "anny-body, anny-hand",
        "photographs": len(files),
        "photographs_from": packages,
        "photographs_sha256": digest.hexdigest() if files else None,
        "init": None,
    }


def _refuse_other_data(begun: Mapping[str, Any], ledger: Mapping[str, Any], last: Path) -> None:
    """Refuse to go on with other people or photographs: the ledger would tell of the new ones alone.

    Raises:
        InputError: if the ledgers tell of different ones.
    """
    for what in ("people", "cutouts", "photographs", "photographs_sha256"):
        if begun[what] != ledger[what]:
            raise InputError(
                f"{last}: was begun with other data ({what}: {begun[what]}, now {ledger[what]}); give the same "
                f"--backgrounds and --cutouts, or begin a new run with --init {last}"
            )


def _summary(
    config: FinetuneDetectionConfig,
    result: TrainResult,
    figures: dict[str, float],
    ledger: dict[str, Any],
    out: Path,
    device: str,
    precision: str,
) -> dict[str, Any]:
    return {
        "command": "finetune detection",
        "version": __version__,
        "licence": "Apache-2.0",
        "out": str(out),
        "recipe": config.recipe,
        "subject": config.task.pictures.subject,
        "device": device,
        "precision": precision,
        "pictures_per_second": result.samples_per_second,
        "weights": str(out / WEIGHTS),
        "data": ledger,
        "config": to_dict(config),
        **outcome(result, (), ()),
        "figures": figures,  # of the finished detector, not of the log
    }
