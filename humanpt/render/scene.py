"""Pictures of people, hands and things in rooms: what stands there, who looks, and the finished pixels.

Everything that views share (dressing, shadows, light at every vertex) is worked out once for a scene; a view then costs
a raster and the shading of the pixels that things cover. The same scene and cameras give the same bytes.

Letters: B views, S size of a picture, V vertices, F faces, P covered samples, L layers of the richest look.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from humanpt.render.anatomy import Surroundings, surroundings, vertex_normals
from humanpt.render.appearance import Look
from humanpt.render.light import Light, Shades, cast
from humanpt.render.lookup import blend, pick
from humanpt.render.materials import COLUMNS, Material, albedo, table
from humanpt.render.rasterize import Raster, rasterize
from humanpt.render.room import Room, light_room, shade_room

RELAXATIONS = 6
"""How often the shape under clothes is averaged with its neighbours."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Thing:
    """Something in a scene: a person, a hand, a prop."""

    vertices: Tensor
    """(V, 3) float32 metres, world; of a body or hand without clothes, as its model gives them."""
    faces: Tensor
    """(F, 3) int64 outward triangles; pass the model's own tensor each time, as what is learnt of it is kept."""
    rest: Tensor
    """(V, 3) float32 texture coordinates in space: where its points are at rest, metres."""
    look: Look
    """What it looks like."""
    joint: Tensor | None = None
    """(V,) int64 dominant joint of each vertex, where one exists."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """Things in a room, in a light."""

    things: tuple[Thing, ...]
    """At least one; the order gives their numbers."""
    room: Room | None
    """What is around them; none: nothing, for cut-outs."""
    light: Light
    """What lights them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cameras:
    """Views of one scene."""

    intrinsics: Tensor
    """(B, 3, 3) pixels."""
    cam_from_world: Tensor
    """(B, 4, 4) metres."""
    size: int
    """Pictures are size x size pixels."""

    def __post_init__(self) -> None:
        if self.intrinsics.shape != (len(self.intrinsics), 3, 3) or self.cam_from_world.shape != (
            len(self.intrinsics),
            4,
            4,
        ):
            raise ValueError(
                f"expected (B, 3, 3) intrinsics and (B, 4, 4) poses, got {tuple(self.intrinsics.shape)} and "
                f"{tuple(self.cam_from_world.shape)}"
            )
        if self.size < 1:
            raise ValueError(f"pictures of {self.size} pixels cannot be drawn")


@dataclass(frozen=True, kw_only=True, eq=False)
class Assembly:
    """All things of a scene as one mesh, dressed."""

    vertices: Tensor
    """(V, 3) world."""
    faces: Tensor
    """(F, 3)."""
    normals: Tensor
    """(V, 3)."""
    rest: Tensor
    """(V, 3)."""
    tint: Tensor
    """(V, 3)."""
    fields: Tensor
    """(V, L)."""
    face_thing: Tensor
    """(F,) number of the thing."""
    face_source: Tensor
    """(F,) which of the thing's own faces it is; -1 for skirts, hair, sleeves and other drapes."""
    face_material: Tensor
    """(F,) where the thing's materials begin in the table."""
    materials: Tensor
    """(M, C) table."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """Finished views."""

    rgb: Tensor
    """(B, S, S, 3) uint8."""
    alpha: Tensor
    """(B, S, S) uint8: how much of the pixel things cover."""
    assembly: Assembly
    """What was drawn."""
    cameras: Cameras
    """From where."""

    @cached_property
    def raster(self) -> Raster:
        """What the centre of each pixel shows of the assembled mesh; worked out when first asked for."""
        return label_raster(self.assembly, self.cameras)

    @cached_property
    def thing(self) -> Tensor:
        """(B, S, S) int64 number of the thing at the centre of each pixel, -1 for the room."""
        face = self.raster.face
        return torch.where(face >= 0, self.assembly.face_thing[face.clamp_min(0)], -1)


_KNOWN: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def _around(faces: Tensor, count: int) -> Surroundings:
    if faces not in _KNOWN:
        _KNOWN[faces] = surroundings(faces, count)
    known: Surroundings = _KNOWN[faces]
    return known


def _dressed(thing: Thing) -> tuple[Tensor, Tensor]:
    """Return the vertices and normals of a thing with its clothes on."""
    around = _around(thing.faces, len(thing.vertices))
    vertices, look = thing.vertices, thing.look
    if look.lift is None or look.relax is None:
        return vertices, vertex_normals(vertices, thing.faces, around)
    lift, relax = look.lift.to(vertices.device)[:, None], look.relax.to(vertices.device)[:, None]
    smooth = vertices
    if look.relaxed:
        for _ in range(RELAXATIONS):
            smooth = torch.lerp(smooth, blend(smooth, around.neighbours, around.shares), relax)
    dressed = smooth + vertex_normals(smooth, thing.faces, around) * lift
    return dressed, vertex_normals(dressed, thing.faces, around)


def assemble(things: tuple[Thing, ...]) -> Assembly:
    """Dress all things and join them into one mesh.

    Raises:
        ValueError: if there are none, or a look was made for another mesh.
    """
    if not things:
        raise ValueError("a scene needs at least one thing")
    device = things[0].vertices.device
    layers = max(len(thing.look.layers) for thing in things)
    parts: dict[str, list[Tensor]] = {
        name: [] for name in ("vertices", "faces", "normals", "rest", "tint", "fields", "thing", "source", "material")
    }
    materials: list[Material] = []
    start = 0
    for number, thing in enumerate(things):
        look, count = thing.look, len(thing.vertices)
        if look.fields is not None and len(look.fields) != count:
            raise ValueError(f"thing {number} has {count} vertices, its look was drawn for {len(look.fields)}")
        vertices, normals = _dressed(thing)
        fields = torch.full((count, layers), -0.1, device=device)
        if look.fields is not None:
            fields[:, : look.fields.shape[1]] = look.fields.to(device)
        tint = torch.ones(count, 3, device=device) if look.tint is None else look.tint.to(device)
        first = len(materials)
        materials += [look.base, *look.layers]

        def add(
            mesh: tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], source: Tensor, at: int, base: int, who: int
        ) -> int:
            for name, value in zip(("vertices", "faces", "normals", "rest", "tint", "fields"), mesh, strict=True):
                parts[name].append(value + at if name == "faces" else value)
            parts["source"].append(source)
            parts["thing"].append(torch.full_like(source, who))
            parts["material"].append(torch.full_like(source, base))
            return at + len(mesh[0])

        own = torch.arange(len(thing.faces), device=device)
        start = add((vertices, thing.faces, normals, thing.rest, tint, fields), own, start, first, number)
        for drape in look.drapes:
            placed, faces = drape.place(vertices), drape.faces.to(device)
            front = faces[: len(faces) // 2]
            chosen = torch.full((len(placed), layers), -0.1, device=device)
            chosen[:, drape.layer] = 0.1
            drape_tint = torch.ones_like(placed)
            bent = vertex_normals(placed, front, surroundings(front, len(placed)))
            if drape.seam is not None:
                seam = drape.seam.to(device)
                drape_tint = torch.index_select(tint, 0, seam)
                joins = (placed - torch.index_select(vertices, 0, seam)).abs().amax(1, keepdim=True) < 1e-6
                bent = torch.where(joins, torch.index_select(normals, 0, seam), bent)
            mesh = (
                placed,
                faces,
                bent,
                drape.rest.to(device),
                drape_tint,
                chosen,
            )
            start = add(mesh, torch.full((len(faces),), -1, device=device), start, first, number)
    joined = {name: torch.cat(values) for name, values in parts.items()}
    return Assembly(
        vertices=joined["vertices"],
        faces=joined["faces"],
        normals=joined["normals"],
        rest=joined["rest"],
        tint=joined["tint"],
        fields=joined["fields"],
        face_thing=joined["thing"],
        face_source=joined["source"],
        face_material=joined["material"],
        materials=table(tuple(materials), device),
    )


def _to_cameras(points: Tensor, cam_from_world: Tensor) -> Tensor:
    """Take (V, 3) points into each camera: (B, V, 3), written out so that every sum has a fixed order."""
    x, y, z = points.unbind(1)
    pose = cam_from_world[:, :3, :, None]
    return torch.stack([pose[:, k, 0] * x + pose[:, k, 1] * y + pose[:, k, 2] * z + pose[:, k, 3] for k in range(3)], 2)


def _eyes(cam_from_world: Tensor) -> Tensor:
    """Camera centres (B, 3) in the world."""
    turn, shift = cam_from_world[:, :3, :3], cam_from_world[:, :3, 3]
    return -(turn[:, 0] * shift[:, 0:1] + turn[:, 1] * shift[:, 1:2] + turn[:, 2] * shift[:, 2:3])


def label_raster(assembly: Assembly, cameras: Cameras) -> Raster:
    """What the centre of each pixel shows: for labels, whose faces are those of the pictures of the same assembly."""
    points_cam = _to_cameras(assembly.vertices, cameras.cam_from_world)
    return rasterize(points_cam, assembly.faces, cameras.intrinsics, cameras.size, cameras.size)


@torch.no_grad()
def render(scene: Scene, cameras: Cameras, supersample: int = 2) -> Pictures:
    """Draw finished pictures of a scene.

    Args:
        scene: what is there; all tensors of things on one device.
        cameras: who looks, on the same device. A camera may stand outside the room.
        supersample: colour samples along each edge of a pixel.

    Returns:
        The pictures; without a room, what no thing covers is black and `alpha` tells how much things cover. Their
        raster and numbers of things, for labels, are worked out only when asked for.

    Raises:
        ValueError: if the scene is empty or shapes do not fit.
    """
    if supersample < 1:
        raise ValueError(f"supersample is {supersample}; 1 is the least")
    assembly = assemble(scene.things)
    shades = cast(scene.light, assembly.vertices, assembly.faces)
    size, fine = cameras.size, cameras.size * supersample
    views = len(cameras.intrinsics)
    intrinsics = cameras.intrinsics.clone()
    intrinsics[:, :2] *= supersample
    intrinsics[:, :2, 2] += (supersample - 1) / 2
    points_cam = _to_cameras(assembly.vertices, cameras.cam_from_world)
    raster = rasterize(points_cam, assembly.faces, intrinsics, fine, fine, cull=True)
    eyes = _eyes(cameras.cam_from_world)
    spread = 1 / intrinsics[:, 0, 0]
    samples = _shade_things(scene, assembly, shades, raster, eyes, spread)  # (4, B, fine, fine)
    blocks = samples.reshape(4, views, size, supersample, size, supersample)
    total = blocks[:, :, :, 0, :, 0].clone()
    for row in range(supersample):
        for column in range(supersample):
            if row or column:
                total += blocks[:, :, :, row, :, column]
    total /= supersample * supersample
    light, cover = total[:3], total[3]
    if scene.room is not None:
        _add_room(scene, shades, cameras, eyes, points_cam, light, cover)
    return Pictures(rgb=_develop(light), alpha=(cover * 255 + 0.5).to(torch.uint8), assembly=assembly, cameras=cameras)


def _shade_things(
    scene: Scene, assembly: Assembly, shades: Shades, raster: Raster, eyes: Tensor, spread: Tensor
) -> Tensor:
    """Colour all samples that things cover: (4, B, H, W), linear light after the film's curve, and cover."""
    light, device = scene.light, assembly.vertices.device
    points, normals = assembly.vertices.t().contiguous(), assembly.normals.t().contiguous()
    ambient, sun = shades.ambient(points, normals), shades.sun(points, normals)
    packed = torch.cat([points, normals, assembly.rest.t(), assembly.tint.t(), ambient, sun[None]]).t().contiguous()
    face = raster.face.reshape(-1)
    found = (face >= 0).nonzero()[:, 0]
    face = pick(face, found)
    corners = torch.index_select(assembly.faces, 0, face)
    bary = torch.index_select(raster.bary.reshape(-1, 3), 0, found)
    values = blend(packed, corners, bary).t().contiguous()
    world, normal, rest, tint, around = (values[3 * k : 3 * k + 3] for k in range(5))
    seen = values[15]
    layer = _layers(assembly, face, corners, bary)
    chosen = pick(assembly.materials, pick(assembly.face_material, face) + layer)
    view = torch.div(found, raster.face[0].numel(), rounding_mode="floor")
    towards = pick(eyes.t().contiguous(), view) - world
    distance = _length(towards)
    colour, tilt = albedo(rest, chosen, distance[0] * pick(spread, view))
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
    samples = torch.zeros(4, raster.face.numel(), device=device)
    samples[:3].index_copy_(1, found, _film(radiance * light.exposure))
    samples[3].index_fill_(0, found, 1.0)
    return samples.reshape(4, *raster.face.shape)


def _layers(assembly: Assembly, face: Tensor, corners: Tensor, bary: Tensor) -> Tensor:
    """Which layer lies on top at each sample: (P,) int64, 0 for none.

    Faces whose corners agree are settled at once; only those that a border crosses look at the fields.
    """
    count = assembly.fields.shape[1]
    if not count:
        return torch.zeros_like(face)
    rank = torch.arange(1, count + 1, device=face.device)
    at_vertex = ((assembly.fields > 0) * rank).amax(1)
    at_corner = torch.index_select(at_vertex, 0, assembly.faces.reshape(-1)).view(-1, 3)
    plain = (at_corner[:, 0] == at_corner[:, 1]) & (at_corner[:, 1] == at_corner[:, 2])
    layer = pick(torch.where(plain, at_corner[:, 0], -1), face)
    crossed = (layer < 0).nonzero()[:, 0]
    if len(crossed):
        fields = blend(assembly.fields, torch.index_select(corners, 0, crossed), torch.index_select(bary, 0, crossed))
        layer.index_copy_(0, crossed, ((fields > 0) * rank).amax(1))
    return layer


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _length(vectors: Tensor) -> Tensor:
    """Lengths (1, P) of vectors (3, P)."""
    return _dot(vectors, vectors).sqrt().clamp_min(1e-9)[None]


def _film(radiance: Tensor) -> Tensor:
    """Press light into [0, 1): straight up to 0.6, then a soft shoulder."""
    return torch.where(radiance < 0.6, radiance, 1 - 0.4 * torch.exp((0.6 - radiance) / 0.4))


def _add_room(
    scene: Scene, shades: Shades, cameras: Cameras, eyes: Tensor, points_cam: Tensor, light: Tensor, cover: Tensor
) -> None:
    assert scene.room is not None
    device, size = light.device, cameras.size
    lit = light_room(scene.room, scene.light, shades, device)
    for view in range(len(cameras.intrinsics)):
        gap = 1 - cover[view].reshape(-1)
        open_to = (gap > 0).nonzero()[:, 0]
        if not len(open_to):
            continue
        k, pose = cameras.intrinsics[view], cameras.cam_from_world[view, :3, :3]
        row = torch.div(open_to, size, rounding_mode="floor")
        dy = (row - k[1, 2]) / k[1, 1]
        dx = ((open_to - row * size) - k[0, 2] - k[0, 1] * dy) / k[0, 0]
        towards = dx * pose[0][:, None] + dy * pose[1][:, None] + pose[2][:, None]
        colour = shade_room(lit, eyes[view], towards, 1.0 / k[0, 0], float(points_cam[view, :, 2].max()))
        colour = _film(colour * scene.light.exposure) * pick(gap, open_to)
        light[:, view].reshape(3, -1).index_add_(1, open_to, colour)


def _develop(light: Tensor) -> Tensor:
    """Turn linear light in [0, 1] into display values."""
    steps = 4096
    level = torch.arange(steps, device=light.device, dtype=torch.float64) / (steps - 1)
    curve = torch.where(level <= 0.0031308, 12.92 * level, 1.055 * level.clamp_min(1e-9) ** (1 / 2.4) - 0.055)
    shown = (curve * 255 + 0.5).to(torch.uint8)
    level = (light.clamp(0, 1) * (steps - 1) + 0.5).to(torch.int32)  # (3, B, S, S)
    return pick(shown, level.permute(1, 2, 3, 0).reshape(-1)).view(*level.shape[1:], 3)
