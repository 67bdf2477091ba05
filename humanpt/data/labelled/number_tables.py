"""Large JSON files of nothing but numbers in nested lists, such as FreiHAND's, read once and mapped from then on.

FreiHAND's vertices alone are 76 million numbers in one line of text: as Python's lists they would take several
gigabytes. Here the text goes through in pieces, into a file of float32 in humanpt's cache folder that is mapped into
memory; its name follows from the path, size and time of the JSON file, so that a changed one is read again.

Letters: N entries of the outer list.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanpt.body.files import cache_folder
from humanpt.data.labelled.record import Floats
from humanpt.errors import InputError
from humanpt.files import whole_file

PIECE = 1 << 24
"""Bytes of text that are turned into numbers at a time."""


class NumberTable:
    """A table (N, *shape) of float32; it pickles as the path of its file.

    Args:
        path: a .npy file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mapped: NDArray[np.float32] | None = None

    @property
    def rows(self) -> NDArray[np.float32]:
        """The whole table, read-only, mapped at the first look in each process."""
        if self._mapped is None:
            self._mapped = np.load(self.path, mmap_mode="r")
        return self._mapped

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> Floats:
        """A copy of one entry."""
        return np.array(self.rows[row])

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_mapped": None}


def read_table(path: Path, shape: tuple[int, ...], what: str) -> NumberTable:
    """Read a JSON list of N entries that are numbers (shape ()) or nested lists of them.

    Args:
        path: the file, which exists.
        shape: of each entry.
        what: of what an entry has so many, for the message.

    Raises:
        InputError: if it is damaged or has entries of another shape.
        OutputError: if the cache folder cannot be written.
    """
    stat = path.stat()
    key = hashlib.sha256(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns} {shape}".encode()).hexdigest()[:16]
    kept = cache_folder() / "labels" / f"{path.stem}-{key}.npy"
    if not kept.exists():
        numbers, lists = read_numbers(path)
        each = math.prod(shape)
        count, left = divmod(len(numbers), each)
        nested = 1 + count * sum(math.prod(shape[:depth]) for depth in range(len(shape)))
        if left or lists != nested or not count:
            wanted = " x ".join(map(str, shape)) or "one number"
            raise InputError(
                f"{path}: {what} must be {wanted} for each sample, not {len(numbers)} numbers in {lists} lists; "
                "get the file again, or name the data set that it is from"
            )
        with whole_file(kept) as temporary, temporary.open("wb") as file:
            np.save(file, numbers.reshape(count, *shape))
    return NumberTable(kept)


def read_numbers(path: Path) -> tuple[Floats, int]:
    """All numbers of a JSON file in their order, and how many lists there are in it.

    Raises:
        InputError: if it is cut short or has more than numbers in lists.
    """
    pieces: list[Floats] = []
    lists, ended, rest = 0, 0, b""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            lists, ended = lists + piece.count(b"["), ended + piece.count(b"]")
            text = rest + piece.translate(None, b"[] \t\r\n")
            whole, comma, rest = text.rpartition(b",")
            if comma:
                pieces.append(_parse(path, whole))
    if ended != lists:
        raise InputError(f"{path}: is cut short, {lists - ended} of its lists do not end; get the file again")
    if rest:
        pieces.append(_parse(path, rest))
    return (np.concatenate(pieces) if pieces else np.empty(0, np.float32)), lists


def _parse(path: Path, text: bytes) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of older NumPy, that text is left over
        try:
            return np.fromstring(text.decode("ascii"), np.float32, sep=",")
        except (ValueError, DeprecationWarning):
            raise InputError(f"{path}: has more than numbers in lists; get the file again") from None
