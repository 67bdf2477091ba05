"""Generated pairs of people and hands: pose, shape, clothes, room, cameras, exact truth.

Pair number i follows from the seed and i alone, so the work may be split in any way. Sixteen scenes make a sequence,
which a split into training and held-out pairs never parts; parts of the work are made of whole sequences, so that a
shard joined from them has the same bytes however many workers made them.

This is the place to import from; scenes, cameras and the making of one pair have files of their own.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import cv2

from humanpt.config import to_dict
from humanpt.data.harvest import Harvest
from humanpt.data.people.cast import Cast
from humanpt.data.people.config import CrowdConfig, PeopleConfig
from humanpt.data.people.pair_maker import REASONS, SCENES, PairMaker, draw_pair, kind_of, side_of
from humanpt.data.people.scenes import GeneratedScene, draw_scene
from humanpt.data.people.staging import one_thread, truth_layout
from humanpt.data.people.viewpoints import ViewConfig
from humanpt.data.records import Source
from humanpt.data.shard_writer import ShardWriter
from humanpt.workers import Tell

__all__ = [
    "PAIR_BYTES",
    "REASONS",
    "Cast",
    "CrowdConfig",
    "GeneratedScene",
    "PeopleConfig",
    "ViewConfig",
    "draw_pair",
    "draw_scene",
    "kind_of",
    "make_people",
    "people_parts",
    "side_of",
]

PART = 4
"""Sequences in a part of the work."""
PAIR_BYTES = 48 << 10
"""About what a pair takes in a shard."""


def people_parts(config: PeopleConfig) -> list[tuple[int, int]]:
    """First pair and number of pairs of each part of the work, whole sequences each.

    Raises:
        ConfigError, InputError: if what the configuration names cannot be had, as `Cast` and its `check` do.
    """
    Cast(config).check()
    size = PART * SCENES * config.pairs_per_scene
    return [(first, min(size, config.count - first)) for first in range(0, config.count, size)]


def make_people(first: int, count: int, config: PeopleConfig, part: Path, tell: Tell) -> Harvest:
    """Make some of the pairs of a configuration, and write them to a shard.

    Args:
        first: number of the first pair.
        count: how many.
        config: how.
        part: where the shard is written; it appears whole or not at all.
        tell: called with 1 for every pair.

    Raises:
        ConfigError: if no scene passes the rules.
        InputError: if a model, motion or photograph cannot be read.
        OutputError: if the shard cannot be written.
    """
    began = time.perf_counter()
    cv2.setNumThreads(1)  # a process per core is the parallelism here
    size = SCENES * config.pairs_per_scene
    sequences = range(first // size, (first + count - 1) // size + 1)
    result = Harvest(
        name=f"pairs {first} to {first + count - 1}",
        reader="generated",
        width=config.views.frame_size,
        height=config.views.frame_size,
    )
    rejected: Counter[str] = Counter()
    with one_thread():
        maker = PairMaker(config, rejected)
        layout = truth_layout(next(iter(maker.cast.models.values())))
        sources = [_source(config, maker.cast, sequence, camera) for sequence in sequences for camera in ("a", "b")]
        with ShardWriter(
            part,
            subject_kind=config.subject,
            crop_size=config.pairs.crop_size,
            config=to_dict(config),
            sources=sources,
            truth=layout,
        ) as shard:
            for number in range(first, first + count):
                shard.append(maker.pair(number, 2 * (number // size - sequences[0])))
                tell(1)
    result.frames = result.pairs = count  # progress counts pairs
    result.looked = result.found = result.boxes = 2 * count
    result.tracks = result.kept_tracks = len(
        {number // config.pairs_per_scene for number in range(first, first + count)}
    )
    result.rejected = {reason: rejected[reason] for reason in REASONS if rejected[reason]}
    result.seconds = time.perf_counter() - began
    return result


def _source(config: PeopleConfig, cast: Cast, sequence: int, camera: str) -> Source:
    """The ledger's entry for one camera of a sequence."""
    model = next(iter(cast.models.values())).layout
    own = [name for name in ("motions", "photographs") if getattr(config, name)]
    name = f"generated/{config.subject}/seed-{config.seed}/{sequence:06d}"
    return Source(
        path=name,
        sha256="",
        licence=f"generated with {model.name}: {model.licence}" + "".join(f"; with the user's {one}" for one in own),
        sequence=name,
        camera=camera,
        reader="generated",
        width=config.views.frame_size,
        height=config.views.frame_size,
        frames=SCENES * config.pairs_per_scene,
        duration=0.0,
        notes="",
    )
