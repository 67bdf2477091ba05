"""Pictures for rooms: photographs of the user, views from windows, abstract paintings, open country all around."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from humanpt.errors import InputError
from humanpt.render.materials import draw_colour, linear


@lru_cache(maxsize=256)
def read_photograph(path: Path) -> Tensor:
    """Read a photograph, at most 256 pixels along its longer edge, and keep it for other rooms.

    Returns:
        (H, W, 3) float32 linear.

    Raises:
        InputError: if it cannot be read.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(f"{path}: not a picture that can be read; give JPEG or PNG photographs")
    height, width = picture.shape[:2]
    factor = 256.0 / max(height, width)
    if factor < 1:
        picture = cv2.resize(
            picture, (max(1, round(width * factor)), max(1, round(height * factor))), interpolation=cv2.INTER_AREA
        )
    return _to_linear(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.float32) / 255.0)


def _to_linear(picture: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Tensor:
    return torch.from_numpy(np.where(picture <= 0.04045, picture / 12.92, ((picture + 0.055) / 1.055) ** 2.4)).float()


def draw_view(rng: np.random.Generator) -> Tensor:
    """Draw what a window shows: sky over something dark, a cross of bars."""
    rows = np.linspace(0, 1, 32)[:, None, None]
    sky = np.array(linear(200, 220, 245)) * (1 - rows) + np.array(linear(235, 238, 240)) * rows
    line = 0.55 + 0.1 * np.cumsum(rng.normal(0, 0.3, 32))[None, :, None] * 0.2
    ground = np.array(draw_colour(rng)) * 0.7 + 0.05
    picture = np.where(rows > line, ground, np.broadcast_to(sky, (32, 32, 3)))
    picture[:, 15:17] = 0.7
    return torch.from_numpy(np.ascontiguousarray(picture)).float()


def draw_painting(rng: np.random.Generator) -> Tensor:
    """Draw an abstract picture: soft fields of a few colours and some bars."""
    size = 48
    y, x = np.meshgrid(np.arange(size) / size, np.arange(size) / size, indexing="ij")
    picture = np.broadcast_to(np.array(draw_colour(rng)), (size, size, 3)).copy()
    for _ in range(int(rng.integers(3, 10))):
        colour = np.array(draw_colour(rng))
        cx, cy = rng.uniform(0, 1, 2)
        rx, ry = rng.uniform(0.05, 0.5, 2)
        if rng.random() < 0.5:
            share = np.clip(4 * (1 - np.hypot((x - cx) / rx, (y - cy) / ry)), 0, 1)
        else:
            share = ((np.abs(x - cx) < rx) & (np.abs(y - cy) < ry)).astype(float)
        picture = picture * (1 - share[..., None]) + colour * share[..., None]
    return torch.from_numpy(picture).float()


def draw_panorama(rng: np.random.Generator) -> Tensor:
    """Draw an open place: sky, hills, trees or houses on the horizon."""
    height, width = 128, 512
    level = (np.arange(height) + 0.5) / height  # 0 zenith, 0.5 horizon
    up = np.clip(1 - level / 0.5, 0, 1)[:, None, None]
    cloudy = rng.random() < 0.5
    top = np.array(linear(*((150, 160, 172) if cloudy else (70, 120, 190))))
    bottom = np.array(linear(*((205, 208, 212) if cloudy else (190, 212, 232))))
    picture = np.broadcast_to(bottom * (1 - up**0.6) + top * up**0.6, (height, width, 3)).copy()
    turn = np.arange(width) / width * 2 * np.pi

    def wavy(coarse: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        total = np.zeros(width)
        for octave in range(1, 7):
            total += np.sin(turn * round(coarse * 1.7**octave) + rng.uniform(0, 7)) / 1.5**octave
        return total

    for layer in range(3):
        edge = 0.5 - (0.05 - 0.012 * layer) * (1.2 + 0.7 * wavy(layer + 1)) * rng.uniform(0.3, 1.6)
        tone = np.array(
            linear(*(float(v) for v in np.array([70, 88, 62]) * rng.uniform(0.6, 1.3) + rng.normal(0, 10, 3)))
        )
        tone = tone * (0.4 + 0.3 * layer) + bottom * (0.45 - 0.2 * layer)
        below = level[:, None] > edge[None]
        speckle = 1 + 0.25 * rng.uniform(-1, 1, (height, width, 1))
        picture = np.where(below[..., None], tone * speckle, picture)
    for _ in range(int(rng.integers(0, 14))):  # houses, fences, cars: blocks on the horizon
        at, wide, tall = int(rng.integers(width)), int(rng.integers(6, 50)), float(rng.uniform(0.01, 0.2))
        columns = (at + np.arange(wide)) % width
        rows = np.flatnonzero((level > 0.5 - tall) & (level < 0.52))
        colour = np.array(draw_colour(rng)) * 0.7 + 0.05
        picture[np.ix_(rows, columns)] = colour * (1 + 0.1 * rng.uniform(-1, 1, (len(rows), wide, 1)))
        if wide > 12:
            picture[np.ix_(rows[2::5], columns[2::4])] = colour * 0.35
    return torch.from_numpy(picture).float()
