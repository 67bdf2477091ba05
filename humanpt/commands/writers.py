"""Who may write into an output folder of mkpairs: one process, or many that each do their own share of one plan.

The locks are the kernel's (flock), so they end with their process however it ends. On a shared file system they reach
across machines where that system carries locks (NFS 3 and 4, Lustre mounted with flock, GPFS, CephFS); where it has
none at all, nothing is locked.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from humanpt.errors import ConfigError, OutputError
from humanpt.files import cannot_write

LOCK = "lock"


@dataclass(frozen=True, kw_only=True)
class Share:
    """Part `index` of `count` parts of the work, as one job of a Slurm array takes it."""

    index: int
    """Which one, from 1."""
    count: int
    """How many there are."""

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise ConfigError(f"--part is {self.index}/{self.count}; the first number runs from 1 to the second")

    @classmethod
    def parse(cls, text: str) -> Share:
        """Read `I/N`.

        Raises:
            ConfigError: if it is not of that form, or I is not among 1 to N.
        """
        found = re.fullmatch(r"([0-9]+)/([0-9]+)", text.strip())
        if not found:
            raise ConfigError(f"--part is {text!r}; it is I/N, for example 3/8: the third of eight parts")
        return cls(index=int(found[1]), count=int(found[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def of(self, total: int) -> range:
        """The numbers, of `total`, that are this share's: every count-th, so that long and short ones mix."""
        return range(self.index - 1, total, self.count)


@contextlib.contextmanager
def sole_writer(work: Path) -> Iterator[None]:
    """Hold the folder of what is under way for this process alone; leave no trace in it if nothing was begun.

    Args:
        work: `OUT/.mkpairs`, made if it is not there.

    Raises:
        OutputError: if somebody else writes there, or it cannot be made.
    """
    with _held(work, LOCK, fcntl.LOCK_EX, f"{work.parent}: another mkpairs writes there; wait until it has ended"):
        yield


@contextlib.contextmanager
def one_of_several(work: Path, share: Share) -> Iterator[None]:
    """Hold a share's right to write into the folder, beside the other shares, but not beside a sole writer.

    Raises:
        OutputError: if a sole writer, or another process with this share, writes there, or it cannot be made.
    """
    out = work.parent
    with (
        _held(work, LOCK, fcntl.LOCK_SH, f"{out}: a mkpairs without --part writes there; wait until it has ended"),
        _held(work, f"{LOCK}-{share.index}-of-{share.count}", fcntl.LOCK_EX, f"{out}: part {share} is being made"),
    ):
        yield


@contextlib.contextmanager
def _held(work: Path, name: str, how: int, refusal: str) -> Iterator[None]:
    path, new = work / name, not work.parent.exists()
    if not new and not work.parent.is_dir():
        raise OutputError(f"{work.parent}: is a file; --out names a folder")
    try:
        descriptor = _locked(path, how)
    except BlockingIOError:
        raise OutputError(f"{refusal}, or choose another --out") from None
    except OSError as error:
        raise cannot_write(work, error) from error
    try:
        yield
    finally:
        if name == LOCK:
            _leave_no_trace(work, descriptor, new)
        os.close(descriptor)


def _leave_no_trace(work: Path, descriptor: int, new: bool) -> None:
    """Remove the folder if it holds locks alone (nothing was begun), and if nobody else is there."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails if a share is left
        left = list(work.iterdir())
        if all(path.name.startswith(LOCK) for path in left):
            for path in left:
                path.unlink()
            work.rmdir()
            if new:
                work.parent.rmdir()


def _locked(path: Path, how: int) -> int:
    """Open and lock the file that has this name at the end: its last holder may have removed the one first opened."""
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
