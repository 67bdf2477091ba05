"""What samples of labelled pictures, and batches of them, have in common whatever their labels are.

Letters: B samples of a batch, T indices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from humanpt.data.order import Order

DataT = TypeVar("DataT")
ConfigT = TypeVar("ConfigT")
SampleT = TypeVar("SampleT")


@dataclass(frozen=True, kw_only=True, eq=False)
class TensorBatch:
    """Samples that travel together, in fields that are tensors (B, ...), or None where there is nothing of the kind."""

    def to(self, device: torch.device) -> Self:
        """The batch on a device; from pinned memory without waiting for the copy."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """The batch in memory from which a GPU copies by itself; for `torch.utils.data.DataLoader`."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The batch with a change made to what moves to the device."""
        changed: dict[str, Any] = {
            name: value if value is None else change(value) for name, value in vars(self).items()
        }
        return replace(self, **changed)


class LabelledSamples(Dataset[SampleT], Generic[DataT, ConfigT, SampleT]):
    """The samples of a run: item p is what stands at stream position p when training, for any p from 0 (see
    `data.order`), else the p-th of the indices, as it is.

    A training sample is a pure function of the seed and its position, in any process.

    Args:
        data: the set.
        indices: (T,) the samples of it that are meant.
        config: of the task: what is predicted, how crops are drawn.
        crop_size: side of the network's pictures in pixels.
        seed: of the order and of every draw.
        training: shuffled epochs without end and drawn crops; otherwise each sample once, as it is.
    """

    def __init__(
        self, data: DataT, indices: NDArray[np.int64], config: ConfigT, crop_size: int, seed: int, *, training: bool
    ) -> None:
        self.data, self.indices, self.config, self.crop_size, self.seed = data, indices, config, crop_size, seed
        self.training = training
        self._order = Order(max(1, len(indices)), seed)

    def __len__(self) -> int:
        """How many samples there are: an epoch, though in training the stream of positions has no end."""
        return len(self.indices)

    def locate(self, position: int) -> int:
        """The number in the set of the sample at a position."""
        return int(self.indices[self._order.locate(position)[1] if self.training else position])
