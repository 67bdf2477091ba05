"""The frames that several cameras took at the same instants, all clips read once, side by side."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np

from humanpt.data.captures.frame_times import FrameTimes, common_time
from humanpt.data.frame import USUAL_RATE, Clip, Frame

TIE = 1e-4  # seconds; of two frames as near as this to an instant the earlier is taken, in every clip alike


class SideBySide:
    """Reads clips in step.

    Args:
        clips: one per camera.
        offsets: what is added to each clip's own time to have the common time, in seconds.
        times: common time of each clip's frames, where something other than its own clock says it.
        rate: most instants per second.
        max_skew: frames further than this from the instant do not belong to it, in seconds.

    Attributes:
        frames: frames decoded of each clip so far.
        ends: time of the last frame decoded of each clip, its own.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        offsets: Sequence[float],
        times: Sequence[FrameTimes | None],
        rate: float,
        max_skew: float,
    ) -> None:
        self._streams = [_Stream(*each) for each in zip(clips, offsets, times, strict=True)]
        rates = [clip.rate or USUAL_RATE for clip in clips]
        # The slowest clip leads, so that the others, whose frames are closer together, can follow it.
        self._leaders = sorted(range(len(clips)), key=lambda i: rates[i])
        self._step = 1 / rate
        self._max_skew = max_skew

    @property
    def frames(self) -> list[int]:
        """Frames decoded of each clip."""
        return [stream.count for stream in self._streams]

    @property
    def ends(self) -> list[float]:
        """When the last frame decoded of each clip was shown, in its own time."""
        return [stream.end for stream in self._streams]

    def __iter__(self) -> Generator[tuple[float, list[Frame | None]], None, None]:
        """The common time of each instant, and the frame of each camera, None where it has none.

        Instants that only one camera saw are passed over.
        """
        starts = sorted(stream.next_time for stream in self._streams if stream.next_time is not None)
        if len(starts) < 2:
            return
        due, last = starts[1], float("-inf")
        try:
            while sum(not stream.ended(due - self._max_skew) for stream in self._streams) >= 2:
                instant = next(
                    (time for i in self._leaders if (time := self._streams[i].nearest_time(due)) is not None), None
                )
                due += self._step
                if instant is None or instant <= last + TIE:
                    continue
                last = instant
                frames = [stream.frame_at(instant, self._max_skew) for stream in self._streams]
                if sum(frame is not None for frame in frames) >= 2:
                    yield instant, frames
        finally:
            for stream in self._streams:
                stream.close()


class _Stream:
    """One clip with a look ahead of one frame; all times here are common ones."""

    def __init__(self, clip: Clip, offset: float, times: FrameTimes | None) -> None:
        self._frames = clip.frames()
        self._offset, self._times = offset, times
        self._period = 1 / (clip.rate or USUAL_RATE)
        self.count = 0
        self.end = 0.0
        self._latest = -np.inf
        self._current: tuple[float, Frame] | None = None
        self._next = self._read()

    @property
    def next_time(self) -> float | None:
        """When the next frame is shown; None at the end."""
        return None if self._next is None else self._next[0]

    def ended(self, time: float) -> bool:
        """Whether nothing of the clip is left at or after a time."""
        return self._next is None and self._latest < time

    def nearest_time(self, time: float) -> float | None:
        """When the frame nearest to a time is shown, None if that is more than a frame away."""
        nearest = self._nearest(time)
        return nearest[0] if nearest is not None and abs(nearest[0] - time) <= self._period else None

    def frame_at(self, time: float, slack: float) -> Frame | None:
        """The frame nearest to a time if it is near enough."""
        nearest = self._nearest(time)
        return nearest[1] if nearest is not None and abs(nearest[0] - time) <= slack else None

    def close(self) -> None:
        """End reading, so that the clip knows what was wrong with it."""
        if isinstance(self._frames, Generator):
            self._frames.close()

    def _nearest(self, time: float) -> tuple[float, Frame] | None:
        while self._next is not None and self._next[0] <= time:
            self._current, self._next = self._next, self._read()
        if self._current is None or self._next is None:
            return self._current or self._next
        return self._next if self._next[0] - time < time - self._current[0] - TIE else self._current

    def _read(self) -> tuple[float, Frame] | None:
        frame = next(self._frames, None)
        if frame is None:
            return None
        shown = common_time(self._times, frame.number, frame.timestamp, self._offset)
        self.count += 1
        self.end = frame.timestamp
        if not np.isfinite(shown):
            return None
        self._latest = shown
        return shown, frame
