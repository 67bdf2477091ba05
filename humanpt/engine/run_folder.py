"""An output folder belongs to one command at a time, or to several that each do their own share of one plan.

The locks are the kernel's (flock), so they end with their process however it ends. On a shared file system they reach
across machines where that system carries locks (NFS 3 and 4, Lustre mounted with flock, GPFS, CephFS); where it has
none at all, nothing is locked.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from humanpt.errors import OutputError
from humanpt.files import cannot_write

LOCK = ".lock"
"""The lock in a folder, and the beginning of the names of all others there; they go away with their holder."""

_alone: set[Path] = set()
_descriptors: set[int] = set()


@contextmanager
def sole_writer(out: Path) -> Iterator[None]:
    """Inside, no other command may write into the folder. Within one process it may be taken again.

    Args:
        out: made if it is not there, and removed again if nothing was written.

    Raises:
        OutputError: if another command holds the folder, or it cannot be written.
    """
    key = out.absolute()
    if key in _alone:
        yield
        return
    with _locked(out, LOCK, "a command"):
        _alone.add(key)
        try:
            yield
        finally:
            _alone.discard(key)


@contextmanager
def one_of_several(out: Path, share: str) -> Iterator[None]:
    """Inside, other shares may be written into the folder, but not this one, and there is no sole writer.

    Args:
        out: as for `sole_writer`.
        share: `I/N`.

    Raises:
        OutputError: if a sole writer, or another process with this share, holds the folder, or it cannot be written.
    """
    holder = f"part {share}"
    own = f"{LOCK}-{share.replace('/', '-of-')}"
    with _locked(out, LOCK, holder, shared=True), _locked(out, own, holder):
        yield


@contextmanager
def _locked(out: Path, name: str, holder: str, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock of this name, and leave no trace of it."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file; --out names a folder")
    path, new = out / name, not out.exists()
    try:
        descriptor = _taken(path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    except BlockingIOError:
        with suppress(OSError):
            holder = path.read_text().strip() or "another command"
        raise OutputError(f"{out}: {holder} writes there; wait until it has ended, or choose another --out") from None
    except OSError as error:
        raise cannot_write(out, error) from None
    _descriptors.add(descriptor)
    try:
        with suppress(OSError):  # a full disk does not stop what may need no more room
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{holder} (process {os.getpid()} on {os.uname().nodename})\n".encode(), 0)
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while there is another share
            for left in out.glob(f"{LOCK}*") if name == LOCK else [path]:  # some by holders that were killed
                left.unlink()
            if new:
                out.rmdir()  # fails if something was written
        _descriptors.discard(descriptor)
        os.close(descriptor)


def _taken(path: Path, how: int) -> int:
    """Open and lock the file that has this name at the end: a holder that ends removes the one first opened."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # the folder was removed just now
            continue
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                return descriptor
            os.close(descriptor)
            raise
        os.close(descriptor)


def _let_go() -> None:
    """In a process just forked: it may outlive its parent, and holds nothing."""
    for descriptor in _descriptors:
        os.close(descriptor)
    _descriptors.clear()


os.register_at_fork(after_in_child=_let_go)
