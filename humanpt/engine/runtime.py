"""Where and how a run computes: device, precision, seeds, what makes two runs equal, and what stops one."""

from __future__ import annotations

import platform
import random
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from humanpt.errors import ConfigError

Precision: TypeAlias = Literal["fp32", "bf16"]


def choose_device(name: str = "auto") -> torch.device:
    """Turn a device name into a device that is there.

    Args:
        name: "auto" (CUDA, else MPS, else the CPU), "cpu", "mps", "cuda", or "cuda:1" for one of several.

    Raises:
        ConfigError: if the name is unknown or this machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, colon, digits = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (colon and not (kind == "cuda" and digits.isdecimal())):
        raise ConfigError(f"there is no device {name!r}; choose auto, cpu, cuda, cuda:0, cuda:1, ... or mps")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("the device mps was asked for, but this machine has none; choose auto or cpu")
    if kind == "cuda":
        count, index = torch.cuda.device_count(), int(digits or 0)
        if not torch.cuda.is_available() or index >= count:
            have = f"torch sees only cuda:0 to cuda:{count - 1}" if count else "torch sees no CUDA device"
            raise ConfigError(f"the device {name} was asked for, but {have}; choose auto or cpu")
        return torch.device("cuda", index)
    return torch.device(kind)


def choose_precision(name: str, device: torch.device) -> Precision:
    """Turn a precision name into one that the device can work in.

    Args:
        name: "fp32", "bf16" (mixed: weights stay fp32, products are bf16), or "auto": bf16 where the hardware
            multiplies in it, known for CUDA, and for CPUs on Linux; else fp32.

    Raises:
        ConfigError: if the name is unknown, or bf16 is asked of a CUDA device that has none.
    """
    if name not in ("auto", "fp32", "bf16"):
        raise ConfigError(f"there is no precision {name!r}; choose auto, fp32 or bf16")
    if name == "fp32":
        return "fp32"
    if device.type == "cuda":
        with torch.cuda.device(device):
            has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        if name == "bf16" and not has_bf16:
            raise ConfigError(f"{describe_device(device)} has no bf16; choose fp32 or auto")
    else:
        has_bf16 = device.type == "cpu" and _cpu_has_bf16()
    return "bf16" if name == "bf16" or has_bf16 else "fp32"


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """The context in which a forward pass runs in the given precision."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def describe_device(device: torch.device) -> str:
    """Name a device for a report, such as "cuda:0, NVIDIA H200, 139.8 GiB" or "cpu, AMD EPYC, 2 threads"."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{device}, {properties.name}, {properties.total_memory / 2**30:.1f} GiB"
    model = _cpu_facts().get("model name") or platform.processor() or platform.machine()
    if device.type == "mps":
        return f"mps, {model}"
    threads = torch.get_num_threads()
    return f"cpu, {model}, {threads} thread{'s' * (threads > 1)}"


def peak_memory(device: torch.device) -> int | None:
    """The most memory held so far, in bytes: the device's for CUDA, else the process's; None where nobody counts."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch on every device.

    Raises:
        ConfigError: if the seed is not from 0 to 2**32 - 1, the range that NumPy accepts.
    """
    if not 0 <= seed < 2**32:
        raise ConfigError(f"the seed is {seed}; it must be from 0 to {2**32 - 1}")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def random_states(device: torch.device) -> dict[str, Tensor]:
    """The states of all global generators that a step on this device may draw from, as tensors on the CPU.

    Returns:
        `torch`, `numpy`, `numpy_gauss`, `python`, `python_gauss`, and on an accelerator also its own, such as
        `cuda`. The two `gauss` hold the second half of a normal draw kept for later, NaN when there is none.
    """
    _, keys, position, has_gauss, gauss = np.random.get_state()
    _, words, pending = random.getstate()
    states = {
        "torch": torch.get_rng_state(),
        "numpy": torch.tensor([*np.asarray(keys).tolist(), position], dtype=torch.int64),
        "numpy_gauss": torch.tensor(gauss if has_gauss else float("nan"), dtype=torch.float64),
        "python": torch.tensor(words, dtype=torch.int64),
        "python_gauss": torch.tensor(float("nan") if pending is None else pending, dtype=torch.float64),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def restore_random_states(states: dict[str, Tensor], device: torch.device) -> None:
    """Set the global generators to what `random_states` found; an accelerator's state is used only by its own kind."""
    torch.set_rng_state(states["torch"])
    *keys, position = states["numpy"].tolist()
    gauss = states["numpy_gauss"].item()
    has_gauss = gauss == gauss  # NaN alone differs from itself
    np.random.set_state(("MT19937", np.array(keys, np.uint32), position, int(has_gauss), gauss if has_gauss else 0.0))
    pending = states["python_gauss"].item()
    random.setstate((3, tuple(states["python"].tolist()), pending if pending == pending else None))
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])


@contextmanager
def random_states_kept(device: torch.device) -> Iterator[None]:
    """Leave the global generators as they were, whatever is drawn inside."""
    states = random_states(device)
    try:
        yield
    finally:
        restore_random_states(states, device)


@contextmanager
def deterministic_on_cpu(device: torch.device) -> Iterator[None]:
    """Inside, choose algorithms on the CPU that give the same bits each time; on other devices change nothing.

    Equal bits also ask for the same machine, torch and number of threads, since these set the order of sums.
    """
    if device.type != "cpu":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fill_before = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a debugging aid, slow
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = fill_before  # type: ignore[attr-defined]


STOPPERS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name))
"""Ctrl-C; what torchrun, Slurm and most others end a program with; Slurm's warning that a job's time is short; and the
end of the terminal, which `nohup` has programs ignore."""


class Interrupt:
    """Whether somebody asked to stop, and by which signal."""

    signal = 0

    @property
    def asked(self) -> bool:
        """Whether somebody did."""
        return self.signal != 0


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Inside, a signal that asks to stop is only noted; a second Ctrl-C raises KeyboardInterrupt as ever."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():  # only there can signals be caught
        yield interrupt
        return

    def note(number: int, frame: FrameType | None) -> None:
        if number == interrupt.signal == signal.SIGINT:
            raise KeyboardInterrupt
        interrupt.signal = number

    before = {stopper: signal.signal(stopper, note) for stopper in heard_stoppers()}
    try:
        yield interrupt
    finally:
        for stopper, handler in before.items():
            standard = signal.default_int_handler if stopper == signal.SIGINT else signal.SIG_DFL
            signal.signal(stopper, standard if handler is None else handler)


def heard_stoppers() -> tuple[signal.Signals, ...]:
    """All of `STOPPERS`, but not the end of the terminal where the program was started to outlive it."""
    return tuple(one for one in STOPPERS if one.name != "SIGHUP" or signal.getsignal(one) != signal.SIG_IGN)


def leave_signals_to_the_parent(worker: int = 0) -> None:
    """Make a loader's worker, as its `worker_init_fn`, deaf to signals for the whole group; it ends with its parent."""
    for stopper in STOPPERS:
        signal.signal(stopper, signal.SIG_IGN)


def _cpu_has_bf16() -> bool:
    """Whether the processor multiplies in bf16 itself; elsewhere bf16 is emulated and slower than fp32."""
    facts = _cpu_facts()
    flags = f"{facts.get('flags', '')} {facts.get('Features', '')}".split()  # x86 says flags, Arm says Features
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags)


@cache
def _cpu_facts() -> dict[str, str]:
    """What Linux says of the first processor, by name; nothing elsewhere.

    torch tells the capability level (AVX512), which does not include bf16, and the rest only in its newest versions.
    """
    listing = Path("/proc/cpuinfo")
    if not listing.is_file():
        return {}
    first = listing.read_text().split("\n\n", 1)[0]
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}
