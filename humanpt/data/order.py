"""The order in which a run sees its samples: a pure function of a seed and a position.

The stream is endless: shuffled epochs, one after the other. Position p is the p-th sample that the whole run sees, over
all processes, so a run is resumed by its step number alone, whatever the number of workers or processes was or is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from humanpt.errors import ConfigError


class Order:
    """An endless stream of shuffled epochs over `size` samples.

    Args:
        size: samples in an epoch, at least 1.
        seed: from 0; another seed gives other shuffles.

    Raises:
        ValueError: if size or seed is out of range.
    """

    def __init__(self, size: int, seed: int) -> None:
        if size < 1 or seed < 0:
            raise ValueError(f"size is {size} and seed {seed}; they must be at least 1 and 0")
        self.size = size
        self.seed = seed
        self._shuffles: dict[int, NDArray[np.int32] | NDArray[np.int64]] = {}

    def locate(self, position: int) -> tuple[int, int]:
        """The epoch and the index (0 to size - 1) of a stream position; every index comes once in an epoch."""
        if position < 0:
            raise ValueError(f"position is {position}, must be at least 0")
        epoch, place = divmod(position, self.size)
        return epoch, int(self._shuffle(epoch)[place])

    def _shuffle(self, epoch: int) -> NDArray[np.int32] | NDArray[np.int64]:
        known = self._shuffles.get(epoch)
        if known is None:
            # Workers that read ahead go to and fro across the border of two epochs: those two are kept.
            self._shuffles = dict([*self._shuffles.items()][-1:])
            rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((self.seed, epoch))))
            shuffled = rng.permutation(self.size)
            known = shuffled.astype(np.int32) if self.size <= np.iinfo(np.int32).max else shuffled
            self._shuffles[epoch] = known
        return known

    def __getstate__(self) -> dict[str, object]:
        return {
            "size": self.size,
            "seed": self.seed,
            "_shuffles": {},
        }  # a worker draws its own rather than be sent ours


def sample_rng(seed: int, position: int) -> np.random.Generator:
    """The random numbers of the sample at a stream position, the same in any process and in any order of asking.

    Args:
        seed: from 0 to 2^64 - 1.
        position: stream position, from 0.
    """
    # Philox turns (key, counter) into numbers; (seed, position) as the key gives each sample a stream of its own.
    return np.random.Generator(np.random.Philox(key=np.array([seed, position], np.uint64)))


class StreamBatches:
    """Batches of stream positions for a `torch.utils.data.DataLoader`, as its `batch_sampler`.

    Step s of a run sees positions s x batch_size to (s + 1) x batch_size - 1, across epochs, nothing dropped.
    Rank r of w takes the r-th of w equal shares, in `accumulate` equal batches one after the other.

    Args:
        batch_size: samples per step, over all processes.
        start_step: the first step; a resumed run gives the number of steps already taken.
        stop_step: the step to stop before; None never stops.
        rank: this process, from 0.
        world_size: processes that share the batch.
        accumulate: batches that each process makes of its share of a step.

    Raises:
        ConfigError: if the batch cannot be shared equally.
        ValueError: if a number is out of range.
    """

    def __init__(
        self,
        batch_size: int,
        *,
        start_step: int = 0,
        stop_step: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        accumulate: int = 1,
    ) -> None:
        if batch_size < 1 or start_step < 0 or accumulate < 1 or not 0 <= rank < world_size:
            raise ValueError(f"{batch_size=}, {start_step=}, {accumulate=}, {rank=}, {world_size=}: out of range")
        if batch_size % (world_size * accumulate):
            parts = f"{world_size} processes x {accumulate} accumulated batches"
            raise ConfigError(f"batch_size is {batch_size}; it must be a multiple of {parts}")
        self.batch_size = batch_size
        self.start_step = start_step
        self.stop_step = stop_step
        self.rank = rank
        self.world_size = world_size
        self.accumulate = accumulate

    def __iter__(self) -> Iterator[list[int]]:
        share = self.batch_size // self.world_size
        part = share // self.accumulate
        step = self.start_step
        while self.stop_step is None or step < self.stop_step:
            first = step * self.batch_size + self.rank * share
            for start in range(first, first + share, part):
                yield list(range(start, start + part))
            step += 1

    def __len__(self) -> int:
        if self.stop_step is None:
            raise TypeError("an endless stream has no length")
        return max(0, self.stop_step - self.start_step) * self.accumulate
