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

from humanpt.render.anatomy import MAX_VALENCE, corners_of_vertices, vertex_normals
from humanpt.render.appearance import Look
from humanpt.render.light import Light, Shades, cast
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
        return rasterize(
            _to_cameras(self.assembly.vertices, self.cameras.cam_from_world),
            self.assembly.faces,
            self.cameras.intrinsics,
            self.cameras.size,
            self.cameras.size,
        )

    @cached_property
    def thing(self) -> Tensor:
        """(B, S, S) int64 number of the thing at the centre of each pixel, -1 for the room."""
        face = self.raster.face
        return torch.where(face >= 0, self.assembly.face_thing[face.clamp_min(0)], -1)


_KNOWN: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def _around(faces: Tensor, count: int) -> tuple[Tensor, Tensor]:
    if faces not in _KNOWN:
        around, real = corners_of_vertices(faces.cpu().numpy(), count)
        _KNOWN[faces] = (torch.from_numpy(around).to(faces.device), torch.from_numpy(real).to(faces.device))
    known: tuple[Tensor, Tensor] = _KNOWN[faces]
    return known


def _dressed(thing: Thing) -> tuple[Tensor, Tensor]:
    """Return the vertices and normals of a thing with its clothes on."""
    around, real = _around(thing.faces, len(thing.vertices))
    vertices, look = thing.vertices, thing.look
    if look.lift is None or look.relax is None:
        return vertices, vertex_normals(vertices, thing.faces, around, real)
    lift, relax = look.lift.to(vertices.device)[:, None], look.relax.to(vertices.device)[:, None]
    smooth = vertices
    if bool((look.relax > 0).any()):
        share = real / real.sum(1, keepdim=True).clamp_min(1.0)
        for _ in range(RELAXATIONS):
            centres = (smooth[thing.faces[:, 0]] + smooth[thing.faces[:, 1]] + smooth[thing.faces[:, 2]]) * (1 / 3)
            mean = centres[around[:, 0]] * share[:, 0:1]
            for k in range(1, MAX_VALENCE):
                mean = mean + centres[around[:, k]] * share[:, k : k + 1]
            smooth = torch.lerp(smooth, mean, relax)
    normals = vertex_normals(smooth, thing.faces, around, real)
    dressed = smooth + normals * lift
    return dressed, vertex_normals(dressed, thing.faces, around, real)


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
            around, real = (
                t.to(device) for t in map(torch.from_numpy, corners_of_vertices(front.cpu().numpy(), len(placed)))
            )
            chosen = torch.full((len(placed), layers), -0.1, device=device)
            chosen[:, drape.layer] = 0.1
            mesh = (
                placed,
                faces,
                vertex_normals(placed, front, around, real),
                drape.rest.to(device),
                torch.ones_like(placed),
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
    samples = _shade_things(scene, assembly, shades, raster, eyes)  # (B, fine, fine, 4)
    blocks = samples.reshape(views, size, supersample, size, supersample, 4)
    total = blocks[:, :, 0, :, 0].clone()
    for row in range(supersample):
        for column in range(supersample):
            if row or column:
                total += blocks[:, :, row, :, column]
    total /= supersample * supersample
    light, cover = total[..., :3], total[..., 3]
    if scene.room is not None:
        _add_room(scene, shades, cameras, eyes, points_cam, light, cover)
    rgb = _develop(light)
    return Pictures(rgb=rgb, alpha=(cover * 255 + 0.5).to(torch.uint8), assembly=assembly, cameras=cameras)


def _shade_things(scene: Scene, assembly: Assembly, shades: Shades, raster: Raster, eyes: Tensor) -> Tensor:
    """Colour all samples that things cover: (B, H, W, 4), linear light after the film's curve and cover."""
    light, device = scene.light, assembly.vertices.device
    ambient = shades.ambient(assembly.vertices, assembly.normals)
    sun = shades.sun(assembly.vertices, assembly.normals)
    packed = torch.cat(
        [assembly.vertices, assembly.normals, assembly.rest, ambient, sun[:, None], assembly.tint, assembly.fields], 1
    )
    face = raster.face.reshape(-1)
    found = (face >= 0).nonzero()[:, 0]
    face = face[found]
    corners, bary = assembly.faces[face], raster.bary.reshape(-1, 3)[found]
    values = packed[corners[:, 0]] * bary[:, 0:1]
    values += packed[corners[:, 1]] * bary[:, 1:2]
    values += packed[corners[:, 2]] * bary[:, 2:3]
    world, normal, rest, around = values[:, 0:3], values[:, 3:6], values[:, 6:9], values[:, 9:12]
    seen, tint, fields = values[:, 12:13], values[:, 13:16], values[:, 16:]
    layer = torch.zeros_like(face)
    for number in range(fields.shape[1]):
        layer = torch.where(fields[:, number] > 0, number + 1, layer)
    rows = assembly.materials[assembly.face_material[face] + layer]
    colour, tilt = albedo(rest, rows)
    colour = torch.where(layer[:, None] == 0, colour * tint, colour)
    view = torch.div(found, raster.face.shape[1] * raster.face.shape[2], rounding_mode="floor")
    towards = eyes[view] - world
    towards = towards / _length(towards)
    normal = normal / _length(normal)
    away = (normal * towards).sum(1, keepdim=True) < 0
    normal = torch.where(away, -normal, normal)
    bumped = normal + tilt
    bumped = bumped / _length(bumped)
    to_sun, sun_colour = torch.tensor(light.direction, device=device), torch.tensor(light.colour, device=device)
    facing = (bumped * to_sun).sum(1, keepdim=True)
    bleed = rows[:, COLUMNS["through"]] * torch.tensor([0.28, 0.12, 0.08], device=device)
    lit = ((facing + bleed) / (1 + bleed)).clamp_min(0) * seen
    half = towards + to_sun
    half = half / _length(half)
    shine = (bumped * half).sum(1, keepdim=True).clamp_min(1e-4) ** rows[:, COLUMNS["polish"]]
    flat = 1 - (bumped * towards).sum(1, keepdim=True).clamp(0, 1)
    flat4 = (flat * flat) * (flat * flat)
    gloss, sheen = rows[:, COLUMNS["gloss"]], rows[:, COLUMNS["sheen"]]
    lean = 1 - 0.35 * (tilt[:, 1:2])  # what is tilted up gets more of the sky
    radiance = (
        colour * (around * lean + lit * sun_colour)
        + (gloss * shine * 2.0) * seen * sun_colour
        + (flat4 * (0.25 * gloss + 0.35 * sheen)) * around
    )
    samples = torch.zeros(raster.face.numel(), 4, device=device)
    samples[found] = torch.cat([_film(radiance * light.exposure), torch.ones_like(seen)], 1)
    return samples.reshape(*raster.face.shape, 4)


def _length(vectors: Tensor) -> Tensor:
    return vectors.square().sum(1, keepdim=True).sqrt().clamp_min(1e-9)


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
        open_to = (cover[view].reshape(-1) < 1).nonzero()[:, 0]
        if not len(open_to):
            continue
        k, pose = cameras.intrinsics[view], cameras.cam_from_world[view, :3, :3]
        y = torch.div(open_to, size, rounding_mode="floor").float()
        x = open_to.float() - y * size
        dy = (y - k[1, 2]) / k[1, 1]
        dx = (x - k[0, 2] - k[0, 1] * dy) / k[0, 0]
        towards = dx[:, None] * pose[0] + dy[:, None] * pose[1] + pose[2]
        spread = 1.0 / k[0, 0]
        colour = shade_room(lit, eyes[view], towards, spread, float(points_cam[view, :, 2].max()))
        colour = _film(colour * scene.light.exposure)
        part = 1 - cover[view].reshape(-1)[open_to][:, None]
        light[view].view(-1, 3)[open_to] += colour * part


def _develop(light: Tensor) -> Tensor:
    """Turn linear light in [0, 1] into display values."""
    steps = 4096
    level = torch.arange(steps, device=light.device, dtype=torch.float64) / (steps - 1)
    curve = torch.where(level <= 0.0031308, 12.92 * level, 1.055 * level.clamp_min(1e-9) ** (1 / 2.4) - 0.055)
    shown = (curve * 255 + 0.5).to(torch.uint8)
    return shown[(light.clamp(0, 1) * (steps - 1) + 0.5).to(torch.int32)]
