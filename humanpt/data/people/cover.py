"""Which pixels show the subject of a generated picture, and what its clothes add to its shape.

Letters: S size of a picture, V vertices, K key points.
"""

from __future__ import annotations

import dataclasses
import zlib
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.body.model import Subject
from humanpt.render.appearance import Look
from humanpt.render.materials import Material
from humanpt.render.rasterize import Raster
from humanpt.render.scene import Assembly

ELSE, SURFACE, LOOSE = 0, 1, 2
"""Values of a cover: anything else, the model's surface, what the subject wears loosely."""

LIFT_STEP = 0.00025
"""Metres that one step of a stored lift stands for."""

Cover = NDArray[np.uint8]


def cover_of(assembly: Assembly, raster: Raster, *, loose: bool) -> Cover:
    """(B, S, S) covers of thing 0 of what was drawn; `loose`: whether what hangs on it belongs to it."""
    face = raster.face.clamp_min(0)
    subject = (raster.face >= 0) & (assembly.face_thing[face] == 0)
    cover = torch.where(assembly.face_source[face] >= 0, SURFACE, LOOSE if loose else ELSE)
    return np.asarray(torch.where(subject, cover, ELSE).to(torch.uint8).cpu().numpy())


def pack_cover(cover: Cover) -> bytes:
    """An (S, S) cover as a grey PNG file."""
    return cv2.imencode(".png", cover, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()


def unpack_cover(packed: bytes) -> Cover:
    """The (S, S) cover in a PNG file."""
    cover: Any = cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_GRAYSCALE)
    return np.asarray(cover, np.uint8)


def storable(look: Look, vertices: int) -> Look:
    """The look with lift and relaxation rounded to what `pack_worn` keeps."""
    lift = torch.zeros(vertices) if look.lift is None else (look.lift / LIFT_STEP).round().clamp(0, 255) * LIFT_STEP
    relax = torch.zeros(vertices) if look.relax is None else (look.relax * 255).round().clamp(0, 255) / 255
    return dataclasses.replace(look, lift=lift, relax=relax, relaxed=bool((relax > 0).any()))


def pack_worn(look: Look) -> bytes:
    """What a `storable` look adds to the shape of its V vertices, as a shard keeps it."""
    assert look.lift is not None
    assert look.relax is not None
    steps = torch.stack([(look.lift / LIFT_STEP).round(), (look.relax * 255).round()])
    return zlib.compress(steps.to(torch.uint8).cpu().numpy().tobytes(), 6)


def unpack_worn(packed: bytes, subject: Subject) -> Look:
    """A plain look of the same shape, to the bit, as the `storable` one that was packed."""
    steps = torch.from_numpy(np.frombuffer(zlib.decompress(packed), np.uint8).reshape(2, -1).copy()).float()
    grey = Material(colour=(0.5, 0.5, 0.5))
    relax = steps[1] / 255
    return Look(subject=subject, base=grey, lift=steps[0] * LIFT_STEP, relax=relax, relaxed=bool((relax > 0).any()))


def shown_points(
    points_cam: Tensor, intrinsics: Tensor, cover: Cover, depth: Tensor, tolerance: Tensor
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which key points of the subject a picture shows.

    Args:
        points_cam: (K, 3) metres, camera axes, inside of the subject.
        intrinsics: (3, 3) of the picture.
        cover: (S, S).
        depth: (S, S) of what is seen, metres.
        tolerance: (K,) metres that each point lies below the surface; loose clothes may lie a good deal higher.

    Returns:
        (K,) whether the picture shows the subject where the point is, and (K,) whether moreover it shows this part of
        it, no other limb being in front.
    """
    points = points_cam.double().cpu().numpy()
    k = intrinsics.double().cpu().numpy()
    pixels = np.round(points[:, :2] / points[:, 2:] * (k[0, 0], k[1, 1]) + k[:2, 2])
    size = len(cover)
    inside = ((pixels >= 0) & (pixels < size)).all(1) & (points[:, 2] > 0)
    x, y = np.where(inside[:, None], pixels, 0).astype(np.int64).T
    seen = cover[y, x]
    slack = tolerance.double().cpu().numpy() * np.where(seen == LOOSE, 3, 1)
    before = points[:, 2] <= depth.cpu().numpy()[y, x] + slack
    uncovered = np.asarray(inside & (seen != ELSE))
    return uncovered, uncovered & before
