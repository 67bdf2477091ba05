"""Capture, inference and drawing at the same time, with at most one frame waiting between them.

Three threads: one reads the source, one runs the pipeline, and the one that calls `Loop.run` draws and shows, since
windows and signals want the main thread. Where frames may be dropped the newest wins at both places between them, so
that a slow machine shows fewer frames and never older ones; where they may not, the threads wait for one another.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from humanpt.data.image import Rgb
from humanpt.engine.runtime import Interrupt, interruptible
from humanpt.live.latency import Latencies, Spread
from humanpt.live.shot import Shot, Stage, View
from humanpt.live.slot import Slot
from humanpt.live.source import Source

TICK = 0.1  # seconds after which the showing thread looks for signals, and tells those who show that nothing came
GRACE = 6.0  # seconds for which a camera's driver may keep the capturing thread after the end; then it is left behind


class Sink(Protocol):
    """Who gets every frame that is shown: a page, a window, a recorder, a terminal."""

    def show(self, view: View, drawn: Rgb) -> None:
        """Take a frame; called by the thread that runs the loop."""

    def close(self) -> object:
        """End; called once by the loop, whatever ended it. A second call must do no harm."""


@runtime_checkable
class Watcher(Protocol):
    """A sink that also works while no frame comes: a window reads keys, a page tells what the source is waiting for."""

    def wait(self, status: str | None) -> None:
        """No frame came for a moment; `status` is the source's, None if all is well."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a loop did, up to now or in all."""

    captured: int
    """Pictures that the source gave."""
    looked_at: int
    """Of these, those that the pipeline answered."""
    shown: int
    """Of these, those that were drawn and shown."""
    dropped: int
    """Pictures that nobody looked at because a newer one was there."""
    seconds: float
    """From the start."""
    stages: Mapping[Stage, Spread]
    """What each part of the work took, of the newest frames shown."""
    stopped_by: str | None
    """"end" of the source, "stop" by `Loop.stop`, "error", or a signal's name such as "SIGINT"; None while it runs."""

    @property
    def rate(self) -> float:
        """Frames shown per second."""
        return self.shown / self.seconds if self.seconds else 0.0


class Loop:
    """Runs a source through a pipeline onto screens and into files, once.

    Args:
        source: gives the pictures; the loop closes it.
        pipeline: answers a picture, by a thread of its own.
        draw: makes the picture that is shown; None shows the pictures as they were taken.
        sinks: get every frame that is shown; the loop closes them.
        drop: whether a newer frame takes the place of one that is waiting; False is for recordings and benchmarks of
            clips, where every frame counts.
    """

    def __init__(
        self,
        source: Source,
        pipeline: Callable[[Shot], View],
        draw: Callable[[View], Rgb] | None,
        sinks: Sequence[Sink],
        *,
        drop: bool,
    ) -> None:
        self.latencies = Latencies()
        self._source, self._pipeline, self._draw, self._sinks = source, pipeline, draw, sinks
        self._shots: Slot[Shot] = Slot(drop=drop)
        self._views: Slot[View] = Slot(drop=drop)
        self._captured = self._looked_at = self._shown = 0
        self._last: dict[Stage, float] = {}  # what came after drawing began, of the frame shown last
        self._begun: float | None = None
        self._ended: float | None = None
        self._stopped_by: str | None = None
        self._error: BaseException | None = None
        self._ending = threading.Lock()

    def run(self, interrupt: Interrupt | None = None) -> Summary:
        """Go on until the source ends, somebody stops it, or a signal asks to; every thread has ended then.

        Args:
            interrupt: of an `interruptible` around this, where a signal must not be lost that comes before; None
                listens for signals from here on.

        Raises:
            BaseException: the first error of the source, the pipeline, the drawing or a sink, as it was raised there;
                the source and all sinks are closed before. KeyboardInterrupt for a second Ctrl-C, which does not wait
                for a pipeline that hangs.
        """
        self._begun = time.perf_counter()
        capturing = threading.Thread(target=self._guard, args=(self._capture,), name="capture", daemon=True)
        inferring = threading.Thread(target=self._guard, args=(self._infer,), name="inference", daemon=True)
        with interruptible() if interrupt is None else nullcontext(interrupt) as interrupt:
            for thread in (capturing, inferring):
                thread.start()
            self._guard(lambda: self._show(interrupt))
            self._guard(lambda: self._end("end"))
            if not isinstance(self._error, KeyboardInterrupt):  # a second Ctrl-C waits for nobody
                self._guard(lambda: _join(inferring))
                self._guard(lambda: capturing.join(GRACE))
            for sink in self._sinks:
                self._guard(sink.close)
        self._ended = time.perf_counter()
        if self._error is not None:
            raise self._error
        return self.summary()

    def stop(self) -> None:
        """End the loop soon, from any thread; frames on their way are dropped."""
        self._end("stop")

    def summary(self) -> Summary:
        """What was done up to now; any thread may ask."""
        now = time.perf_counter() if self._ended is None else self._ended
        return Summary(
            captured=self._captured,
            looked_at=self._looked_at,
            shown=self._shown,
            dropped=self._shots.dropped,
            seconds=0.0 if self._begun is None else now - self._begun,
            stages=self.latencies.spreads(),
            stopped_by=self._stopped_by,
        )

    def _guard(self, work: Callable[[], object]) -> None:
        """Do the work of a thread; its error ends the loop, and comes out of `run` if it is the first."""
        try:
            work()
        except BaseException as error:
            with self._ending:
                self._error = self._error or error
            self._end("error")

    def _end(self, by: str) -> None:
        with self._ending:
            self._stopped_by = self._stopped_by or by
        self._source.close()
        self._shots.close()
        self._views.close()

    def _capture(self) -> None:
        with closing(self._source.shots()) as shots:  # closing releases the device
            for shot in shots:
                self._captured += 1
                if not self._shots.put(shot):
                    return
        self._shots.finish()

    def _infer(self) -> None:
        while not self._shots.over:
            shot = self._shots.take()
            if shot is None:
                continue
            view = self._pipeline(shot)
            self._looked_at += 1
            self._views.put(view)
        self._views.finish()

    def _show(self, interrupt: Interrupt) -> None:
        while not self._views.over:
            if interrupt.asked:
                self._end(signal.Signals(interrupt.signal).name)
                return
            view = self._views.take(TICK)
            if view is not None:
                self._show_one(view)
                continue
            for sink in self._sinks:
                if isinstance(sink, Watcher):
                    sink.wait(self._source.status)

    def _show_one(self, view: View) -> None:
        """Draw a view and show it; stages that are not known yet are those of the frame before."""
        seconds: dict[Stage, float] = {"capture": view.shot.decoding, **view.seconds}
        view = replace(view, seconds={**self._last, **seconds}, dropped=self._shots.dropped)
        begun = time.perf_counter()
        drawn = view.shot.picture if self._draw is None else self._draw(view)
        done = time.perf_counter()
        self._last.update({"draw": done - begun, "total": done - view.shot.arrived})
        view = replace(view, seconds={**self._last, **seconds})
        for sink in self._sinks:
            sink.show(view, drawn)
        self._last["encode"] = time.perf_counter() - done
        self.latencies.add({**seconds, **self._last})
        self._shown += 1


def _join(thread: threading.Thread) -> None:
    """Wait for a thread, with an ear for Ctrl-C: not every system lets a signal interrupt a wait without an end."""
    while thread.is_alive():
        thread.join(TICK)
