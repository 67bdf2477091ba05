"""The drawn pictures as a film, in MP4 (H.264), with the times at which they were taken.

While it goes every picture is a piece of the file with an index of its own (a fragmented MP4), so what was written can
be played whatever happens to the writer. `finish_video` copies it, without encoding again, into a plain MP4 whose index
comes first, which every player and editor can wind through.
"""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from humanpt.data.image import Rgb
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
        self._torn = False

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
        try:
            self._mux(frame)
        except (OSError, av.FFmpegError):
            self._torn = True
            raise

    def close(self) -> None:
        """End the film.

        Raises:
            OSError: if its last piece cannot be written; those before can be played.
        """
        try:
            if self._container is not None and not self._torn:
                self._mux(None)
                self._container.close()
                self._note_whole()
        finally:
            with contextlib.suppress(OSError, av.FFmpegError):  # of what a full disk did not take, which was told
                if self._container is not None:
                    self._container.close()
            with contextlib.suppress(OSError):
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
        self._note_whole()

    def _note_whole(self) -> None:
        """Remember up to where the file is whole pieces."""
        self._file.flush()
        self._whole = self._file.tell()


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


def finish_video(grown: Path, path: Path) -> bool:
    """Copy a film that grew, whole pieces of it, into a plain MP4, whole or not at all.

    Returns:
        Whether there was a picture in it; else there is no file.

    Raises:
        OutputError: if the copy cannot be written.
    """
    try:
        source = av.open(str(grown))
    except av.FFmpegError:  # nothing was written, not even a head
        return False
    with source:
        packets = (one for one in source.demux(video=0) if one.dts is not None and not one.is_corrupt)
        first = next(packets, None)
        if first is None:
            return False
        index_first = {"movflags": "faststart"}
        with whole_file(path) as temporary, av.open(str(temporary), "w", format="mp4", options=index_first) as target:
            copy = target.add_stream_from_template(source.streams.video[0])
            for packet in chain((first,), packets):
                packet.stream = copy
                target.mux(packet)
    return True
