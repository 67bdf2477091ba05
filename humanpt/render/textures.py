"""Tabulated solid noise and tiling surface textures, made once and looked up ever after.

Everything a person or a prop shows is a function of its points at rest, so that all views and all poses agree; a table
makes such a function cheap. All tables repeat without a seam, come from fixed seeds and use sums of smoothed random
grids alone, so they are the same on every machine.

Letters: P points, C channels, N table size.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.render.lookup import blend, corners4, pick

NOISE_SIZE = 64
"""Cells along each edge of the noise table."""

NOISE_CHANNELS = 4
"""Independent noises in the table."""

SURFACE_SIZE = 128
"""Texels along each edge of a tiling surface texture at its finest level."""

SURFACES = (
    "plain",
    "plaster",
    "planks",
    "tiles",
    "bricks",
    "carpet",
    "wallpaper",
    "panels",
    "marble",
    "grass",
    "asphalt",
    "weave",
)
"""The kinds of tiling surface texture."""


@lru_cache(maxsize=8)
def noise_table(device: torch.device) -> Tensor:
    """Return the solid noise, repeating in every direction: rows of C float32 in about [-1, 1].

    Rows run over z fastest, then y, then x; each axis has N + 1 of them, the last one the first again.
    """
    rng = np.random.default_rng(20231109)
    total = np.zeros((NOISE_SIZE,) * 3 + (NOISE_CHANNELS,))
    for cells, weight in ((8, 1.0), (16, 0.55), (32, 0.35), (64, 0.2)):
        grid = rng.uniform(-1.0, 1.0, (cells, cells, cells, NOISE_CHANNELS))
        for axis in range(3):
            grid = _enlarge(grid, axis, NOISE_SIZE // cells)
        total += weight * grid
    total /= 2.2 * total.std()
    wrapped = np.pad(np.clip(total, -1.0, 1.0), ((0, 1), (0, 1), (0, 1), (0, 0)), mode="wrap")
    return torch.from_numpy(wrapped.reshape(-1, NOISE_CHANNELS).astype(np.float32)).to(device)


@lru_cache(maxsize=8)
def _noise_taps(device: torch.device) -> Tensor:
    edge = NOISE_SIZE + 1
    taps = [x * edge * edge + y * edge + z for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    return torch.tensor(taps, dtype=torch.int32, device=device)


def noise(points: Tensor, scale: Tensor | float) -> Tensor:
    """Look up the solid noise.

    Args:
        points: (3, P) points in metres.
        scale: metres that one period of the table spans, a number or (1, P); its coarsest bumps are an eighth of it.

    Returns:
        (C, P) values in [-1, 1].
    """
    at = points * (NOISE_SIZE / scale)
    low = torch.floor(at)
    part = at - low
    cell = low.to(torch.int32) & (NOISE_SIZE - 1)
    edge = NOISE_SIZE + 1
    base = (cell[0] * edge + cell[1]) * edge + cell[2]
    x, y, z = part.unbind(0)
    xy = x * y
    x0y0, x0y1, x1y0 = 1 - x - y + xy, y - xy, x - xy
    weights = []
    for share in (x0y0, x0y1, x1y0, xy):
        above = share * z
        weights += [share - above, above]
    return blend(noise_table(points.device), base[:, None] + _noise_taps(points.device), torch.stack(weights, 1)).t()


def _enlarge(grid: NDArray[np.float64], axis: int, times: int) -> NDArray[np.float64]:
    """Interpolate a repeating grid smoothly along one axis to `times` as many samples."""
    if times == 1:
        return grid
    part = np.arange(times) / times
    part = part * part * (3.0 - 2.0 * part)
    after = np.roll(grid, -1, axis)
    shape = [1] * (grid.ndim + 1)
    shape[axis + 1] = times
    fine = np.expand_dims(grid, axis + 1) * (1.0 - part.reshape(shape)) + np.expand_dims(
        after, axis + 1
    ) * part.reshape(shape)
    merged = list(grid.shape)
    merged[axis] *= times
    return fine.reshape(merged)


def _plane(rng: np.random.Generator, cells: tuple[int, int], size: int = SURFACE_SIZE) -> NDArray[np.float64]:
    """Smooth repeating noise in the plane with that many cells down and across, in [-1, 1]."""
    grid = rng.uniform(-1.0, 1.0, cells)
    return _enlarge(_enlarge(grid, 0, size // cells[0]), 1, size // cells[1])


def _surface(kind: str) -> NDArray[np.float64]:
    """One period of a surface: (N, N, 2), how much of the second colour, and how light or dark (around 0)."""
    rng = np.random.default_rng(SURFACES.index(kind) + 77)
    size = SURFACE_SIZE
    v, u = np.meshgrid(np.arange(size) / size, np.arange(size) / size, indexing="ij")
    coarse = 0.6 * _plane(rng, (4, 4)) + 0.4 * _plane(rng, (16, 16))
    fine = _plane(rng, (64, 64)) * 0.6 + rng.uniform(-1, 1, (size, size)) * 0.4
    mix = np.zeros((size, size))
    light = 0.05 * coarse
    if kind == "plaster":
        light = 0.10 * coarse + 0.10 * fine
    elif kind == "planks":
        board = np.floor(v * 8).astype(int)
        tone = rng.uniform(-1, 1, 8)[board]
        shift = rng.uniform(0, 1, 8)[board]
        grain = _plane(rng, (128, 8)) * 0.6 + _plane(rng, (64, 4)) * 0.4
        seam = (np.abs(v * 8 - np.round(v * 8)) < 0.035) | (np.abs((u + shift) % 1.0) < 0.012)
        mix = np.clip(0.5 + 0.35 * tone + 0.4 * grain, 0, 1)
        light = np.where(seam, -0.55, 0.06 * grain)
    elif kind in ("tiles", "bricks"):
        rows = 4 if kind == "tiles" else 8
        row = np.floor(v * rows).astype(int)
        across = u * 4 + (0.5 * (row % 2) if kind == "bricks" else 0.0)
        column = np.floor(across).astype(int) % 4
        joint = (np.abs(v * rows - np.round(v * rows)) < 0.05 * rows / 4) | (np.abs(across - np.round(across)) < 0.05)
        tone = rng.uniform(-1, 1, (rows, 4))[row, column]
        mix = np.where(joint, 1.0, 0.0)
        light = np.where(joint, 0.0, (0.05 if kind == "tiles" else 0.2) * tone + 0.06 * coarse + 0.05 * fine)
    elif kind in ("carpet", "grass", "asphalt"):
        strength = {"carpet": 0.25, "grass": 0.45, "asphalt": 0.3}[kind]
        mix = np.clip(0.5 + 0.6 * coarse, 0, 1)
        light = strength * fine + 0.1 * coarse
    elif kind == "wallpaper":
        petals = np.sin(2 * np.pi * 4 * u) * np.sin(2 * np.pi * 4 * v)
        second = np.sin(2 * np.pi * (4 * u + 2)) * np.sin(2 * np.pi * (8 * v))
        mix = np.clip((np.maximum(petals, 0.7 * second) - 0.45) * 6, 0, 1)
    elif kind == "panels":
        edge = np.minimum(np.abs(u * 2 - np.round(u * 2)) / 2, np.abs(v - np.round(v)))
        light = np.where(edge < 0.012, -0.4, np.where(edge < 0.05, 0.12, 0.04 * coarse))
    elif kind == "marble":
        wave = np.abs(np.sin(2 * np.pi * (u + v) + 3.0 * coarse + 0.7 * fine))
        mix = np.clip(1.0 - 2.5 * wave, 0, 1)
        light = 0.1 * coarse
    elif kind == "weave":
        light = 0.14 * np.sin(2 * np.pi * 32 * u) * np.sin(2 * np.pi * 32 * v) + 0.08 * fine
    return np.stack([mix, light], -1)


@lru_cache(maxsize=8)
def surface_table(device: torch.device) -> tuple[Tensor, tuple[int, ...], tuple[int, ...]]:
    """Return all surfaces at all levels of detail in one list.

    Returns:
        Texels (sum, 2) float32: how much of the second colour and how light; where each level begins; its edge.
        Inside a level the order is surface, row, column.
    """
    level = np.stack([_surface(kind) for kind in SURFACES]).astype(np.float32)
    parts, starts, sizes, start = [], [], [], 0
    while True:
        parts.append(level.reshape(-1, 2))
        starts.append(start)
        sizes.append(level.shape[1])
        start += parts[-1].shape[0]
        if level.shape[1] == 1:
            break
        level = 0.25 * (level[:, 0::2, 0::2] + level[:, 1::2, 0::2] + level[:, 0::2, 1::2] + level[:, 1::2, 1::2])
    return torch.from_numpy(np.concatenate(parts)).to(device), tuple(starts), tuple(sizes)


def surface(kind: Tensor, at: Tensor, footprint: Tensor) -> Tensor:
    """Look up tiling surfaces, smoothly and at the level of detail that fits.

    Args:
        kind: (P,) int64 indices of SURFACES.
        at: (2, P) places in periods of the texture.
        footprint: (P,) what a pixel spans there, in periods.

    Returns:
        (2, P): how much of the second colour, in [0, 1], and how much lighter, about -0.6 to 0.6.
    """
    texels, starts, sizes = surface_table(at.device)
    level = torch.log2((footprint * SURFACE_SIZE).clamp_min(1.0)).round().clamp_max(len(sizes) - 1).to(torch.int64)
    start = pick(torch.tensor(starts, device=at.device), level)
    size = pick(torch.tensor(sizes, device=at.device), level)
    place = at * size - 0.5
    low = torch.floor(place)
    part = place - low
    cell = low.to(torch.int64)
    x0, y0 = cell[0] & (size - 1), cell[1] & (size - 1)
    x1, y1 = (cell[0] + 1) & (size - 1), (cell[1] + 1) & (size - 1)
    base = start + kind * size * size
    row0, row1 = base + y0 * size, base + y1 * size
    taps = torch.stack([row0 + x0, row0 + x1, row1 + x0, row1 + x1], 1)
    return blend(texels, taps, corners4(part[0], part[1])).t()


def picture_at(picture: Tensor, at: Tensor) -> Tensor:
    """Look up a picture between its texels.

    Args:
        picture: (H, W, C).
        at: (2, P) places across and down in [0, 1], clamped.

    Returns:
        (C, P).
    """
    height, width = picture.shape[:2]
    x = (at[0] * width - 0.5).clamp(0.0, width - 1.0)
    y = (at[1] * height - 0.5).clamp(0.0, height - 1.0)
    x0, y0 = torch.floor(x), torch.floor(y)
    left, top = x0.to(torch.int64), y0.to(torch.int64)
    right, low = (left + 1).clamp_max(width - 1), (top + 1).clamp_max(height - 1)
    taps = torch.stack([top * width + left, top * width + right, low * width + left, low * width + right], 1)
    return blend(picture.reshape(height * width, -1), taps, corners4(x - x0, y - y0)).t()
