"""The colour of every pixel that things cover: materials, light, highlights, and the film's curve.

Where one smooth piece of one material fills a pixel, it is coloured once; where borders cross, sample by sample.

Letters: B views, S size of a picture, H W size of the finer one, P places, T samples of a pixel, V vertices, F faces,
L layers.
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


MAX_LAYERS = 1 << 20
"""More than the layers of any look: keeps materials of several looks apart."""


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
    light: Light, assembly: Assembly, shades: Shades, raster: Raster, eyes: Tensor, spread: Tensor, supersample: int
) -> tuple[Tensor, Tensor]:
    """Colour all pixels that things cover.

    Args:
        light: of the scene.
        assembly: the things.
        shades: what stands in the light.
        raster: (B, H, W) of the assembled mesh, at the resolution of the samples.
        eyes: (B, 3) camera centres.
        spread: (B,) metres that a sample spans at 1 m.
        supersample: samples along each edge of a pixel.

    Returns:
        (3, B, S, S) linear light after the film's curve, and (B, S, S) cover from 0 to 1.
    """
    palette = _mix_palette(light, assembly, shades, eyes, spread)
    views, size = len(raster.face), raster.face.shape[1] // supersample
    whole, broken = _sort_pixels(palette, raster, spread, supersample)
    total = torch.zeros(3, views * size * size, device=spread.device)
    cover = torch.zeros(views * size * size, device=spread.device)
    faces, weights = raster.face.reshape(-1), raster.bary.reshape(-1, 3)
    step = SAMPLES_AT_ONCE.get(spread.device.type, 1 << 18)
    for some in whole.split(step):  # type: ignore[no-untyped-call]
        samples = _samples_of(some, size, supersample)
        # The mean of two opposite samples is the pixel's middle: one colour does for the pixel.
        ends = [samples[0]] if supersample == 1 else [samples[0], samples[-1]]
        face = [pick(faces, end) for end in ends]
        share = [torch.index_select(weights, 0, end) * (1 / len(ends)) for end in ends]
        colour = _shade(palette, face, share, torch.div(some, size * size, rounding_mode="floor"), supersample)
        total.index_copy_(1, some, film(colour * light.exposure))
    cover.index_fill_(0, whole, 1.0)
    for some in broken.split(step // supersample**2):  # type: ignore[no-untyped-call]
        samples = _samples_of(some, size, supersample).reshape(-1)
        at_samples = pick(faces, samples)
        found = (at_samples >= 0).nonzero()[:, 0]
        view = pick(torch.div(some, size * size, rounding_mode="floor").repeat(supersample**2), found)
        share = [torch.index_select(weights, 0, pick(samples, found))]
        colour = _shade(palette, [pick(at_samples, found)], share, view, 1)
        parts = torch.zeros(4, len(samples), device=spread.device)
        parts[:3].index_copy_(1, found, film(colour * light.exposure))
        parts[3].index_fill_(0, found, 1.0)
        mean = parts.reshape(4, supersample**2, -1).sum(1) / supersample**2
        total.index_copy_(1, some, mean[:3])
        cover.index_copy_(0, some, mean[3])
    return total.reshape(3, views, size, size), cover.reshape(views, size, size)


def _mix_palette(light: Light, assembly: Assembly, shades: Shades, eyes: Tensor, spread: Tensor) -> _Palette:
    points, normals = assembly.vertices.t().contiguous(), assembly.normals.t().contiguous()
    ambient, sun = shades.ambient(points, normals), shades.sun(points, normals)
    packed = torch.cat([points, normals, assembly.rest.t(), assembly.tint.t(), ambient, sun[None]]).t().contiguous()
    return _Palette(
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


def _samples_of(pixels: Tensor, size: int, supersample: int) -> Tensor:
    """Numbers of the samples (T, P) of pixels (P,), row by row, in a batch of pictures of that size."""
    fine = size * supersample
    row = torch.div(pixels, size, rounding_mode="floor")  # over all views
    first = row * (supersample * fine) + (pixels - row * size) * supersample
    offsets = [dy * fine + dx for dy in range(supersample) for dx in range(supersample)]
    return first + torch.tensor(offsets, device=pixels.device)[:, None]


def _sort_pixels(palette: _Palette, raster: Raster, spread: Tensor, supersample: int) -> tuple[Tensor, Tensor]:
    """Tell pixels that one smooth piece of one material fills, (P,), from those with a border inside, (Q,)."""
    views, fine = raster.face.shape[:2]
    size = fine // supersample
    blocks = (raster.face >= 0).reshape(views * size, supersample, size, supersample).to(torch.uint8)
    count = blocks[:, 0, :, 0].clone()
    for row in range(supersample):
        for column in range(supersample):
            if row or column:
                count += blocks[:, row, :, column]
    count = count.reshape(-1)
    full = (count == supersample**2).nonzero()[:, 0]
    samples = _samples_of(full, size, supersample)
    face = pick(raster.face.reshape(-1), samples.reshape(-1))
    kind = torch.where(palette.face_layer < 0, -1, palette.face_layer + palette.face_material * MAX_LAYERS)
    kind = pick(kind, face).view_as(samples)
    depth = pick(raster.depth.reshape(-1), samples.reshape(-1)).view_as(samples)
    span = pick(spread, torch.div(full, size * size, rounding_mode="floor"))
    smooth = (depth.amax(0) - depth.amin(0)) < (3.0 * supersample) * span * depth[0]
    smooth &= (kind[0] >= 0) & (kind == kind[0]).all(0)
    some = count > 0
    whole = full[smooth]
    some.index_fill_(0, whole, False)
    return whole, some.nonzero()[:, 0]


def _shade(palette: _Palette, face: list[Tensor], weights: list[Tensor], view: Tensor, width: int) -> Tensor:
    """Light (3, P) that places send to their cameras.

    Args:
        palette: of the scene.
        face: one or two tensors (P,), the faces that a place is the mean of; all show the same layer.
        weights: (P, 3) of each face's corners; in all they sum to 1.
        view: (P,) which camera looks.
        width: how many samples a place is wide.
    """
    light, device = palette.light, view.device
    corners = torch.cat([torch.index_select(palette.faces, 0, one) for one in face], 1)
    shares = torch.cat(weights, 1)
    values = blend(palette.packed, corners, shares).t().contiguous()
    world, normal, rest, tint, around = (values[3 * k : 3 * k + 3] for k in range(5))
    seen = values[15]
    layer = _layers(palette, face[0], corners, shares)
    chosen = pick(palette.materials, pick(palette.face_material, face[0]) + layer)
    towards = pick(palette.eyes, view) - world
    distance = _length(towards)
    colour, tilt = albedo(rest, chosen, distance[0] * pick(palette.spread * width, view))
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
