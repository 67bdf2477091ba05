"""Network streams, read with PyAV: MJPEG or H.264 over HTTP, RTSP, UDP and what else FFmpeg knows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import av
import numpy as np
from av.codec.context import ThreadType
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from humanpt.data.image import Rgb
from humanpt.errors import InputError
from humanpt.live.camera_source import CameraSource, FeedLost

OPENING, READING = 5.0, 3.0  # seconds to wait for an answer
OPTIONS = {
    "fflags": "nobuffer",
    "analyzeduration": "1000000",  # microseconds of stream looked at before the first picture comes
    "rtsp_flags": "prefer_tcp",  # over UDP single packets get lost, which breaks pictures up to the next key frame
}


class StreamSource(CameraSource):
    """A stream by its address; where the connection breaks it is made again."""

    def __init__(self, url: str, *, focal: float | None, patience: float) -> None:
        self._url = url
        what_next = "check that the server runs and the network is up, and start again"
        super().__init__(_without_secrets(url), what_next, focal=focal, patience=patience)

    def _open(self) -> _StreamFeed:
        return _StreamFeed(self._url, self.name)

    def _missing(self, reason: str) -> str:
        return f"{self.name}: no stream ({reason}); check the address and that the server runs"


def _without_secrets(url: str) -> str:
    """An address as it may be shown: without the user's name, and without the query, where cameras take passwords.

    Raises:
        InputError: if it is none; the line does not repeat it.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InputError("the address of the stream cannot be read; check its brackets and slashes") from None
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class _StreamFeed:
    """An open connection."""

    def __init__(self, url: str, name: str) -> None:
        try:
            self._container = av.open(url, "r", options=OPTIONS, timeout=(OPENING, READING))
        except (av.FFmpegError, UnicodeError) as error:
            raise FeedLost(_reason(error)) from None
        stream = self._container.streams.best("video")
        if not isinstance(stream, VideoStream) or getattr(stream, "codec_context", None) is None:
            self._container.close()
            raise InputError(f"{name}: no video in this stream that can be decoded; check the address")
        if self._container.duration and url.startswith("http"):
            self._container.close()
            raise InputError(f"{name}: a file, not a live stream; download it and give it to --video")
        stream.codec_context.thread_type = ThreadType.SLICE  # threads by frames would hold some back
        rate = stream.average_rate or stream.guessed_rate
        self.rate = float(rate) if rate else None
        self._pictures = _pictures(self._container, stream)

    def read(self) -> tuple[Rgb, float] | None:
        try:
            return next(self._pictures)
        except StopIteration:
            raise FeedLost("it ended") from None
        except av.FFmpegError as error:
            raise FeedLost(_reason(error)) from None

    def release(self) -> None:
        self._container.close()


def _pictures(container: InputContainer, stream: VideoStream) -> Iterator[tuple[Rgb, float] | None]:
    """What `Feed.read` gives, one after another."""
    reformatter = VideoReformatter()  # keeps its tables from picture to picture
    for packet in container.demux(stream):  # waits for the network
        begun = time.perf_counter()
        try:
            frames = packet.decode()
        except av.FFmpegError:
            yield None
            continue
        for frame in frames:
            if frame.is_corrupt:
                yield None
            else:
                rgb: Any = reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
                yield np.asarray(rgb, np.uint8), time.perf_counter() - begun
            begun = time.perf_counter()


def _reason(error: Exception) -> str:
    if isinstance(error, av.error.ExitError):  # how FFmpeg says that it was told to give up waiting
        return "no answer in time"
    return getattr(error, "strerror", None) or type(error).__name__  # its text would show the whole address
