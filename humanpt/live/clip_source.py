"""Pictures of a video file, as fast as they are asked for or at the pace at which a display shows them."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import cast

from humanpt.data.frame import USUAL_RATE, Frame
from humanpt.data.video import open_clip
from humanpt.errors import InputError
from humanpt.live.shot import Shot
from humanpt.live.source import Shots, Source

LATEST = 0.5  # seconds behind its time at which a clip goes on from here instead of hurrying after the clock


class ClipSource(Source):
    """A video file, or a folder of numbered pictures, front to back.

    Frames keep their own times, so a variable rate stays one; they may change their size on the way. Damaged frames are
    left out, as `open_clip` says. With `realtime` the source is live: each picture comes when its time has come. Where
    decoding cannot keep that pace the clip runs slower, and no picture is left out here.
    """

    def __init__(self, path: Path, *, focal: float | None, loop: bool, realtime: bool) -> None:
        super().__init__(path.name, live=realtime, focal=focal)
        self._clip = open_clip(path, one_size=False)
        self._loop = loop
        self.rate = self._clip.rate
        self.count = None if loop else self._clip.frame_count

    def shots(self) -> Shots:  # noqa: D102 - as in Source
        number, seconds = 0, 0.0  # at which this time through the clip begins
        pace = _Pace(self._closed)
        while True:
            shot: Shot | None = None
            for shot in self._once_through(number, seconds, pace):
                yield shot
            if self._closed.is_set() or not self._loop:
                return
            if shot is None:
                raise InputError(f"{self._clip.path}: no frame can be read any more; check the file")
            number, seconds = shot.number + 1, shot.timestamp + 1 / (self.rate or USUAL_RATE)

    def _once_through(self, number: int, seconds: float, pace: _Pace) -> Shots:
        try:
            # The frames of a clip are a generator: closing it closes the file.
            with closing(cast("Generator[Frame, None, None]", self._clip.frames())) as frames:
                begun = time.perf_counter()
                for frame in frames:
                    picture, timestamp = frame.rgb(), seconds + frame.timestamp
                    decoding = time.perf_counter() - begun
                    if self.live:
                        pace.wait(timestamp)
                    if self._closed.is_set():
                        return
                    yield Shot(
                        number=number + frame.number,
                        timestamp=timestamp,
                        picture=picture,
                        camera=self._camera(frame.width, frame.height),
                        arrived=time.perf_counter(),
                        decoding=decoding,
                        place=frame.number,
                        name=frame.name,
                    )
                    begun = time.perf_counter()
        finally:
            for line in self._clip.damage:
                self._note(line)


class _Pace:
    """Waits until a timestamp's time has come on a clock that starts with the first one."""

    def __init__(self, closed: threading.Event) -> None:
        self._closed = closed
        self._start: float | None = None

    def wait(self, timestamp: float) -> None:
        now = time.perf_counter()
        if self._start is None or now > self._start + timestamp + LATEST:
            self._start = now - timestamp
        self._closed.wait(max(0.0, self._start + timestamp - now))
