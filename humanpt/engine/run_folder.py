"""The folder of a run belongs to one command at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from humanpt.errors import OutputError
from humanpt.files import cannot_write

LOCK = ".lock"

_held: set[Path] = set()


@contextmanager
def sole_writer(out: Path) -> Iterator[None]:
    """Inside, no other command on a machine that shares the folder may write a run into it.

    The system gives the lock back when the process ends, however it ends. Within one process it may be taken again. A
    file system that knows no locks goes without.

    Raises:
        OutputError: if another command holds the folder, or it cannot be written.
    """
    key = out.absolute()
    if key in _held or sys.platform == "win32":
        yield
        return
    import fcntl  # not on Windows

    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / LOCK).open("a+")
    except OSError as error:
        raise cannot_write(out, error) from None
    with lock:
        try:
            # Of this process alone: workers that it forks and that outlive it for a moment hold nothing.
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            lock.seek(0)
            holder = lock.read().strip() or "another command"
            raise OutputError(
                f"{out}: {holder} is writing this run; wait until it has ended, or choose another --out"
            ) from None
        except OSError:  # no locks here
            yield
            return
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {os.uname().nodename}\n")
        lock.flush()
        _held.add(key)
        try:
            yield
        finally:
            _held.discard(key)
