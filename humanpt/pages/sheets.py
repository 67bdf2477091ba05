"""Contact sheets: generated people from many sides, pairs beside each other, and their truth drawn out.

Letters: S size of a picture, K key points.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from humanpt.data.image import Rgb, decode_jpeg, resize_square
from humanpt.data.people.cover import SURFACE, unpack_cover
from humanpt.data.people.generate import Cast, PeopleConfig, draw_scene
from humanpt.data.people.staging import one_thread
from humanpt.data.people.truth import TruthMaps, correspondence, maps
from humanpt.data.people.viewpoints import draw_views
from humanpt.data.records import Picture
from humanpt.data.shards import ShardReader
from humanpt.files import write_whole
from humanpt.geometry.cameras import crop_intrinsics
from humanpt.render.scene import Cameras, render

GAP = 4
PAPER = 255
POINT, HIDDEN = (255, 230, 0), (150, 150, 150)


def write_sheet(path: Path, rows: Sequence[Sequence[Rgb]], quality: int = 88) -> None:
    """Write rows of pictures of one size as one picture, white between them.

    Args:
        path: a .png file, or a .jpg one, which is smaller and for photographs.
        rows: each of (S, S, 3) pictures; shorter rows end in white.
        quality: of a JPEG, 1 to 100.

    Raises:
        ValueError: if there is no picture.
        OutputError: if the file cannot be written.
    """
    widest = max((len(row) for row in rows), default=0)
    if not widest:
        raise ValueError("a sheet needs at least one picture")
    size = next(len(row[0]) for row in rows if row)
    step = size + GAP
    sheet = np.full((len(rows) * step - GAP, widest * step - GAP, 3), PAPER, np.uint8)
    for down, row in enumerate(rows):
        for across, picture in enumerate(row):
            sheet[down * step :, across * step :][:size, :size] = picture
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 9]
    write_whole(path, cv2.imencode(path.suffix, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), options)[1].tobytes())


def views(config: PeopleConfig, cast: Cast, numbers: Sequence[int], columns: int, size: int) -> list[list[Rgb]]:
    """Rows of people or hands, each drawn from several cameras around.

    Args:
        config: how they come about.
        cast: what they are made from.
        numbers: which scenes of this seed, one to a row.
        columns: cameras, an even number.
        size: of the pictures, in pixels.
    """
    rows: list[list[Rgb]] = []
    with one_thread():
        for number in numbers:
            rng = np.random.default_rng([config.seed, number])
            scene = draw_scene(
                config, cast, rng, side=("right", "left")[number % 2] if config.subject == "hand" else None
            )
            points = scene.meshes[0][0].vertices[0].double().numpy()
            around = [
                view
                for _ in range(columns // 2)
                for view in draw_views(
                    rng, (points, points), scene.free, config.views, config.pairs.margin, cross_view=True
                )
            ]
            squares = [torch.from_numpy(view.square) for view in around]
            intrinsics = [
                crop_intrinsics(v.intrinsics, square, size) for v, square in zip(around, squares, strict=True)
            ]
            cameras = Cameras(
                intrinsics=torch.stack(intrinsics),
                cam_from_world=torch.stack([view.cam_from_world for view in around]),
                size=size,
            )
            rows.append(list(render(scene.stage(), cameras, config.supersample).rgb.numpy()))
    return rows


def pairs(shard: ShardReader, chosen: Sequence[int], columns: int, size: int) -> list[list[Rgb]]:
    """Pairs of a shard, image1 and image2 side by side, so many pairs in a row."""
    shown = [[resize_square(rgb, size) for rgb in shard.images(row)] for row in chosen]
    lines = [shown[first : first + columns] for first in range(0, len(shown), columns)]
    return [[picture for pair in line for picture in pair] for line in lines]


def truth_row(shard: ShardReader, row: int, size: int) -> list[Rgb]:
    """What is known about a pair.

    Image1 with its key points and with its cover; its parts, depth, normals, texture and canonical coordinates; the
    canonical coordinates of image2; image1 as image2 paints it; image2 with its key points.
    """
    record = shard.record(row)
    first, second = maps(shard, row, 1), maps(shard, row, 2)
    plain = decode_jpeg(record.image1.jpeg)
    drawn = [
        with_points(plain, first),
        with_cover(plain, record.image1),
        on_grey(parts_in_colour(first.part), first.surface),
        on_grey(depth_in_colour(first.depth), first.surface),
        on_grey(in_range(first.normals * (1, -1, -1), -1, 1), first.surface),
        on_grey(texture_in_colour(first), first.surface),
        on_grey(in_range(first.canonical, *_span(first, second)), first.surface),
        on_grey(in_range(second.canonical, *_span(first, second)), second.surface),
        carried_over(shard, row),
        with_points(decode_jpeg(record.image2.jpeg), second),
    ]
    return [resize_square(picture, size) for picture in drawn]


def with_points(rgb: Rgb, truth: TruthMaps) -> Rgb:
    """A picture with its key points: filled where they are seen, an empty ring where they are hidden."""
    shown = rgb.copy()
    scale = max(1, round(len(rgb) / 128))
    for (x, y), visible in zip(truth.keypoints.tolist(), truth.visible.tolist(), strict=True):
        if visible:
            cv2.circle(shown, (round(x), round(y)), scale + 1, POINT, -1, cv2.LINE_AA)
        else:
            cv2.circle(shown, (round(x), round(y)), scale + 1, HIDDEN, 1, cv2.LINE_AA)
    return shown


def with_cover(rgb: Rgb, picture: Picture) -> Rgb:
    """A picture dimmed where the subject is not, its loose clothes and hair tinted."""
    assert picture.truth is not None
    cover = unpack_cover(picture.truth.cover)
    shown = np.where((cover > 0)[..., None], rgb, rgb // 4 + 20).astype(np.uint8)
    loose = cover > SURFACE
    shown[loose] = shown[loose] // 2 + np.array([0, 64, 120], np.uint8)
    return shown


def carried_over(shard: ShardReader, row: int) -> Rgb:
    """Image1 painted from image2 alone: each pixel of the subject takes what image2 shows of the same point."""
    found = correspondence(shard, row)
    _, image2 = shard.images(row)
    places: Any = np.nan_to_num(found.pixels, nan=-1)
    taken = cv2.remap(image2, places[..., 0].copy(), places[..., 1].copy(), cv2.INTER_LINEAR)
    return on_grey(np.asarray(taken, np.uint8), found.visible)


def on_grey(rgb: Rgb, where: NDArray[np.bool_]) -> Rgb:
    """A picture on a dark grey ground where it is not to be seen."""
    return np.where(where[..., None], rgb, np.uint8(38)).astype(np.uint8)


def parts_in_colour(part: NDArray[np.int64]) -> Rgb:
    """Part numbers in colours far apart: hues a golden section round the circle, three lightnesses by turns."""
    hue = (part * 0.618034 % 1 * 180).astype(np.uint8)
    value = np.choose(part.clip(0) % 3, [235, 190, 150]).astype(np.uint8)
    hsv = np.dstack([hue, np.full_like(hue, 150), value])
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def texture_in_colour(truth: TruthMaps) -> Rgb:
    """Texture coordinates as red and green, over the range that is seen: a hand has a small part of its atlas."""
    seen = truth.uv[truth.surface]
    low, high = (seen.min(0), seen.max(0)) if len(seen) else (0.0, 1.0)
    return np.dstack([in_range(truth.uv, low, high), np.full(truth.part.shape, 128, np.uint8)])


def depth_in_colour(depth: NDArray[np.float32]) -> Rgb:
    """Depth in colours, near bright, over the range that is seen."""
    seen = np.isfinite(depth)
    if not seen.any():
        return np.zeros((*depth.shape, 3), np.uint8)
    low, high = float(depth[seen].min()), float(depth[seen].max())
    share = np.where(seen, (high - np.where(seen, depth, high)) / max(high - low, 1e-6), 0)
    coloured = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_MAGMA)
    return np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), np.uint8)


def in_range(values: NDArray[Any], low: Any, high: Any) -> Rgb:
    """Three numbers as red, green and blue."""
    share = (values - low) / np.maximum(np.asarray(high) - low, 1e-6)
    return np.asarray((share.clip(0, 1) * 255).astype(np.uint8))


def _span(first: TruthMaps, second: TruthMaps) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(3,) least and greatest canonical coordinates in two pictures, so that both have one scale of colours."""
    points = np.concatenate([first.canonical[first.surface], second.canonical[second.surface]])
    return points.min(0), points.max(0)
