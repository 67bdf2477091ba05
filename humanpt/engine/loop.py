"""The training loop: step, report, evaluate, save.

Where the loop stands is one number, the step: batches and rates follow from it, and a checkpoint holds the rest. So a
run that was killed goes on from its last checkpoint as if nothing had happened, on a CPU to the last bit. Several
processes share each step (engine.distributed), in any number, which may be another after each resume.

Figures stay on the device until they are logged, so that an accelerator is waited for only then, and at a save.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, NoReturn, TypeAlias, cast

import torch

from humanpt.engine.checkpoint import Provenance, first_not_finite, resume_checkpoint, save_checkpoint
from humanpt.engine.distributed import ALONE, World
from humanpt.engine.journal import Clock, Log, Means
from humanpt.engine.loop_config import LoopConfig
from humanpt.engine.optim import OptimConfig
from humanpt.engine.report import Report, Silent
from humanpt.engine.run_folder import sole_writer
from humanpt.engine.runtime import (
    Interrupt,
    Precision,
    autocast,
    deterministic_on_cpu,
    interruptible,
    peak_memory,
    random_states_kept,
)
from humanpt.engine.step import Stepper
from humanpt.engine.task import Batches, BatchT, Task
from humanpt.errors import ConfigError, HumanptError, OutputError, TrainingError, unwrapped

LAST = "last.safetensors"
BEST = "best.safetensors"
LOG = "log.jsonl"

BestBy: TypeAlias = Literal["held-out loss", "training loss"]
Stopper: TypeAlias = Literal["SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP"]

Watch: TypeAlias = Callable[[Mapping[str, float]], Sequence[str]]
"""Given every line of the log, `step` included; returns warnings in words."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a run came to."""

    steps: int
    """Steps made since the very start, those before a resume included."""

    new_steps: int
    """Steps made by this call."""

    seconds: float
    """Time of this call, in seconds, evaluation and saving included."""

    samples_per_second: float
    """Samples trained on per second of training alone; 0 when no step was made."""

    figures: Mapping[str, float]
    """The last line of the log; empty when this call wrote none."""

    best_loss: float | None
    """The lowest loss of an evaluation; None before the first."""

    best_step: int | None
    """The step at which it was measured."""

    best_by: BestBy | None
    """What chose the best checkpoint. Training loss, the mean since the evaluation before, when nothing is held out."""

    last: Path
    """The newest checkpoint."""

    best: Path | None
    """The best checkpoint; None before the first evaluation."""

    interrupted: bool
    """Whether it was stopped before its last step; `last` then resumes it."""

    stopped_by: Stopper | None = None
    """The signal that stopped it; None when it went to its end."""

    warnings: tuple[str, ...] = ()
    """What `watch` had to say, each once, that of the run before a resume included."""


def train(
    task: Task[BatchT],
    batches: Batches[BatchT],
    *,
    loop: LoopConfig,
    optim: OptimConfig,
    epoch_size: int,
    out: Path,
    provenance: Provenance,
    device: torch.device,
    precision: Precision = "fp32",
    report: Report | None = None,
    resume: Path | None = None,
    unit: str = "pairs",
    world: World = ALONE,
    watch: Watch | None = None,
) -> TrainResult:
    """Train a task's model, from its present weights or from where a checkpoint stands.

    Writes into `out`: `last.safetensors` and `best.safetensors` (module checkpoint); `log.jsonl`, one JSON object per
    logged step with `step`, `loss`, the task's figures, `grad_norm` (before clipping), `lr`, `<unit>_per_second`,
    `waiting` (share of the time spent without data), `peak_memory_gib`, and after an evaluation `heldout_<figure>`; and
    `tensorboard/`. Every evaluation writes a line, and so does the last step. One command at a time may write into it.

    Ctrl-C, SIGTERM and SIGUSR1 finish the step, save and return; a second Ctrl-C raises KeyboardInterrupt at once.

    Of several processes each calls this alike, inside `distributed.join`, with batches of its own share; `out` is a
    folder that all of them see. The first alone writes and reports; the result is the same in all.

    Args:
        batches: see `engine.task.Batches`; a batch of `loop.micro_batch` samples is wanted.
        epoch_size: samples in an epoch.
        provenance: saved with the weights; its recipe must be that of `resume`.
        resume: a checkpoint to go on from, usually `out / "last.safetensors"`.
        unit: what a sample is, in the plural, for log and report.
        world: the processes that train together.
        watch: looks at every line of the log; what it says is noted once.

    Raises:
        ConfigError: if the cosine ends before the warm-up, or the batch cannot be shared equally.
        CheckpointError: if `resume` cannot be gone on from.
        OutputError: if `out` already holds a run and `resume` is None, or another command writes one there, or a
            file cannot be written.
        TrainingError: if a loss, a gradient or a weight stops being a finite number. What was saved before is intact.
    """
    parts = world.size * loop.accumulate
    if loop.batch_size % parts:
        raise ConfigError(
            f"batch_size is {loop.batch_size}; it must be a multiple of {world.size} processes x {loop.accumulate} "
            "accumulated batches; choose another --batch-size, or start another number of processes"
        )
    report = report if report is not None and world.is_first else Silent()
    with ExitStack() as stack:
        log: Log | None = None
        if world.is_first:
            stack.enter_context(sole_writer(out))
            if resume is None and (out / LAST).exists():
                raise OutputError(
                    f"{out}: it already holds a run; resume that one with --resume, or choose another folder"
                )
        stack.enter_context(deterministic_on_cpu(device))
        run = _Run(task, loop, optim, epoch_size, out, provenance, device, precision, report, unit, world, watch)
        if resume is not None:
            run.resume(resume)
        if world.is_first:
            begun = -1 if resume is None else run.step
            log = stack.enter_context(Log(out / LOG, begun, out / "tensorboard" if loop.tensorboard else None))
        return run.go(batches, log)


class _Run(Generic[BatchT]):
    """One run: what changes from step to step, and the parts of a step."""

    def __init__(
        self,
        task: Task[BatchT],
        loop: LoopConfig,
        optim: OptimConfig,
        epoch_size: int,
        out: Path,
        provenance: Provenance,
        device: torch.device,
        precision: Precision,
        report: Report,
        unit: str,
        world: World,
        watch: Watch | None,
    ) -> None:
        self.task, self.loop, self.out, self.provenance = task, loop, out, provenance
        self.device, self.precision, self.report, self.unit = device, precision, report, unit
        self.world, self.watch_line = world, watch
        self.stepper = Stepper(
            task, loop, optim, epoch_size=epoch_size, device=device, precision=precision, world=world
        )
        self.model, self.optimizer, self.schedule = self.stepper.model, self.stepper.optimizer, self.stepper.schedule
        self.end = loop.total_steps(epoch_size)
        self.step = self.first_step = self.samples = 0
        self.since_log, self.since_eval = Means(device), Means(device)
        self.clock = Clock(device)
        self.figures: dict[str, float] = {}
        self.metrics: dict[str, float] = {}
        self.best_loss: float | None = None
        self.best_step: int | None = None
        self.best_by: BestBy | None = None
        self.saved: Path | None = None
        self.saved_step = -1
        self.saved_at = time.perf_counter()
        self.late = False
        self.stopped_by: Stopper | None = None
        self.warnings: list[str] = []

    def resume(self, path: Path) -> None:
        """Take over the state that a checkpoint holds."""
        header = resume_checkpoint(path, self.model, self.optimizer, device=self.device, recipe=self.provenance.recipe)
        self.step = self.first_step = self.saved_step = header.step
        self.saved = path
        self.samples = header.counters["samples"]
        self.warnings = list(header.counters.get("warnings", ()))
        if self.world.is_first:  # means are joined over all processes, so one goes on from those so far
            self.since_log.restore(header.counters["since_log"])
            self.since_eval.restore(header.counters["since_eval"])
        self.metrics = {name: value for name, value in header.metrics.items() if value is not None}
        if self.world.share((self.out / BEST).exists()):  # else the next evaluation makes one, however the old one did
            self.best_loss, self.best_step, self.best_by = header.counters["best"]

    def go(self, batches: Batches[BatchT], log: Log | None) -> TrainResult:
        """Train to the end, or until the user asks to stop."""
        self.report.stage("training", self.end, "step")
        self.report.advance(self.step)
        if self.schedule.cosine < self.end:
            self.report.note(
                f"the learning rate reaches 0 at step {math.ceil(self.schedule.cosine)} of {self.end}; "
                f"optim.cosine_steps={self.end} or more uses the steps after it"
            )
        if self.step > self.end:
            raise ConfigError(
                f"{self.saved}: has made {self.step} steps, more than the {self.end} of the run; "
                f"give --steps {self.step} or more"
            )
        if self.step == self.end:
            self.report.note(f"{self.saved}: it has made {self.step} of {self.end} steps already; nothing was trained")
        self.model.train()
        began = time.perf_counter()
        with interruptible() as interrupt:
            if self.loop.eval_first and self.saved is None:
                self.evaluate_first(log)
            self.clock.start(self.samples)
            with _opened(batches, self.step, self.end) as stream:
                while self.step < self.end:
                    step_batches = self.fetch(stream, interrupt)
                    if self.stops(interrupt):
                        break
                    assert step_batches is not None  # they are missing only where somebody asked to stop
                    self.update(step_batches)
                    self.report.advance(1)
                    self.look_after(log)
                if self.saved_step != self.step:
                    self.save(LAST)
        seconds = time.perf_counter() - began
        return self.result(seconds)

    def stops(self, interrupt: Interrupt) -> bool:
        """Whether any process was asked to stop; and agree on whether it is time to save."""
        late = self.loop.save_seconds is not None and time.perf_counter() - self.saved_at >= self.loop.save_seconds
        asked, saves = self.world.largest([interrupt.signal, late and self.world.is_first])
        self.late = bool(saves)
        if asked:
            self.stopped_by = cast(Stopper, signal.Signals(int(asked)).name)
        return bool(asked)

    def fetch(self, stream: Iterator[BatchT], interrupt: Interrupt) -> list[BatchT] | None:
        """Wait for all batches of a step, so that being interrupted meanwhile leaves no step half made.

        Returns:
            The batches; None if there was a signal to stop, which may have ended the workers as well.
        """
        if interrupt.asked:
            return None
        try:
            with self.clock.waiting(), _draws_not_counted():
                return self.next_batches(stream)
        except Exception:
            if interrupt.asked:
                return None
            raise

    def next_batches(self, stream: Iterator[BatchT]) -> list[BatchT]:
        """The batches of a step; whatever a user can mend becomes one line."""
        try:
            return [next(stream) for _ in range(self.loop.accumulate)]
        except StopIteration:
            raise ValueError(f"the batches end before step {self.step + 1} of {self.end}; they must not end") from None
        except HumanptError as error:
            raise unwrapped(error) from error
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):
                raise
            died = str(error).splitlines()[0].rstrip(". ")
            raise TrainingError(f"step {self.step + 1}: {died}; try fewer workers; {self.left()}") from error

    def update(self, step_batches: list[BatchT]) -> None:
        """Make one step."""
        loss, norm = self.stepper.gradients(self.step + 1, step_batches, self.since_log)
        if self.device.type == "cpu":  # here looking costs nothing, and stops before the weights are spoilt
            self.refuse_not_finite()
        self.stepper.apply(self.step)
        self.samples += sum(map(len, step_batches)) * self.world.size
        self.step += 1
        self.since_log.add("grad_norm", norm)
        for means in (self.since_log, self.since_eval):
            means.add("loss", loss)

    def refuse_not_finite(self) -> None:
        """Raise if a step went wrong; waits for the device."""
        if trouble := self.stepper.trouble():
            self.refuse(*trouble)

    def refuse(self, step: int, what: str) -> NoReturn:
        """Raise because a figure or weight is no finite number."""
        raise TrainingError(f"step {step}: {what}; {self.left()}; a lower optim.base_lr or a loop.clip_norm may help")

    def left(self) -> str:
        """What is left after a failure."""
        if self.saved is None:
            return "nothing had been saved yet"
        return f"the last good checkpoint is {self.saved} (step {self.saved_step})"

    def evaluate_first(self, log: Log | None) -> None:
        """Measure the first weights, which are no candidate for the best."""
        self.measure()
        self.show(log)
        figures = {name: value for name, value in self.metrics.items() if name.startswith("heldout_")}
        if figures:
            self.tell(log, figures)

    def look_after(self, log: Log | None) -> None:
        """Evaluate, log and save, each when its time has come."""
        log_due = self.due(self.loop.log_every)
        eval_due = self.due(self.loop.eval_every)
        done = self.step == self.end
        better = False
        if eval_due or done:
            self.refuse_not_finite()
            with self.clock.pause():
                better = self.evaluate()
                self.show(log)
        if log_due or eval_due or done:
            self.refuse_not_finite()
            self.write_log(log, heldout=eval_due or done)
        # Means begin anew only where every run of this config does, also one that ended elsewhere and was prolonged.
        if log_due:
            self.since_log.clear()
            self.clock.mark(self.samples)
        if eval_due:
            self.since_eval.clear()
        if better:
            if self.saved is None:  # a run that is killed now can be resumed
                self.save(LAST)
            self.save(BEST)
        if done or self.late or self.due(self.loop.save_every):
            self.save(LAST)

    def due(self, every: int | None) -> bool:
        """Whether something done every so many steps is to be done now."""
        return every is not None and self.step % every == 0

    def measure(self) -> dict[str, float]:
        """The figures of the held-out data, as the first process finds them."""
        with self.looking():
            heldout = self.world.share(self.task.evaluate())
        self.metrics = {f"heldout_{name}": value for name, value in heldout.items()}
        return heldout

    def show(self, log: Log | None) -> None:
        """Let the task draw what the model does now; in all processes, which may hold the model between them."""
        if self.loop.tensorboard:
            with self.looking():
                pictures = self.task.pictures()
            if log is not None:
                log.write_pictures(self.step, pictures)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Inside, the model is used but not trained, and draws do not count."""
        self.model.eval()
        with random_states_kept(self.device), torch.no_grad(), autocast(self.device, self.precision):
            yield
        self.model.train()

    def evaluate(self) -> bool:
        """Measure on held-out data; True when this is the best so far."""
        heldout = self.measure()
        measured = "loss" in heldout
        loss = heldout["loss"] if measured else self.over_all(self.since_eval).read()["loss"]
        by: BestBy = "held-out loss" if measured else "training loss"
        if not math.isfinite(loss):
            self.refuse(self.step, f"the {by} is {loss}")
        # A loss of the other kind, from before data was held out or no longer was, is no measure for this one.
        if self.best_loss is not None and self.best_by == by and loss >= self.best_loss:
            return False
        self.best_loss, self.best_step, self.best_by = loss, self.step, by
        return True

    def over_all(self, means: Means) -> Means:
        """Means over all processes."""
        return means if self.world.size == 1 else means.join(self.world.gather(means.state()))

    def write_log(self, log: Log | None, *, heldout: bool) -> None:
        """Write a line of means since the last one, and show it."""
        speed, waiting = self.clock.speed_and_waiting(self.samples)
        memory = peak_memory(self.device)
        evaluation = {name: value for name, value in self.metrics.items() if heldout and name.startswith("heldout_")}
        means = self.over_all(self.since_log).read()
        self.figures = {"loss": means.pop("loss"), **means}
        self.figures |= {"lr": self.schedule.rate(self.step - 1), f"{self.unit}_per_second": speed, "waiting": waiting}
        self.figures |= {} if memory is None else {"peak_memory_gib": memory / 2**30}
        self.figures |= evaluation
        self.metrics |= self.figures
        self.tell(log, self.figures)
        self.report.advance(0, loss=self.figures["loss"], **{f"{self.unit}/s": speed})

    def tell(self, log: Log | None, figures: Mapping[str, float]) -> None:
        """Write a line, and note what `watch` finds in it."""
        if log is not None:
            log.write(self.step, figures)
            found = self.watch_line({"step": self.step, **figures}) if self.watch_line is not None else ()
            for text in [text for text in found if text not in self.warnings]:
                self.warnings.append(text)
                self.report.note(text)

    def save(self, name: str) -> None:
        """Save a checkpoint, provided that every weight is a finite number."""
        self.refuse_not_finite()
        with self.clock.pause():
            path = self.out / name
            spoilt = first_not_finite(self.model.state_dict().items())
            if spoilt is not None:
                self.refuse(self.step, f"{spoilt} holds NaN or infinity")
            save_checkpoint(
                path,
                self.model,
                self.optimizer,
                device=self.device,
                step=self.step,
                provenance=self.provenance,
                metrics=self.metrics,
                counters={
                    "samples": self.samples,
                    "best": [self.best_loss, self.best_step, self.best_by],
                    "since_log": self.over_all(self.since_log).state(),
                    "since_eval": self.over_all(self.since_eval).state(),
                    "warnings": self.warnings,
                },
                writes=self.world.is_first,
            )
        if name == LAST:
            self.saved, self.saved_step, self.saved_at = path, self.step, time.perf_counter()

    def result(self, seconds: float) -> TrainResult:
        """Sum up, after so many seconds."""
        assert self.saved is not None  # a run saves where it stops, and one with nothing to do was resumed from a file
        new_steps = self.step - self.first_step
        return TrainResult(
            steps=self.step,
            new_steps=new_steps,
            seconds=seconds,
            samples_per_second=self.clock.overall_speed(self.samples) if new_steps else 0.0,
            figures=self.figures,
            best_loss=self.best_loss,
            best_step=self.best_step,
            best_by=self.best_by,
            last=self.saved,
            best=self.out / BEST if self.best_loss is not None else None,
            interrupted=self.step < self.end,
            stopped_by=self.stopped_by,
            warnings=tuple(self.world.share(self.warnings)),
        )


def _draws_not_counted() -> AbstractContextManager[None]:
    """Around the making of batches, to leave torch's generator as it was.

    A DataLoader draws its workers' seeds from it when it starts, and a resumed run starts one at another step.
    """
    return torch.random.fork_rng(devices=[])


@contextmanager
def _opened(batches: Batches[BatchT], step: int, end: int) -> Iterator[Iterator[BatchT]]:
    """The batches from a step on, their workers dismissed afterwards; none are made when the run is at its end."""
    with _draws_not_counted():
        stream = batches(step) if step < end else iter(())
    try:
        yield stream
    finally:
        close = getattr(stream, "close", None)  # generators have it, other iterators end with their last name
        if close is not None:
            close()
