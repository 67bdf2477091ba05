"""A small shard of made pairs, and configs of the tiny network."""

import cv2
import numpy as np
import pytest

from humanpt.data.augment import AugmentConfig
from humanpt.data.image import encode_jpeg
from humanpt.data.shards import Kind, PairRecord, PairSet, Picture, ShardWriter, Source
from humanpt.models.croco import tiny
from humanpt.tasks.completion import CompletionConfig


def picture(rng, source, *, person):
    """A blurred noise picture; the person fills its middle."""
    rgb = cv2.resize(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8), (64, 64))
    mask = np.zeros((64, 64), np.bool_)
    mask[8:56, 16:48] = person
    return Picture(
        jpeg=encode_jpeg(rgb),
        mask=mask,
        mask_kind="detector" if person else "none",
        source=source,
        frame=0,
        timestamp=0.0,
        box=np.array([0.0, 0.0, 9.0, 9.0]),
        square=np.array([0.0, 0.0, 9.0, 9.0]),
        image_size=(64, 64),
        score=1.0,
    )


def write_shard(path, count):
    """A shard of pairs, four to a sequence: every third a cross-view pair, from the ninth on without a mask."""
    rng = np.random.default_rng(0)
    sources = [
        Source(
            path=f"{name}.mp4",
            sha256="",
            licence="",
            sequence=name,
            camera="",
            reader="made",
            width=64,
            height=64,
            frames=1,
            duration=1.0,
            notes="",
        )
        for name in "abc"
    ]
    with ShardWriter(path, subject_kind="body", crop_size=64, config={}, sources=sources) as writer:
        for i in range(count):
            writer.append(
                PairRecord(
                    image1=picture(rng, i // 4, person=i < 8),
                    image2=picture(rng, i // 4, person=i < 8),
                    kind=Kind.CROSS_VIEW if i % 3 == 0 else Kind.CROSS_POSE,
                    subject="someone",
                    track=0,
                    side="none",
                    change=0.1,
                    pair_score=float("nan"),
                )
            )


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    """Twelve pairs of three sequences."""
    path = tmp_path_factory.mktemp("pairs") / "0.h5"
    write_shard(path, 12)
    return PairSet.open([path])


@pytest.fixture(scope="session")
def one_sequence(tmp_path_factory):
    """The first four of them, all of one sequence."""
    path = tmp_path_factory.mktemp("pairs") / "0.h5"
    write_shard(path, 4)
    return PairSet.open([path])


@pytest.fixture
def config():
    return CompletionConfig(model=tiny(), augment=AugmentConfig(crop_size=64))


@pytest.fixture
def everything(pairs):
    return np.arange(len(pairs))
