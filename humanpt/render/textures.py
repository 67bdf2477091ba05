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
    """Return the solid noise: (N, N, N, C) float32 in about [-1, 1], repeating in every direction."""
    rng = np.random.default_rng(20231109)
    total = np.zeros((NOISE_SIZE,) * 3 + (NOISE_CHANNELS,))
    for cells, weight in ((8, 1.0), (16, 0.55), (32, 0.35), (64, 0.2)):
        grid = rng.uniform(-1.0, 1.0, (cells, cells, cells, NOISE_CHANNELS))
        for axis in range(3):
            grid = _enlarge(grid, axis, NOISE_SIZE // cells)
        total += weight * grid
    total /= 2.2 * total.std()
    return torch.from_numpy(np.clip(total, -1.0, 1.0).astype(np.float32)).to(device)


def noise(points: Tensor, scale: Tensor | float) -> Tensor:
    """Look up the solid noise.

    Args:
        points: (P, 3) points in metres.
        scale: metres that one period of the table spans, a number or (P, 1); its coarsest bumps are an eighth of it.

    Returns:
        (P, C) values in [-1, 1].
    """
    table = noise_table(points.device)
    at = points * (NOISE_SIZE / scale)
    low = torch.floor(at)
    part = at - low
    cell = low.to(torch.int64) & (NOISE_SIZE - 1)
    after = (cell + 1) & (NOISE_SIZE - 1)
    x0, y0, z0 = cell.unbind(1)
    x1, y1, z1 = after.unbind(1)
    x0, x1 = x0 * NOISE_SIZE * NOISE_SIZE, x1 * NOISE_SIZE * NOISE_SIZE
    y0, y1 = y0 * NOISE_SIZE, y1 * NOISE_SIZE
    flat = table.reshape(-1, NOISE_CHANNELS)
    px, py, pz = part[:, 0:1], part[:, 1:2], part[:, 2:3]

    def along_z(x: Tensor, y: Tensor) -> Tensor:
        base = x + y
        return torch.lerp(flat[base + z0], flat[base + z1], pz)

    return torch.lerp(
        torch.lerp(along_z(x0, y0), along_z(x0, y1), py), torch.lerp(along_z(x1, y0), along_z(x1, y1), py), px
    )


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
        at: (P, 2) places in periods of the texture.
        footprint: (P,) what a pixel spans there, in periods.

    Returns:
        (P, 2): how much of the second colour, in [0, 1], and how much lighter, about -0.6 to 0.6.
    """
    texels, starts, sizes = surface_table(at.device)
    level = torch.log2((footprint * SURFACE_SIZE).clamp_min(1.0)).round().clamp_max(len(sizes) - 1).to(torch.int64)
    start = torch.tensor(starts, device=at.device)[level]
    size = torch.tensor(sizes, device=at.device)[level]
    place = at * size[:, None] - 0.5
    low = torch.floor(place)
    part = place - low
    cell = low.to(torch.int64)
    x0, y0 = cell[:, 0] & (size - 1), cell[:, 1] & (size - 1)
    x1, y1 = (cell[:, 0] + 1) & (size - 1), (cell[:, 1] + 1) & (size - 1)
    base = start + kind * size * size
    row0, row1 = base + y0 * size, base + y1 * size
    px, py = part[:, 0:1], part[:, 1:2]
    return torch.lerp(
        torch.lerp(texels[row0 + x0], texels[row0 + x1], px), torch.lerp(texels[row1 + x0], texels[row1 + x1], px), py
    )


def picture_at(picture: Tensor, at: Tensor) -> Tensor:
    """Look up a picture between its texels.

    Args:
        picture: (H, W, C).
        at: (P, 2) places across and down in [0, 1], clamped.

    Returns:
        (P, C).
    """
    height, width = picture.shape[:2]
    x = (at[:, 0] * width - 0.5).clamp(0.0, width - 1.0)
    y = (at[:, 1] * height - 0.5).clamp(0.0, height - 1.0)
    x0, y0 = torch.floor(x), torch.floor(y)
    px, py = (x - x0)[:, None], (y - y0)[:, None]
    left, top = x0.to(torch.int64), y0.to(torch.int64)
    right, low = (left + 1).clamp_max(width - 1), (top + 1).clamp_max(height - 1)
    flat = picture.reshape(height * width, -1)
    return torch.lerp(
        torch.lerp(flat[top * width + left], flat[top * width + right], px),
        torch.lerp(flat[low * width + left], flat[low * width + right], px),
        py,
    )
