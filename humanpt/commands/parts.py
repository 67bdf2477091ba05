"""Pairs made part by part, each part in a process of its own, so that neither a crash nor Ctrl-C loses what is done.

A part leaves a small shard and a note in `OUT/.mkpairs/`; parts are put into groups by size before anything is made,
and when a group's parts are all done they are joined, in order, into the group's shard. So the result depends on
neither the number of workers or machines nor on interruptions, and resuming means doing what has no note yet.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Generator, Iterable, Sequence
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
from humanpt.errors import ConfigError, OutputError
from humanpt.files import write_json, write_whole
from humanpt.workers import Ended, Progress, Tell, run_jobs

WORK = ".mkpairs"
PLAN = "plan.json"
SHARD = "pairs-{:05d}.h5"


@dataclass(frozen=True, kw_only=True)
class Share:
    """Part `index` of `count` parts of the work, as one job of a Slurm array takes it."""

    index: int
    """Which one, from 1."""
    count: int
    """How many there are."""

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise ConfigError(f"--part is {self.index}/{self.count}; the first number runs from 1 to the second")

    @classmethod
    def parse(cls, text: str) -> Share:
        """Read `I/N`.

        Raises:
            ConfigError: if it is not of that form, or I is not among 1 to N.
        """
        found = re.fullmatch(r"([0-9]+)/([0-9]+)", text.strip())
        if not found:
            raise ConfigError(f"--part is {text!r}; it is I/N, for example 3/8: the third of eight parts")
        return cls(index=int(found[1]), count=int(found[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def of(self, total: int) -> range:
        """The numbers, of `total`, that are this share's: every count-th, so that long and short ones mix."""
        return range(self.index - 1, total, self.count)


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
        return [self.note(number) for number in range(len(self.parts))]

    def note(self, number: int) -> dict[str, Any]:
        """What a part gave."""
        return read_note(_note(self.work, number))

    def missing(self, numbers: Iterable[int]) -> list[int]:
        """Those of the parts that have no note yet."""
        return [number for number in numbers if not _note(self.work, number).is_file()]

    def keep(self, number: int, result: Harvest, shard: bytes | None = None) -> None:
        """Write down what a part gave: its shard if there is one, then its note, the sign that it is done."""
        if shard is not None:
            write_whole(_part(self.work, number), shard)
        write_json(_note(self.work, number), dataclasses.asdict(result))

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


Events = Generator[Progress | Ended[tuple[int, Part]], None, None]
Crew = Callable[[Plan, Sequence[int]], Events]
"""Makes the parts of these numbers, each with its note; a part that ends with a problem is left without one."""


def make_all(plan: Plan, crew: Crew, report: Report, share: Share | None = None) -> list[int]:
    """Make every part that has no note yet, sealing each group's shard when its last part is done; their numbers.

    Args:
        plan: what is made.
        crew: who makes it.
        report: told how far it is.
        share: make these parts alone and seal nothing, as others work on the rest.

    Raises:
        OutputError: if the results cannot be written.
        KeyboardInterrupt: on Ctrl-C, after a line that says how to go on.
    """
    asked = share.of(len(plan.parts)) if share else range(len(plan.parts))
    missing = plan.missing(asked)
    shown, told = f"{plan.maker.noun}s", f" of part {share}" if share else ""
    report.stage(f"{len(asked)} {shown}{told}", None if share else plan.maker.total, plan.maker.unit)
    if len(missing) < len(asked):
        report.note(f"{len(asked) - len(missing)} of {len(asked)} {shown} were done before")
    if share is None:
        for group in range(len(plan.groups)):
            _seal(plan, group)
    try:
        _run(plan, asked, missing, crew, report, seal=share is None)
    except KeyboardInterrupt:
        done = len(asked) - len(plan.missing(asked))
        again = "again" if share else "with --resume"
        report.note(f"stopped after {done} of {len(asked)} {shown}; the same command {again} goes on from here")
        raise
    return missing


def _run(plan: Plan, asked: Sequence[int], missing: Sequence[int], crew: Crew, report: Report, *, seal: bool) -> None:
    group_of = {number: group for group, members in enumerate(plan.groups) for number in members}
    events = crew(plan, missing)
    done = len(asked) - len(missing)
    shown = f"{plan.maker.noun}s"
    try:
        for event in events:
            if isinstance(event, Ended):
                number, part = event.job
                if event.problem is not None:
                    problem = event.problem if part.name in event.problem else f"{part.name}: {event.problem}"
                    plan.keep(number, Harvest(name=part.name, problem=problem))
                    report.note(problem)
                done += 1
                report.advance(0, **{shown: done})
                if seal:
                    _seal(plan, group_of[number])
            else:
                report.advance(event.amount, **{shown: done})
    finally:
        events.close()


def here(workers: int) -> Crew:
    """A crew of processes of this machine, at most `workers` at once."""

    def crew(plan: Plan, numbers: Sequence[int]) -> Events:
        return run_jobs(
            partial(_make_one, maker=plan.maker, work=plan.work),
            [(number, plan.parts[number]) for number in numbers],
            workers,
            plan.maker.preload,
        )

    return crew


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
