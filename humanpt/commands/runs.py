"""What commands that train have in common: the folders of their runs, and the workers that make their batches."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from humanpt.config import field_names
from humanpt.data.order import StreamBatches
from humanpt.data.worker_memory import PREFETCH
from humanpt.engine.checkpoint import Header, read_header
from humanpt.engine.distributed import World
from humanpt.engine.loop import BEST, LAST, LOG, TrainResult
from humanpt.engine.loop_config import LoopConfig
from humanpt.engine.report import Report
from humanpt.engine.run_folder import LOCK
from humanpt.engine.runtime import leave_signals_to_the_parent
from humanpt.errors import CheckpointError, InputError, OutputError
from humanpt.files import exists, is_partial
from humanpt.pages.figures import newest_figures

CONFIG = "config.json"
SUMMARY = "summary.json"
RUNS = Path("runs")
CHANGES_NOTHING = (
    *("steps", "epochs", "log_every", "eval_every", "eval_first", "save_every", "save_seconds", "tensorboard"),
    *("parallel", "accumulate", "workers", "threads", "compile", "checkpoint_activations"),
)
"""Settings that may change on resuming: the samples and the weights to come stay the same, but for rounding."""

Sample = TypeVar("Sample")
Made = TypeVar("Made")


def new_run(name: str) -> Path:
    """The next free folder of that name under runs/."""
    return RUNS / f"{name}-{max((number for number, _ in _numbered(name)), default=0) + 1}"


def newest_run(name: str) -> Path:
    """The newest run of that name under runs/ that has a checkpoint.

    Raises:
        InputError: if there is none.
    """
    found = [(number, folder) for number, folder in _numbered(name) if (folder / LAST).is_file()]
    if not found:
        raise InputError(f"{RUNS}/: no run {name}-N to resume; name it with --out")
    return max(found)[1]


def refuse_used(out: Path, also: frozenset[str] = frozenset()) -> None:
    """Refuse a folder that holds anything but what a run leaves that stopped before its first save.

    Args:
        out: the run's folder.
        also: names of what else such a run leaves.

    Raises:
        OutputError: if it holds anything else, or is a file.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file; --out names a folder")
    left = {CONFIG, LOG, LOCK, "tensorboard", *also}
    names = {path.name for path in out.iterdir()} - left if out.is_dir() else set()
    held = sorted(name for name in names if not is_partial(name))
    if LAST in held:
        raise OutputError(f"{out}: it already holds a run; go on with it by --resume, or choose another --out")
    if held:
        raise OutputError(f"{out}: is not empty (it holds {held[0]}); choose another --out")


def checkpoint_of(run: Path) -> Path:
    """What a path stands for: of the folder of a run its best checkpoint, or its last without one; else itself."""
    if not run.is_dir():
        return run
    return run / BEST if (run / BEST).is_file() else run / LAST


def header_to_resume(out: Path) -> Header:
    """The header of the checkpoint that a run goes on from.

    Args:
        out: the run's folder.

    Raises:
        InputError: if there is no such folder.
        CheckpointError: if it has no checkpoint, or a damaged one.
    """
    if not exists(out):
        raise InputError(f"{out}: no such folder to resume; check --out, or start a run there without --resume")
    if not (out / LAST).is_file():
        raise CheckpointError(f"{out}: holds no {LAST}, so nothing was saved there yet; start again without --resume")
    return read_header(out / LAST)


def outcome(result: TrainResult, log: Sequence[Mapping[str, Any]], warnings: Sequence[str]) -> dict[str, Any]:
    """What a summary tells of how training went.

    Args:
        result: of it.
        log: the run's log.
        warnings: of the command; those of training follow.
    """
    return {
        "steps": result.steps,
        "interrupted": result.interrupted,
        "stopped_by": result.stopped_by,
        "warnings": [*warnings, *result.warnings],
        "seconds": result.seconds,
        "figures": newest_figures(log),
        "measured_step": max((line["step"] for line in log if "heldout_loss" in line), default=None),
        "best_loss": result.best_loss,
        "best_step": result.best_step,
        "best_by": result.best_by,
        "last": str(result.last),
        "best": str(result.best) if result.best else None,
        "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def make_batches(
    samples: Dataset[Sample],
    collate: Callable[[list[Sample]], Made],
    loop: LoopConfig,
    workers: int,
    world: World,
    first_step: int,
) -> Iterator[Made]:
    """This process's batches of a stream of samples from a step on; see `engine.task.Batches`.

    Closing the iterator, or an error from it, ends the processes that read.

    Args:
        samples: sample p of which is what stands at stream position p.
        collate: makes a batch of samples.
        loop: size of a step, and the batches it is made of.
        workers: processes that read; 0 reads in this one.
        world: the processes that share a step.
        first_step: the first step wanted, from 0.
    """
    loader: DataLoader[Any] = DataLoader(
        samples,
        batch_sampler=StreamBatches(
            loop.batch_size,
            start_step=first_step,
            rank=world.rank,
            world_size=world.size,
            accumulate=loop.accumulate,
        ),
        num_workers=workers,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=leave_signals_to_the_parent,
        prefetch_factor=PREFETCH if workers else None,
    )
    yield from batches_of(loader)


def batches_of(loader: DataLoader[Any]) -> Generator[Any]:
    """A loader's batches; closing the generator, or an error from it, ends the processes that read."""
    stream: Any = iter(loader)
    try:
        yield from stream
    finally:
        if loader.num_workers:  # an error's traceback would keep them, and deaf to signals they would keep the program
            stream._shutdown_workers()


def tell_changes(begun: Any, config: Any, report: Report) -> None:
    """Say what a resumed run does otherwise than it was begun, but for its length."""
    changed = [name for name in field_names(config) if _value(begun, name) != _value(config, name)]
    if changed := [name for name in changed if name.removeprefix("loop.") not in CHANGES_NOTHING]:
        report.note(f"changed on resuming: {', '.join(changed)}; the run is no longer the one that it was begun as")


def _value(config: Any, name: str) -> Any:
    return reduce(getattr, name.split("."), config)


def _numbered(name: str) -> list[tuple[int, Path]]:
    pattern = re.compile(re.escape(f"{name}-") + r"(\d+)")
    return [(int(match[1]), folder) for folder in RUNS.glob("*") if (match := pattern.fullmatch(folder.name))]
