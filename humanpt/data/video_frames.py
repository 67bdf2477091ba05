"""A folder of numbered pictures, read as a clip with OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from humanpt.data.clips import OTHER_PICTURE_ENDINGS, PICTURE_ENDINGS, pictures_in, such_as
from humanpt.data.frame import ArrayFrame, Clip, Frame
from humanpt.errors import InputError


class FolderClip(Clip):
    """The pictures that lie directly in a folder, in natural order, as frames at an assumed rate.

    A picture that cannot be decoded or, with `one_size`, is of another size than the first is named in `damage` and
    left out; the others keep their numbers and times.
    """

    reader = "frames"

    def __init__(self, path: Path, rate: float, *, one_size: bool = True) -> None:
        self.path = path
        self.damage = []
        self._one_size = one_size
        # Pictures of kinds that OpenCV may not read keep their places too: a gap is named, and nothing moves up.
        self._pictures = pictures_in(path, PICTURE_ENDINGS + OTHER_PICTURE_ENDINGS)
        if not self._pictures:
            raise InputError(
                f"{path}: a folder without pictures; name a video file in it, or a folder of frames{such_as(path)}"
            )
        readable = (rgb for rgb in map(_read, self._pictures) if rgb is not None)
        first = next(readable, None)
        if first is None:
            raise InputError(f"{path}: none of the {len(self._pictures)} pictures can be read; copy them again")
        self.height, self.width = first.shape[:2]
        self.rate = rate
        self.frame_count = len(self._pictures)
        self.duration = self.frame_count / rate
        self.codec = self._pictures[0].suffix.lower().removeprefix(".")

    def frames(self) -> Iterator[Frame]:  # noqa: D102 - as in Clip
        self.damage = []
        assert self.rate is not None
        for number, path in enumerate(self._pictures):
            rgb = _read(path)
            if rgb is None:
                self.damage.append(f"{path.name}: not a picture that can be read, left out; convert or copy it again")
            elif self._one_size and rgb.shape[:2] != (self.height, self.width):
                size = f"{rgb.shape[1]} x {rgb.shape[0]}"
                self.damage.append(f"{path.name}: {size} pixels instead of {self.width} x {self.height}, left out")
            else:
                yield ArrayFrame(number, number / self.rate, rgb, path.name)


def _read(path: Path) -> NDArray[np.uint8] | None:
    """A picture as (H, W, 3) RGB, turned as its EXIF data say; None where it cannot be decoded."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except (OSError, cv2.error):
        return None
    return None if bgr is None else np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
