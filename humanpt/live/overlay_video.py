"""The drawn pictures as a film, in MP4 (H.264), with the times at which they were taken.

While it goes every picture is a piece of the file with an index of its own (a fragmented MP4), so what was written can
be played whatever happens to the writer. `finish_video` copies it, without encoding again, into a plain MP4 whose index
comes first, which every player and editor can wind through.
"""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from humanpt.data.image import Rgb
from humanpt.errors import OutputError
from humanpt.files import whole_file

CLOCK = Fraction(1, 90_000)
"""Seconds in a tick of the film's clock."""
QUALITY = {"preset": "veryfast", "crf": "21", "tune": "zerolatency", "g": "60", "threads": "1"}
"""Of the encoder; without latency it keeps no picture back, which a killed writer would lose."""


class OverlayVideo:
    """A film that grows picture by picture.

    The first picture decides its size, up to an even number of pixels; others are scaled to fit inside, on black.

    Args:
        path: of the film, which must not exist.

    Raises:
        OSError: if the disk is full or forbids it, here and from `add`; what was written before can be played.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("xb")
        self._container: Any = None
        self._stream: Any = None
        self._last = -1
        self._whole = 0

    def add(self, picture: Rgb, timestamp: float) -> None:
        """Append a picture.

        Args:
            picture: (H, W, 3) uint8.
            timestamp: seconds; one that does not rise counts as the next tick of the clock.

        Raises:
            OSError: if it cannot be written.
        """
        if self._container is None:
            self._open(*picture.shape[:2])
        stored = np.ascontiguousarray(fitted(picture, self._stream.width, self._stream.height))
        frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
        frame.time_base = CLOCK
        self._last = frame.pts = max(self._last + 1, round(timestamp / CLOCK))
        self._mux(frame)
        self._file.flush()
        self._whole = self._file.tell()

    def close(self) -> None:
        """End the film.

        Raises:
            OSError: if its last piece cannot be written; those before can be played.
        """
        try:
            if self._container is not None:
                self._mux(None)
                self._container.close()
                self._file.flush()
                self._whole = self._file.tell()
        finally:
            with contextlib.suppress(OSError):  # of what a full disk did not take, which was told
                self._file.close()
            os.truncate(self.path, self._whole)  # players would complain of half a piece

    def _open(self, height: int, width: int) -> None:
        pieces = {"movflags": "frag_every_frame+empty_moov+default_base_moof", "flush_packets": "1"}
        self._container = av.open(self._file, "w", format="mp4", options=pieces)
        self._stream = self._container.add_stream("libx264", options=QUALITY)
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = CLOCK

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)


def fitted(picture: Rgb, width: int, height: int) -> Rgb:
    """A picture scaled to fit inside a size and set in its middle, on black; one a pixel smaller is extended."""
    found_height, found_width = picture.shape[:2]
    if 0 <= width - found_width <= 1 and 0 <= height - found_height <= 1:
        extra = (0, height - found_height, 0, width - found_width)
        return picture if not any(extra) else np.asarray(cv2.copyMakeBorder(picture, *extra, cv2.BORDER_REPLICATE))
    scale = min(width / found_width, height / found_height)
    inner = max(1, round(found_width * scale)), max(1, round(found_height * scale))
    canvas = np.zeros((height, width, 3), np.uint8)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    small = cv2.resize(picture, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas[top : top + inner[1], left : left + inner[0]] = small
    return canvas


def finish_video(grown: Path, path: Path) -> None:
    """Copy a film that grew, whole pieces of it, into a plain MP4, whole or not at all.

    Raises:
        OutputError: if there is no piece in it, or the copy cannot be written.
    """
    with whole_file(path) as temporary:
        try:
            with (
                av.open(str(grown)) as source,
                av.open(str(temporary), "w", format="mp4", options={"movflags": "faststart"}) as target,
            ):
                stream = source.streams.video[0]
                copy = target.add_stream_from_template(stream)
                for packet in source.demux(stream):
                    if packet.dts is not None and not packet.is_corrupt:
                        packet.stream = copy
                        target.mux(packet)
        except (av.FFmpegError, IndexError) as error:
            if isinstance(error, OSError) and error.errno is not None and error.filename != str(grown):
                raise
            raise OutputError(f"{grown}: holds no film that can be finished ({error}); record again") from None
