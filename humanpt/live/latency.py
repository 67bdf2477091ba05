"""How long each part of the work on a frame takes, in bounded memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanpt.live.shot import Stage

NEWEST = 10_000  # frames that are kept: six minutes at 30 frames per second


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What the newest frames took, seconds."""

    p50: float
    """Half of them took no longer."""
    p95: float
    """19 of 20 took no longer."""
    mean: float
    """On average."""
    count: int
    """How many these are."""


class Latencies:
    """The seconds that each stage took for the newest frames; any thread may add and ask."""

    def __init__(self, newest: int = NEWEST) -> None:
        self._newest = newest
        self._seconds: dict[Stage, deque[float]] = {}
        self._lock = threading.Lock()

    def add(self, seconds: Mapping[Stage, float]) -> None:
        """Note what the stages of one frame took; those that did not run are left out of it."""
        with self._lock:
            for stage, value in seconds.items():
                self._seconds.setdefault(stage, deque(maxlen=self._newest)).append(value)

    def spreads(self) -> dict[Stage, Spread]:
        """Of every stage that ran, in the order in which they first did."""
        with self._lock:
            kept = {stage: np.array(values) for stage, values in self._seconds.items()}
        return {stage: _spread(values) for stage, values in kept.items()}


def _spread(seconds: NDArray[np.float64]) -> Spread:
    p50, p95 = np.percentile(seconds, [50, 95])
    return Spread(p50=float(p50), p95=float(p95), mean=float(seconds.mean()), count=len(seconds))
