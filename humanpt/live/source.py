"""The contract of everything that gives pictures: cameras, streams, clips and folders."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import TypeAlias

from humanpt.errors import ConfigError, InputError
from humanpt.live.shot import Camera, FocalSource, Shot
from humanpt.tasks.mesh_pictures import assumed_intrinsics

Shots: TypeAlias = Generator[Shot, None, None]

MOST_NOTES = 50  # lines on what was wrong; a camera that fails every minute for a week must not fill the memory


class SourceLost(InputError):
    """A camera or stream that gave pictures gives none any more."""


class Source(ABC):
    """Pictures one after another, each with its time and its camera.

    Attributes:
        name: for a person, such as "camera 0" or a file name; without a password.
        rate: pictures per second to expect; None where nobody says.
        live: whether time does not wait: pictures come at their own pace, whoever looks.
        count: how many pictures to expect, an estimate; None where there is no end, or nobody says.
        damage: what was wrong, one line each; complete when `shots` has ended or was closed.
        status: what a person should know just now, such as "camera 0: no picture, trying again"; None if all is well.
    """

    def __init__(self, name: str, *, live: bool, focal: float | None) -> None:
        if focal is not None and not 0 < focal < float("inf"):
            raise ConfigError(f"the focal length is {focal}; it is a number of pixels and must be positive")
        self.name = name
        self.rate: float | None = None
        self.live = live
        self.count: int | None = None
        self.damage: list[str] = []
        self.status: str | None = None
        self._focal = focal
        self._closed = threading.Event()
        self._cameras: dict[tuple[int, int, float | None], Camera] = {}

    @abstractmethod
    def shots(self) -> Shots:
        """The pictures, until the source ends or is closed; closing the generator releases the device.

        Raises:
            SourceLost: if a camera or stream gives no more pictures, after trying for a while.
        """

    def close(self) -> None:
        """End `shots` from another thread; it gives at most one picture more, once the device has answered."""
        self._closed.set()

    def _note(self, line: str) -> None:
        if line not in self.damage and len(self.damage) < MOST_NOTES:
            self.damage.append(line if len(self.damage) < MOST_NOTES - 1 else "and more like these")

    def _camera(self, width: int, height: int, exif_focal: float | None = None) -> Camera:
        """The camera of a picture of that size: by the user's focal length, else EXIF's, else an assumed one."""
        key = (width, height, exif_focal)
        if key not in self._cameras:
            self._cameras = {key: camera_of(width, height, self._focal, exif_focal)}
        return self._cameras[key]


def camera_of(width: int, height: int, given: float | None, exif_focal: float | None = None) -> Camera:
    """A camera with square pixels that looks through the middle of its picture.

    Args:
        width, height: of the picture, pixels.
        given: focal length that the user gives, pixels.
        exif_focal: focal length by the picture's EXIF data, pixels.

    Returns:
        With the first of the two that is there; else the longer side of the picture is assumed, as in `recover`.
    """
    intrinsics = assumed_intrinsics(width, height)
    focal = exif_focal if given is None else given
    source: FocalSource = "given" if given is not None else "assumed" if focal is None else "EXIF"
    if focal is not None:
        intrinsics[0, 0] = intrinsics[1, 1] = focal
    return Camera(intrinsics=intrinsics, focal_from=source)
