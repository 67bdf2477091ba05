"""Files that appear whole or not at all, and a look at what is there."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from humanpt.errors import InputError, OutputError

PARTIAL = ".partial"


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, an empty file; it takes the final name when the block ends well.

    The data reach the disk before the name does, so that even a power cut leaves either the old file or the new one.
    The temporary file lies in a hidden folder beside `path`, which keeps together whatever a killed writer leaves and
    is emptied by the next one; an exception removes it at once.

    Raises:
        OutputError: if the folder cannot be written or the disk is full.
    """
    partial = path.with_name(f".{path.name}{PARTIAL}")
    temporary = partial / path.name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        temporary.touch()
        mode = temporary.stat().st_mode  # what the user's umask grants; some writers would grant less
        yield temporary
        temporary.chmod(mode)
        _sync(temporary)
        temporary.replace(path)
        with contextlib.suppress(OSError):  # not every system lets a folder be opened
            _sync(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def is_partial(name: str) -> bool:
    """Whether a file or folder of this name is what a killed writer of another left, which its next writer removes."""
    return name.startswith(".") and name.endswith(PARTIAL)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write text or bytes to `path`, whole or not at all.

    Raises:
        OutputError: if the folder cannot be written or the disk is full.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(content.encode(errors="backslashreplace") if isinstance(content, str) else content)


def write_json(path: Path, document: Any) -> None:
    """Write a document as indented JSON, whole or not at all; NaN becomes null."""
    write_whole(path, json.dumps(finite(document), indent=2) + "\n")


def exists(path: Path) -> bool:
    """Whether there is such a file or folder.

    Raises:
        InputError: if that cannot be found out, for want of permission or because the name is impossible.
    """
    try:
        return path.exists()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be looked at ({reason}); check the path and its permissions") from None


def finite(document: Any) -> Any:
    """The document with numbers that JSON does not know (NaN, infinities) replaced by None."""
    if isinstance(document, float):
        return document if document == document and abs(document) != float("inf") else None
    if isinstance(document, dict):
        return {key: finite(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [finite(value) for value in document]
    return document


def cannot_write(path: Path, error: OSError, option: str = "--out") -> OutputError:
    """The one line for a failed write; `option` is that of the command which chose the place."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OutputError(
            f"{path}: cannot be written ({reason}); what was finished before is intact; "
            "make room and go on with --resume, or choose another --out"
        )
    return OutputError(f"{path}: cannot be written ({reason}); choose another folder with {option}")


def _sync(path: Path) -> None:
    """Make the content of a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
