"""Small captures made at test time: textured figures of points walk about before several known cameras.

A figure is an upright ellipsoid of coloured points, so that its box in every camera is known exactly; the pictures are
drawn as the lens films them.
"""

from __future__ import annotations

import cv2
import numpy as np

from tests import rigs
from tests.clips import write_clip
from tests.scenes import texture

RATE = 25


def figure(seed=0, count=220):
    """(N, 3) points of an upright ellipsoid around the origin, 1.4 m tall, and their colours (N, 3)."""
    random = np.random.default_rng(seed)
    points = random.normal(size=(count, 3))
    points *= np.array([0.22, 0.7, 0.16]) / np.linalg.norm(points, axis=1, keepdims=True)
    return points, random.integers(0, 256, (count, 3))


def walk(time, phase=0.0):
    """(3,) where a figure is: it goes about and jumps, at no steady pace."""
    t = time + phase
    jump = max(0.0, np.sin(4.1 * t + np.sin(1.3 * t))) ** 3
    return np.array([0.5 * np.sin(1.1 * t), -0.4 * jump, 0.3 * np.cos(0.7 * t)])


def film(camera, moments, figures=(0.0,), background=0):
    """The pictures of a camera at the given moments, and (T, P, 4) boxes as filmed; P figures, each with its phase."""
    width, height = camera.size
    room = texture(background, width, height, 5)
    shapes = [figure(seed=i) for i in range(len(figures))]
    pictures, boxes = [], np.zeros((len(moments), len(figures), 4))
    for t, moment in enumerate(moments):
        picture = room.copy()
        places = [walk(moment, phase) for phase in figures]
        order = np.argsort([-(camera.cam_from_world @ np.append(place, 1))[2] for place in places])
        for who in order:
            points, colours = shapes[who]
            seen = np.column_stack([points + places[who], np.ones(len(points))]) @ camera.projection.T
            pixels = camera.distort(seen[:, :2] / seen[:, 2:])
            hull = cv2.convexHull(pixels.astype(np.float32)).round().astype(np.int32)
            cv2.fillConvexPoly(picture, hull, (90, 60, 120))
            for pixel, colour in zip(pixels.round().astype(int), colours, strict=True):
                cv2.circle(picture, tuple(pixel.tolist()), 3, colour.tolist(), -1)
            boxes[t, who] = [*pixels.min(axis=0), *pixels.max(axis=0)]
        pictures.append(picture)
    return pictures, boxes


def shoot(folder, cameras, *, seconds=2.0, figures=(0.0,), starts=None, rates=None, ids=False):
    """Write a clip per camera and a boxes file for them all.

    Args:
        starts: when each camera begins to film, in seconds.
        rates: frames per second of each camera.
        ids: whether the boxes carry identities, per camera.

    Returns:
        The boxes file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["clip,frame,x1,y1,x2,y2" + (",id" if ids else "")]
    for i, camera in enumerate(cameras):
        rate = RATE if rates is None else rates[i]
        start = 0.0 if starts is None else starts[i]
        moments = start + np.arange(round((seconds - start) * rate)) / rate
        pictures, boxes = film(camera, moments, figures, background=i)
        name = f"{camera.name}.mp4"
        write_clip(folder / name, range(len(pictures)), size=camera.size, pictures=pictures, rate=rate)
        for t in range(len(moments)):
            for who in range(len(figures)):
                edges = ",".join(f"{value:.2f}" for value in boxes[t, who])
                rows.append(f"{name},{t},{edges}" + (f",{who}" if ids else ""))
    path = folder.parent / f"{folder.name}_boxes.csv"
    path.write_text("\n".join(rows))
    return path


def rig(**options):
    """Three cameras, of which the first two and the last two make pairs."""
    return rigs.rig((0, 40, 100), **options)
