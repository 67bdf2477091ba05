"""Rooms hit by rays: every pixel's ray leaves the box somewhere, and what is there depends on the place alone.

So all views agree. A camera may stand outside: the near walls are then cut away, as in a doll's house.

Letters: P pixels, V vertices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from humanpt.render.light import Light, Shades, irradiance
from humanpt.render.lookup import pick
from humanpt.render.room_parts import BACK, FLOOR, LEFT, Block, Face, Panel, Room
from humanpt.render.textures import SURFACES, picture_at, surface

LIGHTMAP = 64
"""Texels along an edge of the shadow that things cast on the floor."""

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
    for number in sorted({panel.face for panel in room.panels}):
        there = (face == number).nonzero()[:, 0]
        if len(there):
            u, v = pick(flat[0], there), pick(flat[1], there)
            for panel in room.panels:
                if panel.face == number:
                    _hang(panel, colour, glow, there, u, v)
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


def _hang(panel: Panel, colour: Tensor, glow: Tensor, there: Tensor, u: Tensor, v: Tensor) -> None:
    """Paint a panel: `there` are the pixels (Q,) that show its face, u and v (Q,) where on the face they do."""
    width, height = panel.half
    u, v = u - panel.centre[0], v - panel.centre[1]
    inside = ((u.abs() < width) & (v.abs() < height)).nonzero()[:, 0]
    if not len(inside):
        return
    found, du, dv = pick(there, inside), pick(u, inside), pick(v, inside)
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
