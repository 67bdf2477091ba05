"""Cut-outs: generated people and hands without a background, kept for pasting into many pictures.

A set of cut-outs is a folder of parts. Of a part, `pixels.bin` holds, one cut-out after the other, H x W x 4 bytes of
red, green and blue multiplied by alpha and of alpha itself, then H x W bytes that say what is seen: 0 nothing or a
thing, 1 a person, 2 and 3 a person's left and right hand. `index.npz` holds a row for each cut-out. Both are read
through memory maps, so that several processes share one copy.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from humanpt.errors import InputError
from humanpt.files import cannot_write

PIXELS, INDEX = "pixels.bin", "index.npz"
PERSON, LEFT, RIGHT = 1, 2, 3  # what a pixel shows; 0 is nothing, or a thing


class Framing(IntEnum):
    """What a cut-out was made to show."""

    FIGURE = 0
    """A whole person."""
    PART = 1
    """A part of a person, cut by the edges of the picture."""
    HAND = 2
    """A hand from near, with whatever of its person is in view."""
    ROOM = 3
    """An empty room, to paste onto."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CutOut:
    """One of them; arrays are read-only views of the file."""

    rgba: NDArray[np.uint8]
    """(H, W, 4) colours multiplied by alpha, and alpha."""
    label: NDArray[np.uint8]
    """(H, W) what is seen."""
    framing: Framing
    """What it was made to show."""
    person: int
    """Who it shows: the same body and clothes have the same number."""
    cut: tuple[bool, bool, bool, bool]
    """Whether the subject goes on beyond the left, top, right and bottom edge."""
    seen: tuple[float, float]
    """Share of the left and of the right hand that nothing hides, 0 to 1; 0 where it is out of view."""


class CutOuts:
    """All cut-outs of a folder: those of its parts, in the order of their names.

    Raises:
        InputError: if there is no part, or the files of one do not belong together.
    """

    def __init__(self, folder: Path) -> None:
        parts = sorted(file.parent for file in folder.glob(f"part-*/{INDEX}"))
        if not parts:
            raise InputError(f"{folder}: holds no cut-outs; humanpt finetune detection makes them")
        self.folder = folder
        self._pixels = []
        tables = []
        for number, part in enumerate(parts):
            pixels, table = _read_part(part)
            self._pixels.append(pixels)
            tables.append(table | {"part": np.full(len(table["start"]), number)})
        self._index = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}

    def __len__(self) -> int:
        return len(self._index["start"])

    def __getitem__(self, number: int) -> CutOut:
        row = {name: values[number] for name, values in self._index.items()}
        start, height, width = int(row["start"]), int(row["height"]), int(row["width"])
        middle, stop = start + 4 * height * width, start + 5 * height * width
        pixels = self._pixels[int(row["part"])]
        left, top, right, bottom = (bool(edge) for edge in row["cut"])
        return CutOut(
            rgba=pixels[start:middle].reshape(height, width, 4),
            label=pixels[middle:stop].reshape(height, width),
            framing=Framing(int(row["framing"])),
            person=int(row["person"]),
            cut=(left, top, right, bottom),
            seen=(float(row["seen"][0]), float(row["seen"][1])),
        )

    @property
    def framing(self) -> NDArray[np.uint8]:
        """(N,) framing of each."""
        framing: NDArray[np.uint8] = self._index["framing"]
        return framing

    @property
    def seen(self) -> NDArray[np.float32]:
        """(N, 2) share of the left and of the right hand of each that nothing hides."""
        seen: NDArray[np.float32] = self._index["seen"]
        return seen

    @property
    def person(self) -> NDArray[np.int64]:
        """(N,) person of each."""
        person: NDArray[np.int64] = self._index["person"]
        return person


@contextmanager
def write_cutouts(folder: Path) -> Iterator[Callable[[CutOut], None]]:
    """Give a function that adds a cut-out to a new part; its folder appears when the block ends well.

    Raises:
        OutputError: if it cannot be written.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    rows: list[dict[str, Any]] = []
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        with (partial / PIXELS).open("wb") as pixels:
            yield lambda cutout: rows.append(_write(cutout, pixels))
        columns: dict[str, Any] = {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}
        np.savez(partial / INDEX, **columns)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def part_name(first: int) -> str:
    """The folder of the cut-outs of persons from this number on."""
    return f"part-{first:06d}"


def _read_part(part: Path) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
    try:
        with np.load(part / INDEX) as index:
            table = {name: index[name] for name in index.files}
        pixels = np.memmap(part / PIXELS, np.uint8, "r")
    except (OSError, ValueError) as error:
        raise InputError(f"{part}: holds no cut-outs that can be read ({error}); delete it and make it again") from None
    ends = table["start"] + 5 * table["height"] * table["width"]
    if ends.max(initial=0) > len(pixels):
        raise InputError(f"{part}: {PIXELS} is shorter than {INDEX} says; delete it and make it again")
    return pixels, table


def _write(cutout: CutOut, pixels: BinaryIO) -> dict[str, Any]:
    start = pixels.tell()
    pixels.write(np.ascontiguousarray(cutout.rgba).data)
    pixels.write(np.ascontiguousarray(cutout.label).data)
    height, width = cutout.label.shape
    return {
        "start": np.int64(start),
        "height": np.int64(height),
        "width": np.int64(width),
        "framing": np.uint8(cutout.framing),
        "person": np.int64(cutout.person),
        "cut": np.array(cutout.cut, np.bool_),
        "seen": np.array(cutout.seen, np.float32),
    }
