"""The contract between those who read clips and those who look at frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

USUAL_RATE = 25.0  # frames per second, where neither the file nor the caller says


class Frame(ABC):
    """One upright picture of a clip.

    Attributes:
        number: position in presentation order, from 0.
        timestamp: seconds since the clip's first frame; strictly increasing within a clip.
        width, height: pixels of the upright picture.
        name: file name of the picture in a folder of frames, None in a video.
    """

    name: str | None = None

    def __init__(self, number: int, timestamp: float, width: int, height: int) -> None:
        self.number = number
        self.timestamp = timestamp
        self.width = width
        self.height = height

    @abstractmethod
    def rgb(self) -> NDArray[np.uint8]:
        """The whole picture, (height, width, 3) RGB; made when first asked for, then kept: do not write into it."""

    @abstractmethod
    def small(self, longest: int) -> NDArray[np.uint8]:
        """A copy, (h, w, 3) RGB, whose longer side is at most `longest` pixels; averaged over areas, never enlarged."""


class ArrayFrame(Frame):
    """A frame whose RGB picture, (height, width, 3) uint8, is already there."""

    def __init__(self, number: int, timestamp: float, rgb: NDArray[np.uint8], name: str | None = None) -> None:
        super().__init__(number, timestamp, width=rgb.shape[1], height=rgb.shape[0])
        self.name = name
        self._rgb = rgb

    def rgb(self) -> NDArray[np.uint8]:  # noqa: D102 - as in Frame
        return self._rgb

    def small(self, longest: int) -> NDArray[np.uint8]:  # noqa: D102 - as in Frame
        size = small_size(self.width, self.height, longest)
        return np.asarray(cv2.resize(self._rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


class Clip(ABC):
    """What is known of a clip before its frames are read, and the way to read them.

    Attributes:
        path: the file or folder.
        width, height: pixels of an upright frame.
        rate: frames per second on average; None where the file does not say.
        frame_count: how many frames to expect, an estimate for progress; None where the file does not say.
        duration: seconds to expect, an estimate; None where the file does not say.
        codec: name of the compression, for example "h264".
        reader: who reads: "pyav", "decord" or "frames".
        damage: what was wrong with the clip, one line each; complete when `frames` has ended or was closed.
    """

    path: Path
    width: int
    height: int
    rate: float | None
    frame_count: int | None
    duration: float | None
    codec: str
    reader: Literal["pyav", "decord", "frames"]
    damage: list[str]

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """Read the clip front to back; memory stays flat as long as the caller lets frames go.

        A broken place is noted in `damage` and reading goes on behind it. Closing the iterator closes the file. A
        second call starts over.
        """


def small_size(width: int, height: int, longest: int) -> tuple[int, int]:
    """(width, height) in the same proportions whose longer side is at most `longest`; never enlarged, never below 1.

    Raises:
        ValueError: if `longest` is not positive.
    """
    if longest < 1:
        raise ValueError(f"longest is {longest}; a picture has at least one pixel")
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def counted(number: int) -> str:
    """Say how many frames, for a person."""
    return f"{number} frame{'' if number == 1 else 's'}"
