"""Light: a sun or lamp that casts shadows, a sky or room all around that fills them, seen from every vertex.

The surroundings are a few dozen directions. For each, the points of all things are dropped into a coarse grid as seen
from there, and what lies behind the nearest is in its shade: soft ambient shadow, once for all views. The sun gets a
shadow map by the rasteriser. Minima and fixed orders make both repeatable to the bit.

Letters: V vertices, D directions, P points, G cells along an edge of the grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from humanpt.render.lookup import pick
from humanpt.render.materials import Colour, Vector
from humanpt.render.rasterize import rasterize

DIRECTIONS = 24
"""Directions that stand for all surroundings."""

GRID = 64
"""Most cells along an edge of the grid that ambient shadow is found with."""

FEW_POINTS = 8000
"""Below so many vertices the middles of faces are dropped into the grid as well."""

SHADOW_SIZE = 192
"""Pixels along an edge of the sun's shadow map."""


@dataclass(frozen=True, kw_only=True)
class Light:
    """The light of a scene; world axes, y down. Strengths are relative: 1 lights a white wall to white."""

    direction: Vector
    """Unit vector towards the sun or lamp."""
    colour: Colour
    """Its strength on a surface facing it."""
    softness: float
    """How far its shadows blur, in parts of the scene's size."""
    zenith: Colour
    """Radiance from above."""
    horizon: Colour
    """Radiance from the sides."""
    ground: Colour
    """Radiance from below: what the floor throws back."""
    side: Vector
    """Unit vector towards a broad second light, a window or a wall lit by the sun."""
    side_colour: Colour
    """Radiance of it."""
    exposure: float
    """Factor from light to picture."""

    def __post_init__(self) -> None:
        for name in ("direction", "side"):
            length = math.sqrt(sum(v * v for v in getattr(self, name)))
            if abs(length - 1) > 1e-3:
                raise ValueError(f"{name} of a light must have length 1, has {length:.3f}")


def _kelvin(temperature: float) -> tuple[float, float, float]:
    """Return the colour of light of that temperature, green at 1; the camera has evened out a third of its cast."""
    t = math.log(temperature / 5500.0)
    return math.exp(-0.5 * t), 1.0, math.exp(0.65 * t)


def _scaled(colour: tuple[float, float, float], by: float) -> Colour:
    return colour[0] * by, colour[1] * by, colour[2] * by


def _direction(rng: np.random.Generator, low: float, high: float) -> Vector:
    """Draw a unit vector between two heights over the horizon, in radians."""
    turn, height = rng.uniform(0, 2 * math.pi), rng.uniform(low, high)
    return (
        math.cos(turn) * math.cos(height),
        -math.sin(height),
        math.sin(turn) * math.cos(height),
    )


def draw_light(rng: np.random.Generator, outdoors: bool | None = None) -> Light:
    """Draw a light, from hard sun to soft rooms, warm to cold, dim to bright.

    Args:
        rng: where chance comes from.
        outdoors: sun and sky; none: either.
    """
    if outdoors is None:
        outdoors = bool(rng.random() < 0.4)
    balance = float(rng.normal(0.01, 0.045))  # what the camera's white balance left over
    cast = (1 + balance, 1.0, 1 - balance)
    if outdoors:
        clear = float(rng.uniform(0, 1)) ** 0.7
        sun, sky = _kelvin(rng.uniform(4300, 5800)), _kelvin(rng.uniform(6500, 11000) if clear > 0.4 else 6500)
        key, fill = 0.25 + 1.05 * clear, 0.55 - 0.3 * clear
        direction, softness = _direction(rng, 0.25, 1.35), 0.004 + 0.08 * (1 - clear) ** 2
    else:
        clear = float(rng.uniform(0, 1))
        sun = _kelvin(rng.uniform(3000, 6500))
        sky = _kelvin(rng.uniform(3600, 7000))
        key, fill = 0.1 + 0.6 * clear, 0.75 - 0.4 * clear
        direction, softness = _direction(rng, 0.3, 1.5), float(rng.uniform(0.01, 0.08))

    def tinted(colour: tuple[float, float, float], by: float) -> Colour:
        return colour[0] * cast[0] * by, colour[1] * cast[1] * by, colour[2] * cast[2] * by

    dark = rng.random() < 0.06
    return Light(
        direction=direction,
        colour=tinted(sun, key),
        softness=softness,
        zenith=tinted(sky, fill * float(rng.uniform(0.9, 1.6))),
        horizon=tinted(sky, fill * float(rng.uniform(0.5, 1.1))),
        ground=tinted((1.0, 0.95, 0.88), (fill + 0.4 * key) * float(rng.uniform(0.15, 0.5))),
        side=_direction(rng, -0.1, 0.6),
        side_colour=tinted(_kelvin(rng.uniform(3500, 7500)), fill * float(rng.choice([0.0, 0.6, 1.5]))),
        exposure=float(np.exp(rng.normal(0.0, 0.22))) * (0.35 if dark else 1.0),
    )


@lru_cache(maxsize=8)
def _directions(device: torch.device) -> Tensor:
    """Spread directions evenly over the sphere (a spiral), (D, 3), with two more axes each: (3, D, 3)."""
    number = np.arange(DIRECTIONS) + 0.5
    y = 1 - 2 * number / DIRECTIONS
    turn = number * math.pi * (3 - math.sqrt(5))
    flat = np.sqrt(1 - y * y)
    towards = np.stack([flat * np.cos(turn), y, flat * np.sin(turn)], 1)
    across = np.cross(towards, np.where(np.abs(y)[:, None] < 0.9, [[0.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]]))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    return torch.from_numpy(np.stack([towards, across, np.cross(towards, across)])).float().to(device)


def radiance(light: Light, towards: Tensor) -> Tensor:
    """Return what comes from directions (D, 3): (D, 3) linear light, without the sun."""
    device = towards.device

    def colour(value: Colour) -> Tensor:
        return torch.tensor(value, device=device)

    up = -towards[:, 1:2]
    sky = torch.lerp(colour(light.horizon), colour(light.zenith), up.clamp(0, 1))
    below = (0.5 - 3.0 * up).clamp(0, 1)
    base = torch.lerp(sky, colour(light.ground), below)
    side = towards[:, 0:1] * light.side[0] + towards[:, 1:2] * light.side[1] + towards[:, 2:3] * light.side[2]
    return base + (side * 2.0 - 1.0).clamp_min(0) * colour(light.side_colour)


def irradiance(light: Light, normals: Tensor) -> Tensor:
    """Return what surfaces get from open surroundings.

    Args:
        light: of the scene.
        normals: (3, P).

    Returns:
        (3, P); 1 all around gives 1.
    """
    towards = _directions(normals.device)[0]
    return _gather(_dots(towards, normals).clamp_min(0), radiance(light, towards))


def _dots(axes: Tensor, points: Tensor) -> Tensor:
    """Dot products of axes (D, 3) with points (3, P): (D, P), written out so that the sum has a fixed order."""
    total = axes[:, 0:1] * points[0]
    return total.addcmul_(axes[:, 1:2], points[1:2]).addcmul_(axes[:, 2:3], points[2:3])


def _gather(weights: Tensor, come: Tensor) -> Tensor:
    """Sum light (D, 3) from all directions with weights (D, P): (3, P), in a fixed order."""
    total = weights[0] * come[0][:, None]
    for number in range(1, len(weights)):
        total.addcmul_(weights[number][None], come[number][:, None])
    return total * (4.0 / DIRECTIONS)


@dataclass(frozen=True, kw_only=True, eq=False)
class Shades:
    """What stands in the light of a scene, ready to be asked for any point."""

    light: Light
    centre: Tensor
    """(3,) middle of all things."""
    size: float
    """Radius of a ball around all things, metres."""
    grid: Tensor
    """(D * (G + 2)^2,) how far towards each direction the foremost point of a cell lies, with a border of nothing."""
    cells: int
    """G."""
    sun_map: Tensor
    """((SHADOW_SIZE + 2)^2,) depth seen from the sun, infinite where nothing is, with such a border."""
    sun_pose: Tensor
    """(3, 4) the sun's frame."""
    sun_focal: float

    def ambient(self, points: Tensor, normals: Tensor) -> Tensor:
        """Return what points (3, P) with normals (3, P) get from the surroundings past what stands there: (3, P)."""
        towards, across, third = _directions(points.device)
        facing = _dots(towards, normals).clamp_min(0)
        cell = 2 * self.size / self.cells
        raised = points + normals * cell - self.centre[:, None]
        u = ((_dots(across, raised) + self.size) * (1 / cell)).clamp(-1, self.cells).to(torch.int32) + 1
        v = ((_dots(third, raised) + self.size) * (1 / cell)).clamp(-1, self.cells).to(torch.int32) + 1
        step = torch.arange(DIRECTIONS, device=points.device, dtype=torch.int32)[:, None] * (self.cells + 2) ** 2
        front = pick(self.grid, (u + (self.cells + 2) * v + step).reshape(-1)).view_as(facing)
        hidden = ((front - _dots(towards, raised)) * (1 / (1.5 * cell)) - 0.4).clamp(0, 1)
        return _gather(facing * (1 - 0.92 * hidden), radiance(self.light, towards))

    def sun(self, points: Tensor, normals: Tensor) -> Tensor:
        """Return how much of the sun points (3, P) see, 0 to 1, however they are turned: (P,)."""
        pixel = 2 * self.size / SHADOW_SIZE
        x, y, z = _dots(self.sun_pose[:, :3], points + normals * (1.5 * pixel)) + self.sun_pose[:, 3:]
        middle = (SHADOW_SIZE - 1) / 2
        px, py = self.sun_focal * x / z + middle, self.sun_focal * y / z + middle
        reach = max(2.0, self.light.softness * SHADOW_SIZE)  # vertices cannot show sharper edges
        taps = _taps(points.device) * reach
        u = torch.round(px + taps[:, 0:1]).clamp(-1, SHADOW_SIZE).to(torch.int32) + 1
        v = torch.round(py + taps[:, 1:2]).clamp(-1, SHADOW_SIZE).to(torch.int32) + 1
        front = pick(self.sun_map, (u + (SHADOW_SIZE + 2) * v).reshape(-1)).view_as(u)
        seen = ((front - z) * (1 / pixel) + (2 + 0.5 * reach)).clamp(0, 1)
        total: Tensor = seen[0].clone()
        for tap in seen[1:]:
            total += tap
        return total / len(taps)


@lru_cache(maxsize=8)
def _taps(device: torch.device) -> Tensor:
    """Return places (T, 2) over a disc of radius 1 where a soft shadow is asked for."""
    rings = [(0.0, 0.0)]
    for radius, count, start in ((0.5, 4, 0.4), (1.0, 8, 0.0)):
        rings += [
            (radius * math.cos(start + 2 * math.pi * k / count), radius * math.sin(start + 2 * math.pi * k / count))
            for k in range(count)
        ]
    return torch.tensor(rings, device=device)


def _drop(vertices: Tensor, faces: Tensor, centre: Tensor, size: float) -> tuple[Tensor, int]:
    """Drop points into a grid for each direction: how far the foremost in each cell reaches, and cells along an edge.

    A coarse mesh lends the middles of its faces, and gets coarser cells, so that its surface has no holes.
    """
    device = vertices.device
    points = vertices - centre
    if len(vertices) < FEW_POINTS:
        middles = points[faces[:, 0]] + points[faces[:, 1]] + points[faces[:, 2]]
        points = torch.cat([points, middles * (1 / 3)])
    cells = int(max(8, min(GRID, (0.3 * len(points)) ** 0.5)))
    cell, edge = 2 * size / cells, cells + 2  # a border of nothing all round
    columns = points.t().contiguous()
    towards, across, third = _directions(device)
    u = ((_dots(across, columns) + size) * (1.0 / cell)).to(torch.int64) + 1
    v = ((_dots(third, columns) + size) * (1.0 / cell)).to(torch.int64) + 1
    at = u + edge * v + torch.arange(DIRECTIONS, device=device)[:, None] * (edge * edge)
    grid = torch.full((DIRECTIONS * edge * edge,), -1e9, device=device)
    return grid.scatter_reduce_(0, at.reshape(-1), _dots(towards, columns).reshape(-1), "amax"), cells


def cast(light: Light, vertices: Tensor, faces: Tensor) -> Shades:
    """Prepare the shadows of a scene.

    Args:
        light: of the scene.
        vertices: (V, 3) of all things, world.
        faces: (F, 3) their triangles.
    """
    device = vertices.device
    low, high = vertices.amin(0), vertices.amax(0)
    centre = 0.5 * (low + high)
    offset = (vertices - centre).t()
    size = float((offset[0].square() + offset[1].square() + offset[2].square()).amax().sqrt()) * 1.02 + 1e-4
    grid, cells = _drop(vertices, faces, centre, size)
    away = 12.0 * size
    sun = torch.tensor(light.direction, device=device)
    helper = torch.tensor([0.0, 0.0, 1.0] if abs(light.direction[1]) > 0.9 else [0.0, 1.0, 0.0], device=device)
    right = torch.linalg.cross(helper, -sun)
    right = right / right.square().sum().sqrt()
    down = torch.linalg.cross(-sun, right)
    axes = torch.stack([right, down, -sun])
    eye = centre + sun * away
    pose = torch.cat([axes, -torch.stack([(axes[k] * eye).sum() for k in range(3)])[:, None]], 1)
    cam = (_dots(pose[:, :3], vertices.t()) + pose[:, 3:]).t()
    focal = SHADOW_SIZE / 2 / size * (away - size) * 0.98
    middle = (SHADOW_SIZE - 1) / 2
    intrinsics = torch.tensor([[focal, 0.0, middle], [0.0, focal, middle], [0.0, 0.0, 1.0]], device=device)
    depth = rasterize(cam[None], faces, intrinsics[None], SHADOW_SIZE, SHADOW_SIZE, cull=True).depth[0]
    return Shades(
        light=light,
        centre=centre,
        size=size,
        grid=grid,
        cells=cells,
        sun_map=pad(depth, (1, 1, 1, 1), value=torch.inf).reshape(-1),
        sun_pose=pose,
        sun_focal=focal,
    )
