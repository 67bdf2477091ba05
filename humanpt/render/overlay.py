"""Meshes, skeletons, points and boxes drawn over a picture.

Pictures are (H, W, 3) uint8 RGB and are never changed: each function gives a new one, so that calls can be chained.
Positions are in humanpt's pixels, whole numbers at pixel centres, and are drawn to a sixteenth of a pixel.

V vertices, F faces, N boxes, K points
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.render.rasterize import vertex_normals
from humanpt.render.zbuffer import seen_faces

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

COLOURS: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Colours that people with any kind of colour vision can tell apart (Okabe and Ito, Color Universal Design, 2008)."""

_BITS = 4  # of a pixel's fraction, as cv2 counts them
_AMBIENT = 0.35  # of the light, so that what is seen edge-on is not black
_TONES = 256  # of a colour, from dark to light
_FAR = 1e5  # pixels; cv2 counts in 32 bits


def colour_of(index: int) -> Colour:
    """The colour of the thing with this number, again from the first after the last."""
    return COLOURS[index % len(COLOURS)]


def draw_mesh(
    picture: Picture,
    vertices_cam: Tensor | Sequence[Tensor],
    faces: Tensor | Sequence[Tensor],
    intrinsics: Tensor,
    *,
    colours: Sequence[Colour] | None = None,
    opacity: float = 0.8,
    cull: bool = False,
) -> Picture:
    """Draw one or more shaded meshes; nearer ones hide others.

    Args:
        picture: (H, W, 3) uint8 RGB.
        vertices_cam: (V, 3) vertices in metres, camera axes; for several meshes one tensor each.
        faces: (F, 3) faces, counter-clockwise seen from outside; for several meshes one tensor each.
        intrinsics: (3, 3) camera matrix in pixels.
        colours: one a mesh; otherwise those of `colour_of`.
        opacity: 1 hides what is behind, 0 draws nothing.
        cull: leave out faces seen from behind: quicker, and the same picture of closed meshes with faces outward.

    Returns:
        (H, W, 3) uint8 RGB, lit from the camera.

    Raises:
        ValueError: if there are not as many lists of faces as meshes.
    """
    meshes = [vertices_cam] if isinstance(vertices_cam, Tensor) else list(vertices_cam)
    sides = [faces] if isinstance(faces, Tensor) else list(faces)
    if len(meshes) != len(sides):
        raise ValueError(f"{len(meshes)} meshes with {len(sides)} lists of faces")
    if not meshes:
        return picture.copy()
    counts = torch.tensor([0, *(len(v) for v in meshes)]).cumsum(0)
    vertices = torch.cat(meshes).float()[None]
    joined = torch.cat([f + int(first) for f, first in zip(sides, counts[:-1], strict=True)])
    facing = vertex_normals(joined, vertices)[0, :, 2]
    height, width, _ = picture.shape
    seen = seen_faces(vertices, joined, intrinsics.float()[None], height, width, facing, cull=cull)
    pixel, face, facing = (found.cpu() for found in seen)
    paint = opacity * _paints(colours if colours is not None else [colour_of(i) for i in range(len(meshes))])
    tone = facing.abs_().clamp_(max=1).mul_(_TONES - 1).round_().long()
    if len(meshes) > 1:
        first = torch.cat([torch.full((len(f),), _TONES * i) for i, f in enumerate(sides)])
        tone += first.index_select(0, face)
    result = picture.copy()
    pixels = torch.from_numpy(result).view(-1, 3)
    blended = paint.index_select(0, tone).add_(pixels.index_select(0, pixel), alpha=1 - opacity)
    pixels.index_copy_(0, pixel, blended.round_().to(torch.uint8))
    return result


def _paints(colours: Sequence[Colour]) -> Tensor:
    """(len(colours) * _TONES, 3) each colour as it is seen edge-on, and so on to where it faces the camera."""
    light = torch.linspace(_AMBIENT, 1, _TONES)
    return (torch.tensor(colours)[:, None] * light[:, None]).flatten(0, 1)


def draw_points(
    picture: Picture,
    points: NDArray[np.floating],
    *,
    visible: NDArray[np.bool_] | None = None,
    colour: Colour | None = None,
    radius: float = 2.5,
) -> Picture:
    """Draw points: discs where visible, rings where hidden; those that are not finite are left out.

    Args:
        picture: (H, W, 3) uint8 RGB.
        points: (K, 2) pixels (x, y).
        visible: (K,) bool, all of them if None.
        colour: of all; otherwise each point has the colour of its number.
        radius: pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    result = picture.copy()
    for i, point in enumerate(points):
        if np.isfinite(point).all() and np.abs(point).max() < _FAR:
            seen = visible is None or bool(visible[i])
            centre, size = _fixed(point), max(1, round(radius * 2**_BITS))
            cv2.circle(result, centre, size, colour or colour_of(i), -1 if seen else 1, cv2.LINE_AA, _BITS)
    return result


def draw_skeleton(
    picture: Picture,
    points: NDArray[np.floating],
    bones: Sequence[tuple[int, int]],
    *,
    visible: NDArray[np.bool_] | None = None,
    colour: Colour | None = None,
    thickness: int = 2,
) -> Picture:
    """Draw bones between points, thin where an end is hidden, and the points over them.

    Args:
        picture: (H, W, 3) uint8 RGB.
        points: (K, 2) pixels (x, y).
        bones: pairs of indices of points; `bones_of` makes them of a tree.
        visible: (K,) bool, all of them if None.
        colour: of all; otherwise each bone has the colour of its second point.
        thickness: of a bone in pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    result = picture.copy()
    for start, end in bones:
        ends = points[[start, end]]
        if np.isfinite(ends).all() and np.abs(ends).max() < _FAR:
            width = thickness if visible is None or bool(visible[start] and visible[end]) else 1
            cv2.line(result, _fixed(ends[0]), _fixed(ends[1]), colour or colour_of(end), width, cv2.LINE_AA, _BITS)
    return draw_points(result, points, visible=visible, colour=colour, radius=thickness)


def bones_of(parents: Sequence[int]) -> list[tuple[int, int]]:
    """The (parent, child) pairs of a tree of joints whose root has parent -1."""
    return [(parent, child) for child, parent in enumerate(parents) if parent >= 0]


def draw_boxes(
    picture: Picture,
    boxes: NDArray[np.floating],
    *,
    labels: Sequence[str] | None = None,
    colours: Sequence[Colour] | None = None,
    thickness: int = 2,
    larger: float = 1.0,
) -> Picture:
    """Draw boxes and what they are called.

    Args:
        picture: (H, W, 3) uint8 RGB.
        boxes: (N, 4) xyxy edges in pixels; a line runs along the outermost pixels inside of a box.
        labels: (N) texts above the boxes' upper left corners; none if None.
        colours: one a box; otherwise those of `colour_of`.
        thickness: of the lines in pixels.
        larger: how many times as large as usual the labels are.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    result = picture.copy()
    for i, box in enumerate(np.asarray(boxes, np.float64).clip(-_FAR, _FAR)):
        colour = colours[i] if colours is not None else colour_of(i)
        left, top = (round(float(edge) + 0.5) for edge in box[:2])
        right, bottom = (round(float(edge) - 0.5) for edge in box[2:])
        cv2.rectangle(result, (left, top), (right, bottom), colour, thickness)
        if labels is not None and labels[i]:
            _write(result, labels[i], (left, top), colour, 0.4 * larger)
    return result


def _fixed(point: NDArray[np.floating]) -> tuple[int, int]:
    """A position as cv2 takes it: whole sixteenths of a pixel."""
    return round(float(point[0]) * 2**_BITS), round(float(point[1]) * 2**_BITS)


def _write(picture: Picture, text: str, corner: tuple[int, int], colour: Colour, scale: float) -> None:
    """Write on a plate of the colour, above the corner or, where there is no room, below it."""
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x, y = max(0, corner[0]), corner[1] - below - 1
    if y - height < 0:
        y = corner[1] + height + 3
    cv2.rectangle(picture, (x, y - height - 2), (x + width + 2, y + below), colour, -1)
    dark = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 128
    ink = (0, 0, 0) if dark else (255, 255, 255)
    cv2.putText(picture, text, (x + 1, y), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)
