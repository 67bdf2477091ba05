"""Results on their way to `people.npz`: columns that grow on the disk while a recording goes on.

A folder with one .npy file for each column of `people_file.COLUMNS`, to which every picture appends, and `about.json`.
The header of each file says no rows, as nobody knows how many will come; how many there are follows from its length.
The rows of a picture are written before the picture itself, so a writer that was killed, or ran out of disk, leaves
whole pictures and at most one torn one, which reading leaves out. Memory stays flat however long the recording.

Letters: as in `people_file.py`.
"""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from humanpt.errors import InputError
from humanpt.files import write_json
from humanpt.live.people_file import (
    COLUMNS,
    FRAME_COLUMNS,
    OPTIONAL,
    PEOPLE,
    ROW_COLUMNS,
    About,
    People,
    read_about,
    read_file,
)
from humanpt.live.shot import Subject3D, View

ABOUT = "about.json"
NAMES = "picture.jsonl"


def unfinished(folder: Path) -> Path:
    """Where the recording in a folder keeps what is not whole yet."""
    return folder / "unfinished"


def spool_of(folder: Path) -> Path:
    """Where the recording in a folder keeps its growing columns."""
    return unfinished(folder) / "people"


class PeopleSpool:
    """Appends pictures and who is in them.

    Args:
        folder: to write to; made if it is not there.
        about: what the numbers mean.
        vertices: whether vertices are kept.

    Raises:
        OSError: if the disk is full or forbids it, here and from `add`; what was added before stays.
        OutputError: if the folder cannot be made.
    """

    def __init__(self, folder: Path, about: About, *, vertices: bool) -> None:
        self.folder = folder
        self.vertices = vertices
        self.frames = 0
        self._streams: dict[str, BinaryIO] = {}
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / ABOUT, asdict(about))

    def add(self, view: View) -> None:
        """Append one picture.

        Raises:
            OSError: if it cannot be written.
            ValueError: if somebody's numbers have other sizes than those before.
        """
        for subject in view.subjects:
            for name, values in self._row(subject).items():
                self._append(name, values)
        self._flush()
        shot = view.shot
        height, width = shot.picture.shape[:2]
        told: dict[str, Any] = {
            "frame_number": shot.number,
            "timestamp": shot.timestamp,
            "image_size": (width, height),
            "intrinsics": shot.camera.intrinsics,
            "focal_from": shot.camera.focal_from,
        }
        self._stream(NAMES).write((json.dumps(shot.name or "") + "\n").encode())
        for name, values in told.items():
            self._append(name, np.asarray(values, COLUMNS[name].dtype))
        self._flush()
        self.frames += 1

    def close(self) -> None:
        """Let go of the files."""
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            with contextlib.suppress(OSError):  # what a full disk did not take is lost, and was told
                stream.close()

    def _row(self, subject: Subject3D) -> dict[str, NDArray[Any]]:
        values: dict[str, Any] = {
            "frame": self.frames,
            "identity": subject.identity,
            "kind": subject.kind,
            "score": subject.score,
            "box": subject.box,
            "keypoints": subject.keypoints,
            "pixels": subject.pixels,
            "mask": False,
            "rotations": subject.pose,
            "shape": subject.shape,
            "transl": subject.transl,
            "vertices": subject.vertices if self.vertices else None,
        }
        return {name: np.asarray(value, COLUMNS[name].dtype) for name, value in values.items() if value is not None}

    def _append(self, name: str, values: NDArray[Any]) -> None:
        known = name in self._streams
        stream = self._stream(f"{name}.npy", name)
        if not known:
            header = {"descr": values.dtype.str, "fortran_order": False, "shape": (0, *values.shape)}
            np.lib.format.write_array_header_1_0(stream, header)
        stream.write(np.ascontiguousarray(values).tobytes())

    def _stream(self, file: str, name: str | None = None) -> BinaryIO:
        key = name or file
        if key not in self._streams:
            self._streams[key] = (self.folder / file).open("xb")
        return self._streams[key]

    def _flush(self) -> None:
        for stream in self._streams.values():
            stream.flush()


def read_people(path: str | Path) -> People:
    """Read a `people.npz`, or what a recording that was killed left.

    Args:
        path: the file, or the folder of a recording.

    Raises:
        InputError: if it is missing, damaged, of another kind or of a newer version.
    """
    path = Path(path)
    if not path.is_dir():
        return read_file(path)
    whole = path / PEOPLE
    return read_file(whole) if whole.exists() else read_spool(spool_of(path))


def read_spool(folder: Path) -> People:
    """What a recording has kept so far; its arrays stay on the disk.

    Raises:
        InputError: if there is none, or it is damaged.
    """
    try:
        about = read_about((folder / ABOUT).read_text())
        written = {name: _column(folder / f"{name}.npy") for name in (*FRAME_COLUMNS, *ROW_COLUMNS)}
        columns = {name: column for name, column in written.items() if column is not None}
        lines = (folder / NAMES).read_bytes().split(b"\n")[:-1] if (folder / NAMES).exists() else []
        frames = min(len(lines), *(len(columns.get(name, ())) for name in FRAME_COLUMNS if name != "picture"))
        rows = min((len(column) for name, column in columns.items() if name in ROW_COLUMNS), default=0)
        rows = int(np.searchsorted(columns["frame"][:rows], frames)) if rows else 0  # not those of a torn picture
        kept = {name: column[:frames] for name, column in columns.items() if name in FRAME_COLUMNS}
        if rows:
            kept |= {name: column[:rows] for name, column in columns.items() if name in ROW_COLUMNS}
        kept["picture"] = np.array([json.loads(line) for line in lines[:frames]], dtype=np.str_)
        empty = {name: _empty(name, about, rows) for name in (*FRAME_COLUMNS, *ROW_COLUMNS) if name not in OPTIONAL}
        return People(about=about, **(empty | kept))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder}: holds no recording that can be read ({error}); record again") from None


def _column(path: Path) -> NDArray[Any] | None:
    """The whole rows of a growing file; None if there is none yet."""
    if not path.exists():
        return None
    with path.open("rb") as stream:
        try:
            np.lib.format.read_magic(stream)
            (_, *tail), _, dtype = np.lib.format.read_array_header_1_0(stream)
        except ValueError:  # the disk was full before its first row
            return None
        start = stream.tell()
    if 0 in tail:  # as many rows as anybody likes
        return None
    count = (path.stat().st_size - start) // (dtype.itemsize * math.prod(tail))
    if not count:
        return np.empty((0, *tail), dtype)
    return np.memmap(path, dtype, "r", start, (count, *tail))


def _empty(name: str, about: About, rows: int) -> NDArray[Any]:
    """A column without numbers: nobody came into view, or what is told of them has none of this kind."""
    column = COLUMNS[name]
    tail = [about.sizes[letter] if letter in about.sizes else int(letter) for letter in column.axes.split()[1:]]
    return np.empty((rows if 0 in tail else 0, *tail), column.dtype)
