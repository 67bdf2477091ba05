"""Pictures of people and hands with labels: readers by name, one record.

Each data set has a file of its own with a function `open_set(root, split)`, which finds and checks the files below
`root` and returns a `LabelledSet`; it is imported when the set is opened. `record.py` says what a label is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from humanpt.data.labelled.record import LabelledSet
from humanpt.data.records import SubjectKind
from humanpt.errors import InputError

__all__ = ["READERS", "LabelledSet", "Reader", "find_data", "open_labelled", "recognised"]

OpenSet = Callable[[Path, str | None], LabelledSet]


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A data set that can be read."""

    module: str
    """The file of this folder that reads it."""
    subjects: tuple[SubjectKind, ...]
    """What is labelled in it."""
    marks: tuple[str, ...]
    """Patterns of files below its folder; where one is found, the folder is taken for this data set."""


READERS = {
    "generated": Reader(module="generated", subjects=("body", "hand"), marks=("*.h5", "*/*.h5")),
    "freihand": Reader(module="freihand", subjects=("hand",), marks=("training_xyz.json", "evaluation_K.json")),
    "ho3d-v2": Reader(module="ho3d", subjects=("hand",), marks=("train/*/rgb/*.png", "evaluation/*/rgb/*.png")),
    "ho3d-v3": Reader(module="ho3d", subjects=("hand",), marks=("train/*/rgb/*.jpg", "evaluation/*/rgb/*.jpg")),
    "interhand": Reader(
        module="interhand",
        subjects=("hand",),
        marks=("*_interhand2.6m_data.json", "annotations/**/InterHand2.6M_*_data.json"),
    ),
    "dexycb": Reader(
        module="dexycb", subjects=("hand",), marks=("*-subject-*/*/meta.yml", "calibration/mano_*/mano.yml")
    ),
    "3dpw": Reader(module="threedpw", subjects=("body",), marks=("sequenceFiles/*/*.pkl",)),
    "emdb": Reader(module="emdb", subjects=("body",), marks=("P*/*/*_data.pkl",)),
    "agora": Reader(module="agora", subjects=("body",), marks=("agora*.npz",)),
    "bedlam": Reader(module="bedlam", subjects=("body",), marks=("all_npz_12_*/*.npz", "*/all_npz_12_*/*.npz")),
}
"""The data sets by name, in the order in which a folder is looked at."""


def open_labelled(spec: str, split: str | None = None, *, subject: SubjectKind) -> LabelledSet:
    """Open a data set of labelled people or hands.

    Args:
        spec: NAME:ROOT with a name of `READERS`, such as "freihand:/data/FreiHAND"; or a folder alone, which is
            recognised by its files.
        split: the part of it, by the name that its owners use; None takes the one for training, or all.
        subject: whether people or hands are wanted.

    Raises:
        InputError: if there is no such data set, folder or split, a part of it is missing, or it shows another subject.
        ShardError: if a shard of generated pairs is damaged.
    """
    name, root = find_data(spec)
    reader = READERS[name]
    if subject not in reader.subjects:
        fitting = ", ".join(other for other, known in READERS.items() if subject in known.subjects)
        raise InputError(f"{spec}: {name} has labels of a {reader.subjects[0]}; for a {subject} give one of {fitting}")
    open_set = cast("OpenSet", import_module(f"humanpt.data.labelled.{reader.module}").open_set)
    data = open_set(root, split)
    if data.layout.subject != subject:
        raise InputError(f"{spec}: has labels of a {data.layout.subject}, not of a {subject}; give another folder")
    if data.layout.dataset != name:
        raise InputError(f"{spec}: holds {data.layout.dataset}, not {name}; give {data.layout.dataset}:{root}")
    return data


def find_data(spec: str) -> tuple[str, Path]:
    """As `recognised`, among `READERS`."""
    return recognised(spec, {name: reader.marks for name, reader in READERS.items()})


def recognised(spec: str, marks: Mapping[str, Sequence[str]]) -> tuple[str, Path]:
    """The name of the data set and the folder that a user's words stand for.

    Args:
        spec: NAME:ROOT, or a folder alone.
        marks: the data sets that there may be, each with patterns of files below its folder, in the order in which a
            folder is looked at; one of them is "generated".

    Raises:
        InputError: if there is no such folder, or it holds the files of no known data set.
    """
    name, colon, place = spec.partition(":")
    if colon and name in marks:
        return name, Path(place).expanduser()
    root = Path(spec).expanduser()
    known = ", ".join(marks)
    if not root.exists():
        raise InputError(f"{spec}: no such folder; give a folder, or NAME:FOLDER with a name of {known}")
    if root.is_file() and root.suffix == ".h5":
        return "generated", root
    for name, patterns in marks.items():
        if any(next(root.glob(pattern), None) for pattern in patterns):
            return name, root
    raise InputError(f"{spec}: holds the files of no known data set; give NAME:FOLDER with a name of {known}")
