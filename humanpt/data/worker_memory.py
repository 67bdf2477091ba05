"""How many processes that read pairs fit in the memory of this machine."""

from __future__ import annotations

import os
from pathlib import Path

from humanpt.errors import ConfigError

WORKER_BYTES = 128 * 2**20
"""What a loader process takes besides its batches. 20 MiB were its own after 900 pairs at 224 px; of the 290 MiB that
it then shared with the training process, more becomes its own the longer it runs. Mapped shards cost nothing."""
PREFETCH = 4
"""Batches that a loader process has ready, besides the one it works on."""
CGROUP = Path("/sys/fs/cgroup")


def pair_bytes(size: int, pictures: int = 2) -> int:
    """Bytes of a pair in a batch: so many RGB pictures of size x size; its masks are nothing beside them."""
    return pictures * 3 * size * size


def check_workers(workers: int, batch_bytes: int) -> None:
    """Refuse more loader processes than memory allows.

    Args:
        workers: processes wanted.
        batch_bytes: bytes of one batch that they make.

    Raises:
        ConfigError: saying how many fit.
    """
    fit = fitting_workers(batch_bytes)
    if fit is not None and workers > fit:
        raise ConfigError(
            f"workers is {workers}, but memory allows about {fit} of them, which hold {PREFETCH} batches of "
            f"{batch_bytes / 2**20:.1f} MiB each; take --set workers={fit} or a smaller batch"
        )


def fitting_workers(batch_bytes: int) -> int | None:
    """How many loader processes fit in the memory that is free, and their batches in /dev/shm; None if unknown."""
    batches = (PREFETCH + 1) * batch_bytes
    limits = []
    if (memory := free_memory()) is not None:
        limits.append(memory // (WORKER_BYTES + batches))
    if (shared := _free_shared()) is not None:
        limits.append(shared // batches)
    return min(limits, default=None)


def free_memory(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = CGROUP) -> int | None:
    """Bytes that can still be taken: what the machine has left, or a container's limit where that is nearer."""
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        left = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    try:
        limit, used = int((cgroup / "memory.max").read_text()), int((cgroup / "memory.current").read_text())
        parts = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        used -= int(parts["inactive_file"])  # what was read from files, shards too, makes room when memory is wanted
    except (OSError, KeyError, ValueError):  # no container, or one whose limit is "max"
        return left
    return max(0, min(left, limit - used))


def _free_shared() -> int | None:
    """Bytes left where processes hand each other batches; a container's 64 MiB are the usual surprise."""
    try:
        stat = os.statvfs("/dev/shm")
    except OSError:
        return None
    return stat.f_bavail * stat.f_frsize
