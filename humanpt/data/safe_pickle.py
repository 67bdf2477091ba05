"""Reading pickles of labels without running anything that is in them.

Some data sets come as Python pickles, and a pickle can name any function and have it called when it is opened. The
reader here knows plain Python values, NumPy's arrays and numbers, and chumpy's wrappers around arrays; a pickle that
names anything else is refused, with the name, before any of it is called.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from humanpt.body.array_files import ArrayUnpickler, Wrapped, as_array
from humanpt.errors import InputError


def read_pickle(path: Path, site: str) -> Any:
    """Read a pickle of dicts, lists, text, numbers and arrays, of any protocol; text of Python 2 is Latin-1.

    Args:
        path: the file.
        site: where its owners publish it, for the message.

    Raises:
        InputError: if it is missing or damaged, or names something that is no data.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); get it from {site}") from None
    return unpickle(content, str(path), site)


def unpickle(content: bytes, name: str, site: str) -> Any:
    """What a pickle in memory holds; otherwise as `read_pickle`, `name` standing for its path.

    Raises:
        InputError: if it is damaged, or names something that is no data.
    """
    try:
        return _plain(ArrayUnpickler(io.BytesIO(content), encoding="latin1").load())
    except pickle.UnpicklingError as error:
        reason = str(error) if "names " in str(error) else f"is damaged ({error}); get it again from {site}"
        raise InputError(f"{name}: {reason}") from None
    except Exception as error:  # a damaged pickle can make any of Python's constructors complain, in any way
        raise InputError(f"{name}: is no whole pickle ({error or type(error).__name__}); get it from {site}") from None


def _plain(value: Any) -> Any:
    """A value with arrays in the places of what stood for them, wherever they are in it."""
    if isinstance(value, Wrapped):
        return _plain(as_array(value))
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(item) for item in value)
    if isinstance(value, np.ndarray) and value.dtype == object:
        inner = np.empty(value.size, dtype=object)
        for place, item in enumerate(value.flat):
            inner[place] = _plain(item)
        return inner.reshape(value.shape)
    return value
