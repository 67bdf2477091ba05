"""What a run writes down about itself: means over steps, time spent, and the log of both."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.files import cannot_write, whole_file

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Means:
    """Means of named scalars, summed on their device so that adding waits for nothing. NaN counts as nothing said."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sums: dict[str, Tensor] = {}  # (2,) float32 each: sum and count

    def add(self, name: str, value: Tensor) -> None:
        """Let a scalar enter the mean of that name."""
        value = value.detach().to(self._device, torch.float32)
        said = ~value.isnan()
        entry = torch.stack([torch.where(said, value, torch.zeros_like(value)), said.float()])
        self._sums[name] = self._sums[name] + entry if name in self._sums else entry

    def read(self) -> dict[str, float]:
        """The means so far, NaN where nothing was said; waits for the device once."""
        return {name: total / count if count else math.nan for name, (total, count) in self.state().items()}

    def clear(self) -> None:
        """Begin anew."""
        self._sums.clear()

    def state(self) -> dict[str, list[float]]:
        """Sum and count by name, exactly, as JSON can hold them."""
        if not self._sums:
            return {}
        return dict(zip(self._sums, torch.stack(list(self._sums.values())).tolist(), strict=True))

    def restore(self, state: Mapping[str, list[float]]) -> None:
        """Go on from what `state` gave."""
        self._sums = {
            name: torch.tensor(pair, dtype=torch.float32, device=self._device) for name, pair in state.items()
        }

    def join(self, states: Iterable[Mapping[str, list[float]]]) -> Means:
        """Means over what `state` gave in several processes."""
        joined = Means(self._device)
        for state in states:
            for name, (total, count) in state.items():
                before = joined._sums.get(name, torch.zeros(2, device=self._device))
                joined._sums[name] = before + torch.tensor([total, count], device=self._device)
        return joined


class Clock:
    """Time spent training, and how much of it without data. Read it only where the device was just waited for."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._gaps: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self.start(0)

    def start(self, samples: int) -> None:
        """Count from now, with so many samples seen before."""
        self._waited = self._paused = 0.0
        self._started = time.perf_counter()
        self._first = self._mark = (0.0, 0.0, samples)  # time, waiting and samples where run and present stretch began

    def mark(self, samples: int) -> None:
        """Begin a new stretch, after so many samples."""
        self._mark = (self.trained(), self.waited(), samples)

    def trained(self) -> float:
        """Seconds since the start, pauses left out."""
        return time.perf_counter() - self._started - self._paused

    def waited(self) -> float:
        """Seconds in which no data were there to work on.

        The program runs ahead of a CUDA device and may wait for data while the device still works; there it is the
        device's own idle time, between the end of one step's work and the arrival of the next.
        """
        self._waited += sum(idle.elapsed_time(ready) / 1000 for idle, ready in self._gaps)
        self._gaps.clear()
        return self._waited

    def speed_and_waiting(self, samples: int) -> tuple[float, float]:
        """Over the present stretch: samples per second, and the share of the time, 0 to 1, spent waiting for data."""
        trained, waited, before = self._mark
        seconds = max(self.trained() - trained, 1e-9)
        return (samples - before) / seconds, min(1.0, (self.waited() - waited) / seconds)

    def overall_speed(self, samples: int) -> float:
        """Samples per second since the start."""
        return (samples - self._first[2]) / max(self.trained(), 1e-9)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside, data are waited for."""
        if self._cuda:
            idle, ready = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            idle.record()
            yield
            ready.record()
            self._gaps.append((idle, ready))
        else:
            began = time.perf_counter()
            yield
            self._waited += time.perf_counter() - began

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Inside, something else than training is done."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._paused += time.perf_counter() - began


class Log:
    """The figures of a run, one JSON object per line, and for TensorBoard when asked.

    Opening it drops what lies beyond the step that the run goes on from, so that no step appears twice.
    """

    def __init__(self, path: Path, step: int, tensorboard: Path | None) -> None:
        """Open a log to go on after `step`; -1 begins anew.

        Args:
            path: the JSON lines file.
            tensorboard: the folder for TensorBoard, None for none.

        Raises:
            OutputError: if the file cannot be written.
        """
        self._path, self._step, self._tensorboard = path, step, tensorboard
        self._writer: SummaryWriter | None = None
        if path.exists():
            _drop_lines_beyond(path, step)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise cannot_write(self._path, error) from None

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Write one line; a figure that is no finite number is null in it."""
        line = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        try:
            self._file.write(json.dumps({"step": step, **line}) + "\n")
            self._file.flush()
            if self._tensorboard is not None:
                self._write_tensorboard(self._tensorboard, step, figures)
        except OSError as error:
            raise cannot_write(self._path, error) from None

    def write_pictures(self, step: int, pictures: Mapping[str, NDArray[np.uint8]]) -> None:
        """Give RGB pictures (H, W, 3) to TensorBoard, when it was asked for."""
        if self._tensorboard is not None:
            try:
                for name, picture in pictures.items():
                    self._board(self._tensorboard).add_image(name, picture, step, dataformats="HWC")
            except OSError as error:
                raise cannot_write(self._tensorboard, error) from None

    def _write_tensorboard(self, folder: Path, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._board(folder).add_scalar(name, value, step)

    def _board(self, folder: Path) -> SummaryWriter:
        if self._writer is None:  # opened late: it takes seconds to load, and its threads should not precede forks
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder), purge_step=self._step + 1)
        return self._writer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            with self._file:  # closed even if the other cannot be
                if self._writer is not None:
                    self._writer.close()
        except OSError as error:
            raise cannot_write(self._path, error) from None


def read_log(path: Path, step: float = math.inf) -> list[dict[str, Any]]:
    """The lines of a log up to a step, without one that a killed writer left half written; none where there is no file.

    Args:
        path: the JSON lines file.
        step: the last step wanted.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    return [json.loads(line) for line in lines if (at := _step_of(line)) <= step and at < math.inf]


def _drop_lines_beyond(path: Path, step: int) -> None:
    """Keep the lines up to a step; one that a killed writer left half written goes too."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if _step_of(line) <= step]
    if kept != lines:
        with whole_file(path) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"]) if line.endswith("\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf
