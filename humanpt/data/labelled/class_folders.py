"""Pictures with one class each: a folder per class, or a table.

A folder per class is `ROOT/CLASS/picture.jpg`, at any depth below the class; with splits it is
`ROOT/train/CLASS/picture.jpg`. A table is a CSV file with a header, the columns `image` and `label`, and if wanted
`split`, `side` (left or right) and `group`; pictures are named relative to the table. Pictures of one group, such as
one person or one recording, are never parted; without that column each picture is a group of its own.

Letters: N pictures.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from humanpt.data.clips import PICTURE_ENDINGS
from humanpt.data.image import Rgb, read_image
from humanpt.data.records import SIDES, Side
from humanpt.errors import InputError

SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Names of splits, and the folders that hold them."""

Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One picture of the table."""

    name: str
    path: Path
    label: str
    group: str
    side: Side


class ClassSet:
    """Pictures with one class each, found and named; a picture is read when it is asked for. Pickles.

    Attributes:
        root: the folder or table that it was opened from.
        part: the split that it is of, "all" for all pictures.
        class_names: the classes, sorted.
        labels: (N,) int64 indices into `class_names`.
        groups: (N,) int64 numbers from 0 of what a split never parts.
        sides: N sides of hands, "unknown" where nobody says.
        paths: N picture files.
    """

    def __init__(self, root: Path, part: str, class_names: Sequence[str], rows: Sequence[_Row]) -> None:
        self.root = root
        self.part = part
        self.class_names = tuple(class_names)
        number = {name: k for k, name in enumerate(self.class_names)}
        self.labels: Indices = np.array([number[row.label] for row in rows], np.int64)
        self.groups = _numbered(row.group for row in rows)
        self.sides: tuple[Side, ...] = tuple(row.side for row in rows)
        self.paths = tuple(row.path for row in rows)
        self._names = tuple(row.name for row in rows)

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """The picture's path relative to the root; unique, and the same at every reading."""
        return self._names[index]

    def picture(self, index: int) -> Rgb:
        """(H, W, 3) uint8, the whole picture.

        Raises:
            InputError: if it is missing or damaged.
        """
        return read_image(self.paths[index])

    def split(self, heldout_share: float, seed: int) -> tuple[Indices, Indices]:
        """Part the pictures by whole groups, each class as near to its share as its groups allow.

        A class with two or more groups has pictures on both sides wherever the share is above 0. The same set and
        seed give the same split.

        Args:
            heldout_share: wanted share of the pictures, from 0 to below 1.
            seed: from 0.

        Returns:
            Sorted indices (T,) of training and (H,) of held-out pictures.
        """
        if not 0 <= heldout_share < 1:
            raise ValueError(f"heldout_share is {heldout_share}, must be from 0 to below 1")
        chosen: list[int] = []
        for groups in self._shuffled(seed) if heldout_share else ():
            count = min(max(1, round(heldout_share * len(groups))), len(groups) - 1)
            chosen.extend(groups[:count])
        held_out = np.isin(self.groups, chosen)
        return np.flatnonzero(~held_out), np.flatnonzero(held_out)

    def fold(self, number: int, folds: int, seed: int) -> tuple[Indices, Indices]:
        """Fold `number` of `folds`: every picture is held out in exactly one of them, by whole groups, class by class.

        Returns:
            Sorted indices (T,) of training and (H,) of held-out pictures.

        Raises:
            InputError: if there are fewer groups than folds.
        """
        if not 0 <= number < folds or folds < 2:
            raise ValueError(f"fold {number} of {folds}; folds are at least 2 and counted from 0")
        groups = len(np.unique(self.groups))
        if folds > groups:
            raise InputError(f"{self.root}: {groups} groups of pictures cannot make {folds} folds; ask for fewer")
        dealt = [group for groups in self._shuffled(seed) for group in groups]  # dealt out in turn, class after class
        held_out = np.isin(self.groups, dealt[number::folds])
        return np.flatnonzero(~held_out), np.flatnonzero(held_out)

    def _shuffled(self, seed: int) -> list[list[int]]:
        """The groups of each class, shuffled; a group of several classes goes with its first picture's."""
        firsts, where = np.unique(self.groups, return_index=True)
        of_class = self.labels[where]
        rng = np.random.default_rng(seed)
        return [rng.permutation(firsts[of_class == label]).tolist() for label in range(len(self.class_names))]


def open_classes(root: Path, split: str | None = None) -> ClassSet:
    """Open a folder per class, or a table.

    Args:
        root: the folder, or a CSV file.
        split: "train", "val" or "test" takes the pictures of that split alone, "all" those of all; None takes the one
            for training where there are splits. Classes are those of all splits, so that their numbers agree.

    Raises:
        InputError: if nothing is there, a class has no pictures, there is only one class, the table lacks a column or
            names a missing picture, or there is no such split.
    """
    if split not in (None, "all", *SPLITS):
        raise InputError(f"{root}: no split {split!r} is known; take one of {', '.join(SPLITS)} or all")
    by_split = _by_split(root)
    every = [row for rows in by_split.values() for row in rows]
    class_names = sorted({row.label for row in every})
    if not every:
        raise InputError(f"{root}: no pictures; lay them in a folder per class, such as {root / 'fist' / '1.jpg'}")
    if len(class_names) == 1:
        raise InputError(f"{root}: only one class, {class_names[0]}; a classifier needs pictures of two or more")
    if split is None:
        split = "all" if "" in by_split else "train"
    if split != "all" and split not in by_split:
        there = ", ".join(name or "none" for name in by_split)
        raise InputError(f"{root}: no pictures of the split {split!r} (splits here: {there}); take another or all")
    return ClassSet(root, split, class_names, every if split == "all" else by_split[split])


def evaluation_split(root: Path) -> str | None:
    """The split of a folder or table that is for evaluation: "test", else "val"; None where it has neither.

    Raises:
        InputError: as `open_classes`.
    """
    by_split = _by_split(root)
    return next((split for split in ("test", "val") if split in by_split), None)


def _by_split(root: Path) -> dict[str, list[_Row]]:
    """The pictures by split, "" where there are none."""
    if root.suffix.lower() == ".csv":
        return _read_table(root)
    if root.is_dir():
        return _read_folders(root)
    raise InputError(f"{root}: no such folder of classes; give a folder with a folder per class, or a CSV file")


def _read_folders(root: Path) -> dict[str, list[_Row]]:
    """The pictures by split, "" where the folders are classes and not splits."""
    folders = _folders(root)
    split_of = {alias: split for split, aliases in SPLITS.items() for alias in aliases}
    if folders and all(folder.name.lower() in split_of for folder in folders):
        by_split: dict[str, list[_Row]] = {}
        for folder in folders:
            by_split.setdefault(split_of[folder.name.lower()], []).extend(_read_classes(root, folder))
        return by_split
    return {"": _read_classes(root, root)}


def _read_classes(root: Path, parent: Path) -> list[_Row]:
    """The pictures in the classes of one folder, in order of their paths."""
    rows: list[_Row] = []
    for folder in _folders(parent):
        pictures = [path for path in sorted(folder.rglob("*")) if _is_picture(path, root)]
        if not pictures:
            raise InputError(f"{folder}: a class without pictures; add some, or remove the folder")
        for path in pictures:
            name = path.relative_to(root).as_posix()
            rows.append(_Row(name=name, path=path, label=folder.name, group=name, side="unknown"))
    return rows


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))


def _is_picture(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.suffix.lower() in PICTURE_ENDINGS and not hidden and path.is_file()


def _read_table(table: Path) -> dict[str, list[_Row]]:
    """The rows of a table by split, "" where it tells none."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns, lines = reader.fieldnames or (), [(reader.line_num, line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: cannot be read ({error}); give a CSV file in UTF-8") from None
    for needed in ("image", "label"):
        if needed not in columns:
            raise InputError(f"{table}: no column {needed!r}; the first line must name the columns image and label")
    by_split: dict[str, list[_Row]] = {}
    seen: set[str] = set()
    for number, line in lines:
        split, row = _read_line(table, number, line)
        if row.name in seen:
            raise InputError(f"{table}: line {number}: {row.name} comes twice; give each picture one label")
        seen.add(row.name)
        by_split.setdefault(split, []).append(row)
        if len(by_split) > 1 and "" in by_split:
            raise InputError(f"{table}: line {number}: some lines tell a split and others none; tell it in all or none")
    return by_split


def _read_line(table: Path, number: int, line: dict[str, str | None]) -> tuple[str, _Row]:
    """The split and the picture that one line of a table tells."""
    told = {column: (line.get(column) or "").strip() for column in ("image", "label", "split", "side", "group")}
    where = f"{table}: line {number}"
    if not told["image"] or not told["label"]:
        raise InputError(f"{where}: no {'label' if told['image'] else 'image'}; fill it in, or remove the line")
    path = table.parent / told["image"]
    if not path.is_file():
        raise InputError(f"{where}: no picture {path}; check the path, which is relative to the table")
    side = told["side"].lower() or "unknown"
    if side not in SIDES:
        raise InputError(f"{where}: side is {told['side']!r}; write left, right or nothing")
    aliases = [split for split, names in SPLITS.items() if told["split"].lower() in names]
    if told["split"] and not aliases:
        raise InputError(f"{where}: split is {told['split']!r}; write train, val, test or nothing")
    row = _Row(
        name=told["image"],
        path=path,
        label=told["label"],
        group=told["group"] or told["image"],
        side=cast("Side", side),
    )
    return (aliases[0] if aliases else ""), row


def _numbered(names: Iterable[str]) -> Indices:
    """(N,) the number of each name, counted by first appearance."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
