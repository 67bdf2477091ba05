"""Opening what the user names: a camera, a stream, a clip or pictures."""

from __future__ import annotations

from pathlib import Path

from humanpt.live.camera_source import PATIENCE
from humanpt.live.clip_source import ClipSource
from humanpt.live.device_source import DeviceSource
from humanpt.live.picture_source import PictureSource
from humanpt.live.source import Source
from humanpt.live.stream_source import StreamSource


def open_webcam(device: str, *, focal: float | None = None, patience: float = PATIENCE) -> Source:
    """Open a camera of this machine or a network stream.

    Args:
        device: the camera's number ("0"), its file ("/dev/video0"), or an address that begins with http://, https://,
            rtsp://, udp:// or the like.
        focal: its focal length in pixels of its pictures; None assumes the longer side.
        patience: seconds for which a camera that went away is tried again before its `shots` raise `SourceLost`.

    Raises:
        InputError: if there is no such camera or stream, or it gives no picture; one line.
        ConfigError: if the focal length is not positive.
    """
    kind = StreamSource if "://" in device else DeviceSource
    return kind(device, focal=focal, patience=patience)


def open_video(path: Path, *, focal: float | None = None, loop: bool = False, realtime: bool = False) -> Source:
    """Open a video file, or a folder of numbered pictures that are its frames.

    Args:
        path: the file or folder.
        focal: focal length in pixels; None assumes the longer side.
        loop: whether to begin again at its end, for ever; numbers and times go on.
        realtime: whether each picture comes when its time has come, as a display shows it, or as soon as asked for.

    Raises:
        InputError: if there is no such clip, or no frame can be read; one line.
        ConfigError: if the focal length is not positive.
    """
    return ClipSource(path, focal=focal, loop=loop, realtime=realtime)


def open_images(folder: Path, *, focal: float | None = None) -> Source:
    """Open the pictures that lie directly in a folder, or a single picture.

    Args:
        folder: the folder or picture.
        focal: focal length in pixels of every picture; None takes each picture's EXIF data, else its longer side.

    Raises:
        InputError: if there is no such folder or no picture in it; one line.
        ConfigError: if the focal length is not positive.
    """
    return PictureSource(folder, focal=focal)
