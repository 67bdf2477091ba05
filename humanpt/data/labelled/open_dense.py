"""Data sets of dense pose by name: generated people and hands, and DensePose-COCO."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from humanpt.data.labelled import READERS, recognised
from humanpt.data.labelled.dense import DenseSet
from humanpt.data.pairset import PairSet
from humanpt.data.records import SubjectKind
from humanpt.errors import InputError

MARKS = {
    "generated": READERS["generated"].marks,
    "densepose-coco": ("annotations/densepose_*.json", "densepose_*.json"),
}
"""The data sets, and files by which a folder is recognised as theirs."""


def open_dense(spec: str, split: str | None = None, *, subject: SubjectKind) -> DenseSet:
    """Open a data set with labels of dense pose.

    Args:
        spec: NAME:ROOT with a name of `MARKS`, or a folder alone, which is recognised by its files.
        split: the part of it, by the name that its owners use; None takes the one for training, or all.
        subject: whether people or hands are wanted.

    Raises:
        InputError: if there is no such data set, folder or split, a part of it is missing, or it shows another subject.
        ShardError: if a shard of generated pairs is damaged or has no truth.
    """
    name, root = find_dense(spec)
    data = _OPENERS[name](root, split, subject)
    if data.layout.subject != subject:
        raise InputError(f"{spec}: has labels of a {data.layout.subject}, not of a {subject}; give another folder")
    return data


def find_dense(spec: str) -> tuple[str, Path]:
    """As `recognised`, among `MARKS`."""
    return recognised(spec, MARKS)


def _generated(root: Path, split: str | None, subject: SubjectKind) -> DenseSet:
    if split not in (None, "all"):
        raise InputError(f"{root}: generated pairs have no split {split!r}; leave it out, or make a second folder")
    module = import_module("humanpt.data.labelled.generated_dense")
    data: DenseSet = module.GeneratedDense(PairSet.open([root], subject_kind=subject))
    return data


def _densepose_coco(root: Path, split: str | None, subject: SubjectKind) -> DenseSet:
    data: DenseSet = import_module("humanpt.data.labelled.densepose_coco").open_set(root, split)
    return data


_OPENERS: Mapping[str, Callable[[Path, str | None, SubjectKind], DenseSet]] = {
    "generated": _generated,
    "densepose-coco": _densepose_coco,
}
