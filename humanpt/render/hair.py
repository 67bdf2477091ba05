"""Long hair, tails, buns and the brims of hats: what rides on a head and falls over the shoulders."""

from __future__ import annotations

import math

import numpy as np

from humanpt.render.anatomy import Anatomy
from humanpt.render.drapes import Frame, Ridden, both_sides, loft_faces, ride


def head_frame(anatomy: Anatomy) -> Frame:
    """Return the frame of the head: ears and crown."""
    points, rest = anatomy.points, anatomy.rest
    left, right = points["left_ear"], points["right_ear"]
    middle = (left + right) / 2
    crown = rest[np.argmin(rest[:, 1])]
    return Frame.near(rest, left, right, np.array([0.0, crown[1], middle[2]]))


def chest_frame(anatomy: Anatomy) -> Frame:
    """Return the frame of the chest: shoulders and breastbone."""
    points, rest = anatomy.points, anatomy.rest
    left, right = points["left_shoulder"], points["right_shoulder"]
    middle = (left + right) / 2
    return Frame.near(rest, left, right, middle + np.array([0.0, 0.25, -0.05]), count=24)


def make_long_hair(anatomy: Anatomy, layer: int, length: float, volume: float, rng: np.random.Generator) -> Ridden:
    """Make hair that falls from the head to the neck, the shoulders or the back.

    Args:
        anatomy: of a body.
        layer: which material.
        length: metres below the ears.
        volume: metres that it stands off the head.
        rng: where chance comes from.
    """
    rest, points = anatomy.rest, anatomy.points
    ears = (points["left_ear"] + points["right_ear"]) / 2
    crown = rest[:, 1].min()
    gap = float(np.linalg.norm(points["left_eye"] - points["right_eye"]))
    heights = np.concatenate([np.linspace(crown + 0.35 * gap, ears[1], 5), ears[1] + np.linspace(0.03, length, 7)])
    count = 33
    reach = math.radians(float(rng.uniform(98, 118)))
    angle = np.linspace(-reach, reach, count)  # 0 is straight behind
    head = anatomy.fields["scalp"] > 0
    middle_z = ears[2] + 0.25 * gap
    rows, share = [], []
    drop = float(rng.uniform(0.0, 0.02))
    edge = np.clip((reach - np.abs(angle)) / 0.5, 0.0, 1.0)  # where it ends in front it lies on the head
    for height in heights:
        near = head & (np.abs(rest[:, 1] - height) < 0.03)
        if near.sum() < 8 or height > ears[1]:
            near = head & (np.abs(rest[:, 1] - (ears[1] - 0.02)) < 0.04)
        x, z = rest[near, 0], rest[near, 2] - middle_z
        direction = np.stack([np.sin(angle), np.cos(angle)], 1)
        below = max(0.0, float(height - ears[1]))
        top = np.clip((height - crown) / (0.8 * gap), 0.3, 1.0)
        radius = (np.stack([x, z], 1) @ direction.T).max(0) - 0.006 + (volume + 0.004) * edge * top
        radius = radius * (1 - 0.14 * min(1.0, below / 0.1) * (1 - 0.6 * edge)) + drop * below
        radius = radius + 0.003 * rng.normal(0, 1, count)
        out = direction * radius[:, None]
        if below > 0.08:  # over the back
            trunk = (anatomy.fields["arm"] < -0.5) & (np.abs(rest[:, 1] - height) < 0.03) & (np.abs(rest[:, 0]) < 0.12)
            if trunk.any():
                back = rest[trunk, 2].max() - middle_z + 0.012
                behind = np.cos(angle) > 0.35
                out[behind, 1] = np.maximum(out[behind, 1], back)
        sag = np.full(count, height)
        if height == heights[-1]:
            sag = sag + 0.02 * rng.uniform(-1, 1, count)
        rows.append(np.stack([out[:, 0], sag, out[:, 1] + middle_z], 1))
        share.append(np.full(count, np.clip((below - 0.05) / 0.2, 0, 1)))
    placed = np.concatenate(rows)
    axis = np.stack([np.zeros(len(placed)), placed[:, 1], np.full(len(placed), middle_z)], 1)
    return ride(
        rest,
        placed,
        both_sides(placed, loft_faces(len(heights), count, closed=False), axis),
        layer,
        head_frame(anatomy),
        chest_frame(anatomy),
        np.concatenate(share),
    )


def make_tail(anatomy: Anatomy, layer: int, length: float, width: float, rng: np.random.Generator) -> Ridden:
    """Make a tail or a bun of hair behind the head.

    Args:
        anatomy: of a body.
        layer: which material.
        length: metres; about the width for a bun.
        width: its greatest radius, metres.
        rng: where chance comes from.
    """
    rest, points = anatomy.rest, anatomy.points
    ears = (points["left_ear"] + points["right_ear"]) / 2
    root = np.array([0.0, ears[1] - float(rng.uniform(-0.02, 0.09)), 0.0])
    near = np.abs(rest[:, 1] - root[1]) < 0.02
    root[2] = rest[near & (np.abs(rest[:, 0]) < 0.03), 2].max() - 0.01
    rings, count = 9, 12
    part = np.linspace(0, 1, rings)
    radius = width * np.sqrt(np.clip(4 * (part + 0.06) * (1.0 - part), 0.01, None)) * (1 - 0.25 * part)
    drop = np.stack(
        [0 * part, np.minimum(part, 1) ** 1.6 * length, np.minimum(0.25 * length + 0.03, 0.07) * np.sin(2.2 * part)], 1
    )
    angle = np.arange(count) * 2 * np.pi / count
    along = np.gradient(drop, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    second = np.cross(along, [1.0, 0.0, 0.0])
    spokes = np.cos(angle)[None, :, None] * np.array([1.0, 0.0, 0.0]) + np.sin(angle)[None, :, None] * second[:, None]
    placed = (root + drop[:, None] + radius[:, None, None] * spokes).reshape(-1, 3)
    middle = np.repeat(root + drop, count, 0)
    share = np.repeat(np.clip((part * length - 0.12) / 0.25, 0, 0.8), count)
    faces = both_sides(placed, loft_faces(rings, count), middle)
    return ride(rest, placed, faces, layer, head_frame(anatomy), chest_frame(anatomy), share)


def make_brim(anatomy: Anatomy, layer: int, all_round: bool, reach: float) -> Ridden:
    """Make the brim of a hat, all round or the peak of a cap.

    Args:
        anatomy: of a body.
        layer: which material.
        all_round: a hat's brim; else the peak of a cap.
        reach: metres that it stands out.
    """
    rest, points = anatomy.rest, anatomy.points
    gap = float(np.linalg.norm(points["left_eye"] - points["right_eye"]))
    eye_y = (points["left_eye"][1] + points["right_eye"][1]) / 2
    count = 32
    angle = np.arange(count) * 2 * np.pi / count if all_round else np.linspace(-1.25, 1.25, count)
    direction = np.stack([np.sin(angle), -np.cos(angle)], 1)  # 0 is straight ahead
    height = eye_y - 0.62 * gap
    near = (np.abs(rest[:, 1] - height) < 0.02) & (np.abs(rest[:, 0]) < 0.12)
    middle_z = float((rest[near, 2].max() + rest[near, 2].min()) / 2)
    radius = (np.stack([rest[near, 0], rest[near, 2] - middle_z], 1) @ direction.T).max(0) + 0.004
    rows = []
    for part in (0.0, 0.5, 1.0):
        grow = reach * part * (np.ones(count) if all_round else np.maximum(np.cos(angle * 1.2), 0.0) ** 0.6)
        out = direction * (radius + grow)[:, None]
        sink = height + 0.25 * gap * part * (0.3 if all_round else 0.9) + 0.15 * gap * (direction[:, 1] > 2)
        rows.append(np.stack([out[:, 0], np.broadcast_to(sink, count), out[:, 1] + middle_z], 1))
    placed = np.concatenate(rows)
    faces = both_sides(placed, loft_faces(3, count, closed=all_round), placed + np.array([0.0, 1.0, 0.0]))
    return ride(rest, placed, faces, layer, head_frame(anatomy))
