"""Pictures of a folder as a screen shows them: each for a while, and again from the first if wanted."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace

from humanpt.live.source import Shots, Source


class SlideShow(Source):
    """A source of pictures, shown one after the other.

    Args:
        source: gives the pictures; closed with this one.
        seconds: for which each is shown.
        again: whether to begin again after the last, for ever.
    """

    def __init__(self, source: Source, *, seconds: float, again: bool) -> None:
        super().__init__(source.name, live=False, focal=None)
        self._source, self._seconds, self._again = source, seconds, again
        self.count = None if again else source.count
        self.damage = source.damage

    def shots(self) -> Shots:  # noqa: D102 - as in Source
        number = 0
        while not self._closed.is_set():
            with closing(self._source.shots()) as shots:
                for shot in shots:
                    shown = replace(shot, number=number, place=shot.number, timestamp=float(number))
                    yield replace(shown, arrived=time.perf_counter())
                    number += 1
                    if self._closed.wait(self._seconds):
                        return
            if not self._again:
                return

    def close(self) -> None:  # noqa: D102 - as in Source
        super().close()
        self._source.close()
