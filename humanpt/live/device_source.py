"""Cameras of this machine, read with OpenCV."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from humanpt.data.image import Rgb
from humanpt.errors import InputError
from humanpt.live.camera_source import CameraSource, FeedLost

DEVICES = Path("/dev")
DEVICE_NAMES = Path("/sys/class/video4linux")


class DeviceSource(CameraSource):
    """A camera by its number, or on Linux by its file, such as /dev/video0."""

    def __init__(self, device: str, *, focal: float | None, patience: float) -> None:
        self._device: int | str = int(device) if device.isdecimal() else device
        if not device.isdecimal() and Path(device).is_file():
            raise InputError(f"{device}: a file, not a camera; give it to --video")
        if not device.isdecimal() and Path(device).is_dir():  # as the empty name is
            raise InputError(f"'{device}': no camera's name; {_choices()}")
        what_next = "plug it in, or end the program that took it, and start again"
        super().__init__(f"camera {device}", what_next, focal=focal, patience=patience)

    def _open(self) -> _DeviceFeed:
        return _DeviceFeed(self._device)

    def _missing(self, reason: str) -> str:
        file = DEVICES / f"video{self._device}" if isinstance(self._device, int) else Path(self._device)
        if sys.platform != "linux":
            next_step = "check that it is plugged in and allowed to this program, or try another number"
        elif not file.exists():
            return f"{self.name}: there is no such camera; {_choices()}"
        elif not os.access(file, os.R_OK | os.W_OK):
            next_step = f"you may not use {file}: join the group 'video', then log in again"
        else:
            next_step = f"end the program that is using it, or {_choices()}"
        return f"{self.name}: {reason}; {next_step}"


def _choices() -> str:
    """Say which cameras there are on Linux."""
    found = sorted(DEVICES.glob("video[0-9]*"), key=lambda file: int(file.name.removeprefix("video")))
    if not found:
        return "this machine has none: plug one in, or give --video or --images"
    return "choose one of " + ", ".join(map(_named, found))


def _named(file: Path) -> str:
    number, name = file.name.removeprefix("video"), DEVICE_NAMES / file.name / "name"
    return f"{number} ({name.read_text().strip()})" if name.is_file() else number


class _DeviceFeed:
    """An open camera."""

    def __init__(self, device: int | str) -> None:
        with _quiet_opencv():
            self._capture: Any = cv2.VideoCapture(device, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)
            if not self._capture.isOpened():
                raise FeedLost("it cannot be opened")
            self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # what waits in the driver is old when it comes
            if not self._capture.grab():
                self._capture.release()
                raise FeedLost("it gives no picture")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = float(rate) if 0 < rate < 1000 else None

    def read(self) -> tuple[Rgb, float] | None:
        if not self._capture.grab():  # waits for the camera
            raise FeedLost("it stopped")
        begun = time.perf_counter()
        try:
            sound, bgr = self._capture.retrieve()
            if not sound or bgr is None or not bgr.size or bgr.dtype != np.uint8:
                return None
            rgb = cv2.cvtColor(bgr, cv2.COLOR_GRAY2RGB if bgr.ndim == 2 else cv2.COLOR_BGR2RGB)
        except cv2.error:
            return None
        return np.asarray(rgb, np.uint8), time.perf_counter() - begun

    def release(self) -> None:
        self._capture.release()


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Keep OpenCV from writing to the terminal what `_missing` says in one line."""
    logging: Any = cv2.utils.logging
    before = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(before)
