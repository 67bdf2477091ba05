"""Made sources and pipelines whose every step is under the test's control."""

import numpy as np

from humanpt.live.shot import Camera, Shot, View
from humanpt.live.source import Source


def make_shot(number, height=6, width=8):
    """A picture whose every value is its number modulo 256."""
    camera = Camera(intrinsics=np.eye(3, dtype=np.float32), focal_from="assumed")
    picture = np.full((height, width, 3), number % 256, np.uint8)
    return Shot(number=number, timestamp=number / 30, picture=picture, camera=camera, arrived=0.0, decoding=0.25)


class MadeSource(Source):
    """Gives so many pictures; `before` is called ahead of each with its number, and of the end with their count."""

    def __init__(self, count, before=lambda number: None):
        super().__init__("made", live=True, focal=None)
        self.given, self.closed, self.released = count, 0, False
        self._before = before

    def shots(self):
        try:
            for number in range(self.given):
                self._before(number)
                if self._closed.is_set():
                    return
                yield make_shot(number)
            self._before(self.given)
        finally:
            self.released = True

    def close(self):
        self.closed += 1
        super().close()

    def closed_event(self):
        """Set once the source is closed."""
        return self._closed


def nobody(shot):
    """A pipeline that finds nobody."""
    return View(shot=shot, subjects=())


class Kept:
    """A sink that keeps the numbers of the frames it got."""

    def __init__(self):
        self.numbers, self.views, self.drawn, self.closed = [], [], [], 0

    def show(self, view, drawn):
        self.numbers.append(view.shot.number)
        self.views.append(view)
        self.drawn.append(drawn)

    def close(self):
        self.closed += 1
