"""Many clips over several processes, so that one bad clip costs that clip only.

Every clip gets a process of its own, forked from a server that has already imported what they all need. A process pool
would be shorter, but when one of its workers dies (a decoder crash, the kernel's memory killer) all its pending work
is lost.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from humanpt.errors import HumanptError, OutputError

Job = TypeVar("Job")
Tell = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Some work was done on a job that goes on."""

    amount: int


@dataclass(frozen=True, kw_only=True)
class Ended(Generic[Job]):
    """A job is over; `problem` is None, or one line that says what went wrong with it alone."""

    job: Job
    problem: str | None


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(
    work: Callable[[Job, Tell], object], jobs: Sequence[Job], workers: int, preload: Sequence[str]
) -> Generator[Progress | Ended[Job], None, None]:
    """Run `work(job, tell)` for every job, at most `workers` at once, starting them in order.

    Args:
        work: a picklable function; its `tell(amount)` reports progress. A `HumanptError` it raises ends its job with
            that line; an `OutputError` is everyone's trouble and ends the whole.
        preload: modules that all jobs import.

    Yields:
        Progress and ends, in the order in which they come. Closing the iterator stops what is running.

    Raises:
        OutputError: as raised by a job.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    _start_server()
    running: dict[Connection, tuple[BaseProcess, Job]] = {}
    waiting = list(reversed(jobs))
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop()
                ours, theirs = context.Pipe(duplex=False)
                worker = context.Process(target=_run_one, args=(work, job, theirs), daemon=True)
                worker.start()
                theirs.close()
                running[ours] = (worker, job)
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                process, job = running[ready]
                try:
                    word, value = ready.recv()
                except (EOFError, OSError):  # the process is gone without a last word, or in the middle of one
                    process.join()
                    del running[ready]
                    yield Ended(job=job, problem=f"its worker process died ({_cause(process.exitcode)})")
                    continue
                if word == "progress":
                    yield Progress(amount=value)
                    continue
                process.join()
                del running[ready]
                if word == "stop":
                    raise OutputError(value)
                yield Ended(job=job, problem=value)
    finally:
        for left, _ in running.values():
            left.kill()
            left.join()


def _start_server() -> None:
    """Start the server that workers are forked from, deaf to Ctrl-C as they will be: that is for this process alone."""
    if threading.current_thread() is not threading.main_thread():
        forkserver.ensure_running()
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited by what is started now
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


def _run_one(work: Callable[[Any, Tell], object], job: Any, pipe: Connection) -> None:
    """The life of one worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent then ends its workers
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()
    try:
        work(job, lambda amount: pipe.send(("progress", amount)))
    except OutputError as error:
        pipe.send(("stop", str(error)))
    except HumanptError as error:
        pipe.send(("end", str(error)))
    except Exception as error:  # whatever it was, it costs this job alone
        pipe.send(("end", f"{type(error).__name__}: {error}"))
    else:
        pipe.send(("end", None))


def _die_with(parent: int) -> None:
    """A worker whose parent was killed has nobody left to work for."""
    wait([parent])
    os._exit(1)


def _cause(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"killed by {signal.Signals(-exitcode).name}"
    return f"exit code {exitcode}"
