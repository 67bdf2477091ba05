"""Reading the arrays of a licensed body model's file, and nothing else of it.

SMPL and MANO are distributed as Python pickles, which run code when they are opened, and whose arrays are wrapped in
classes of an abandoned package (chumpy). The reader here runs nothing: of all that a pickle may name, it knows arrays,
sparse matrices and the three wrappers of chumpy, as plain data; anything else is refused by name.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from humanpt.errors import InputError


def read_arrays(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Read the named arrays of an .npz or .pkl file; names that it lacks are left out.

    Raises:
        InputError: if the file is missing, damaged, or a pickle with more than arrays in it.
    """
    try:
        if path.suffix == ".npz":
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                return {name: archive[name] for name in names if name in archive.files}
        content = ArrayUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        reason = str(error) if "names " in str(error) else f"is damaged ({error}); get it again from its owner"
        raise InputError(f"{path}: {reason}") from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, IndexError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read as a body model ({error}); get it again from its owner") from None
    except (zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: not a whole .npz file ({error}); get it again from its owner") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no table of arrays, so it is no body model")
    return {name: as_array(content[name]) for name in names if name in content}


def as_array(value: Any) -> np.ndarray:
    """The numbers in an array, a sparse matrix or a wrapper of chumpy."""
    if isinstance(value, _Array):
        return value.array
    if isinstance(value, _Chumpy):
        fields = value.__dict__
        if "x" in fields:
            return as_array(fields["x"])
        inner = as_array(fields["a"])
        if "idxs" in fields:
            inner = inner.ravel()[as_array(fields["idxs"])]
        wanted = fields.get("preferred_shape", fields.get("newshape"))
        return inner if wanted is None else inner.reshape(wanted)
    if isinstance(value, _Sparse):
        from scipy.sparse import csc_matrix

        fields = value.__dict__
        shape = fields.get("_shape", fields.get("shape"))
        columns = tuple(as_array(fields[name]) for name in ("data", "indices", "indptr"))
        dense: np.ndarray = csc_matrix(columns, shape=shape).toarray()
        return dense
    return np.asarray(value)


class Wrapped:
    """Takes whatever state a pickle gives it, as data; `as_array` has the numbers in it."""

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)


class _Chumpy(Wrapped):
    """Stands for chumpy's array (field x), reordering (a, idxs, preferred_shape) and reshape (a, newshape)."""


class _Sparse(Wrapped):
    """Stands for scipy's matrix in compressed columns."""


class _Kind(Wrapped):
    """Stands for NumPy's dtype, whose own state a pickle could forge until bytes pass for the addresses of objects."""

    def __init__(self, name: str, *_: Any) -> None:
        self.dtype = np.dtype(str(name))
        if self.dtype.names is not None:
            raise pickle.UnpicklingError("has an array of records, which no labels are; save its arrays as .npz")

    def __setstate__(self, state: Any) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array(Wrapped):
    """Stands for NumPy's array while a pickle is read."""

    def __init__(self, *_: Any) -> None:
        self.array = np.empty(0)

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, content = state
        self.array = _numbers(content, kind, shape, "F" if fortran else "C")


class ArrayUnpickler(pickle.Unpickler):
    """A reader of pickles that knows plain values, arrays and their wrappers alone.

    What it reads holds `Wrapped` values in the place of arrays.
    """

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the pickle stands for.

        Raises:
            UnpicklingError: if it is no array, with the reason in one line.
        """
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("numpy", "ndarray"): _Array,
            ("numpy", "dtype"): _Kind,
            ("copyreg", "_reconstructor"): copyreg._reconstructor,  # type: ignore[attr-defined]
            ("builtins", "object"): object,
            ("builtins", "set"): set,
            ("builtins", "bytes"): bytes,
            ("builtins", "bytearray"): bytearray,
            ("collections", "OrderedDict"): dict,
            ("_codecs", "encode"): _latin1,
            ("numpy.multiarray", "_reconstruct"): _Array,
            ("numpy.multiarray", "scalar"): _number,
            ("numpy.numeric", "_frombuffer"): _array,
        }
        if module.startswith("chumpy") and name in ("Ch", "Select", "Reshape"):
            return _Chumpy
        if module.startswith("scipy.sparse") and name == "csc_matrix":
            return _Sparse
        place = re.sub(r"^numpy\._?core\.", "numpy.", module)
        place = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(place, place)
        if (place, name) in known:
            return known[place, name]
        raise pickle.UnpicklingError(
            f"names {module}.{name}, which is no array; a pickle can run programs, so it is not opened; "
            "save its arrays as .npz"
        )


def _numbers(content: Any, kind: _Kind, shape: Any, order: Any) -> np.ndarray:
    """An array of the numbers in bytes, or of the values in a list."""
    if kind.dtype.hasobject:
        values = np.empty(len(content), dtype=object)
        for place, value in enumerate(content):
            values[place] = value
        return values.reshape(shape, order=order)
    raw = content.encode("latin1") if isinstance(content, str) else content  # Python 2 has no bytes of its own
    return np.frombuffer(raw, kind.dtype).reshape(shape, order=order).copy(order=order)


def _array(content: Any, kind: _Kind, shape: Any, order: Any) -> _Array:
    """An array whose numbers lie in the pickle beside it (protocol 5)."""
    made = _Array()
    made.array = _numbers(content, kind, shape, order)
    return made


def _number(kind: _Kind, content: Any) -> Any:
    """One number."""
    return _numbers(content, kind, (1,), "C")[0]


def _latin1(text: str, encoding: str) -> bytes:
    """The bytes that Python 3 writes as text into old pickles."""
    return text.encode("latin1")
