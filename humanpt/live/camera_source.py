"""Live pictures from a camera or a network stream, which may go away in mid-run and come back."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Protocol

from humanpt.data.image import Rgb
from humanpt.errors import InputError
from humanpt.live.shot import Shot
from humanpt.live.source import Shots, Source, SourceLost

PATIENCE = 10.0  # seconds without a picture until a source counts as lost for good
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds between tries to open it again; each pause is twice the one before
BROKEN_IN_A_ROW = 30  # pictures; then the device is opened again, which mends some that have lost their step


class FeedLost(Exception):
    """A connection to a camera cannot be opened, or gives nothing any more; the text is a short reason."""


class Feed(Protocol):
    """One connection to a camera, from opening it until it is lost."""

    rate: float | None
    """Pictures per second to expect."""

    def read(self) -> tuple[Rgb, float] | None:
        """The next picture, (H, W, 3), and the seconds of work on it; None for a picture that came broken.

        Raises:
            FeedLost: if there are no more.
        """

    def release(self) -> None:
        """Close the device or the connection."""


class CameraSource(Source):
    """Pictures at a camera's own pace. Where it goes away it is opened again, after longer and longer pauses.

    Timestamps tell when pictures arrived. Broken pictures keep their numbers, are counted and left out.
    """

    def __init__(self, name: str, what_next: str, *, focal: float | None, patience: float) -> None:
        super().__init__(name, live=True, focal=focal)
        self._what_next, self._patience = what_next, patience
        self._given = self._broken = self._broken_in_a_row = 0  # pictures
        self._lost_since: float | None = None
        self._pause = FIRST_PAUSE
        try:
            self._feed: Feed | None = self._open()
        except FeedLost as lost:
            raise InputError(self._missing(str(lost))) from None
        self.rate = self._feed.rate

    @abstractmethod
    def _open(self) -> Feed:
        """Connect to the camera.

        Raises:
            FeedLost: if that fails just now.
            InputError: if it can never work; one line.
        """

    @abstractmethod
    def _missing(self, reason: str) -> str:
        """The line that says why the camera cannot be opened at the start, and what to do."""

    def shots(self) -> Shots:  # noqa: D102 - as in Source
        begun: float | None = None
        try:
            while (taken := self._next(begun)) is not None:
                picture, decoding = taken
                arrived = time.perf_counter()
                begun = arrived if begun is None else begun
                height, width = picture.shape[:2]
                yield Shot(
                    number=self._given - 1,
                    timestamp=arrived - begun,
                    picture=picture,
                    camera=self._camera(width, height),
                    arrived=arrived,
                    decoding=decoding,
                )
        finally:
            self._release()
            if self._broken:
                self._note(f"{self._broken} broken picture{'s' * (self._broken > 1)} left out")

    def _next(self, begun: float | None) -> tuple[Rgb, float] | None:
        """The next sound picture, however long it takes; None once the source is closed."""
        while not self._closed.is_set():
            try:
                if self._feed is None:
                    self._feed = self._open()
                taken = self._feed.read()
            except FeedLost as lost:
                self._wait_out(str(lost))
                continue
            self._given += 1
            if taken is not None:
                self._well(begun)
                return taken
            self._broken += 1
            self._broken_in_a_row += 1
            if self._broken_in_a_row >= BROKEN_IN_A_ROW:
                self._broken_in_a_row = 0
                self._wait_out("only broken pictures")
        return None

    def _well(self, begun: float | None) -> None:
        if self._lost_since is not None and begun is not None:
            seconds = time.perf_counter() - self._lost_since
            self._note(f"no picture for {seconds:.1f} s, from {self._lost_since - begun:.1f} s on")
        self._lost_since, self._pause, self._broken_in_a_row, self.status = None, FIRST_PAUSE, 0, None

    def _wait_out(self, reason: str) -> None:
        """Let go of the camera and wait before the next try."""
        self._release()
        now = time.perf_counter()
        self._lost_since = now if self._lost_since is None else self._lost_since
        if now - self._lost_since >= self._patience:
            seconds, self.status = now - self._lost_since, None  # as the error tells it
            raise SourceLost(f"{self.name}: no picture for {seconds:.0f} s ({reason}); {self._what_next}")
        self.status = f"{self.name}: no picture ({reason}); trying again"
        self._closed.wait(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _release(self) -> None:
        if self._feed is not None:
            self._feed.release()
            self._feed = None
