"""Frames of clips, front to back, in the order in which they are shown.

A clip is a video file or a folder of numbered pictures. Whatever reads it, a frame carries its place in presentation
order, its time in seconds since the first frame shown, and upright pixels: the quarter turns that phones write into a
file are applied. Mirrored displays and oblong pixels are not: the pixels are given as stored.

Two readers of video files meet the same contract. PyAV is what "auto" means: it was right on every clip tried, also
with a trimmed start (edit list), a variable rate, open groups of pictures, VP9 and files cut short; it alone flags
damaged frames; and it is the faster one, because a frame that nobody looks at is never turned into RGB, and a small
copy comes straight from the decoder's own planes. decord is there for comparison and refuses what it is known to get
wrong (`video_decord.py`).

Both give the same RGB values, to the bit, for 8-bit video of even size, which is nearly all of it. For 10-bit video,
and for 4:2:0 video of odd size, the versions of swscale within them interpolate the coarser colour planes
differently: the frame is the same, its saturated edges are not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from humanpt.data.clips import FoundClip, find_clips
from humanpt.data.frame import USUAL_RATE, ArrayFrame, Clip, Frame, small_size
from humanpt.data.video_frames import FolderClip
from humanpt.data.video_pyav import PyavClip
from humanpt.errors import InputError

__all__ = ["ArrayFrame", "Clip", "Decoder", "FoundClip", "Frame", "find_clips", "open_clip", "small_size"]

Decoder = Literal["auto", "pyav", "decord"]


def open_clip(
    path: Path,
    decoder: Decoder = "auto",
    *,
    threads: int = 1,
    frame_rate: float = USUAL_RATE,
    one_size: bool = True,
) -> Clip:
    """Open a video file or a folder of pictures; its first frame is decoded, so that what opens can be read.

    Args:
        decoder: who decodes video files; "auto" is PyAV. Folders of pictures are always read with OpenCV.
        threads: decoder threads within PyAV. One is as fast as any on one core; more help only where cores would idle.
        frame_rate: frames per second assumed for a folder of pictures, which carries no times.
        one_size: whether to leave out frames of another size than the first; decord gives frames of one size alone.

    Raises:
        InputError: if there is no such path, or no frame can be read from it; one line saying why and what to do.
        ValueError: if an argument is out of range.
    """
    if decoder not in ("auto", "pyav", "decord"):
        raise ValueError(f"decoder is {decoder!r}; choose auto, pyav or decord")
    if threads < 1 or not frame_rate > 0:
        raise ValueError(f"threads is {threads} and frame_rate {frame_rate}; both must be positive")
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; check the path")
    if path.is_dir():
        return FolderClip(path, frame_rate, one_size=one_size)
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; copy it again")
    clip = PyavClip(path, threads, one_size=one_size)
    if decoder == "decord":
        from humanpt.data.video_decord import DecordClip  # decord is missing on some machines

        return DecordClip(clip)
    return clip
