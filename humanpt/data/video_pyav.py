"""Video files read with PyAV: exact times, damage told apart, RGB only for those who ask."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.codec.context import ThreadType
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from humanpt.data.frame import USUAL_RATE, Clip, Frame, counted, small_size
from humanpt.data.video_clock import FrameClock
from humanpt.errors import InputError

LONGEST_HOLD = 8  # B-frames kept back until the frame they may lean on is known to be sound: 3 MB each at 1080p
# In MP4 and Matroska each packet of these is one shown picture; VP8 and MPEG-4 have packets without one in sound files.
ONE_PICTURE_EACH = ("h264", "hevc", "vp9", "av1")
MISSING_END = 0.4  # seconds that may be missing at its end before a clip is said to end early


class PyavClip(Clip):
    """A video file read with PyAV.

    Damaged frames, those predicted from them and, with `one_size`, those of another size than the first are left out
    and counted in `damage`. The others keep their times, and in MP4 and Matroska with H.264, HEVC, VP9 or AV1 also
    their numbers, so that synchronised clips stay in step. Where a file has lost whole packets, numbers close the gap
    and only the times (in AVI not even these) show it. The decoders of H.264 and MPEG-4 notice nearly all damage, those
    of HEVC and VP9 miss much of it.
    """

    reader = "pyav"

    def __init__(self, path: Path, threads: int = 1, *, one_size: bool = True) -> None:
        self.path = path
        self.damage = []
        self._threads, self._one_size = threads, one_size
        with self._source() as (container, stream):
            rate = stream.average_rate or stream.guessed_rate
            self.rate = float(rate) if rate else None
            self.codec = stream.codec_context.codec.canonical_name
            self.container = container.format.name
            self.duration = _expected_duration(container, stream)
            by_time = round((self.rate or 0) * (self.duration or 0))  # stream.frames may count trimmed ones
            self.frame_count = min(filter(None, [stream.frames, by_time]), default=None)
            events = _decoded(container, stream, self._clock(container, stream))
            first = next((event for event in events if isinstance(event, VideoFrame) and not event.is_corrupt), None)
            if first is None:
                raise InputError(f"{path}: no frame can be decoded; the file is damaged, copy or record it again")
            self.width, self.height = _upright_size(first)
            self._first_pts = first.pts

    def frames(self) -> Iterator[Frame]:  # noqa: D102 - as in Clip
        self.damage = []
        left_out = other_size = 0
        damaged_from = math.inf
        whole, small = VideoReformatter(), VideoReformatter()  # each keeps its tables from frame to frame
        with self._source() as (container, stream):
            clock = self._clock(container, stream)
            try:
                for picture, number, seconds, sound in _judged(_decoded(container, stream, clock), clock):
                    if not sound:
                        left_out += 1
                        damaged_from = min(damaged_from, seconds)
                    elif self._one_size and _upright_size(picture) != (self.width, self.height):
                        other_size += 1
                    else:
                        yield _PyavFrame(number, seconds, picture, whole, small)
                clock.finish()
                if clock.stopped:
                    self.damage.append(f"cannot be read beyond frame {clock.number} ({clock.stopped})")
                elif self.duration is not None and clock.end < self.duration - MISSING_END:
                    length = f"{clock.end:.1f} of {self.duration:.1f} s"
                    self.damage.append(f"ends early, after frame {clock.number} ({length})")
            finally:
                left_out += clock.missing
                if left_out:
                    start = min(damaged_from, clock.lost_from)
                    self.damage.append(f"{counted(left_out)} damaged and left out, the first at {start:.1f} s")
                if other_size:
                    self.damage.append(f"{counted(other_size)} left out, not of {self.width} x {self.height} pixels")

    def presented(self) -> list[float] | None:
        """When each frame is shown, in seconds since the first that can be decoded; the container says, nobody decodes.

        None where the container does not say, says it of two frames at once, or is damaged.
        """
        with self._source() as (container, stream):
            try:
                shown = [packet.pts for packet in container.demux(stream) if packet.size and not packet.is_discard]
            except av.FFmpegError:
                return None
            times = sorted({pts for pts in shown if pts is not None})
            if len(times) < len(shown) or self._first_pts is None or not _timed(container, stream):
                return None
            return [_seconds(pts - self._first_pts, stream) for pts in times]

    @contextmanager
    def _source(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        # "file:" keeps a colon in a name from meaning a protocol, and the white list keeps a playlist off the network.
        try:
            container = av.open(f"file:{self.path}", "r", options={"protocol_whitelist": "file"})
        except (av.FFmpegError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"{self.path}: not a video that can be read ({reason}); convert or remove it") from None
        with container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
                raise InputError(f"{self.path}: no video in this file, only sound or data; remove it from the inputs")
            if getattr(stream, "codec_context", None) is None:  # no decoder for it, whatever PyAV's type hints say
                raise InputError(f"{self.path}: compressed in a way that PyAV cannot decode; convert it to H.264")
            stream.codec_context.thread_count = self._threads
            stream.codec_context.thread_type = ThreadType.AUTO
            yield container, stream

    def _clock(self, container: InputContainer, stream: VideoStream) -> FrameClock:
        indexed = self.codec in ONE_PICTURE_EACH and not {"mp4", "matroska"}.isdisjoint(self.container.split(","))
        step = 1 / (self.rate or USUAL_RATE)
        return FrameClock(stream.time_base or Fraction(1), step, timed=_timed(container, stream), indexed=indexed)


class _PyavFrame(Frame):
    """A decoded picture, turned into RGB only when somebody looks."""

    def __init__(
        self, number: int, timestamp: float, picture: VideoFrame, whole: VideoReformatter, small: VideoReformatter
    ) -> None:
        super().__init__(number, timestamp, *_upright_size(picture))
        self._picture = picture
        self._whole, self._small = whole, small
        self._rgb: NDArray[np.uint8] | None = None

    def rgb(self) -> NDArray[np.uint8]:
        if self._rgb is None:
            self._rgb = self._convert(self._whole, self._picture.width, self._picture.height)
        return self._rgb

    def small(self, longest: int) -> NDArray[np.uint8]:
        return self._convert(self._small, *small_size(self._picture.width, self._picture.height, longest))

    def _convert(self, reformatter: VideoReformatter, width: int, height: int) -> NDArray[np.uint8]:
        # AREA costs 0.3 ms more than FAST_BILINEAR at 720p, which skips most pixels and so would see noise as motion.
        picture = reformatter.reformat(
            self._picture, width=width, height=height, format="rgb24", interpolation=Interpolation.AREA, threads=1
        )
        rgb = np.asarray(picture.to_ndarray(), np.uint8)
        return np.ascontiguousarray(np.rot90(rgb, _quarter_turns(self._picture)))


@dataclass(frozen=True)
class _Lost:
    """A packet that gave no picture, and when that would have been shown."""

    pts: int | None


def _decoded(container: InputContainer, stream: VideoStream, clock: FrameClock) -> Iterator[VideoFrame | _Lost]:
    """What comes out of the decoder, in presentation order; errors become marks among the pictures."""
    for packet in _packets(container, stream, clock):
        clock.expect(packet)
        try:
            pictures = [] if packet.is_corrupt else packet.decode()
        except av.FFmpegError:
            pictures = []
            yield _Lost(packet.pts)
        else:
            if packet.is_corrupt:
                yield _Lost(packet.pts)
        yield from pictures


def _packets(container: InputContainer, stream: VideoStream, clock: FrameClock) -> Iterator[Packet[VideoStream]]:
    """The packets of a file, then an empty one that draws the last pictures from the decoder, also if reading fails."""
    try:
        yield from container.demux(stream)
    except av.FFmpegError as error:
        clock.stopped = error.strerror
        last = cast("Packet[VideoStream]", Packet())
        last.stream = stream
        yield last


def _judged(events: Iterator[VideoFrame | _Lost], clock: FrameClock) -> Iterator[tuple[VideoFrame, int, float, bool]]:
    """Give each picture its number, its time, and whether it is sound.

    The decoder flags only the picture in which it met an error. What is predicted from that one is as wrong: all up
    to the next key frame, and the B-frames just before it, which are shown first. So B-frames wait for the next other
    picture.
    """
    held: list[tuple[VideoFrame, int, float]] = []
    broken = False
    broken_pts: int | None = None
    for event in events:
        if isinstance(event, _Lost):
            clock.lose()
            broken, broken_pts = True, event.pts
            continue
        missing = clock.missing
        placed = clock.place(event.pts, event.duration)
        if placed is None:
            continue
        corrupt, in_two_directions = event.is_corrupt, event.pict_type == PictureType.B
        if held and (corrupt or not in_two_directions or len(held) == LONGEST_HOLD):
            yield from ((*early, not corrupt) for early in held)
            held.clear()
        if corrupt or clock.missing > missing:
            broken, broken_pts = True, event.pts
        # A key frame shown before the break was decoded before it, and mends nothing.
        if event.key_frame and not corrupt and (broken_pts is None or event.pts is None or event.pts >= broken_pts):
            broken = False
        sound = not corrupt and (event.key_frame or not broken)
        if sound and in_two_directions:
            held.append((event, *placed))
        else:
            yield event, *placed, sound
    yield from ((*early, True) for early in held)


def _expected_duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds of video that the file promises; what a file cut short would have had."""
    if container.format.name == "avi" and stream.frames and stream.average_rate:
        return float(stream.frames / stream.average_rate)  # its duration is made up from the bytes that are there
    if stream.duration is not None:
        return _seconds(stream.duration, stream)
    start = _seconds(stream.start_time or 0, stream)
    if "DURATION" in stream.metadata:  # Matroska, as "00:01:02.500000000", from the file's own zero
        try:
            hours, minutes, seconds = map(float, stream.metadata["DURATION"].split(":"))
        except ValueError:
            return None
        return 3600 * hours + 60 * minutes + seconds - start
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / 1e6 - start
    return None


def _timed(container: InputContainer, stream: VideoStream) -> bool:
    # AVI stores no times; what FFmpeg makes up for it follows the order of decoding, which B-frames change.
    return container.format.name != "avi" or not stream.codec_context.has_b_frames


def _seconds(ticks: int, stream: VideoStream) -> float:
    return float(ticks * (stream.time_base or Fraction(0)))


def _quarter_turns(picture: VideoFrame) -> int:
    """How often to turn the stored picture against the clock so that it stands upright."""
    return round(picture.rotation / 90) % 4


def _upright_size(picture: VideoFrame) -> tuple[int, int]:
    """(width, height) of a picture as shown."""
    turned = _quarter_turns(picture) % 2 == 1
    return (picture.height, picture.width) if turned else (picture.width, picture.height)
