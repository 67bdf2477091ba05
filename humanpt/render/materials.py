"""What surfaces are made of: colours, patterns, mottling, gloss, and their albedo at points of the rest pose.

One formula serves every material so that all pixels of a picture are coloured at once: two waves through space and a
noise are mixed and cut into areas of three colours (plain, stripes, checks, dots, camouflage, flowers and prints are
choices of weights), then mottled. Colours are linear RGB reflectances, not display values.

Letters: P points, M materials, C columns of the table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from humanpt.render.textures import noise

Colour = tuple[float, float, float]
Vector = tuple[float, float, float]


def linear(red: float, green: float, blue: float) -> Colour:
    """Turn a display colour, 0 to 255 each, into linear reflectances (IEC 61966-2-1)."""

    def one(value: float) -> float:
        part = value / 255.0
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    return one(red), one(green), one(blue)


@dataclass(frozen=True, kw_only=True)
class Material:
    """One kind of surface; lengths in metres at rest."""

    colour: Colour
    """Linear reflectance where no pattern is."""
    second: Colour = (0.5, 0.5, 0.5)
    """Linear reflectance of the pattern."""
    third: Colour = (0.5, 0.5, 0.5)
    """Linear reflectance of the second pattern."""
    wave1: Vector = (0.0, 0.0, 0.0)
    """Turns per metre of the first wave along each axis."""
    wave2: Vector = (0.0, 0.0, 0.0)
    """Turns per metre of the second wave along each axis."""
    mix: tuple[float, float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 1.0, 8.0)
    """Weights of wave 1, wave 2, their product and noise; threshold and sharpness of the pattern."""
    mix3: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 8.0)
    """Weights of wave 2 and noise, threshold and sharpness of the second pattern."""
    mottle_scale: float = 0.5
    """What the mottling and the pattern's noise repeat after: eight blotches."""
    mottle: float = 0.1
    """How much the mottling darkens and lightens."""
    flush: float = 0.0
    """How much mottling turns the colour redder or paler: blood under skin."""
    grain_scale: float = 0.05
    """What the fine grain repeats after."""
    grain: float = 0.05
    """How much the grain darkens and lightens."""
    bump: float = 0.05
    """How much the grain tilts the surface, in parts of its normal."""
    gloss: float = 0.02
    """Strength of the highlight."""
    polish: float = 12.0
    """Sharpness of the highlight: its exponent."""
    through: float = 0.0
    """How much light bleeds past the edge of shadow: 1 for skin, 0 for cloth."""
    sheen: float = 0.05
    """Brightening where the surface is seen at a flat angle."""
    offset: Vector = (0.0, 0.0, 0.0)
    """Where in the noise this surface lies, in metres."""

    def row(self) -> list[float]:
        """Return all numbers in order, then how fast the waves turn and how fast the pattern changes, per metre."""
        values: list[float] = []
        for field in fields(self):
            value = getattr(self, field.name)
            values.extend(value if isinstance(value, tuple) else (value,))
        turns1, turns2 = (sum(abs(turn) for turn in wave) for wave in (self.wave1, self.wave2))
        blotches = 4.0 * (abs(self.mix[3]) + abs(self.mix3[1])) / self.mottle_scale
        return [*values, turns1, turns2, turns1 + turns2 + blotches]


COLUMNS = {}
_start = 0
for _field in fields(Material):
    _size = {"colour": 3, "second": 3, "third": 3, "wave1": 3, "wave2": 3, "mix": 6, "mix3": 4, "offset": 3}.get(
        _field.name, 1
    )
    COLUMNS[_field.name] = slice(_start, _start + _size)
    _start += _size
COLUMNS |= {name: slice(_start + k, _start + k + 1) for k, name in enumerate(("turns1", "turns2", "rate"))}
"""Where each field lies in a row of the table of materials."""


def table(materials: tuple[Material, ...], device: torch.device) -> Tensor:
    """Stack materials: (C, M) float32."""
    return torch.tensor([material.row() for material in materials], dtype=torch.float32).t().contiguous().to(device)


def albedo(rest: Tensor, chosen: Tensor, footprint: Tensor) -> tuple[Tensor, Tensor]:
    """Evaluate materials at points of the rest pose.

    Args:
        rest: (3, P) points, metres.
        chosen: (C, P) the column of each point's material.
        footprint: (P,) metres that a sample spans there: finer patterns fade into their mean.

    Returns:
        (3, P) linear reflectance and (3, P) tilt to add to the unit normal.
    """

    def column(name: str) -> Tensor:
        return chosen[COLUMNS[name]]

    shifted = rest + column("offset")
    coarse = noise(shifted, column("mottle_scale"))
    grain_scale = column("grain_scale")
    fine = noise(shifted, grain_scale) * (grain_scale * (1 / 16) / footprint).clamp(0.25, 1.0)
    wave1 = _wave(rest, column("wave1"), footprint * column("turns1")[0])
    wave2 = _wave(rest, column("wave2"), footprint * column("turns2")[0])
    mix, mix3 = column("mix"), column("mix3")
    level = mix[0] * wave1 + mix[1] * wave2 + mix[2] * wave1 * wave2 + mix[3] * coarse[1]
    soft = 3.0 * footprint * column("rate")[0]  # a border is at least a sample wide
    crisp, crisp3 = (sharp / (1.0 + sharp * soft) for sharp in (mix[5], mix3[3]))
    share = ((level - mix[4]) * crisp + 0.5).clamp(0.0, 1.0)
    level3 = mix3[0] * wave2 + mix3[1] * coarse[2]
    share3 = ((level3 - mix3[2]) * crisp3 + 0.5).clamp(0.0, 1.0)
    colour = column("colour")
    colour = colour + (column("second") - colour) * share
    colour = colour + (column("third") - colour) * share3
    light = 1.0 + column("mottle") * coarse[0] + column("grain") * fine[0]
    flush = column("flush")[0] * (0.7 * coarse[3] + 0.3 * fine[0])
    tinge = torch.stack([1 + 0.35 * flush, 1 - flush, 1 - 0.8 * flush])
    return (colour * light * tinge).clamp(0.003, 0.95), fine[1:4] * column("bump")


def _wave(rest: Tensor, turns: Tensor, spanned: Tensor) -> Tensor:
    """Return sines (P,) through space, weaker where a sample spans a good part of a turn or more."""
    x, y, z = rest
    u, v, w = turns
    fade = (1.6 - 2.2 * spanned).clamp(0.0, 1.0)
    wave: Tensor = torch.sin(2.0 * math.pi * (x * u + y * v + z * w)) * fade
    return wave


# Colours that clothes and things come in, as display values; weights follow what people wear more or less often.
_FAMILIES: tuple[tuple[float, tuple[tuple[int, int, int], ...]], ...] = (
    (0.17, ((22, 22, 25), (38, 38, 42), (30, 32, 40))),  # blacks
    (0.14, ((235, 234, 230), (222, 220, 214), (245, 245, 245))),  # whites
    (0.15, ((95, 96, 100), (140, 141, 145), (175, 174, 172), (70, 74, 80))),  # greys
    (0.16, ((32, 40, 66), (45, 60, 95), (62, 85, 125), (88, 112, 148), (120, 145, 175))),  # navy, denim
    (0.11, ((188, 170, 140), (160, 138, 108), (120, 98, 74), (90, 70, 52), (210, 195, 165))),  # beige, brown
    (0.07, ((84, 90, 62), (60, 76, 60), (110, 120, 90), (40, 84, 72))),  # olive, green
    (0.07, ((110, 36, 44), (150, 50, 48), (170, 70, 60), (90, 40, 60))),  # burgundy, red
    (0.07, ((226, 190, 190), (190, 205, 222), (200, 214, 190), (230, 215, 170), (200, 185, 215))),  # pastel
    (0.06, ((200, 40, 45), (30, 90, 180), (240, 190, 40), (20, 140, 90), (235, 110, 40), (200, 60, 130))),  # vivid
)


def draw_colour(rng: np.random.Generator) -> Colour:
    """Draw the colour of a garment or a thing: mostly muted."""
    weights = np.array([weight for weight, _ in _FAMILIES])
    family = _FAMILIES[rng.choice(len(_FAMILIES), p=weights / weights.sum())][1]
    red, green, blue = family[rng.integers(len(family))]
    shift = rng.normal(0, 9) + rng.normal(0, 5, 3)
    return linear(*(float(np.clip(v + s, 6, 250)) for v, s in zip((red, green, blue), shift, strict=True)))


def draw_cloth(rng: np.random.Generator, colour: Colour | None = None, plain: float = 0.6) -> Material:
    """Draw a fabric: its colours and pattern.

    Args:
        rng: where chance comes from.
        colour: its main colour; none: drawn.
        plain: the chance that it has no pattern.
    """
    base = draw_colour(rng) if colour is None else colour
    second, third = draw_colour(rng), draw_colour(rng)
    if rng.random() < 0.4:  # a pattern tone in tone
        second = tuple(float(np.clip(v * rng.uniform(0.5, 1.7), 0.01, 0.9)) for v in base)  # type: ignore[assignment]
    offset = tuple(float(v) for v in rng.uniform(-5, 5, 3))
    wave1, wave2 = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    mix, mix3 = (0.0, 0.0, 0.0, 0.0, 1.0, 8.0), (0.0, 0.0, 1.0, 8.0)
    scale = float(rng.uniform(0.25, 0.9))
    if rng.random() >= plain:
        kind = rng.choice(["across", "down", "check", "plaid", "dots", "camouflage", "print", "block"])
        pitch = float(1.0 / rng.uniform(0.012, 0.11))
        if kind == "across":
            wave1, mix = (0.0, pitch, 0.0), (1.0, 0.0, 0.0, 0.0, float(rng.uniform(-0.6, 0.8)), 6.0)
        elif kind == "down":
            wave1, mix = (pitch, 0.0, 0.15 * pitch), (1.0, 0.0, 0.0, 0.0, float(rng.uniform(-0.3, 0.95)), 6.0)
        elif kind == "check":
            wave1, wave2, mix = (0.0, pitch, 0.0), (pitch, 0.0, 0.1 * pitch), (0.5, 0.5, 0.0, 0.0, 0.0, 1.3)
        elif kind == "plaid":
            wave1, wave2 = (0.0, 0.6 * pitch, 0.0), (0.6 * pitch, 0.0, 0.0)
            mix, mix3 = (0.6, 0.6, 0.0, 0.0, 0.2, 1.5), (1.0, 0.0, 0.93, 6.0)
        elif kind == "dots":
            wave1, wave2, mix = (pitch, 0.0, pitch), (pitch, pitch, 0.0), (0.0, 0.0, 1.0, 0.0, 0.55, 5.0)
        elif kind == "camouflage":
            mix, mix3, scale = (0.0, 0.0, 0.0, 1.0, 0.1, 12.0), (0.0, 1.0, 0.25, 12.0), float(rng.uniform(0.5, 1.2))
        elif kind == "print":
            mix, mix3, scale = (0.0, 0.0, 0.0, 1.0, 0.3, 9.0), (0.0, 1.0, 0.4, 9.0), float(rng.uniform(0.2, 0.5))
        else:
            wave1, mix = (
                (0.0, float(rng.uniform(0.8, 1.6)), 0.0),
                (1.0, 0.0, 0.0, 0.0, float(rng.uniform(-0.5, 0.5)), 60.0),
            )
    shiny = rng.random() < 0.12
    return Material(
        colour=base,
        second=second,
        third=third,
        wave1=wave1,
        wave2=wave2,
        mix=mix,
        mix3=mix3,
        mottle_scale=scale,
        mottle=float(rng.uniform(0.02, 0.12)),
        grain_scale=float(rng.uniform(0.03, 0.12)),
        grain=float(rng.uniform(0.02, 0.14)),
        bump=0.03 if shiny else float(rng.uniform(0.03, 0.16)),
        gloss=float(rng.uniform(0.05, 0.25)) if shiny else float(rng.uniform(0.0, 0.02)),
        polish=float(rng.uniform(15, 60)) if shiny else 8.0,
        sheen=float(rng.uniform(0.0, 0.2)),
        offset=offset,  # type: ignore[arg-type]
    )


_SKIN = (
    (246, 220, 204),
    (236, 200, 178),
    (222, 178, 150),
    (202, 150, 120),
    (172, 118, 88),
    (132, 86, 62),
    (96, 62, 46),
    (64, 42, 34),
)


def draw_skin(rng: np.random.Generator) -> Material:
    """Draw skin: its tone over the whole human range, its redness and unevenness."""
    at = float(rng.uniform(0, len(_SKIN) - 1.001))
    low = int(at)
    tone = np.array(_SKIN[low]) * (1 - at + low) + np.array(_SKIN[low + 1]) * (at - low)
    red, yellow = rng.normal(0.01, 0.04), rng.normal(0.01, 0.025)
    tone = tone * np.array([1 + 0.4 * red, 1 - red, 1 - 1.1 * red - yellow]) * rng.normal(1, 0.03)
    return Material(
        colour=linear(*(float(v) for v in np.clip(tone, 20, 250))),
        mottle_scale=float(rng.uniform(0.25, 0.8)),
        mottle=float(rng.uniform(0.02, 0.1)),
        flush=float(rng.uniform(0.05, 0.22)),
        grain_scale=float(rng.uniform(0.02, 0.05)),
        grain=float(rng.uniform(0.01, 0.08)),
        bump=float(rng.uniform(0.0, 0.07)),
        gloss=float(rng.uniform(0.02, 0.16)),
        polish=float(rng.uniform(8, 30)),
        through=1.0,
        sheen=float(rng.uniform(0.05, 0.2)),
        offset=tuple(float(v) for v in rng.uniform(-5, 5, 3)),  # type: ignore[arg-type]
    )


_HAIR = (
    (18, 15, 14),
    (30, 23, 20),
    (48, 34, 26),
    (74, 50, 34),
    (104, 72, 46),
    (150, 112, 72),
    (188, 154, 106),
    (120, 56, 32),
    (128, 126, 124),
    (198, 196, 192),
)


def draw_hair(rng: np.random.Generator) -> Material:
    """Draw the colour and gloss of hair; dark is commoner than fair, grey or red."""
    weights = np.array([4, 4, 3, 2, 1.3, 1.0, 0.7, 0.4, 0.8, 0.5])
    red, green, blue = _HAIR[rng.choice(len(_HAIR), p=weights / weights.sum())]
    change = rng.normal(1, 0.08)
    colour = linear(*(float(np.clip(v * change, 8, 240)) for v in (red, green, blue)))
    return Material(
        colour=colour,
        second=tuple(min(0.9, 1.8 * v + 0.01) for v in colour),  # type: ignore[arg-type]
        mix=(0.0, 0.0, 0.0, 1.0, 0.25, 0.8),
        mottle_scale=float(rng.uniform(0.12, 0.25)),
        mottle=0.25,
        grain_scale=float(rng.uniform(0.04, 0.09)),
        grain=0.3,
        bump=0.3,
        gloss=float(rng.uniform(0.02, 0.15)),
        polish=float(rng.uniform(8, 25)),
        sheen=0.1,
        offset=tuple(float(v) for v in rng.uniform(-5, 5, 3)),  # type: ignore[arg-type]
    )
