"""The colour of every sample that things cover: materials, light, highlights, and the film's curve.

Letters: B views, H W size of the finer picture, P samples, V vertices, F faces, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from humanpt.render.assembly import Assembly
from humanpt.render.light import Light, Shades
from humanpt.render.lookup import blend, pick
from humanpt.render.materials import COLUMNS, albedo
from humanpt.render.rasterize import Raster

SAMPLES_AT_ONCE = {"cpu": 1 << 18, "cuda": 1 << 24}
"""Samples shaded together: bounds the memory; fewer at once cost more in calls than they save in cache misses."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Palette:
    """What all samples of a scene draw on."""

    light: Light
    packed: Tensor
    """(V, 16) place, normal, rest point, tint, light from around, share of the sun."""
    fields: Tensor
    """(V, L) metres inside each layer."""
    faces: Tensor
    """(F, 3)."""
    face_layer: Tensor
    """(F,) the layer that a whole face shows, -1 where a border crosses it."""
    face_material: Tensor
    """(F,) where its materials begin."""
    materials: Tensor
    """(C, M)."""
    eyes: Tensor
    """(3, B)."""
    spread: Tensor
    """(B,) metres that a sample spans at 1 m."""


def shade_things(
    light: Light, assembly: Assembly, shades: Shades, raster: Raster, eyes: Tensor, spread: Tensor
) -> Tensor:
    """Colour all samples that things cover.

    Args:
        light: of the scene.
        assembly: the things.
        shades: what stands in the light.
        raster: (B, H, W) of the assembled mesh.
        eyes: (B, 3) camera centres.
        spread: (B,) metres that a sample spans at 1 m.

    Returns:
        (4, B, H, W) linear light after the film's curve, and cover, 0 or 1.
    """
    points, normals = assembly.vertices.t().contiguous(), assembly.normals.t().contiguous()
    ambient, sun = shades.ambient(points, normals), shades.sun(points, normals)
    packed = torch.cat([points, normals, assembly.rest.t(), assembly.tint.t(), ambient, sun[None]]).t().contiguous()
    palette = _Palette(
        light=light,
        packed=packed,
        fields=assembly.fields,
        faces=assembly.faces,
        face_layer=_plain_layers(assembly),
        face_material=assembly.face_material,
        materials=assembly.materials,
        eyes=eyes.t().contiguous(),
        spread=spread,
    )
    faces, weights = raster.face.reshape(-1), raster.bary.reshape(-1, 3)
    samples = torch.zeros(4, len(faces), device=points.device)
    found = (faces >= 0).nonzero()[:, 0]
    for some in found.split(SAMPLES_AT_ONCE.get(points.device.type, 1 << 18)):  # type: ignore[no-untyped-call]
        view = torch.div(some, raster.face[0].numel(), rounding_mode="floor")
        colour = _shade(palette, pick(faces, some), torch.index_select(weights, 0, some), view)
        samples[:3].index_copy_(1, some, film(colour * light.exposure))
    samples[3].index_fill_(0, found, 1.0)
    return samples.reshape(4, *raster.face.shape)


def _shade(palette: _Palette, face: Tensor, weights: Tensor, view: Tensor) -> Tensor:
    """Light (3, P) that samples send to their cameras."""
    light, device = palette.light, face.device
    corners = torch.index_select(palette.faces, 0, face)
    values = blend(palette.packed, corners, weights).t().contiguous()
    world, normal, rest, tint, around = (values[3 * k : 3 * k + 3] for k in range(5))
    seen = values[15]
    layer = _layers(palette, face, corners, weights)
    chosen = pick(palette.materials, pick(palette.face_material, face) + layer)
    towards = pick(palette.eyes, view) - world
    distance = _length(towards)
    colour, tilt = albedo(rest, chosen, distance[0] * pick(palette.spread, view))
    colour = torch.where(layer == 0, colour * tint, colour)
    towards = towards / distance
    normal = normal / _length(normal)
    normal = torch.where(_dot(normal, towards) < 0, -normal, normal)
    bumped = normal + tilt
    bumped = bumped / _length(bumped)
    to_sun = torch.tensor(light.direction, device=device)[:, None]
    sun_colour = torch.tensor(light.colour, device=device)[:, None]
    bleed = chosen[COLUMNS["through"]] * torch.tensor([0.28, 0.12, 0.08], device=device)[:, None]
    lit = ((_dot(bumped, to_sun) + bleed) / (1 + bleed)).clamp_min(0) * seen
    half = towards + to_sun
    shine = (_dot(bumped, half) / _length(half)).clamp_min(1e-4) ** chosen[COLUMNS["polish"]]
    flat = (1 - _dot(bumped, towards).clamp(0, 1)).square().square()
    gloss, sheen = chosen[COLUMNS["gloss"]], chosen[COLUMNS["sheen"]]
    lean = 1 - 0.35 * tilt[1]  # what is tilted up gets more of the sky
    radiance = colour * (around * lean + lit * sun_colour)
    radiance += (2.0 * gloss * shine * seen) * sun_colour + (flat * (0.25 * gloss + 0.35 * sheen)) * around
    return radiance


def _plain_layers(assembly: Assembly) -> Tensor:
    """The layer (F,) that all corners of a face show, 0 for none; -1 where they differ."""
    count = assembly.fields.shape[1]
    if not count:
        return torch.zeros_like(assembly.face_material)
    rank = torch.arange(1, count + 1, device=assembly.fields.device)
    at_vertex = ((assembly.fields > 0) * rank).amax(1)
    a, b, c = (pick(at_vertex, assembly.faces[:, k]) for k in range(3))
    return torch.where((a == b) & (b == c), a, -1)


def _layers(palette: _Palette, face: Tensor, corners: Tensor, weights: Tensor) -> Tensor:
    """The layer (P,) on top at each sample, 0 for none: only faces that a border crosses look at the fields."""
    layer = pick(palette.face_layer, face)
    crossed = (layer < 0).nonzero()[:, 0]
    if len(crossed):
        taps, shares = torch.index_select(corners, 0, crossed), torch.index_select(weights, 0, crossed)
        fields = blend(palette.fields, taps, shares)
        rank = torch.arange(1, fields.shape[1] + 1, device=face.device)
        layer.index_copy_(0, crossed, ((fields > 0) * rank).amax(1))
    return layer


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _length(vectors: Tensor) -> Tensor:
    """Lengths (1, P) of vectors (3, P)."""
    return _dot(vectors, vectors).sqrt().clamp_min(1e-9)[None]


def film(radiance: Tensor) -> Tensor:
    """Press light into [0, 1): straight up to 0.6, then a soft shoulder."""
    return torch.where(radiance < 0.6, radiance, 1 - 0.4 * torch.exp((0.6 - radiance) / 0.4))
