"""What a problem must offer so that the loop can train on it.

The loop knows steps, devices and files; a task knows its model, its loss and its held-out data. They meet here and
nowhere else. A step is one update of the weights; each process gives it `accumulate` batches, and all of them together
`batch_size` samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, Self, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Batch(Protocol):
    """Several samples that travel together."""

    def to(self, device: torch.device, /) -> Self:
        """Return the batch on the device; from pinned memory the copy may run beside other work."""
        ...

    def __len__(self) -> int:
        """How many samples there are."""
        ...


BatchT = TypeVar("BatchT", bound=Batch)
AnyBatch = TypeVar("AnyBatch", bound=Batch, contravariant=True)

Batches: TypeAlias = Callable[[int], Iterator[BatchT]]
"""Called with the number of the first step wanted, counted from 0; yields the batches of that step and of all later
ones without end, on the CPU, `accumulate` of them to a step. It must be a pure function of that number: the batches
from step s on are the same whether a run began there or came by it, whatever the global random generators hold. Where
workers make the batches, let `runtime.leave_signals_to_the_parent` start them, so that signals reach the loop alone.
Of several processes each makes its own share of every step, as `data.order.StreamBatches` says."""


class Task(Protocol[AnyBatch]):
    """A problem to train on: a model, a loss to lower, and a measure on data held out of training."""

    @property
    def model(self) -> nn.Module:
        """The module whose parameters are trained and whose state is saved; the loop moves it to the device."""
        ...

    def loss(self, batch: AnyBatch, /) -> tuple[Tensor, dict[str, Tensor]]:
        """Measure the model on one batch that is already on the device, in training mode and under autocast.

        A step lowers the mean of this over its batches, in however many they come and on however many processes.

        A loop that waits for no figure keeps an accelerator busy, so nothing here should call `.item()` or the like.

        Returns:
            The loss to lower, a scalar; and figures to log, detached scalars averaged over batches. A figure may be
            absent or NaN in a batch that has nothing to say about it; it is then averaged over the others. The loop
            logs the loss itself as `loss`, so no figure may have that name.
        """
        ...

    def evaluate(self) -> dict[str, float]:
        """Measure the model on the held-out data, without gradients, in evaluation mode and under autocast.

        The batches come from the task itself, which brings them to where the model's parameters are. Random draws here
        do not disturb those of training; a measure that draws must seed a generator of its own to be comparable between
        calls. Of several processes each measures all of it, and the first one's figures count.

        Returns:
            Figures by name. `loss`, lower is better, chooses the best checkpoint. Empty when nothing is held out.
        """
        ...

    def pictures(self) -> Mapping[str, NDArray[np.uint8]]:
        """Pictures that show what the model does now, called after `evaluate` and in the same way.

        Returns:
            RGB pictures (H, W, 3) by name, for TensorBoard. Empty when there is nothing to show.
        """
        ...


AnyTask: TypeAlias = Task[Any]
"""A task whose batches are of no concern."""
