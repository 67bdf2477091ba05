"""Small clips with a moving figure before a still background, and shards of pairs cut from made pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from humanpt.data.image import encode_jpeg
from humanpt.data.shards import Kind, PairRecord, Picture, ShardWriter, Source
from tests.clips import write_clip

SIZE = (256, 192)  # width and height in pixels


def texture(seed, width, height, coarse=3.0):
    """A (height, width, 3) picture with structure to follow."""
    noise = np.random.default_rng(seed).uniform(0, 255, (height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), coarse)
    return cv2.normalize(smooth, None, 20, 235, cv2.NORM_MINMAX).astype(np.uint8)


def figure_frames(count, seed=0, still=False):
    """Frames in which a textured trunk walks to and fro and swings an arm; with `still` nobody is there."""
    width, height = SIZE
    room, skin = texture(seed, width, height, 6), texture(seed + 100, width, height, 2)
    frames = []
    for i in range(count):
        frame = room.copy()
        if not still:
            x = width // 2 + 30 * np.sin(i / 6)
            shape = np.zeros((height, width), np.uint8)
            cv2.ellipse(shape, (int(x), height // 2), (26, 62), 0, 0, 360, 255, -1)
            angle = np.sin(i / 4) * 1.2
            hand = (int(x + 70 * np.cos(angle)), int(height // 2 - 20 + 50 * np.sin(angle)))
            cv2.line(shape, (int(x), height // 2 - 20), hand, 255, 14)
            moved = cv2.warpAffine(
                skin, np.float32([[1, 0, x - width / 2], [0, 1, 0]]), SIZE, borderMode=cv2.BORDER_REFLECT
            )
            frame[shape > 0] = moved[shape > 0]
        frames.append(frame)
    return frames


def figure_clip(path, count=60, seed=0, still=False):
    """Write such a clip at 25 frames per second."""
    write_clip(path, range(count), size=SIZE, pictures=figure_frames(count, seed, still))
    return path


def figure_box(i):
    """Where the figure is in frame i, generously: x0, y0, x1, y1 in pixels."""
    x = SIZE[0] // 2 + 30 * np.sin(i / 6)
    return (x - 45, SIZE[1] // 2 - 70, x + 75, SIZE[1] // 2 + 70)


def write_pairs(path, count=24, clips=3, subject_kind="body", size=64, seed=0):
    """A shard of made pairs: the second picture is the first one moved by a few pixels, so that it helps."""
    sources = [
        Source(
            path=f"clip{k}.mp4",
            sha256=f"{seed:02x}{k:02x}" * 16,
            licence="made",
            sequence=f"clip{k}.mp4",
            camera="",
            reader="pyav",
            width=size,
            height=size,
            frames=100,
            duration=4.0,
            notes="",
        )
        for k in range(clips)
    ]
    mask = np.zeros((64, 64), np.bool_)
    mask[16:48, 16:48] = True
    with ShardWriter(path, subject_kind=subject_kind, crop_size=size, config={}, sources=sources) as shard:
        for i in range(count):
            canvas = texture(seed * 1000 + i, size + 4, size + 4)
            pictures = [
                Picture(
                    jpeg=encode_jpeg(np.ascontiguousarray(canvas[k : k + size, k : k + size])),
                    mask=mask,
                    mask_kind="box",
                    source=i % clips,
                    frame=i + 10 * k,
                    timestamp=(i + 10 * k) / 25,
                    box=np.float32([8, 8, size - 8, size - 8]),
                    square=np.float32([0, 0, size, size]),
                    image_size=(size, size),
                    score=1.0,
                )
                for k in (0, 4)
            ]
            shard.append(
                PairRecord(
                    image1=pictures[0],
                    image2=pictures[1],
                    kind=Kind.CROSS_POSE,
                    subject=f"clip{i % clips}.mp4#0",
                    track=0,
                    side="none" if subject_kind == "body" else "unknown",
                    change=0.1,
                    pair_score=float("nan"),
                )
            )
    return Path(path)
