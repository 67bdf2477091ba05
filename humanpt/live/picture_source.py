"""Single pictures: photographs of a folder, each with its own size and, by its EXIF data, its own focal length."""

from __future__ import annotations

import math
import struct
import time
import warnings
from pathlib import Path

from PIL import ExifTags, Image

from humanpt.data.clips import OTHER_PICTURE_ENDINGS, PICTURE_ENDINGS, pictures_in, such_as
from humanpt.data.image import read_image
from humanpt.errors import InputError
from humanpt.live.shot import Shot
from humanpt.live.source import Shots, Source

FULL_FRAME = math.hypot(36, 24)  # millimetres across the 35 mm film that focal lengths are compared by
RESOLUTION_UNITS = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}  # EXIF's numbers for inch, cm, mm and um, in millimetres
SAME_SHAPE = 0.02  # by which the sides' proportions may differ before a picture counts as cut out of another


class PictureSource(Source):
    """The pictures that lie directly in a folder, in natural order, or a single one.

    They have no times: timestamps are a second apart. A picture that cannot be read is noted and left out.
    """

    def __init__(self, path: Path, *, focal: float | None) -> None:
        super().__init__(path.name, live=False, focal=focal)
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; check the path")
        self._path = path
        # Pictures of kinds that OpenCV may not read are named when they are left out.
        self._pictures = [path] if path.is_file() else pictures_in(path, PICTURE_ENDINGS + OTHER_PICTURE_ENDINGS)
        if not self._pictures:
            raise InputError(
                f"{path}: a folder without pictures; name a folder in which pictures lie directly{such_as(path)}"
            )
        self.count = len(self._pictures)

    def shots(self) -> Shots:  # noqa: D102 - as in Source
        seen = 0
        for number, path in enumerate(self._pictures):
            if self._closed.is_set():
                return
            begun = time.perf_counter()
            try:
                picture = read_image(path)
            except InputError as error:
                self._note(str(error).replace(str(path), path.name, 1) + "; left out")
                continue
            height, width = picture.shape[:2]
            exif = exif_focal(path, width, height) if self._focal is None else None
            seen += 1
            arrived = time.perf_counter()
            yield Shot(
                number=number,
                timestamp=float(number),
                picture=picture,
                camera=self._camera(width, height, exif),
                arrived=arrived,
                decoding=arrived - begun,
                name=path.name,
            )
        if not seen:
            raise InputError(f"{self._path}: none of {len(self._pictures)} pictures can be read; copy them again")


def exif_focal(path: Path, width: int, height: int) -> float | None:
    """The focal length in pixels that a picture's EXIF data tell of.

    By `FocalLengthIn35mmFilm`, which compares diagonals (CIPA DCG-001), else by `FocalLength` and the pixels of the
    sensor in `FocalPlaneXResolution`. A picture that was made smaller since keeps its angle of view; one that was cut
    does not, which shows where its proportions differ from those that the EXIF data note.

    Args:
        width, height: of the picture, pixels, whichever way up.

    Returns:
        None where the data do not tell, cannot be read, or are of the picture before it was cut.
    """
    tags = _exif(path)
    noted = sorted(
        filter(None, (_number(tags, ExifTags.Base.ExifImageWidth), _number(tags, ExifTags.Base.ExifImageHeight)))
    )
    shown = sorted((width, height))
    if len(noted) == 2 and abs(noted[0] * shown[1] / (noted[1] * shown[0]) - 1) > SAME_SHAPE:
        return None
    film = _number(tags, ExifTags.Base.FocalLengthIn35mmFilm)
    if film is not None:
        return film / FULL_FRAME * math.hypot(width, height)
    length, resolution = _number(tags, ExifTags.Base.FocalLength), _number(tags, ExifTags.Base.FocalPlaneXResolution)
    unit = RESOLUTION_UNITS.get(int(_number(tags, ExifTags.Base.FocalPlaneResolutionUnit) or 2))
    if length is None or resolution is None or unit is None:
        return None
    shrunk = shown[1] / noted[1] if len(noted) == 2 else 1.0
    return length * resolution / unit * shrunk


def _exif(path: Path) -> dict[int, object]:
    """The tags of the part of the EXIF data that is about taking the picture; empty where there are none."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:  # it warns of damaged data
            return dict(image.getexif().get_ifd(ExifTags.IFD.Exif))
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error, Image.DecompressionBombError):
        return {}


def _number(tags: dict[int, object], tag: int) -> float | None:
    """A positive number; cameras write 0, or a fraction with nothing below the line, for what they do not know."""
    try:
        number = float(tags[tag])  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return number if 0 < number < math.inf else None
