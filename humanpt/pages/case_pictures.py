"""A case drawn out: the crop, the prediction over it, where the mesh is off, and both from the side.

Letters: S size of a picture, T size of a tile, K key points, V vertices, F faces.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.data.image import Rgb
from humanpt.geometry.alignment import fit_similarity
from humanpt.geometry.cameras import crop_intrinsics, project
from humanpt.pages.cases import Case, Floats, SurfaceErrors
from humanpt.render.overlay import Colour, draw_mesh, draw_skeleton
from humanpt.render.rasterize import interpolate, normals, rasterize

TILE = 200  # pixels; a strip of four goes twice beside each other on a wide screen
FINE = 2  # samples along each edge of a pixel, so that edges are smooth
GROUND = (248, 250, 252)  # of a page
PREDICTED: Colour = (37, 99, 235)
LAID_OVER: Colour = (96, 165, 250)  # brighter, as a picture is darker than a page
TRUE: Colour = (148, 163, 184)
TRUE_ON_PALE: Colour = (71, 85, 105)
HEAT = "YlOrRd"
HEAT_RANGE = (0.08, 0.94)  # of its colours: the first are as pale as the page
AWAY = 20  # extents from a thing to the camera that looks at it from far off
ROUND = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
SIDE_FILL = 0.86  # of a tile by what is seen from the side
CALM = 0.35  # of the light, so that what is seen edge-on keeps its colour


def draw_case(case: Case, limit_mm: float | None, *, crop: bool = True) -> Rgb:
    """The tiles of a case in a row.

    The crop; the prediction over it; how far the mesh is off after alignment, or where that is not known the key points
    predicted (blue) and true (grey); prediction (blue) and truth (grey) from the side, their centres together.

    Args:
        case: what to draw.
        limit_mm: distance that has the last colour, as `heat_limit` chooses it; without one no mesh has colours.
        crop: begin with the bare crop.

    Returns:
        (T, W, 3) tiles with narrow gaps of the page's white.
    """
    tiles = [over_picture(case), off_by(case, limit_mm), from_the_side(case)]
    bare = [cv2.resize(case.picture, (TILE, TILE), interpolation=_how(case.picture, TILE))] if crop else []
    return in_a_row([*(np.asarray(one, np.uint8) for one in bare), *(tile for tile in tiles if tile is not None)])


def tile_names(case: Case) -> list[str]:
    """What `draw_case` shows, in words."""
    names = ["crop", "prediction"]
    if case.has_both_meshes:
        names.append("distance from the truth")
    elif case.true_keypoints is not None:
        names.append("key points")
    return [*names, "from the side"]


def over_picture(case: Case) -> Rgb:
    """The predicted mesh, or the key points of a network without one, over the crop; (T, T, 3)."""
    ground, intrinsics = _enlarged(case)
    if case.predicted_vertices is not None and case.faces is not None:
        faces = torch.from_numpy(case.faces)
        drawn = draw_mesh(ground, _points(case.predicted_vertices), faces, intrinsics, colours=[LAID_OVER])
    else:
        drawn = _skeleton(ground, case.predicted_keypoints, intrinsics, case, PREDICTED)
    return _coarse(drawn)


def off_by(case: Case, limit_mm: float | None) -> Rgb | None:
    """How far each place of the predicted mesh is from the truth after alignment, seen from far off; (T, T, 3).

    Without a true mesh: both sets of key points over the paled crop. None without labels.
    """
    ground, intrinsics = _enlarged(case)
    if case.has_both_meshes and limit_mm is not None:
        assert case.predicted_vertices is not None
        assert case.faces is not None
        framed, camera = _framed({"mesh": _points(case.predicted_vertices)})
        colours = _heat(_aligned_mm(case) / limit_mm)
        return _coarse(_in_colours(np.full_like(ground, GROUND), framed["mesh"], case.faces, camera, colours))
    if case.true_keypoints is None:
        return None
    pale = (ground // 3 + 165).astype(np.uint8)
    both = _skeleton(pale, case.true_keypoints, intrinsics, case, TRUE_ON_PALE)
    return _coarse(_skeleton(both, case.predicted_keypoints, intrinsics, case, PREDICTED))


def from_the_side(case: Case) -> Rgb:
    """Prediction and truth, seen from the right of the camera with their centres together; (T, T, 3)."""
    predicted, true = _points(case.predicted_keypoints), None
    surface, true_surface = case.predicted_vertices, case.true_vertices
    shift = torch.zeros(3)
    if case.true_keypoints is not None:
        true = _points(case.true_keypoints)
        known = true.isfinite().all(-1)
        shift = (true[known] - predicted[known]).mean(0) if known.any() else shift
    sets = {
        "predicted": predicted + shift if surface is None else _points(surface) + shift,
        "true": true if true_surface is None else _points(true_surface),
    }
    moved, intrinsics = _framed({name: _from_right(points) for name, points in sets.items() if points is not None})
    result: Rgb = np.full((TILE * FINE, TILE * FINE, 3), GROUND, np.uint8)
    looks = (("true", true_surface, TRUE, 1.0), ("predicted", surface, PREDICTED, 0.62))
    for name, mesh, colour, opacity in looks:
        if name not in moved:
            continue
        if mesh is not None and case.faces is not None:
            faces = torch.from_numpy(case.faces)
            result = draw_mesh(result, moved[name], faces, intrinsics, colours=[colour], opacity=opacity)
        else:
            result = _skeleton(result, moved[name].numpy(), intrinsics, case, colour)
    return _coarse(result)


def draw_surface(surface: SurfaceErrors, limit_mm: float) -> Rgb:
    """The mean error of each place on a mesh at rest, seen from both of its broad sides; tiles at twice their size."""
    points = _points(surface.vertices)
    thin = int(np.ptp(surface.vertices, axis=0).argmin())
    if thin < 2:  # look along the thinnest side, whatever axis the model has for it
        points = points.roll(2 - thin, dims=-1)
    behind = points * torch.tensor([-1.0, 1.0, -1.0])
    ground = np.full((TILE * FINE, TILE * FINE, 3), 255, np.uint8)
    views = []
    for seen in (points, behind):
        framed, camera = _framed({"mesh": seen})
        views.append(_in_colours(ground, framed["mesh"], surface.faces, camera, _heat(surface.errors_mm / limit_mm)))
    return in_a_row(views)


def round_limit(errors_mm: NDArray[np.floating]) -> float:
    """A round distance in millimetres that nine tenths of some errors keep below."""
    high = max(1e-3, float(np.quantile(errors_mm, 0.9)))
    power = 10.0 ** np.floor(np.log10(high))
    return float(next(step * power for step in ROUND if step * power >= high))


def heat_limit(cases: Iterable[Case]) -> float | None:
    """A round distance in millimetres that nine tenths of the places of all meshes keep below; None without any."""
    known = [case for case in cases if case.has_both_meshes]
    if not known:
        return None
    return round_limit(np.concatenate([_aligned_mm(case) for case in known]))


def heat_key(limit_mm: float | None) -> dict[str, Any] | None:
    """Colours from no distance to the limit as a page names colours, and the limit; None without one."""
    if limit_mm is None:
        return None
    shades = matplotlib.colormaps[HEAT](np.linspace(*HEAT_RANGE, 9))
    return {"colours": [matplotlib.colors.to_hex(shade) for shade in shades], "limit": f"{limit_mm:g}"}


def in_a_row(tiles: list[Rgb], gap: int = 4) -> Rgb:
    """Pictures of one height beside each other with white between them."""
    white = np.full((len(tiles[0]), gap, 3), 255, np.uint8)
    return np.hstack([part for tile in tiles for part in (tile, white)][:-1])


def _aligned_mm(case: Case) -> Floats:
    """(V,) distance of predicted and true vertices after a similarity that never mirrors, millimetres."""
    assert case.predicted_vertices is not None
    assert case.true_vertices is not None
    predicted, true = _points(case.predicted_vertices).double(), _points(case.true_vertices).double()
    distance = (fit_similarity(predicted, true).apply(predicted) - true).norm(dim=-1)
    return np.asarray(1000 * distance.numpy(), np.float32)


def _heat(share: Floats) -> NDArray[Any]:
    """(V, 3) colours from 0 to 255 of shares (V,) of the limit."""
    return np.asarray(matplotlib.colormaps[HEAT](np.interp(share, (0, 1), HEAT_RANGE))[:, :3] * 255)


def _in_colours(
    ground: Rgb, vertices: Tensor, faces: NDArray[np.int64], intrinsics: Tensor, colours: NDArray[Any]
) -> Rgb:
    """A mesh whose vertices have colours (V, 3) from 0 to 255, lit from the camera."""
    sides, batch = torch.from_numpy(faces), vertices[None]
    raster = rasterize(batch, sides, intrinsics[None], *ground.shape[:2])
    shade = CALM + (1 - CALM) * normals(raster, sides, batch)[0, ..., 2:].abs()
    painted = interpolate(raster, sides, torch.from_numpy(colours).float())[0] * shade
    result = torch.where(raster.mask[0, ..., None], painted, torch.from_numpy(ground).float())
    return np.asarray(result.round().clamp(0, 255).to(torch.uint8).numpy(), np.uint8)


def _skeleton(ground: Rgb, points: Floats | NDArray[Any], intrinsics: Tensor, case: Case, colour: Colour) -> Rgb:
    pixels = project(_points(np.asarray(points)), intrinsics).numpy()
    return draw_skeleton(ground, pixels, case.bones, colour=colour, thickness=2 * FINE)


def _enlarged(case: Case) -> tuple[Rgb, Tensor]:
    """The crop and its camera matrix at the size of a fine tile."""
    size = TILE * FINE
    edge = len(case.picture) - 0.5
    intrinsics = crop_intrinsics(_points(case.intrinsics), torch.tensor([-0.5, -0.5, edge, edge]), size)
    picture = cv2.resize(case.picture, (size, size), interpolation=_how(case.picture, size))
    return np.asarray(picture, np.uint8), intrinsics


def _from_right(points: Tensor) -> Tensor:
    """Points as a camera to the right sees them, the first camera being to its left: depth runs across the page."""
    return torch.stack([points[:, 2], points[:, 1], -points[:, 0]], dim=-1)


def _framed(points: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """Sets of points in front of a far camera that just sees all of them."""
    everything = torch.cat(list(points.values()))
    everything = everything[everything.isfinite().all(-1)]
    low, high = everything.amin(0), everything.amax(0)
    extent = float((high - low)[:2].max().clamp_min(1e-6))
    away = torch.tensor([0.0, 0.0, AWAY * extent])
    size = TILE * FINE
    focal = SIDE_FILL * size * AWAY
    intrinsics = torch.tensor([[focal, 0, (size - 1) / 2], [0, focal, (size - 1) / 2], [0, 0, 1]])
    return {name: some - (low + high) / 2 + away for name, some in points.items()}, intrinsics


def _coarse(fine: Rgb) -> Rgb:
    return np.asarray(cv2.resize(fine, (TILE, TILE), interpolation=cv2.INTER_AREA), np.uint8)


def _how(picture: Rgb, size: int) -> int:
    return cv2.INTER_AREA if len(picture) > size else cv2.INTER_CUBIC


def _points(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))
