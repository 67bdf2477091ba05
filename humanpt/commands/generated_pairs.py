"""Pairs for who has none: generated once, kept, and used again."""

from __future__ import annotations

from pathlib import Path

from humanpt.commands import mkpairs
from humanpt.commands.from_people import PeopleMaker
from humanpt.commands.parts import WORK
from humanpt.data.people.config import PeopleConfig
from humanpt.data.shards import PairSet
from humanpt.detect.detector import Subject
from humanpt.engine.report import Report
from humanpt.errors import InputError
from humanpt.workers import cores

COUNT = 1000
USUAL = Path("pairs")


def pairs_at_hand(subject: Subject, report: Report) -> Path:
    """The folder `pairs` if it holds pairs of the subject, else a folder of generated ones, made now if need be.

    Raises:
        ShardError: if a shard in `pairs` is damaged.
        OutputError: if the generated pairs cannot be written.
    """
    try:
        PairSet.open([USUAL], subject_kind=subject)
    except InputError:
        report.note(f"no pairs of a {subject} in {USUAL}")
        return generated_pairs(subject, report)
    return USUAL


def generated_pairs(subject: Subject, report: Report) -> Path:
    """A folder of generated pairs with exact truth, made now if need be.

    Raises:
        OutputError: if they cannot be written.
    """
    folder = Path(f"generated-{subject}-pairs")
    if (folder / mkpairs.SUMMARY).is_file():
        report.note(f"using the generated ones in {folder}")
        return folder
    report.note(f"generating {COUNT} in {folder}; --data names your own")
    mkpairs.run(
        PeopleMaker(config=PeopleConfig(subject=subject, count=COUNT)),
        folder,
        mkpairs.MkpairsConfig(workers=cores()),
        report,
        resume=(folder / WORK).is_dir(),
    )
    return folder
