"""Which number and which time a decoded picture has, also behind pictures that never came."""

from __future__ import annotations

import heapq
import math
from fractions import Fraction

from av.packet import Packet
from av.video.stream import VideoStream


class FrameClock:
    """Numbers and times for pictures that come in presentation order, from their presentation timestamps (pts).

    Args:
        step: seconds from one frame to the next, where timestamps are missing, repeated or of no use.
        timed: whether the timestamps can be believed.
        indexed: whether each packet of the file is one frame, so that packets also tell of pictures that never came.
    """

    def __init__(self, time_base: Fraction, step: float, *, timed: bool, indexed: bool) -> None:
        self.number = -1  # of the last picture
        self.end = 0.0  # seconds at which that one has been shown
        self.missing = 0  # pictures that never came
        self.lost_from = math.inf  # seconds at which the first packet was lost
        self.stopped: str | None = None  # why the file could not be read to its end
        self._time_base, self._step = time_base, step
        self._timed, self._indexed = timed, timed and indexed
        self._origin: int | None = None
        self._pts: int | None = None  # of the last picture, as its seconds are
        self._seconds = -step
        self._owed = 0  # lost packets since the last picture, where nothing else tells
        self._due: list[int] = []  # a heap of the timestamps whose pictures have not come yet

    def expect(self, packet: Packet[VideoStream]) -> None:
        """Note a packet that goes into the decoder."""
        if self._indexed and packet.size and packet.pts is not None and not packet.is_discard:
            heapq.heappush(self._due, packet.pts)

    def lose(self) -> None:
        """Note that the last packet gave no picture."""
        self.lost_from = min(self.lost_from, max(0.0, self._seconds))
        self._owed += not self._indexed

    def place(self, pts: int | None, duration: int | None) -> tuple[int, float] | None:
        """The number and the time in seconds of the next picture; `pts` and `duration` in units of the time base.

        None for a picture that comes after its successor or a second time, as some do behind a break.
        """
        if self._due and pts is None:
            pts = self._due[0]
        skipped = []
        while pts is not None and self._due and self._due[0] < pts:
            skipped.append(heapq.heappop(self._due))
        awaited = bool(self._due) and self._due[0] == pts
        if awaited:
            heapq.heappop(self._due)
        # Late, or the same time again without a packet that would explain it.
        if self._indexed and pts is not None and self._pts is not None and (pts, awaited) <= (self._pts, False):
            self.number += len(skipped) + awaited
            self.missing += len(skipped) + awaited
            return None
        if self.number < 0:
            if self.lost_from == math.inf:  # a start amid a group of pictures, which is no damage
                skipped.clear()
            self._origin = skipped[0] if skipped else pts
        lost, self._owed = len(skipped) + self._owed, 0
        self.missing += lost
        self.number += 1 + lost
        if self._timed and pts is not None and self._origin is not None:
            seconds = float((pts - self._origin) * self._time_base)
            self._seconds = max(seconds, self._seconds + 1e-3 * self._step)  # some files give one time twice
        else:
            self._seconds += (1 + lost) * self._step
        self._pts = pts
        self.end = self._seconds + (float(duration * self._time_base) if duration else self._step)
        return self.number, self._seconds

    def finish(self) -> None:
        """Note that no more pictures will come."""
        self.missing += self._owed + len(self._due)
