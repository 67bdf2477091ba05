"""Rooms drawn at random: walls, floor, windows, doors, pictures, rugs and furniture, or open country."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from humanpt.render.materials import Colour, draw_colour, linear
from humanpt.render.room_parts import BACK, CEILING, FLOOR, FRONT, LEFT, RIGHT, Block, Face, Panel, Room
from humanpt.render.wall_pictures import draw_painting, draw_panorama, draw_view, read_photograph

__all__ = ["BACK", "CEILING", "FLOOR", "FRONT", "LEFT", "RIGHT", "Block", "Face", "Panel", "Room", "draw_room"]


def draw_room(
    rng: np.random.Generator, subject: Literal["body", "hand"] = "body", photographs: Sequence[Path] = ()
) -> Room:
    """Draw surroundings: mostly rooms, some open places.

    Args:
        rng: where chance comes from.
        subject: what it is for: around a hand, everything is nearer and smaller.
        photographs: picture files that may hang on the walls.

    Raises:
        InputError: if a photograph cannot be read.
    """
    scale = 1.0 if subject == "body" else float(rng.uniform(0.25, 0.6))
    outdoors = bool(rng.random() < 0.25)
    width, depth = (float(v) for v in rng.uniform(5.0, 11.0, 2) * scale)
    height = float(rng.uniform(2.5, 3.8)) * scale
    if outdoors:
        width = depth = 60.0
        height = 40.0
    x0, z0 = -width * float(rng.uniform(0.35, 0.65)), -depth * float(rng.uniform(0.35, 0.65))
    low, high = (x0, -height, z0), (x0 + width, 0.0, z0 + depth)
    wall_kind = str(
        rng.choice(
            ["plain", "plaster", "wallpaper", "bricks", "panels", "tiles", "planks", "weave"],
            p=[0.2, 0.36, 0.1, 0.08, 0.08, 0.06, 0.06, 0.06],
        )
    )
    wall, second = _wall_colours(rng, wall_kind)
    period = {"bricks": 1.0, "tiles": 0.9, "wallpaper": 0.7, "panels": 1.4, "planks": 1.2}.get(wall_kind, 1.3)
    floor = _draw_floor(rng, outdoors, scale)
    faces = []
    for number in range(6):
        if number == FLOOR:
            faces.append(floor)
        elif number == CEILING:
            faces.append(Face(kind="plaster", colour=linear(232, 230, 224), second=linear(220, 220, 215), period=2.0))
        else:
            odd = rng.random() < 0.15
            tone = draw_colour(rng) if odd else wall
            faces.append(
                Face(kind=wall_kind, colour=tone, second=second, period=period * scale * float(rng.uniform(0.7, 1.4)))
            )
    if outdoors:
        return Room(low=low, high=high, faces=tuple(faces), panorama=draw_panorama(rng))
    pictures = [read_photograph(path) for path in _some(rng, photographs, 3)]
    panels = _draw_panels(rng, low, high, scale, pictures)
    return Room(low=low, high=high, faces=tuple(faces), panels=panels, blocks=_draw_blocks(rng, low, high, scale))


def _some(rng: np.random.Generator, items: Sequence[Path], count: int) -> list[Path]:
    if not items:
        return []
    return [items[int(i)] for i in rng.integers(0, len(items), count)]


def _wall_colours(rng: np.random.Generator, kind: str) -> tuple[Colour, Colour]:
    if kind == "bricks":
        return linear(*(float(v) for v in np.array([150, 88, 70]) * rng.uniform(0.7, 1.25))), linear(185, 180, 170)
    if kind == "planks":
        tone = rng.uniform(0.5, 1.2)
        return linear(150 * tone, 112 * tone, 78 * tone), linear(180 * tone, 140 * tone, 100 * tone)
    if rng.random() < 0.65:  # painted pale
        shade = np.clip(rng.uniform(165, 240) + rng.normal(0, 9, 3), 90, 250)
        colour = linear(*(float(v) for v in shade))
    else:
        colour = draw_colour(rng)
    factor = float(rng.choice([0.6, 0.8, 1.3]))
    return colour, (min(0.9, colour[0] * factor), min(0.9, colour[1] * factor), min(0.9, colour[2] * factor))


def _draw_floor(rng: np.random.Generator, outdoors: bool, scale: float) -> Face:
    if outdoors:
        kind = str(rng.choice(["grass", "asphalt", "tiles", "planks", "carpet"], p=[0.4, 0.25, 0.15, 0.05, 0.15]))
    else:
        kind = str(
            rng.choice(["planks", "tiles", "carpet", "marble", "plain", "weave"], p=[0.4, 0.2, 0.2, 0.08, 0.07, 0.05])
        )
    tone = float(rng.uniform(0.6, 1.3))
    if kind == "planks":
        first, second = linear(140 * tone, 100 * tone, 66 * tone), linear(178 * tone, 134 * tone, 92 * tone)
    elif kind == "grass":
        first, second = linear(74 * tone, 92 * tone, 44 * tone), linear(110 * tone, 112 * tone, 62 * tone)
    elif kind == "asphalt":
        first, second = linear(92 * tone, 92 * tone, 94 * tone), linear(112 * tone, 110 * tone, 108 * tone)
    elif kind == "carpet" and outdoors:  # sand
        first, second = linear(176 * tone, 152 * tone, 116 * tone), linear(190 * tone, 168 * tone, 132 * tone)
    elif kind in ("tiles", "marble"):
        grey = float(rng.uniform(110, 230))
        first, second = (
            linear(grey, grey * 0.97, grey * 0.93),
            linear(*(float(v) for v in rng.uniform(70, 200) * np.ones(3))),
        )
    else:
        first, second = draw_colour(rng), draw_colour(rng)
    return Face(kind=kind, colour=first, second=second, period=float(rng.uniform(0.8, 2.0)) * scale)


def _draw_panels(
    rng: np.random.Generator, low: tuple[float, ...], high: tuple[float, ...], scale: float, pictures: list[Tensor]
) -> tuple[Panel, ...]:
    """Draw windows, doors and pictures on the walls and now and then a rug."""
    panels = []
    height = high[1] - low[1]
    for face in (LEFT, RIGHT, FRONT, BACK):
        first, last = (low[2], high[2]) if face in (LEFT, RIGHT) else (low[0], high[0])
        for _ in range(int(rng.integers(0, 4))):
            where = float(rng.uniform(first + 0.15 * (last - first), last - 0.15 * (last - first)))
            kind = rng.choice(["picture", "picture", "window", "door", "stripe"])
            if kind == "window":
                half = (float(rng.uniform(0.4, 1.2)) * scale, float(rng.uniform(0.4, 0.8)) * scale)
                panels.append(
                    Panel(
                        face=face,
                        centre=(where, -height * 0.55),
                        half=half,
                        picture=draw_view(rng),
                        frame=0.05 * scale,
                        frame_colour=linear(225, 225, 222),
                        glow=float(rng.uniform(0.3, 1.0)),
                    )
                )
            elif kind == "door":
                panels.append(
                    Panel(
                        face=face,
                        centre=(where, -1.02 * scale),
                        half=(0.45 * scale, 1.02 * scale),
                        picture=torch.tensor(draw_colour(rng)).expand(2, 2, 3).contiguous(),
                        frame=0.06 * scale,
                        frame_colour=draw_colour(rng),
                        glow=0.0,
                    )
                )
            elif kind == "stripe":  # a shelf, a skirting, a coloured band
                panels.append(
                    Panel(
                        face=face,
                        centre=((first + last) / 2, -float(rng.uniform(0.0, 0.9)) * height),
                        half=((last - first), float(rng.uniform(0.02, 0.2)) * scale),
                        picture=torch.tensor(draw_colour(rng)).expand(2, 2, 3).contiguous(),
                        frame=0.01 * scale,
                        frame_colour=draw_colour(rng),
                        glow=0.0,
                    )
                )
            else:
                picture = pictures[int(rng.integers(len(pictures)))] if pictures else draw_painting(rng)
                size = float(rng.uniform(0.3, 0.9)) * scale
                shape = picture.shape[1] / picture.shape[0]
                panels.append(
                    Panel(
                        face=face,
                        centre=(where, -height * float(rng.uniform(0.45, 0.65))),
                        half=(size * math.sqrt(shape), size / math.sqrt(shape)),
                        picture=picture,
                        frame=float(rng.uniform(0.0, 0.05)) * scale,
                        frame_colour=draw_colour(rng),
                        glow=0.0,
                    )
                )
    if rng.random() < 0.3:
        panels.append(
            Panel(
                face=FLOOR,
                centre=(float(rng.normal(0, 0.5)) * scale, float(rng.normal(0, 0.5)) * scale),
                half=(float(rng.uniform(0.6, 1.8)) * scale, float(rng.uniform(0.6, 1.8)) * scale),
                picture=draw_painting(rng),
                frame=0.08 * scale,
                frame_colour=draw_colour(rng),
                glow=0.0,
            )
        )
    return tuple(panels)


def _draw_blocks(
    rng: np.random.Generator, low: tuple[float, ...], high: tuple[float, ...], scale: float
) -> tuple[Block, ...]:
    """Draw furniture along the walls."""
    blocks = []
    for _ in range(int(rng.integers(1, 6))):
        half = [float(v) for v in rng.uniform([0.2, 0.2, 0.2], [0.9, 1.0, 0.5]) * scale]
        wall = int(rng.integers(4))
        x, z = (float(rng.uniform(low[k] + half[k], high[k] - half[k])) for k in (0, 2))
        if wall == 0:
            x = low[0] + half[0]
        elif wall == 1:
            x = high[0] - half[0]
        elif wall == 2:
            z = low[2] + half[2]
        else:
            z = high[2] - half[2]
        kind = str(rng.choice(["plain", "planks", "weave", "plaster", "panels"]))
        colour = draw_colour(rng)
        second = (0.7 * colour[0], 0.7 * colour[1], 0.7 * colour[2])
        cover = Face(kind=kind, colour=colour, second=second, period=float(rng.uniform(0.5, 1.5)) * scale)
        turn = float(rng.normal(0, 0.02) if rng.random() < 0.8 else rng.uniform(-0.6, 0.6))
        blocks.append(Block(centre=(x, -half[1], z), half=(half[0], half[1], half[2]), turn=turn, cover=cover))
    return tuple(blocks)
