"""One step of training: the gradients of its batches, their norm, and the update of the weights.

Nothing here waits for the device but `trouble`: a step that went wrong is remembered there and asked for later.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Generic

import torch
from torch import Tensor, nn

from humanpt.engine.average import Averaged
from humanpt.engine.distributed import LossOf, World, shard, whole
from humanpt.engine.journal import Means
from humanpt.engine.loop_config import LoopConfig
from humanpt.engine.optim import OptimConfig, make_optimizer, set_rate
from humanpt.engine.runtime import Precision, autocast
from humanpt.engine.task import BatchT, Task
from humanpt.errors import ConfigError


class Stepper(Generic[BatchT]):
    """A task's model with its optimiser, shared among the processes as the config says."""

    def __init__(
        self,
        task: Task[BatchT],
        loop: LoopConfig,
        optim: OptimConfig,
        *,
        epoch_size: int,
        device: torch.device,
        precision: Precision,
        world: World,
    ) -> None:
        self._clip_norm, self._device, self._precision, self._world = loop.clip_norm, device, precision, world
        self.model = task.model.to(device)
        self._average_decay = optim.average_decay
        if (self._average_decay is None) == isinstance(self.model, Averaged):
            raise ConfigError(
                f"optim.average_decay is {self._average_decay}, but this network keeps "
                f"{'a' if isinstance(self.model, Averaged) else 'no'} running mean of its weights"
            )
        self._loss_of = self._shared(task, loop)
        self.optimizer = make_optimizer(self.model, optim)
        self.schedule = optim.schedule(loop.batch_size, epoch_size / loop.batch_size)
        # The first step whose loss or gradient was no finite number, with both, kept on the device; step -1: none yet.
        self._bad = torch.tensor([-1.0, 0.0, 0.0], device=device)

    def _shared(self, task: Task[BatchT], loop: LoopConfig) -> Callable[[BatchT], tuple[Tensor, dict[str, Tensor]]]:
        """The loss of a batch, whose gradients are means over all processes."""
        if self._world.size == 1:
            return task.loss
        if loop.parallel == "fsdp":
            shard(self.model, self._world, self._device)
            return task.loss
        return nn.parallel.DistributedDataParallel(LossOf(task))

    def gradients(self, step: int, batches: Sequence[BatchT], figures: Means) -> tuple[Tensor, Tensor]:
        """Let the batches of a step give the model its gradients, clipped where the config says so.

        Args:
            step: counted from 1, to be named by `trouble`.
            batches: as they come from the loader, on the CPU.
            figures: where the task's figures are added.

        Returns:
            The mean loss, and the norm of the gradients over all parameters before clipping; scalars on the device.
        """
        self.optimizer.zero_grad(set_to_none=True)
        share = 1 / len(batches)
        total = torch.zeros((), device=self._device)
        for place, batch in enumerate(batches):
            with self._joined(last=place == len(batches) - 1):
                total += self._add_gradients(batch.to(self._device), share, figures) * share
        trained = [parameter for parameter in self.model.parameters() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
        if self._clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(trained, self._clip_norm, norm)
        norm = whole(norm)
        now = torch.stack([torch.full_like(total, step), total, norm])
        self._bad = torch.where((self._bad[0] >= 0) | now.isfinite().all(), self._bad, now)
        return total, norm

    def _joined(self, *, last: bool) -> AbstractContextManager[None]:
        """Around one of a step's batches: gradients that only add up need not be sent yet."""
        if last or not isinstance(self._loss_of, nn.parallel.DistributedDataParallel):
            return nullcontext()
        return self._loss_of.no_sync()

    def _add_gradients(self, batch: BatchT, share: float, means: Means) -> Tensor:
        """Add a share of a batch's gradients; its loss, detached."""
        with autocast(self._device, self._precision):
            loss, figures = self._loss_of(batch)
        if loss.ndim or "loss" in figures:
            raise ValueError(
                f"the task's loss has shape {tuple(loss.shape)} and the figures {sorted(figures)}; "
                "it must be a scalar, and the loop alone logs it as 'loss'"
            )
        (loss * share).backward()  # type: ignore[no-untyped-call]
        for name, value in figures.items():
            means.add(name, value)
        return loss.detach().float()

    def apply(self, step: int) -> None:
        """Update the weights at the rate of a step, counted from 0."""
        set_rate(self.optimizer, self.schedule.rate(step))
        self.optimizer.step()
        if isinstance(self.model, Averaged):
            assert self._average_decay is not None  # as the constructor made sure
            self.model.follow(self._average_decay, step + 1)

    def trouble(self) -> tuple[int, str] | None:
        """The first step that went wrong and what was no finite number in it; waits for the device."""
        step, loss, norm = self._bad.tolist()
        if step < 0:
            return None
        what = f"the loss is {loss}" if not math.isfinite(loss) else f"the norm of the gradient is {norm}"
        return int(step), what
