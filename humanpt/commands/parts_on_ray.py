"""Parts made as Ray tasks on all machines of a cluster; what they give comes back and is written here.

So the output folder need not be shared; the inputs must be there, at the same path, on every machine. A part whose
machine goes away is made again on another one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from humanpt import __version__
from humanpt.commands.maker import Maker, Part
from humanpt.commands.parts import Crew, Events, Plan
from humanpt.data.harvest import Harvest
from humanpt.errors import ConfigError, InputError, OutputError
from humanpt.workers import Ended, Progress, Tell, cores, run_jobs

TRIES = 3
"""How often a part is made whose process dies on a machine that lives on."""
AHEAD = 2
"""Parts handed out for each processor, so that none waits for its next one."""
LOOK = 0.5
"""Seconds between two looks at how far the machines are."""
SHARD, RESULT = "part.h5", "result.pickle"


@dataclass(frozen=True, kw_only=True)
class Errand:
    """What a machine needs to know to make a part."""

    maker: Maker
    number: int
    part: Part
    folder: str
    """The folder that relative paths start from."""
    version: str
    """Of humanpt, where the results are written."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """What comes back."""

    result: Harvest
    shard: bytes | None = None
    stop: str | None = None
    """What is wrong for all parts, not for this one alone."""


def on_ray(address: str) -> Crew:
    """A crew of Ray tasks.

    Args:
        address: `auto` for the cluster that this machine is part of, `local` for one of this machine's processors
            alone, `ray://HOST:PORT` or `HOST:PORT`.

    Raises:
        ConfigError: if Ray is not installed.
    """
    ray = _ray()

    def crew(plan: Plan, numbers: Sequence[int]) -> Events:
        ours = not ray.is_initialized()
        if ours:
            _connect(ray, address)
        try:
            yield from _Foreman(ray, plan).make(numbers)
        finally:
            if ours:
                ray.shutdown()

    return crew


def _ray() -> ModuleType:
    try:
        import ray
    except ImportError:
        raise ConfigError("--ray needs Ray, which is not installed: pip install 'humanpt[ray]'") from None
    module: ModuleType = ray
    return module


def _connect(ray: Any, address: str) -> None:
    """Join the cluster.

    Raises:
        InputError: if there is none at the address, or it runs another version of Ray or Python.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    own = {"num_cpus": cores(), "include_dashboard": False} if address == "local" else {}
    try:
        if address not in ("auto", "local"):
            _see_that_somebody_answers(address)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"no Ray cluster at {address} ({why}); start one with ray start, or try --ray local") from None


def _see_that_somebody_answers(address: str) -> None:
    """Raise OSError or ValueError at once where Ray would go on trying for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("an address is auto, local, HOST:PORT or ray://HOST:PORT")
    socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


class _Foreman:
    """Hands out parts, and hands them out again where a machine went away."""

    def __init__(self, ray: Any, plan: Plan) -> None:
        self.ray = ray
        self.plan = plan
        self.task = ray.remote(num_cpus=1, num_gpus=int(plan.maker.needs_gpu), max_retries=0)(make_there)
        self.board = ray.remote(num_cpus=0, max_restarts=-1)(Board).remote()
        self.out: dict[Any, int] = {}
        self.tries: Counter[int] = Counter()
        self.told: Counter[int] = Counter()

    def make(self, numbers: Sequence[int]) -> Events:
        """Make the parts, yielding how far they are."""
        waiting, looked = list(reversed(numbers)), time.monotonic()
        try:
            while waiting or self.out:
                while waiting and len(self.out) < AHEAD * max(1, self.ray.cluster_resources().get("CPU", 1)):
                    self._hand_out(waiting.pop())
                ready, _ = self.ray.wait(list(self.out), timeout=LOOK)
                if time.monotonic() - looked > LOOK or ready:
                    looked = time.monotonic()
                    yield from self._look()
                for task in ready:
                    number = self.out.pop(task)
                    ended = self._take(task, number)
                    if ended is not None:
                        yield ended
                    else:
                        yield Progress(amount=-self.told.pop(number, 0))
                        waiting.append(number)
        finally:
            for task in self.out:
                with contextlib.suppress(Exception):  # the cluster may be gone
                    self.ray.cancel(task, force=True)

    def _hand_out(self, number: int) -> None:
        errand = Errand(
            maker=self.plan.maker,
            number=number,
            part=self.plan.parts[number],
            folder=str(Path.cwd()),
            version=__version__,
        )
        self.out[self.task.remote(errand, self.board)] = number

    def _take(self, task: Any, number: int) -> Ended[tuple[int, Part]] | None:
        """Write what a task gave; None if it is to be done again.

        Raises:
            OutputError: if it cannot be written, there or here.
            InputError: if the other machine lacks humanpt or an input.
        """
        job = (number, self.plan.parts[number])
        try:
            made: Made = self.ray.get(task)
        except self.ray.exceptions.RayTaskError as error:  # not from the part: that is caught there
            why = str(error).strip().splitlines()[-1]
            raise InputError(
                f"a machine of the Ray cluster cannot run humanpt ({why}); install the same version on every one"
            ) from None
        except self.ray.exceptions.RayError as error:
            if not isinstance(error, (self.ray.exceptions.NodeDiedError, self.ray.exceptions.ObjectLostError)):
                self.tries[number] += 1
            if self.tries[number] < TRIES:
                return None
            why = str(error).strip().splitlines()[0]
            return Ended(job=job, problem=f"its worker process died {TRIES} times ({why})")
        if made.stop is not None:
            raise OutputError(made.stop)
        if made.result.problem is not None:
            return Ended(job=job, problem=made.result.problem)
        self.plan.keep(number, made.result, made.shard)
        return Ended(job=job, problem=None)

    def _look(self) -> Events:
        with contextlib.suppress(self.ray.exceptions.RayError):  # its machine went away; it starts again elsewhere
            for number, amount in self.ray.get(self.board.take.remote(), timeout=LOOK).items():
                self.told[number] += amount
                yield Progress(amount=amount)


class Board:
    """Where the machines write how far they are."""

    def __init__(self) -> None:
        self._amounts: Counter[int] = Counter()

    def tell(self, number: int, amount: int) -> None:
        """Say that a part is further by an amount."""
        self._amounts[number] += amount

    def take(self) -> Counter[int]:
        """What came in since the last time."""
        taken, self._amounts = self._amounts, Counter()
        return taken


def make_there(errand: Errand, board: Any) -> Made:
    """Make a part on the machine where this runs."""
    maker, part, host = errand.maker, errand.part, socket.gethostname()
    nothing = Harvest(name=part.name)
    if errand.version != __version__:
        return Made(
            result=nothing,
            stop=f"{host}: has humanpt {__version__}, here is {errand.version}; install one version on every machine",
        )
    with contextlib.suppress(OSError):
        os.chdir(errand.folder)
    for file in maker.files(part):
        if not file.exists():
            return Made(
                result=nothing,
                stop=f"{file}: is not on {host}; with --ray every machine must have the inputs at the same path",
            )
    with tempfile.TemporaryDirectory(prefix="humanpt-") as folder:
        # A process of its own, as on one machine: what OpenCV draws at random depends on what a process did before.
        jobs = run_jobs(make_part, [(part, Path(folder), maker)], 1, [*maker.preload, "ray"])
        try:
            for event in jobs:
                if isinstance(event, Progress):
                    board.tell.remote(errand.number, event.amount)
                elif event.problem is not None:
                    return Made(result=Harvest(name=part.name, problem=event.problem))
        except OutputError as error:
            return Made(result=nothing, stop=f"{host}: {error}")
        finally:
            jobs.close()
        shard = Path(folder) / SHARD
        return Made(
            result=pickle.loads((Path(folder) / RESULT).read_bytes()),
            shard=shard.read_bytes() if shard.is_file() else None,
        )


def make_part(job: tuple[Part, Path, Maker], tell: Tell) -> None:
    """Make a part in the process where this runs, and leave shard and result in a folder."""
    part, folder, maker = job
    result = maker.make(part, folder / SHARD, tell)
    (folder / RESULT).write_bytes(pickle.dumps(result))
