"""Video files read with decord, where decord can be trusted.

decord 0.6 counts the packets of a file and takes the n-th frame that its decoder gives for the n-th packet. Where a
player would leave packets out at the start, its frames are off by as many and the last one is repeated, without a
word. It hangs on MPEG transport streams, and with several threads it fails on VP9. So it gets one thread and only the
containers it was tried on, its list of times must be the one that PyAV finds, and its first frame must be PyAV's
first frame; else it is refused. What no check here can find: decord passes damaged frames on as sound ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanpt.data.frame import ArrayFrame, Clip, Frame
from humanpt.data.video_pyav import PyavClip
from humanpt.errors import InputError

TRIED_CONTAINERS = ("mp4", "matroska", "webm", "avi")
SAME_PICTURE = (
    8.0  # mean difference in grey levels; the two conversions to RGB differ by up to 4 on saturated 10-bit video
)


class DecordClip(Clip):
    """A video file read with decord, after PyAV has vouched for what decord says about it."""

    reader = "decord"

    def __init__(self, twin: PyavClip) -> None:
        self.path = twin.path
        self.width, self.height = twin.width, twin.height
        self.rate, self.duration, self.codec = twin.rate, twin.duration, twin.codec
        self.damage = []
        if not set(TRIED_CONTAINERS) & set(twin.container.split(",")):
            raise self._refusal(f"decord is not safe with {twin.container} files")
        times = twin.presented()
        if times is None:
            raise self._refusal("the file lacks times that decord could be checked against")
        self._times = times
        self.frame_count = len(times)
        self._reader: Any = self._open()
        self._check_times()
        first = self._next()
        if first.shape != (self.height, self.width, 3) or _difference(first, next(twin.frames()).rgb()) > SAME_PICTURE:
            raise self._refusal("decord does not begin with the frame that is shown first")
        self._reader = None

    def frames(self) -> Iterator[Frame]:  # noqa: D102 - as in Clip
        self._reader = self._open()
        try:
            for number, seconds in enumerate(self._times):
                yield ArrayFrame(number, seconds, self._next())
        finally:
            self._reader = None

    def _open(self) -> Any:
        try:
            import decord
        except (ImportError, OSError):
            raise InputError(
                "decord is not installed here; use --decoder pyav, or pip install decord on x86-64"
            ) from None
        decord.logging.set_level(decord.logging.QUIET)
        try:
            return decord.VideoReader(str(self.path), num_threads=1)
        except (decord.DECORDError, RuntimeError):
            raise self._refusal("decord cannot open the file") from None

    def _check_times(self) -> None:
        import decord

        try:
            theirs = np.asarray(self._reader.get_frame_timestamp(range(len(self._reader))), np.float64)[:, 0]
        except (decord.DECORDError, RuntimeError):
            raise self._refusal("decord cannot index the file") from None
        ours = np.array(self._times)
        # PyAV counts from the first frame that can be decoded, and decord keeps times in single precision
        if ours[0] != 0 or len(theirs) != len(ours) or not np.allclose(theirs - theirs[0], ours, rtol=1e-6, atol=1e-3):
            raise self._refusal("decord misreads which frames are shown and when")

    def _next(self) -> NDArray[np.uint8]:
        import decord

        try:
            return np.asarray(self._reader.next().asnumpy(), np.uint8)
        except (decord.DECORDError, RuntimeError, StopIteration):
            raise self._refusal("decord fails on this file") from None

    def _refusal(self, reason: str) -> InputError:
        return InputError(f"{self.path}: {reason}; use --decoder pyav")


def _difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())
