"""Where on a body or a hand things are: what clothes, hair and skin colour are placed by.

A study of one body model in its reference pose: it reads the mesh and the key points alone, so it serves every model
(Anny, SMPL, MANO, ...) and needs no names of bones. All fields hold one number per vertex, metres unless said
otherwise, and vary smoothly, so that a border drawn where a field crosses zero is crisp at any resolution.

Letters: V vertices, F faces, K key points, E directed edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.render.lookup import blend

Floats = NDArray[np.float64]

MAX_VALENCE = 8
"""Neighbours and faces of a vertex that smoothing and normals look at; what exceeds it is left out of both."""

FAR = -1.0
"""What a field holds where its garment or feature can never be."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Anatomy:
    """A body or hand model in its reference pose, with what was found on it."""

    subject: Literal["body", "hand"]
    """What it is."""

    rest: Floats
    """(V, 3) vertices of the mean shape in the reference pose, metres, our axes."""

    normals: Floats
    """(V, 3) outward unit normals there."""

    faces: NDArray[np.int64]
    """(F, 3) triangles."""

    points: dict[str, Floats]
    """Key points by name: (3,) each."""

    fields: dict[str, Floats]
    """Fields by name, (V,) each: see `study`."""

    rings: tuple[NDArray[np.int64], ...]
    """Vertices of each open border, in order around it (the wrist of a hand)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Surroundings:
    """Faces and neighbours of every vertex of a mesh, padded."""

    faces: Tensor
    """(V, MAX_VALENCE) int32 faces around each vertex."""
    ones: Tensor
    """(V, MAX_VALENCE) float32, 1 where they are real, 0 where they are padding."""
    neighbours: Tensor
    """(V, MAX_VALENCE) int32: the next corner of each of those faces."""
    shares: Tensor
    """(V, MAX_VALENCE) float32: weights of their mean."""


def surroundings(faces: Tensor, count: int) -> Surroundings:
    """List the faces (F, 3) around each of `count` vertices, on the same device."""
    triangles = faces.cpu().numpy()
    flat = triangles.reshape(-1)
    order = np.argsort(flat, kind="stable")
    owner = flat[order]
    place = np.arange(len(owner)) - np.searchsorted(owner, owner)
    keep = place < MAX_VALENCE
    owner, place, order = owner[keep], place[keep], order[keep]
    around = np.zeros((count, MAX_VALENCE), np.int32)
    ones = np.zeros((count, MAX_VALENCE), np.float32)
    after = np.zeros((count, MAX_VALENCE), np.int32)
    around[owner, place] = order // 3
    ones[owner, place] = 1.0
    after[owner, place] = triangles[order // 3, (order + 1) % 3]
    shares = ones / np.maximum(ones.sum(1, keepdims=True), 1)
    tables = [torch.from_numpy(table).to(faces.device) for table in (around, ones, after, shares)]
    return Surroundings(faces=tables[0], ones=tables[1], neighbours=tables[2], shares=tables[3])


def vertex_normals(vertices: Tensor, faces: Tensor, around: Surroundings) -> Tensor:
    """Average the normals of the faces around each vertex, by area, in a fixed order.

    Args:
        vertices: (V, 3) float32.
        faces: (F, 3) int64.
        around: of that mesh.

    Returns:
        (V, 3) unit vectors.
    """
    a, b, c = (torch.index_select(vertices, 0, faces[:, k]) for k in range(3))
    u, v = (b - a).t().contiguous(), (c - a).t().contiguous()
    flat = torch.stack([u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]], 1)
    total = blend(flat, around.faces, around.ones)
    unit: Tensor = total / total.square().sum(1, keepdim=True).sqrt().clamp_min(1e-12)
    return unit


def study(
    subject: Literal["body", "hand"], rest: Floats, faces: NDArray[np.int64], points: dict[str, Floats]
) -> Anatomy:
    """Find on a mesh what clothes, hair and skin need.

    Args:
        subject: body or hand.
        rest: (V, 3) reference pose: a standing body with its arms apart from the trunk, or an open hand.
        faces: (F, 3) outward triangles.
        points: 17 COCO key points (toes and heels may follow) or the 21 of a hand, by name.

    Returns:
        The anatomy. Fields of a body: `arm` (distance along the arm past the shoulder; FAR off the arms), `up`
        (height above the floor of the reference pose), `scalp`, `beard`, `brow`, `eye`, `iris`, `lips`, `foot`, `hand`
        (positive inside); `blush` and `shade` (0 to 1). Of a hand: `nail`, `blush`, `shade`, `palm` and `past`
        (metres past the wrist towards the fingers).
    """
    triangles = torch.from_numpy(faces)
    normals = vertex_normals(torch.from_numpy(rest).float(), triangles, surroundings(triangles, len(rest)))
    outward = normals.double().numpy()
    fields = _study_body(rest, points) if subject == "body" else _study_hand(rest, outward, points)
    return Anatomy(
        subject=subject,
        rest=rest,
        normals=outward,
        faces=faces,
        points=points,
        fields=fields,
        rings=_open_rings(faces),
    )


def _study_body(rest: Floats, points: dict[str, Floats]) -> dict[str, Floats]:
    x, y, z = rest.T
    fields: dict[str, Floats] = {}
    floor = rest[:, 1].max()
    fields["up"] = floor - y
    arm = np.full(len(rest), FAR)
    hand = np.full(len(rest), FAR)
    for side in ("left", "right"):
        shoulder, elbow, wrist = (points[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
        upper, lower = np.linalg.norm(elbow - shoulder), np.linalg.norm(wrist - elbow)
        along1, off1 = _along(rest, shoulder, elbow)
        along2, off2 = _along(rest, elbow, wrist)
        same_side = (x > 0) == (shoulder[0] > 0)
        on_upper = same_side & (along1 > -0.02) & (along1 < upper + 0.03) & (off1 < 0.09)
        on_lower = same_side & (along2 > -0.05) & (off2 < 0.13) & (along2 < lower + 0.3)
        past = np.where(on_lower & ((along2 > 0) | ~on_upper), upper + along2, np.where(on_upper, along1, FAR))
        arm = np.maximum(arm, past)
        hand = np.maximum(hand, np.where(on_lower, along2 - lower, FAR))
    fields["arm"], fields["hand"] = arm, hand
    nose, eyes = points["nose"], [points["left_eye"], points["right_eye"]]
    ears = [points["left_ear"], points["right_ear"]]
    eye_y, ear_y = (eyes[0][1] + eyes[1][1]) / 2, (ears[0][1] + ears[1][1]) / 2
    ear_z = (ears[0][2] + ears[1][2]) / 2
    gap = float(np.linalg.norm(eyes[0] - eyes[1]))  # about 62 mm: the unit of a face
    reach = np.array([nose[2], ear_z - 0.35 * gap, ear_z + 0.3 * gap, ear_z + 2.2 * gap])
    height = np.array([eye_y - 1.0 * gap, ear_y - 0.25 * gap, ear_y + 0.1 * gap, ear_y + 1.1 * gap])
    line = np.interp(z, reach, height)
    scalp = line - y
    for ear in ears:
        outside = np.linalg.norm((rest - ear) * np.array([0.7, 0.8, 1.0]), axis=1) - 0.36 * gap
        scalp = np.minimum(scalp, outside)
    fields["scalp"] = np.where(y < ear_y + 2.0 * gap, scalp, FAR)
    chin_y = nose[1] + 1.25 * gap
    mouth = np.array([0.0, nose[1] + 0.55 * gap, nose[2] + 0.25 * gap])
    moustache = np.minimum(y - (nose[1] + 0.22 * gap), chin_y + 0.15 * gap - y)
    fields["beard"] = np.where(
        arm > FAR, FAR, np.minimum(moustache, (ear_z - 0.1 * gap) - z + 0.5 * np.minimum(y - ear_y, 0.0))
    )
    fields["lips"] = 1.0 - np.sqrt(
        (x / (0.40 * gap)) ** 2 + ((y - mouth[1]) / (0.14 * gap)) ** 2 + ((z - mouth[2]) / (0.6 * gap)) ** 2
    )
    fields["lips"] *= 0.14 * gap
    eye, iris, brow = (np.full(len(rest), FAR) for _ in range(3))
    for centre in eyes:
        offset = rest - centre
        ball = np.linalg.norm(offset, axis=1)
        eye = np.maximum(eye, 0.19 * gap - ball)
        iris = np.maximum(iris, 0.09 * gap - np.hypot(offset[:, 0], offset[:, 1]) - np.maximum(ball - 0.4 * gap, 0))
        arch = centre[1] - 0.36 * gap + 1.2 * (offset[:, 0] ** 2) / gap
        brow = np.maximum(
            brow,
            np.minimum(
                np.minimum(0.06 * gap - np.abs(y - arch), 0.42 * gap - np.abs(offset[:, 0] - 0.05 * centre[0])),
                0.5 * gap - np.abs(offset[:, 2]),
            ),
        )
    fields["eye"], fields["iris"], fields["brow"] = eye, iris, brow
    ankle_y = (points["left_ankle"][1] + points["right_ankle"][1]) / 2
    fields["foot"] = np.where(arm > FAR, FAR, y - ankle_y)
    cheeks = [eye_at + np.array([np.sign(eye_at[0]) * 0.25 * gap, 0.75 * gap, 0.15 * gap]) for eye_at in eyes]
    spots = [(cheek, 0.5 * gap) for cheek in cheeks] + [(nose, 0.3 * gap)] + [(ear, 0.4 * gap) for ear in ears]
    spots += [(points[f"{side}_{name}"], 0.06) for side in ("left", "right") for name in ("elbow", "knee")]
    fields["blush"] = np.clip(np.sum([_bump(rest, at, float(radius)) for at, radius in spots], axis=0), 0, 1)
    bags = [_bump(rest, eye_at + np.array([0.0, 0.12 * gap, 0.0]), 0.3 * float(gap)) for eye_at in eyes]
    fields["shade"] = np.clip(np.sum(bags, axis=0), 0, 1)
    return fields


def _study_hand(rest: Floats, normals: Floats, points: dict[str, Floats]) -> dict[str, Floats]:
    at = list(points.values())
    wrist = at[0]
    fingers = [[at[1 + 4 * f + k] for k in range(4)] for f in range(5)]
    index, little = fingers[1][0], fingers[4][0]
    ahead = _unit((index + little + fingers[2][0] + fingers[3][0]) / 4 - wrist)
    palmar = _unit(np.cross(index - wrist, little - wrist))
    bend = sum(f[3] - f[0] for f in fingers[1:])
    if float(np.dot(bend - ahead * np.dot(bend, ahead), palmar)) < 0:
        palmar = -palmar
    nail = np.full(len(rest), FAR)
    blush, shade = np.zeros(len(rest)), np.zeros(len(rest))
    for number, (base, pip, dip, tip) in enumerate(fingers):
        axis = _unit(tip - dip)
        length = float(np.linalg.norm(tip - dip))
        curl = np.cross(np.cross(dip - pip, tip - dip), axis)  # towards where the finger came from: its back
        back = -_unit(palmar - axis * np.dot(palmar, axis)) if number else _unit(curl)
        if number == 0 and np.linalg.norm(curl) < 1e-9:
            back = -palmar
        side = np.cross(axis, back)
        offset = rest - dip
        along, across, high = offset @ axis, offset @ side, normals @ back
        radius = 0.30 * length + 0.002
        near = np.linalg.norm(offset - along[:, None] * axis, axis=1) < 0.55 * length
        plate = np.minimum(np.minimum(along - 0.42 * length, 0.99 * length - along), 0.75 * radius - np.abs(across))
        plate = np.minimum(plate, (high - 0.35) * 0.02)
        nail = np.maximum(nail, np.where(near & (along > 0.1 * length) & (along < 1.3 * length), plate, FAR))
        for joint, size in ((base, 0.012), (pip, 0.008), (dip, 0.006)):
            spot = _bump(rest, joint, size * 2.2) * np.clip(normals @ (-palmar), 0, 1)
            blush = np.maximum(blush, spot)
        blush = np.maximum(blush, 0.7 * _bump(rest, tip, 0.012))
        for joint in (base, pip, dip):
            shade = np.maximum(shade, _bump(rest, joint, 0.009) * np.clip(normals @ palmar, 0, 1))
    palm = normals @ palmar
    past = (rest - wrist) @ ahead
    return {"nail": nail, "blush": blush, "shade": shade, "palm": palm, "past": past}


def _along(points: Floats, start: Floats, end: Floats) -> tuple[Floats, Floats]:
    axis = _unit(end - start)
    along = (points - start) @ axis
    return along, np.linalg.norm(points - start - along[:, None] * axis, axis=1)


def _unit(vector: Floats) -> Floats:
    result: Floats = vector / max(float(np.linalg.norm(vector)), 1e-12)
    return result


def _bump(points: Floats, centre: Floats, radius: float) -> Floats:
    """Return 1 at the centre, falling smoothly to 0 at `radius` metres and beyond."""
    fall = np.clip(1.0 - np.sum((points - centre) ** 2, axis=1) / radius**2, 0.0, 1.0)
    result: Floats = fall * fall
    return result


def _open_rings(faces: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Follow the edges that only one face has, ring by ring, longest first."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    known = {(int(a), int(b)) for a, b in edges}
    after = {a: b for a, b in known if (b, a) not in known}
    rings = []
    while after:
        start, here = next(iter(sorted(after.items())))
        ring = [start]
        del after[start]
        while here != start and here in after:
            ring.append(here)
            here = after.pop(here)
        rings.append(np.array(ring, np.int64))
    return tuple(sorted(rings, key=len, reverse=True))
