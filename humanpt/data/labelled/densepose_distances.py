"""How far two points of DensePose's surface are from each other, as its owners measured it.

    ROOT/SMPL_subdiv.mat            Part_ID_subdiv, U_subdiv, V_subdiv (V, 1): each vertex's part from 1 and its place
    ROOT/SMPL_SUBDIV_TRANSFORM.mat  index (V, 1): each vertex's number, from 1, in the table of distances
    ROOT/Pdist_matrix.pkl or .mat   Pdist_matrix (V (V - 1) / 2, 1): distances in metres

or all of them in ROOT/eval_data. The mesh is SMPL's with each edge halved, V = 27,554. The table has the numbers below
the diagonal, row after row: numbers i > j, from 0, stand at place i (i - 1) / 2 + j. It takes 1.5 GB, so it stays on
the disk: of a file that is not compressed the operating system reads the pages that are asked for; one that is, is
unpacked once into a temporary file without a name.

Source: DensePoseData/get_eval_data.sh (where the files are) and densepose_cocoeval.py (how they are read) in
github.com/facebookresearch/DensePose, with Pdist_matrix.mat, a file of MATLAB 7.3, which is HDF5; the later evaluator
in github.com/facebookresearch/detectron2, with Pdist_matrix.pkl. That distances are in metres follows from the paper's
k of 0.255, chosen to halve the similarity at some 30 cm.

Letters: V vertices, N points, D the numbers of the table.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from humanpt.body.array_files import ArrayUnpickler, Wrapped
from humanpt.body.skeletons import BODY_PARTS
from humanpt.data.safe_pickle import read_pickle
from humanpt.errors import InputError

SITE = "https://dl.fbaipublicfiles.com/densepose/densepose_eval_data.tar.gz"
"""Where the owners publish the files."""

PLACES, NUMBERS, TABLES = "SMPL_subdiv.mat", "SMPL_SUBDIV_TRANSFORM.mat", ("Pdist_matrix.pkl", "Pdist_matrix.mat")
KEY = "Pdist_matrix"

MOST_METRES = 10.0
"""No two points of a person are farther apart along the surface; a table with more is in another unit."""
LOOKED_AT = 4096
"""Distances of a table that are looked at before it is used, spread over it."""
BLOCK = 1 << 22
"""Distances unpacked at a time."""
HEAD = 1 << 16
"""Bytes of a pickle within which the numbers of its array begin."""
RAW = {b"T": 4, b"B": 4, b"\x8e": 8, b"\x96": 8}
"""Codes of a pickle that are followed by a length, of so many bytes, and by bytes as they are."""

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]
Table = NDArray[np.floating[Any]]


def missing_file(root: Path) -> Path | None:
    """The first of the files that a data set lacks; None if all are there."""
    folder = _folder(root)
    names = [PLACES, NUMBERS] if any((folder / name).is_file() for name in TABLES) else [PLACES, NUMBERS, TABLES[0]]
    return next((folder / name for name in names if not (folder / name).is_file()), None)


def _folder(root: Path) -> Path:
    """Where the files lie: in the root if one of them does, else in `eval_data`."""
    here = any((root / name).is_file() for name in (PLACES, NUMBERS, *TABLES))
    return root if here else root / "eval_data"


class DensePoseDistances:
    """Distances between points that are told by a part and a place on DensePose's charts.

    A point stands for the vertex of its part whose place on the chart is nearest, as in the owners' evaluation.

    Attributes:
        origin: how the distances were measured, in words.

    Args:
        root: of the data set.

    Raises:
        InputError: if a file is missing or damaged, or the files do not belong together.
    """

    def __init__(self, root: Path) -> None:
        lacking = missing_file(root)
        if lacking is not None:
            raise InputError(f"{lacking}: no such file; get it from {SITE}")
        folder = _folder(root)
        path = folder / PLACES
        part, u, v = _columns(path, "Part_ID_subdiv", "U_subdiv", "V_subdiv")
        (number,) = _columns(folder / NUMBERS, "index")
        count = len(part)
        if len({len(part), len(u), len(v)}) > 1:
            raise InputError(f"{path}: has {count} parts, {len(u)} u and {len(v)} v; get it again from {SITE}")
        lost = sorted(set(range(1, len(BODY_PARTS) + 1)) - set(part.tolist()))
        if lost or min(u.min(), v.min()) < 0 or max(u.max(), v.max()) > 1:
            reason = f"has no vertices of part {lost[0]}" if lost else "u and v do not lie in [0, 1]"
            raise InputError(f"{path}: {reason}; get it again from {SITE}")
        if len(number) != count or number.min() < 1 or number.max() > count:
            raise InputError(f"{folder / NUMBERS}: does not number the {count} vertices; get it again from {SITE}")
        self._number: Numbers = number.astype(np.int64) - 1
        self._uv = np.stack([u, v], axis=1)
        self._of_part = [np.flatnonzero(part == each) for each in range(1, len(BODY_PARTS) + 1)]
        self._path = next(folder / name for name in TABLES if (folder / name).is_file())
        self._table = _table(self._path, count)
        self.origin = f"those of DensePose's owners, {self._path.name}, metres between {count} vertices of SMPL"

    def between(self, part1: Numbers, uv1: Floats, part2: Numbers, uv2: Floats) -> Floats:
        """How far points are from each other.

        Args:
            part1, part2: (N,) parts from 1; 0 says that the point is not on the surface.
            uv1, uv2: (N, 2) places on their charts.

        Returns:
            (N,) metres on SMPL's mean person; infinite where a part is 0.

        Raises:
            InputError: if the table has no distance there.
        """
        found = np.full(len(part1), np.inf, np.float32)
        both = (part1 > 0) & (part2 > 0)
        first, second = (self._numbers(part[both], uv[both]) for part, uv in ((part1, uv1), (part2, uv2)))
        row, column = np.maximum(first, second), np.minimum(first, second)
        apart = row > column
        metres = np.zeros(len(row), np.float32)
        metres[apart] = self._table[row[apart] * (row[apart] - 1) // 2 + column[apart]]
        if not ((metres >= 0) & (metres <= MOST_METRES)).all():
            raise InputError(f"{self._path}: has distances that are none, such as {metres.max()}; get it from {SITE}")
        found[both] = metres
        return found

    def _numbers(self, part: Numbers, uv: Floats) -> Numbers:
        """The numbers in the table of the vertices nearest to places."""
        found = np.empty(len(part), np.int64)
        for each in np.unique(part).tolist():
            mine, vertices = part == each, self._of_part[each - 1]
            found[mine] = vertices[cdist(uv[mine], self._uv[vertices]).argmin(axis=1)]
        return self._number[found]


def _columns(path: Path, *names: str) -> list[NDArray[np.float64]]:
    """Columns of numbers in a file of MATLAB 5."""
    try:
        content = scipy.io.loadmat(path, variable_names=names)
        columns = [np.asarray(content[name], np.float64).ravel() for name in names]
    except Exception as error:  # scipy complains of damaged files in many ways
        reason = f"no {error.args[0]}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise InputError(f"{path}: cannot be read ({reason}); get it from {SITE}") from None
    for name, column in zip(names, columns, strict=True):
        if not len(column) or not np.isfinite(column).all():
            raise InputError(f"{path}: {name} has no numbers or some that are not finite; get it again from {SITE}")
    return columns


def _table(path: Path, count: int) -> Table:
    """The table of distances (D,), checked at some places.

    Raises:
        InputError: if it is damaged, of another number of vertices, or not in metres.
    """
    table = _pickled(path) if path.suffix == ".pkl" else _of_matlab(path)
    if table.size != count * (count - 1) // 2 or table.dtype.kind != "f":
        raise InputError(
            f"{path}: has {table.size} numbers ({table.dtype}), {count} vertices have {count * (count - 1) // 2} "
            f"distances; get both files from {SITE}"
        )
    table = table.reshape(-1)
    some = table[np.linspace(0, table.size - 1, min(table.size, LOOKED_AT)).astype(np.int64)]
    if not ((some >= 0) & (some <= MOST_METRES)).all():
        low, high = float(some.min()), float(some.max())
        raise InputError(f"{path}: distances from {low:g} to {high:g} are no metres; get the file again from {SITE}")
    return table


def _of_matlab(path: Path) -> Table:
    """The table of a file of MATLAB 7.3, where it lies or unpacked."""
    try:
        with h5py.File(path, "r") as file:
            data = file[KEY]
            offset = data.id.get_offset()
            if offset is not None:
                return np.memmap(path, data.dtype, "r", offset=offset, shape=data.shape)
            return _unpacked(data)
    except (OSError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a file of MATLAB 7.3 ({error}); get it from {SITE}") from None


def _unpacked(data: Any) -> Table:
    """A compressed table, in a temporary file that is gone with its last reader."""
    axis = int(np.argmax(data.shape))
    with tempfile.TemporaryFile() as file:
        for begin in range(0, data.shape[axis], BLOCK):
            part = (slice(None),) * axis + (slice(begin, begin + BLOCK),)
            file.write(data[part].tobytes())
        file.flush()
        return np.memmap(file, data.dtype, "r", shape=(data.size,))


def _pickled(path: Path) -> Table:
    """The table of a pickle: where it lies in the file, or read if it does not lie there byte for byte."""
    try:
        found = _placed(path)
        if found is None:
            found = read_pickle(path, SITE)[KEY]
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(f"{path}: holds no {KEY} ({error!r}); get it from {SITE}") from None
    return np.asanyarray(found)


def _placed(path: Path) -> Table | None:
    """The one large array of a pickle as a map of the file; None if its bytes are not found.

    The pickle is read without those bytes, by the reader that knows arrays alone.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(HEAD)
        told = _longest(head, size)
        if told is None:
            return None
        place, begin, length = told
        stream.seek(begin + length)
        rest = stream.read()
    try:
        array = _Outlines(io.BytesIO(head[:place] + bytes(begin - place) + rest), encoding="latin1").load()[KEY]
        return np.memmap(path, array.dtype, "r", offset=begin, shape=array.shape, order=array.order)
    except Exception:  # another form of pickle, or a damaged one: the common reader tells
        return None


def _longest(head: bytes, size: int) -> tuple[int, int, int] | None:
    """The run of bytes that is more than half of a pickle: where its length stands, where it begins, and its length.

    Args:
        head: the first bytes of the pickle.
        size: of all of it.
    """
    for place in range(1, len(head)):
        begin = place + RAW.get(head[place - 1 : place], 0)
        length = int.from_bytes(head[place:begin], "little")
        if size < 2 * length and begin + length < size:
            return place, begin, length
    return None


class _Outline(Wrapped):
    """Stands for an array whose numbers were left out."""

    def __init__(self, *_: Any) -> None:
        self.dtype, self.shape, self.order = np.dtype(np.float32), (0,), "C"

    def __setstate__(self, state: Any) -> None:
        _, self.shape, kind, fortran, _ = state
        self.dtype, self.order = kind.dtype, "F" if fortran else "C"


def _outline(_: Any, kind: Any, shape: Any, order: str) -> _Outline:
    """Likewise, of protocol 5."""
    made = _Outline()
    made.dtype, made.shape, made.order = kind.dtype, shape, order
    return made


class _Outlines(ArrayUnpickler):
    """Reads a pickle of arrays whose numbers were left out."""

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the pickle stands for; as `ArrayUnpickler`, but for arrays."""
        known = super().find_class(module, name)
        return {"_reconstruct": _Outline, "_frombuffer": _outline}.get(name, known)
