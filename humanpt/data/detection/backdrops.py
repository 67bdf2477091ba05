"""What detection pictures are made of besides people: a folder of photographs, rooms, and plain clutter.

Pictures with transparency in the folder are things to paste: animals, cars, tools. Pictures without are backgrounds.
People in them would teach a detector to overlook people, so there must be none. Names that differ only in a number of
two digits at the end, `lobby_03.jpg` and `lobby_04.jpg`, are views of one place and are held out together.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanpt.errors import InputError

Rgb = NDArray[np.uint8]
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
LONGEST = 512  # of a background, in pixels; pictures are 256 wide and show most of it
LONGEST_THING = 256
PLACES = 10_000


class Backdrops:
    """Backgrounds and things of a folder, in memory.

    Args:
        folder: searched recursively; None gives a set without photographs.

    Attributes:
        pictures: (h, w, 3) RGB backgrounds.
        things: (h, w, 4) RGB multiplied by alpha, and alpha.
        picture_places, thing_places: a number from 0 to below `PLACES` for the place that each shows, by which they are
            held out.

    Raises:
        InputError: if the folder has no background.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.pictures: list[Rgb] = []
        self.things: list[Rgb] = []
        self.picture_places: list[int] = []
        self.thing_places: list[int] = []
        for file in sorted(folder.rglob("*")) if folder is not None else []:
            if file.suffix.lower() in SUFFIXES:
                picture = _read(file)
                place = zlib.crc32(re.sub(r"_\d\d$", "", file.stem).encode()) % PLACES
                if picture.shape[2] == 4:
                    self.things.append(picture)
                    self.thing_places.append(place)
                else:
                    self.pictures.append(picture)
                    self.picture_places.append(place)
        if folder is not None and not self.pictures:
            raise InputError(
                f"{folder}: no photograph (.jpg, .png, .webp) in it; give a folder of pictures with nobody"
            )


def crop(picture: Rgb, size: int, rng: np.random.Generator) -> Rgb:
    """A square part of a background: any place, 35 to 100 % of its shorter side, stretched a little, maybe mirrored."""
    height, width = picture.shape[:2]
    side = min(height, width) * rng.uniform(0.35, 1.0)
    stretch = np.exp(rng.normal(0, 0.12))
    h, w = int(min(height, max(8, side * stretch))), int(min(width, max(8, side / stretch)))
    y, x = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    part = picture[y : y + h, x : x + w]
    part = part[:, ::-1] if rng.random() < 0.5 else part
    how = cv2.INTER_AREA if min(h, w) > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(part), (size, size), interpolation=how), np.uint8)


def clutter(size: int, rng: np.random.Generator) -> Rgb:
    """A made-up background: a ramp of colour, soft blotches, and shapes over it."""
    corners = rng.integers(0, 256, (2, 2, 3)).astype(np.float32)
    corners += (corners.mean(axis=(0, 1)) - corners) * rng.uniform(0, 1)
    canvas: Any = cv2.resize(corners, (size, size), interpolation=cv2.INTER_LINEAR)
    for cells in (4, 16, 64):
        blotches: Any = rng.normal(0, rng.uniform(0, 30), (cells, cells, 3 if rng.random() < 0.3 else 1)).astype(
            np.float32
        )
        blotches = cv2.resize(blotches, (size, size), interpolation=cv2.INTER_LINEAR)
        canvas = canvas + (blotches if blotches.ndim == 3 else blotches[..., None])
    canvas = np.clip(canvas, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 12))):
        shape(canvas, rng)
    return np.asarray(canvas, np.uint8)


def shape(canvas: Rgb, rng: np.random.Generator) -> None:
    """Draw a polygon, an ellipse or a bar of one colour."""
    size = canvas.shape[0]
    colour = [int(value) for value in rng.integers(0, 256, 3)]
    if rng.random() < 0.5:
        grey = int(np.mean(colour))
        colour = [int(0.3 * value + 0.7 * grey) for value in colour]
    x, y = rng.uniform(0, size, 2)
    long, short = size * rng.uniform(0.03, 0.5), size * rng.uniform(0.01, 0.2)
    angle = rng.uniform(0, 180)
    kind = rng.integers(3)
    if kind == 0:
        cv2.ellipse(canvas, ((x, y), (long, short), angle), colour, -1, cv2.LINE_AA)
    elif kind == 1:
        corners = np.asarray(cv2.boxPoints(((x, y), (long, short), angle)))
        cv2.fillConvexPoly(canvas, corners.astype(np.int32), colour, cv2.LINE_AA)
    else:
        corners = np.array([x, y]) + rng.normal(0, long / 2, (int(rng.integers(3, 7)), 2))
        cv2.fillPoly(canvas, [corners.astype(np.int32)], colour, cv2.LINE_AA)


def patch_thing(picture: Rgb, rng: np.random.Generator) -> Rgb:
    """A thing cut from a photograph with a blob or a rectangle: it has real texture and no meaning."""
    size = int(rng.integers(32, 160))
    part = crop(picture, size, rng)
    if rng.random() < 0.35:
        alpha = np.full((size, size), 255, np.uint8)
    else:
        spokes = np.linspace(0, 2 * np.pi, int(rng.integers(5, 14)), endpoint=False)
        radii = size / 2 * rng.uniform(0.35, 1.0, len(spokes))
        corners = size / 2 + radii[:, None] * np.stack([np.cos(spokes), np.sin(spokes)], axis=1)
        alpha = np.zeros((size, size), np.uint8)
        cv2.fillPoly(alpha, [corners.astype(np.int32)], 255, cv2.LINE_AA)
        alpha = np.asarray(cv2.GaussianBlur(alpha, (5, 5), 0), np.uint8)
    return np.dstack([multiplied(part, alpha), alpha])


def multiplied(rgb: Rgb, alpha: NDArray[np.uint8]) -> Rgb:
    """Colours multiplied by alpha, rounded."""
    return ((rgb.astype(np.uint16) * alpha[..., None] + 127) // 255).astype(np.uint8)


def _read(file: Path) -> Rgb:
    content = np.fromfile(file, np.uint8)
    read: Any = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
    if read is None or read.dtype != np.uint8:
        raise InputError(f"{file}: is no picture of 8 bits that can be read; take it out of the folder")
    if read.ndim == 2:
        read = cv2.cvtColor(read, cv2.COLOR_GRAY2RGB)
    elif read.shape[2] == 3:
        read = cv2.cvtColor(read, cv2.COLOR_BGR2RGB)
    else:
        read = cv2.cvtColor(read, cv2.COLOR_BGRA2RGBA)
        if read[..., 3].min() == 255:
            read = read[..., :3]
        else:
            read[..., :3] = multiplied(read[..., :3], read[..., 3])
    scale = (LONGEST if read.shape[2] == 3 else LONGEST_THING) / max(read.shape[:2])
    if scale < 1:
        size = max(1, round(read.shape[1] * scale)), max(1, round(read.shape[0] * scale))
        read = cv2.resize(read, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(read, np.uint8)
