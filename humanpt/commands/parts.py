"""Pairs made part by part, each part in a process of its own, so that neither a crash nor Ctrl-C loses what is done.

A part leaves a small shard and a note in `OUT/.mkpairs/`; parts are put into groups by size before anything is made,
and when a group's parts are all done they are joined, in order, into the group's shard. So the result depends on
neither the number of workers nor on interruptions, and resuming means doing what has no note yet.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from humanpt import __version__
from humanpt.commands.maker import Maker, Part
from humanpt.config import to_dict
from humanpt.data.harvest import Harvest, content_hash
from humanpt.data.shards import ShardReader, ShardWriter
from humanpt.engine.report import Report
from humanpt.errors import OutputError
from humanpt.files import cannot_write, write_json
from humanpt.workers import Ended, Tell, run_jobs

WORK = ".mkpairs"
PLAN = "plan.json"
SHARD = "pairs-{:05d}.h5"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which parts make which shard."""

    maker: Maker
    parts: tuple[Part, ...]
    groups: tuple[tuple[int, ...], ...]
    """Numbers of the parts of each shard."""
    out: Path
    """Where the shards go."""

    @classmethod
    def of(cls, maker: Maker, parts: Sequence[Part], out: Path, shard_bytes: int) -> Plan:
        """Group the parts, in order, until their sizes come to `shard_bytes`."""
        groups: list[list[int]] = [[]]
        size = 0
        for number, part in enumerate(parts):
            if groups[-1] and size >= shard_bytes:
                groups.append([])
                size = 0
            groups[-1].append(number)
            size += part.size
        return cls(maker=maker, parts=tuple(parts), groups=tuple(map(tuple, groups)), out=out)

    @property
    def work(self) -> Path:
        """The folder of what is under way."""
        return self.out / WORK

    def shards(self) -> list[Path]:
        """The shards that are there."""
        return sorted(self.out.glob("pairs-*.h5"))

    def notes(self) -> list[dict[str, Any]]:
        """What every part gave."""
        return [read_note(_note(self.work, number)) for number in range(len(self.parts))]

    def promise(self, shard_bytes: int) -> dict[str, Any]:
        """What a resumed run must find unchanged."""
        file = self.maker.settings_file
        promise = {
            "version": __version__,
            "settings": to_dict(self.maker.config) | {"shard_bytes": shard_bytes},
            "detector": content_hash(file) if file else None,
            f"{self.maker.noun}s": [[part.name, part.size] for part in self.parts],
        }
        return dict(json.loads(json.dumps(promise)))  # as it will be read


def make_all(plan: Plan, workers: int, report: Report) -> list[int]:
    """Make every part that has no note yet, sealing each group's shard when its last part is done; their numbers.

    Raises:
        OutputError: if the results cannot be written.
        KeyboardInterrupt: on Ctrl-C, after a line that says how to go on.
    """
    missing = [number for number in range(len(plan.parts)) if not _note(plan.work, number).is_file()]
    noun = plan.maker.noun
    report.stage(f"{len(plan.parts)} {noun}s", plan.maker.total, plan.maker.unit)
    if len(missing) < len(plan.parts):
        report.note(f"{len(plan.parts) - len(missing)} of {len(plan.parts)} {noun}s were done before")
    for group in range(len(plan.groups)):
        _seal(plan, group)
    try:
        _run(plan, missing, workers, report)
    except KeyboardInterrupt:
        done = sum(_note(plan.work, number).is_file() for number in range(len(plan.parts)))
        report.note(
            f"stopped after {done} of {len(plan.parts)} {noun}s; the same command with --resume goes on from here"
        )
        raise
    return missing


def _run(plan: Plan, missing: Sequence[int], workers: int, report: Report) -> None:
    group_of = {number: group for group, members in enumerate(plan.groups) for number in members}
    jobs = run_jobs(
        partial(_make_one, maker=plan.maker, work=plan.work),
        [(number, plan.parts[number]) for number in missing],
        workers,
        plan.maker.preload,
    )
    done = len(plan.parts) - len(missing)
    shown = f"{plan.maker.noun}s"
    try:
        for event in jobs:
            if isinstance(event, Ended):
                number, part = event.job
                if event.problem is not None:
                    problem = event.problem if part.name in event.problem else f"{part.name}: {event.problem}"
                    write_json(_note(plan.work, number), dataclasses.asdict(Harvest(name=part.name, problem=problem)))
                    report.note(problem)
                done += 1
                report.advance(0, **{shown: done})
                _seal(plan, group_of[number])
            else:
                report.advance(event.amount, **{shown: done})
    finally:
        jobs.close()


def _make_one(job: tuple[int, Part], tell: Tell, *, maker: Maker, work: Path) -> None:
    """What a worker process does."""
    number, part = job
    result = maker.make(part, _part(work, number), tell)
    write_json(_note(work, number), dataclasses.asdict(result))


def _seal(plan: Plan, group: int) -> None:
    """Join the parts of a group into its shard, once all of its parts are done and if it is not there yet."""
    members, shard = plan.groups[group], plan.out / SHARD.format(group)
    if shard.exists() or not all(_note(plan.work, number).is_file() for number in members):
        return
    parts = [part for number in members if (part := _part(plan.work, number)).is_file()]
    filled = []
    for part in parts:
        reader = ShardReader(part)
        reader.release()  # each mapped file holds a descriptor, and there may be thousands of parts
        if len(reader):
            filled.append(reader)
    if filled:
        with ShardWriter(
            shard,
            subject_kind=plan.maker.subject,
            crop_size=filled[0].crop_size,
            config=to_dict(plan.maker.config),
            sources=[source for reader in filled for source in reader.sources],
            truth=filled[0].truth,
        ) as writer:
            first_source = 0
            for reader in filled:
                for row in range(len(reader)):
                    writer.append(reader.record(row).moved(first_source))
                first_source += len(reader.sources)
                reader.release()
    for part in parts:
        part.unlink()


def _part(work: Path, number: int) -> Path:
    return work / f"{number:06d}.h5"


def _note(work: Path, number: int) -> Path:
    return work / f"{number:06d}.json"


def read_note(path: Path) -> dict[str, Any]:
    """A note of ours from an earlier session.

    Raises:
        OutputError: if it is damaged.
    """
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        document = None
    if not isinstance(document, dict):
        raise OutputError(f"{path}: is damaged; --overwrite starts again")
    return document


def prepare(
    plan: Plan,
    promise: dict[str, Any],
    finished: Sequence[str],
    check: Callable[[], None],
    *,
    resume: bool,
    overwrite: bool,
) -> None:
    """See that `out` may be written, and leave there what a resumed run must find unchanged.

    Args:
        plan: what will be made.
        promise: as `Plan.promise` gives it.
        finished: names of the files beside the shards that a finished run leaves, the summary first.
        check: raises, before anything is overwritten, if none of the parts can be made.
        resume: go on with what is there.
        overwrite: remove what is there.

    Raises:
        OutputError: if `out` is not empty, was begun otherwise or holds what is not ours.
    """
    out, promised = plan.out, plan.work / PLAN
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file; --out names a folder")
    held = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if overwrite:
        if held:
            check()
        _clear(out, finished)
    elif resume and promised.is_file():
        earlier = read_note(promised)
        for what, now in promise.items():
            if earlier.get(what) != now:
                raise OutputError(
                    f"{out}: was begun with other {what}; --overwrite starts again, another --out keeps it"
                )
    elif resume and finished[0] in held:
        raise OutputError(f"{out}: is complete, there is nothing to resume; --overwrite starts again")
    elif resume and held:
        raise OutputError(f"{out}: holds no interrupted run; choose another --out, or leave out --resume")
    elif held - {finished[0]}:  # a summary alone: nothing was found
        raise OutputError(
            f"{out}: is not empty; add --resume to go on, --overwrite to start again, or choose another --out"
        )
    write_json(promised, promise)


def _clear(out: Path, finished: Sequence[str]) -> None:
    """Remove what mkpairs writes, and refuse to touch a folder that holds anything else."""
    if not out.exists():
        return
    known = "|".join(map(re.escape, finished))
    names = re.compile(rf"pairs-\d{{5,}}\.h5|{known}|{re.escape(WORK)}|\.(pairs-\d{{5,}}\.h5|{known})\.partial")
    strangers = sorted(path.name for path in out.iterdir() if not names.fullmatch(path.name))
    if strangers:
        raise OutputError(f"{out}: holds {strangers[0]}, which mkpairs did not write; choose another --out")
    try:
        for path in list(out.iterdir()):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error
