"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from humanpt.errors import OutputError


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; it takes the final name when the block ends well.

    The data reach the disk before the name does, so that even a power cut leaves either the old file or the new one. An
    exception removes the temporary file; a killed process leaves it, under a name that starts with a dot.

    Raises:
        OutputError: if the folder cannot be written or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # there may be no such folder
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write text or bytes to `path`, whole or not at all.

    Raises:
        OutputError: if the folder cannot be written or the disk is full.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, document: Any) -> None:
    """Write a document as indented JSON, whole or not at all; NaN becomes null."""
    write_whole(path, json.dumps(finite(document), indent=2) + "\n")


def finite(document: Any) -> Any:
    """The document with numbers that JSON does not know (NaN, infinities) replaced by None."""
    if isinstance(document, float):
        return document if document == document and abs(document) != float("inf") else None
    if isinstance(document, dict):
        return {key: finite(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [finite(value) for value in document]
    return document


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The one line for a failed write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"{path}: the disk is full; make room and go on with --resume, or choose another --out")
    if error.errno == errno.EFBIG:
        return OutputError(f"{path}: the file grew past this system's size limit (ulimit -f); raise it or change --out")
    reason = error.strerror or str(error)
    return OutputError(f"{path}: cannot be written ({reason}); choose another --out")


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, where the system lets a folder be opened (Windows does not)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
