"""Small clips written at test time, each frame carrying its own number in a form that survives compression.

The number is a 4 x 4 grid of bright and dark blocks over the whole picture: 12 bits, and four corners (bright, dark,
dark, dark) that tell a rotated or mirrored picture from an upright one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

BITS = 12
CORNERS = ((0, 0, True), (0, 3, False), (3, 0, False), (3, 3, False))
INNER = [(row, column) for row in range(4) for column in range(4) if not (row in (0, 3) and column in (0, 3))]
TICKS = 12800  # of a clip's clock in a second: whole numbers of it make 25, 50 and 100 frames per second and 1/64 s
QUICK: dict[str, dict[str, str]] = {
    "libx264": {"preset": "ultrafast", "crf": "20"},
    "libx265": {"preset": "ultrafast", "crf": "20"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "20", "b": "0"},
    "mpeg4": {"qscale": "3"},
}


def paint(number: int, width: int = 128, height: int = 96) -> NDArray[np.uint8]:
    """A (height, width, 3) RGB picture that says its number; colours vary over the picture and with the number."""
    grid = np.zeros((4, 4), bool)
    for row, column, bright in CORNERS:
        grid[row, column] = bright
    for bit, cell in enumerate(INNER):
        grid[cell] = bool(number >> bit & 1)
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
    bright = grid[rows][:, columns]
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    shade = np.stack([across, down, np.full_like(across, number % 16 / 15)], axis=-1) * 60
    return (shade + np.where(bright[..., None], 180, 10)).astype(np.uint8)


def read_number(rgb: NDArray[np.uint8]) -> int:
    """The number in a picture made by `paint`, at any size; ValueError where there is none or it is not upright."""
    height, width = rgb.shape[:2]
    grey = rgb.mean(axis=-1)

    def bright(row: int, column: int) -> bool:
        top, left = (row + 0.3) * height / 4, (column + 0.3) * width / 4
        patch = grey[round(top) : round(top + 0.4 * height / 4) + 1, round(left) : round(left + 0.4 * width / 4) + 1]
        return bool(patch.mean() > 120)

    if any(bright(row, column) is not wanted for row, column, wanted in CORNERS):
        raise ValueError(f"a {width} x {height} picture without an upright number")
    return sum(bright(row, column) << bit for bit, (row, column) in enumerate(INNER))


def write_clip(
    path: Path,
    numbers: Iterable[int] = range(30),
    *,
    size: tuple[int, int] = (128, 96),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rate: int = 25,
    times: Sequence[float] | None = None,
    gop: int = 12,
    b_frames: int = 2,
    open_gop: bool = False,
    rotation: int = 0,
    trimmed: int = 0,
    pictures: Sequence[NDArray[np.uint8]] | None = None,
    options: Mapping[str, str] | None = None,
    container: Mapping[str, str] | None = None,
) -> Path:
    """Write a clip whose frames say the given numbers when shown; the file name's ending chooses the container.

    Args:
        size: (width, height) of the picture as stored; what is shown is turned by `rotation`.
        times: when each frame is shown, in seconds; without it they are shown at `rate`.
        rotation: quarter turns a player makes, in degrees against the clock, as phones write them.
        trimmed: so many frames at the start lie before time 0, which an MP4 edit list hides from the player.
        pictures: to write instead of painted numbers, as stored.
        options, container: for the encoder and for the container, above the defaults here.
    """
    formats = dict(container or {})
    if path.suffix.lower() in (".mp4", ".mov"):
        formats.setdefault("movflags", "faststart")  # else a file cut short has no index at all
    settings = {**QUICK.get(codec, {}), "g": str(gop), **(options or {})}
    if codec in ("libx264", "libx265"):
        name = codec.removeprefix("lib") + "-params"
        own = f"open-gop={int(open_gop)}:keyint={gop}:min-keyint={gop}:scenecut=0:bframes={b_frames}"
        settings[name] = ":".join(filter(None, [own, settings.get(name)])) + (
            ":log-level=none" if codec == "libx265" else ""
        )
    elif codec == "mpeg4":
        settings["bf"] = str(b_frames)
    with av.open(str(path), "w", options=formats) as output:
        stream: Any = output.add_stream(codec, rate=rate, options=settings)
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        clock = Fraction(1, rate) if times is None else Fraction(1, TICKS)
        stream.codec_context.time_base = clock
        if rotation:
            stream.set_display_rotation(rotation)
        turned = rotation % 180 != 0
        for position, number in enumerate(numbers):
            shown = paint(number, *(size[::-1] if turned else size))
            stored = np.ascontiguousarray(np.rot90(shown, -rotation // 90)) if pictures is None else pictures[position]
            frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
            frame.time_base = clock
            frame.pts = position - trimmed if times is None else round(times[position] * TICKS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def write_two_sizes(path: Path) -> Path:
    """Frames 0 to 9 of 128 x 96 pixels, 10 to 19 of 160 x 96; a transport stream may change its size."""
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for start, width in ((0, 128), (10, 160)):
            encoder: Any = av.CodecContext.create("libx264", "w")
            encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, 96, "yuv420p", Fraction(1, 25)
            encoder.options = {"preset": "ultrafast"}
            pictures = [av.VideoFrame.from_ndarray(paint(start + number, width, 96)) for number in range(10)]
            for number, picture in enumerate([*pictures, None]):
                if picture is not None:
                    picture.pts, picture.time_base = start + number, encoder.time_base
                for packet in encoder.encode(picture):
                    packet.stream = stream
                    output.mux(packet)
    return path


def write_sound(path: Path) -> Path:
    """Half a second of silence in a file that has no picture."""
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def without_first_group(path: Path, target: Path) -> Path:
    """Copy a clip from its second key frame on, as a cut without decoding does."""
    with av.open(str(path)) as source, av.open(str(target), "w") as output:
        stream = source.streams.video[0]
        copy = output.add_stream_from_template(stream)
        key_frames = 0
        for packet in source.demux(stream):
            key_frames += packet.is_keyframe
            if key_frames >= 2 and packet.dts is not None:
                packet.stream = copy
                output.mux(packet)
    return target


def cut(path: Path, share: float) -> Path:
    """Keep only the first `share` of a file's bytes, as a download that broke."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def spoil(path: Path, packets: Collection[int], every: int = 5) -> Path:
    """Flip bits in the last three quarters of some packets of an MP4, counted in file order; one byte in `every`."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as source:
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if number in packets and packet.pos is not None:
                for position in range(packet.pos + packet.size // 4, packet.pos + packet.size, every):
                    data[position] ^= 0x55
    path.write_bytes(data)
    return path


def blank(path: Path, packets: Collection[int]) -> Path:
    """Set some packets of an MP4 to zeros, counted in file order, so that nothing can be decoded from them."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as source:
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if number in packets and packet.pos is not None:
                data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    return path
