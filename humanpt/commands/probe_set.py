"""The generated pictures that a probe looks at: made once on each machine, kept, and used by every run."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from humanpt import __version__
from humanpt.body.files import cache_folder
from humanpt.commands import mkpairs
from humanpt.commands.from_people import PeopleMaker
from humanpt.commands.parts import WORK
from humanpt.data.people.config import PeopleConfig
from humanpt.data.shards import PairSet
from humanpt.detect.detector import Subject
from humanpt.engine.report import Report
from humanpt.errors import InputError, OutputError, ShardError
from humanpt.tasks.probe import ProbeConfig
from humanpt.workers import cores


def probe_pairs(subject: Subject, config: ProbeConfig, report: Report) -> PairSet:
    """The pairs of a probe, generated now if they are not kept yet; an interrupted generation goes on where it was.

    They depend on the subject, the number, the seed and the version alone. Who asks while another process makes them
    waits for it. Kept ones that are damaged are made again.

    Raises:
        OutputError: if they cannot be kept.
        InputError: if not all of them could be made.
        ValueError: if the probe is turned off.
    """
    if not config.pictures:
        raise ValueError("the probe is turned off: it has no pictures")
    folder = probe_folder(subject, config)
    try:
        with _alone(folder.with_name(f"{folder.name}.lock")):
            kept = _kept(folder, config)
            if kept is not None:
                return kept
            if (folder / mkpairs.SUMMARY).is_file():
                report.note(f"{folder}: damaged or incomplete; making the pictures of the probe again")
            _generate(folder, subject, config, report)
            kept = _kept(folder, config)
    except (OSError, OutputError) as error:
        raise OutputError(
            f"{folder}: the pictures of the probe cannot be kept there ({error}); set HUMANPT_CACHE to a folder that "
            "can be written, or go without by probe.pictures=0"
        ) from None
    if kept is None:
        raise InputError(
            f"{folder}: not all pictures of the probe could be made ({mkpairs.SUMMARY} there says why); try again with "
            "more memory free, or go without by probe.pictures=0"
        )
    return kept


def probe_folder(subject: Subject, config: ProbeConfig) -> Path:
    """Where the pairs of a probe are kept."""
    return cache_folder() / "probe" / f"{subject}-{config.pictures}-seed-{config.seed}-{__version__}"


def _kept(folder: Path, config: ProbeConfig) -> PairSet | None:
    """The pairs in a folder, if they are all there and sound."""
    if not (folder / mkpairs.SUMMARY).is_file():
        return None
    try:
        pairs = PairSet.open([folder])
    except (ShardError, InputError):
        return None
    return pairs if len(pairs) == config.pictures // 2 else None


def _generate(folder: Path, subject: Subject, config: ProbeConfig, report: Report) -> None:
    report.note(f"generating {config.pictures} pictures for the probe, once, in {folder}")
    unfinished = (folder / WORK).is_dir()
    mkpairs.run(
        PeopleMaker(config=PeopleConfig(subject=subject, count=config.pictures // 2, seed=config.seed)),
        folder,
        mkpairs.MkpairsConfig(workers=cores()),
        report,
        resume=unfinished,
        overwrite=not unfinished,
    )


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other process is inside; the lock ends with its process, however that ends."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
