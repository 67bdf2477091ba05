"""How long a run trains, on how much at once, and how often it logs, measures and saves."""

from __future__ import annotations

from dataclasses import dataclass

from humanpt.engine.distributed import Parallel
from humanpt.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """Length, batch and rhythm of a run."""

    epochs: float = 400
    """Length of the run in epochs, each as many samples as there are to train on."""

    steps: int | None = None
    """Length of the run in steps; when given, epochs is not used."""

    batch_size: int = 256
    """Samples per step, over all processes and accumulated batches."""

    accumulate: int = 1
    """Batches per step that each process makes; more of them need less memory, for the same step."""

    parallel: Parallel = "auto"
    """How several processes share the work: ddp, each with the whole network; fsdp, which spreads the network over them
    block by block, for one that is too large otherwise; auto is ddp."""

    clip_norm: float | None = None
    """Longest gradient allowed, as the norm over all parameters; None leaves gradients alone."""

    log_every: int = 20
    """Steps between two lines of the log; each holds means over the steps between."""

    eval_every: int | None = None
    """Steps between two measurements on held-out data; None measures at the end only."""

    eval_first: bool = True
    """Measure once before the first step, so that curves begin with the first weights; a line of the log for step 0."""

    save_every: int | None = 1000
    """Steps between two saves of last.safetensors; None leaves it to save_seconds and the end."""

    save_seconds: float | None = 600
    """Longest time without a save, in seconds; None leaves it to save_every and the end."""

    tensorboard: bool = True
    """Write the figures for TensorBoard too, into the folder `tensorboard` of the run."""

    def __post_init__(self) -> None:
        for name in (
            "epochs",
            "steps",
            "batch_size",
            "accumulate",
            "clip_norm",
            "log_every",
            "eval_every",
            "save_every",
        ):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} is {value}; it must be positive")
        if self.save_seconds is not None and self.save_seconds < 0:
            raise ConfigError(f"save_seconds is {self.save_seconds}; it is a time in seconds and must not be negative")
        if self.batch_size % self.accumulate:
            raise ConfigError(
                f"batch_size {self.batch_size} does not split into {self.accumulate} equal batches; "
                "choose an accumulate that divides it"
            )

    @property
    def micro_batch(self) -> int:
        """Samples per batch of a run in one process, of which `accumulate` make a step."""
        return self.batch_size // self.accumulate

    def total_steps(self, epoch_size: int) -> int:
        """Steps of the whole run.

        Args:
            epoch_size: samples in an epoch.
        """
        return self.steps or max(1, round(self.epochs * epoch_size / self.batch_size))
