"""Things with their clothes on, joined into one mesh.

Letters: V vertices, F faces, L layers of the richest look, M materials, C columns of their table.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from humanpt.render.anatomy import Surroundings, surroundings, vertex_normals
from humanpt.render.look import Look
from humanpt.render.lookup import blend
from humanpt.render.materials import Material, table

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
            if drape.layer >= 0:
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
