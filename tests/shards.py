"""Small shards written at test time: every pair differs from every other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from humanpt.data.image import encode_jpeg
from humanpt.data.shards import Kind, PairRecord, Picture, ShardWriter, Source, Truth, TruthLayout

CROP_SIZE = 32

TRUTH = TruthLayout(
    model="anny-body",
    rig="anny",
    topology="anny",
    pose_parameterization="local-ref",
    joint_names=("root", "spine"),
    shape_names=("age", "weight", "größe"),
    keypoint_names=("nose", "left_eye", "right_eye", "left_ear"),
)


def source(sequence: str = "walk", camera: str = "a", **changes: Any) -> Source:
    whole = Source(
        path=f"{sequence}/{camera}.mp4",
        sha256=f"digest of {sequence}/{camera}",
        licence="CC0",
        sequence=sequence,
        camera=camera,
        reader="pyav",
        width=640,
        height=480,
        frames=100,
        duration=4.0,
        notes="",
    )
    return dataclasses.replace(whole, **changes)


def picture(seed: int, source: int = 0, **changes: Any) -> Picture:
    rng = np.random.default_rng(seed)
    rgb = np.repeat(np.repeat(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), CROP_SIZE // 8, 0), CROP_SIZE // 8, 1)
    whole = Picture(
        jpeg=encode_jpeg(rgb),
        mask=rng.random((64, 64)) > 0.5,
        mask_kind="motion",
        source=source,
        frame=seed,
        timestamp=seed / 30,
        box=rng.uniform(0, 400, 4).astype(np.float32),
        square=rng.uniform(-10, 400, 4).astype(np.float32),
        image_size=(640, 480),
        score=0.75,
        intrinsics=None,
        cam_from_world=None,
    )
    return dataclasses.replace(whole, **changes)


def truth(seed: int) -> Truth:
    """Some truth in the layout `TRUTH`."""
    rng = np.random.default_rng(seed)
    return Truth(
        shape=rng.random(3, np.float32),
        pose=rng.random((2, 3, 3), np.float32),
        transl=rng.random(3, np.float32),
        keypoints=rng.random((4, 3), np.float32),
        visible=rng.random(4) > 0.5,
        cover=rng.bytes(20 + seed),
        worn=rng.bytes(30),
    )


def pair(seed: int, source: int = 0, **changes: Any) -> PairRecord:
    whole = PairRecord(
        image1=picture(2 * seed, source),
        image2=picture(2 * seed + 1, source),
        kind=Kind.CROSS_POSE,
        subject=f"walk#{seed % 3}",
        track=seed % 3,
        side="none",
        change=0.125,
        pair_score=float("nan"),
    )
    return dataclasses.replace(whole, **changes)


def write_shard(
    path: Path, records: Iterable[PairRecord], sources: Sequence[Source] | None = None, **args: Any
) -> Path:
    args = {"subject_kind": "body", "crop_size": CROP_SIZE, "config": {"rate": 15.0}} | args
    with ShardWriter(path, sources=sources or [source()], **args) as shard:
        for record in records:
            shard.append(record)
    return path


def write_truth_shard(path: Path, count: int = 4) -> Path:
    """A shard whose pictures have truth."""
    records = [
        pair(
            k,
            image1=picture(2 * k, truth=truth(2 * k), mask_kind="rendered"),
            image2=picture(2 * k + 1, truth=truth(2 * k + 1), mask_kind="rendered"),
        )
        for k in range(count)
    ]
    return write_shard(path, records, truth=TRUTH)


def write_sequences(path: Path, sizes: dict[str, int], **args: Any) -> Path:
    """A shard of several sequences with the given numbers of pairs."""
    sources = [source(sequence) for sequence in sizes]
    records = [pair(k, index) for index, count in enumerate(sizes.values()) for k in range(count)]
    return write_shard(path, records, sources, **args)
