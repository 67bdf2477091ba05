"""Rooms: a textured box around the scene, with furniture, windows and pictures on its walls, lit like the people in it.

Every pixel's ray leaves the box somewhere; what is there is a function of the place alone, so that all views agree. A
camera may stand outside: the near walls are then cut away, as in a doll's house.

Letters: P pixels, H W size of a picture on a wall.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from humanpt.errors import InputError
from humanpt.render.light import Light, Shades, irradiance
from humanpt.render.lookup import pick
from humanpt.render.materials import Colour, draw_colour, linear
from humanpt.render.textures import SURFACES, picture_at, surface

LIGHTMAP = 80
"""Texels along an edge of the shadow that things cast on the floor."""

FLOOR, CEILING, LEFT, RIGHT, FRONT, BACK = 3, 2, 0, 1, 4, 5
"""Numbers of the box's faces: -x, +x, -y (above), +y (below), -z, +z."""


@dataclass(frozen=True, kw_only=True)
class Face:
    """What one face of the room, or a piece of furniture, is covered with."""

    kind: str
    """One of `textures.SURFACES`."""
    colour: Colour
    """Linear reflectance."""
    second: Colour
    """Linear reflectance of the texture's other colour."""
    period: float
    """Metres after which the texture repeats."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """A flat thing on a face of the room: a framed picture, a window, a door, a rug."""

    face: int
    """Which face: `FLOOR`, `LEFT`, ..."""
    centre: tuple[float, float]
    """Where on the face, metres along its two axes."""
    half: tuple[float, float]
    """Half its width and height, metres."""
    picture: Tensor
    """(H, W, 3) float32 linear."""
    frame: float
    """Width of its frame, metres."""
    frame_colour: Colour
    """Linear reflectance."""
    glow: float
    """How much it shines by itself: 0 for pictures, more for windows."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A box of furniture, standing or hanging."""

    centre: tuple[float, float, float]
    """Metres, world."""
    half: tuple[float, float, float]
    """Half sizes along its own axes, metres."""
    turn: float
    """Rotation about the vertical, radians."""
    cover: Face
    """What it is covered with."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Room:
    """Surroundings of a scene; floor at y = 0, y down."""

    low: tuple[float, float, float]
    """Least corner of the box; low[1] is the ceiling."""
    high: tuple[float, float, float]
    """Greatest corner; high[1] is the floor."""
    faces: tuple[Face, ...]
    """Covers of the six faces in the order of LEFT, RIGHT, CEILING, FLOOR, FRONT, BACK."""
    panels: tuple[Panel, ...] = ()
    """Things on the faces; later ones cover earlier ones."""
    blocks: tuple[Block, ...] = ()
    """Furniture. It never hides the subject: what would is left out of that view."""
    panorama: Tensor | None = None
    """(H, W, 3) float32 linear: what is seen outdoors instead of walls and ceiling, all around, zenith on top."""


_NORMALS = ((1.0, 0, 0), (-1.0, 0, 0), (0, 1.0, 0), (0, -1.0, 0), (0, 0, 1.0), (0, 0, -1.0))


@dataclass(frozen=True, kw_only=True, eq=False)
class LitRoom:
    """A room with its light worked out: shared by all views of a scene."""

    room: Room
    light: Light
    ambient: Tensor
    """(3, 6) what each face gets from the surroundings."""
    direct: Tensor
    """(3, 6) what each face gets from the sun."""
    floor_origin: Tensor
    """(2,) x and z where the floor's light map begins."""
    floor_span: float
    """Metres along its edge."""
    floor: Tensor
    """(LIGHTMAP, LIGHTMAP, 4) share of ambient light and, last, of the sun, that reach the floor past the things."""
    panorama: Tensor | None
    """As in the room."""


def light_room(room: Room, light: Light, shades: Shades, device: torch.device) -> LitRoom:
    """Work out the light of a room, with the shadows that the things cast on its floor."""
    normals = torch.tensor(_NORMALS, device=device).t().contiguous()  # (3, 6)
    towards = light.direction
    ambient = irradiance(light, normals)
    facing = (normals[0] * towards[0] + normals[1] * towards[1] + normals[2] * towards[2]).clamp_min(0)
    below = shades.centre[[0, 2]]
    fall = (room.high[1] - shades.centre[1]).clamp_min(0) / max(
        -towards[1], 0.2
    )  # along a ray of the sun, to the floor
    shadow = below - torch.tensor([towards[0], towards[2]], device=device) * fall.clamp_max(12.0 * shades.size)
    span = float((shadow - below).abs().amax()) + 4.4 * shades.size
    origin = 0.5 * (below + shadow) - 0.5 * span
    place = (torch.arange(LIGHTMAP, device=device) + 0.5) * (span / LIGHTMAP)
    z, x = torch.meshgrid(origin[1] + place, origin[0] + place, indexing="ij")
    points = torch.stack([x.reshape(-1), torch.full((LIGHTMAP**2,), room.high[1], device=device), z.reshape(-1)])
    up = normals[:, FLOOR : FLOOR + 1].expand_as(points).contiguous()
    reached = shades.ambient(points, up) / ambient[:, FLOOR : FLOOR + 1].clamp_min(1e-6)
    floor = torch.cat([reached, shades.sun(points, up)[None]]).reshape(4, LIGHTMAP, LIGHTMAP)
    floor[:, 0], floor[:, -1], floor[:, :, 0], floor[:, :, -1] = 1.0, 1.0, 1.0, 1.0  # what lies beyond is in full light
    return LitRoom(
        room=room,
        light=light,
        ambient=ambient,
        direct=facing * torch.tensor(light.colour, device=device)[:, None],
        floor_origin=origin,
        floor_span=span,
        floor=floor.permute(1, 2, 0).contiguous(),
        panorama=None if room.panorama is None else room.panorama.to(device),
    )


def blocks_in_view(
    room: Room, cam_from_world: Tensor, intrinsics: Tensor, size: int, points_cam: Tensor
) -> tuple[Block, ...]:
    """Choose the furniture that a view can show without hiding what the view is about.

    Args:
        room: whose furniture it is.
        cam_from_world: (4, 4).
        intrinsics: (3, 3).
        size: pixels along the picture's edge.
        points_cam: (V, 3) of the things, camera axes; in front of the camera.
    """
    pose, k = cam_from_world.double().cpu().numpy(), intrinsics.double().cpu().numpy()
    z = points_cam[:, 2].clamp_min(1e-3)
    u, v = points_cam[:, 0] / z * k[0, 0] + k[0, 2], points_cam[:, 1] / z * k[1, 1] + k[1, 2]
    subject = [float(edge) for edge in (u.min(), v.min(), u.max(), v.max())]
    far = float(z.max())
    chosen = []
    for block in room.blocks:
        cos, sin = math.cos(block.turn), math.sin(block.turn)
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
        a, b, c = (signs * block.half).T
        corners = np.stack([cos * a - sin * c, b, sin * a + cos * c], 1)
        cam = (corners + block.centre) @ pose[:3, :3].T + pose[:3, 3]
        if cam[:, 2].max() < 0.05:
            continue
        if cam[:, 2].min() < 0.05:  # around the camera: only if nothing is behind it
            edges = [-np.inf, -np.inf, np.inf, np.inf]
        else:
            x, y = cam[:, 0] / cam[:, 2] * k[0, 0] + k[0, 2], cam[:, 1] / cam[:, 2] * k[1, 1] + k[1, 2]
            edges = [float(x.min()), float(y.min()), float(x.max()), float(y.max())]
        if edges[2] < -1 or edges[3] < -1 or edges[0] > size or edges[1] > size:
            continue
        apart = edges[2] < subject[0] or edges[3] < subject[1] or edges[0] > subject[2] or edges[1] > subject[3]
        if apart or cam[:, 2].min() > far:
            chosen.append(block)
    return tuple(chosen)


def shade_room(lit: LitRoom, eye: Tensor, towards: Tensor, spread: Tensor, blocks: tuple[Block, ...]) -> Tensor:
    """Colour the pixels of one view that show the room.

    Args:
        lit: the room.
        eye: (3,) camera centre, world.
        towards: (3, P) ray directions whose length along the optical axis is 1.
        spread: () metres that a pixel spans at 1 m.
        blocks: the furniture in view.

    Returns:
        (3, P) linear light.
    """
    room, device = lit.room, towards.device
    low, high = torch.tensor(room.low, device=device)[:, None], torch.tensor(room.high, device=device)[:, None]
    ahead = towards > 0
    safe = torch.where(towards.abs() < 1e-9, 1e-9, towards)
    far3 = (torch.where(ahead, high, low) - eye[:, None]) / safe
    far, axis = far3[0], torch.zeros_like(ahead[0], dtype=torch.int64)
    plus = ahead[0]
    for number in (1, 2):
        nearer = far3[number] < far
        far = torch.where(nearer, far3[number], far)
        axis = torch.where(nearer, number, axis)
        plus = torch.where(nearer, ahead[number], plus)
    far = far.clamp_min(1e-3)
    face = axis * 2 + plus
    point = eye[:, None] + towards * far
    flat = torch.stack([torch.where(axis == 0, point[2], point[0]), torch.where(axis == 1, point[2], point[1])])
    length = (towards[0].square() + towards[1].square() + towards[2].square()).sqrt()
    across = torch.where(axis == 0, towards[0], torch.where(axis == 1, towards[1], towards[2])).abs()
    footprint = far * spread * length / across.clamp_min(0.08)
    colour, glow = _cover(pick(_cover_table(room.faces, device), face), flat, footprint), torch.zeros_like(far)
    for panel in room.panels:
        _hang(panel, colour, glow, face, flat)
    result = colour * (_light_on_faces(lit, face, axis, point) + glow)
    if lit.panorama is not None:
        result = _open_up(lit.panorama, result, face, towards, far / (0.8 * max(abs(room.low[0]), 1.0)))
    return _stand(lit, blocks, result, far, eye, towards, spread)


def _cover_table(faces: Sequence[Face], device: torch.device) -> Tensor:
    rows = [[float(SURFACES.index(f.kind)), f.period, *f.colour, *f.second] for f in faces]
    return torch.tensor(rows).t().contiguous().to(device)


def _cover(covers: Tensor, flat: Tensor, footprint: Tensor) -> Tensor:
    """Colour covered places (2, P): (3, P)."""
    kind, period, first, second = covers[0], covers[1], covers[2:5], covers[5:8]
    texel = surface(kind.to(torch.int64), flat / period, footprint / period)
    colour: Tensor = (first + (second - first) * texel[0]) * (1 + texel[1])
    return colour.clamp(0.004, 0.95)


def _hang(panel: Panel, colour: Tensor, glow: Tensor, face: Tensor, flat: Tensor) -> None:
    """Paint a panel over the places where it hangs."""
    width, height = panel.half
    inside = (
        (face == panel.face)
        & ((flat[0] - panel.centre[0]).abs() < width)
        & ((flat[1] - panel.centre[1]).abs() < height)
    )
    found = inside.nonzero()[:, 0]
    if not len(found):
        return
    du, dv = pick(flat[0], found) - panel.centre[0], pick(flat[1], found) - panel.centre[1]
    sign = -0.5 if panel.face in (LEFT, BACK) else 0.5  # pictures are not seen from behind
    at = torch.stack([0.5 + sign * du / (width - panel.frame), 0.5 + 0.5 * dv / (height - panel.frame)])
    framed = (du.abs() > width - panel.frame) | (dv.abs() > height - panel.frame)
    edge = torch.tensor(panel.frame_colour, device=colour.device)[:, None]
    shown = picture_at(panel.picture.to(colour.device), at)
    colour.index_copy_(1, found, torch.where(framed, edge, shown))
    glow.index_copy_(0, found, torch.where(framed, 0.0, panel.glow))


def _light_on_faces(lit: LitRoom, face: Tensor, axis: Tensor, point: Tensor) -> Tensor:
    """Light at places of the box: darker towards its edges, shadows on its floor."""
    room = lit.room
    ambient, direct = pick(lit.ambient, face), pick(lit.direct, face)
    if room.panorama is None:
        reach = -1 / (0.12 * min(h - w for w, h in zip(room.low, room.high, strict=True)))
        close = []
        for number in range(3):
            edge = torch.minimum(point[number] - room.low[number], room.high[number] - point[number]).clamp_min(0)
            close.append(torch.where(axis == number, 0.0, torch.exp(edge * reach)))
        nearest = torch.maximum(torch.maximum(close[0], close[1]), close[2])
        ambient = ambient * (1 - 0.35 * nearest - 0.15 * (close[0] + close[1] + close[2]).clamp_max(1.0))
    floor = (face == FLOOR).nonzero()[:, 0]
    if len(floor):
        where = torch.stack([pick(point[0], floor), pick(point[2], floor)])
        shadow = picture_at(lit.floor, (where - lit.floor_origin[:, None]) / lit.floor_span).contiguous()
        for block in room.blocks:
            if block.centre[1] + block.half[1] > -0.3:
                shadow = shadow * _under(block, where)
        ambient.index_copy_(1, floor, pick(ambient, floor) * shadow[:3])
        direct.index_copy_(1, floor, pick(direct, floor) * shadow[3])
    return ambient + direct


def _under(block: Block, where: Tensor) -> Tensor:
    """Darken the floor at places (2, P) near a piece of furniture: factors (P,)."""
    cos, sin = math.cos(block.turn), math.sin(block.turn)
    x, z = where[0] - block.centre[0], where[1] - block.centre[2]
    u = ((cos * x + sin * z).abs() - block.half[0]).clamp_min(0)
    v = ((cos * z - sin * x).abs() - block.half[2]).clamp_min(0)
    return 1 - 0.6 * torch.exp((u.square() + v.square()).sqrt() * (-1 / (0.15 * min(1.0, 2.5 * block.half[1]) + 1e-3)))


def _stand(
    lit: LitRoom,
    blocks: tuple[Block, ...],
    result: Tensor,
    far: Tensor,
    eye: Tensor,
    towards: Tensor,
    spread: Tensor,
) -> Tensor:
    """Draw furniture into the room."""
    device = towards.device
    sun, strength = lit.light.direction, torch.tensor(lit.light.colour, device=device)[:, None]
    depth = far.clone()
    for block in blocks:
        cos, sin = math.cos(block.turn), math.sin(block.turn)
        offset = eye - torch.tensor(block.centre, device=device)
        start = torch.stack([cos * offset[0] + sin * offset[2], offset[1], cos * offset[2] - sin * offset[0]])[:, None]
        ray = torch.stack([cos * towards[0] + sin * towards[2], towards[1], cos * towards[2] - sin * towards[0]])
        ray = torch.where(ray.abs() < 1e-9, 1e-9, ray)
        half = torch.tensor(block.half, device=device)[:, None]
        middle, reach = -start / ray, half / ray.abs()
        enter3, leave3 = middle - reach, middle + reach
        enter = torch.maximum(torch.maximum(enter3[0], enter3[1]), enter3[2])
        leave = torch.minimum(torch.minimum(leave3[0], leave3[1]), leave3[2])
        found = ((enter < leave) & (enter > 0.05) & (enter < depth)).nonzero()[:, 0]
        if not len(found):
            continue
        at = pick(enter, found)
        enter3, ray = pick(enter3, found), pick(ray, found)
        local = start + ray * at
        side = torch.where(enter3[0] >= at, 0, torch.where(enter3[1] >= at, 1, 2))
        first = torch.where(side == 0, local[2], local[0])
        second = torch.where(side == 1, local[2], local[1])
        cover = _cover_table((block.cover,), device).expand(-1, len(found))
        colour = _cover(cover, torch.stack([first, second]), at * spread * 1.5)
        u, y, v = (torch.where(side == k, -ray[k].sign(), 0.0) for k in range(3))
        world = torch.stack([cos * u - sin * v, y, sin * u + cos * v])
        facing = (world[0] * sun[0] + world[1] * sun[1] + world[2] * sun[2]).clamp_min(0)
        gap = half - local.abs()
        edge = torch.minimum(torch.where(side == 0, gap[2], gap[0]), torch.where(side == 1, gap[2], gap[1]))
        shown = colour * (0.85 * irradiance(lit.light, world) + facing * strength)
        result.index_copy_(1, found, shown * (1 - 0.25 * torch.exp(edge * -100.0)))
        depth.index_copy_(0, found, at)
    return result


def _open_up(panorama: Tensor, result: Tensor, face: Tensor, towards: Tensor, distance: Tensor) -> Tensor:
    """Put the open country in place of walls and ceiling, and let the ground fade into it."""
    sky = face != FLOOR
    level = torch.where(sky, towards[1], 0.0)
    flat = (towards[0].square() + towards[2].square()).sqrt()
    at = torch.stack(
        [torch.atan2(towards[0], towards[2]) / (2 * math.pi) + 0.5, torch.atan2(level, flat) / math.pi + 0.5]
    )
    far = picture_at(panorama, at)
    return torch.where(sky, far, torch.lerp(result, far, 0.6 * distance.clamp(0, 1).square()))


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
        return Room(low=low, high=high, faces=tuple(faces), panorama=_draw_panorama(rng))
    pictures = [_read_photograph(path) for path in _some(rng, photographs, 3)]
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


def _read_photograph(path: Path) -> Tensor:
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
                        picture=_draw_view(rng),
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
                picture = pictures[int(rng.integers(len(pictures)))] if pictures else _draw_painting(rng)
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
                picture=_draw_painting(rng),
                frame=0.08 * scale,
                frame_colour=draw_colour(rng),
                glow=0.0,
            )
        )
    return tuple(panels)


def _draw_view(rng: np.random.Generator) -> Tensor:
    """Draw what a window shows: sky over something dark, a cross of bars."""
    rows = np.linspace(0, 1, 32)[:, None, None]
    sky = np.array(linear(200, 220, 245)) * (1 - rows) + np.array(linear(235, 238, 240)) * rows
    line = 0.55 + 0.1 * np.cumsum(rng.normal(0, 0.3, 32))[None, :, None] * 0.2
    ground = np.array(draw_colour(rng)) * 0.7 + 0.05
    picture = np.where(rows > line, ground, np.broadcast_to(sky, (32, 32, 3)))
    picture[:, 15:17] = 0.7
    return torch.from_numpy(np.ascontiguousarray(picture)).float()


def _draw_painting(rng: np.random.Generator) -> Tensor:
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


def _draw_panorama(rng: np.random.Generator) -> Tensor:
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
