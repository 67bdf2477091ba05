"""Small generated pairs, made once for all tests that look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from humanpt.data.pairs import PairConfig
from humanpt.data.people.config import PeopleConfig
from humanpt.data.people.generate import make_people
from humanpt.data.shards import ShardReader

SIZE = 96


def config(subject: str, **changes: Any) -> PeopleConfig:
    """A configuration that is quick: small pictures, one colour sample for each pixel, a coarse body."""
    few = {
        "subject": subject,
        "model": "anny-body-small" if subject == "body" else "anny-hand",
        "supersample": 1,
        "pairs": PairConfig(crop_size=SIZE),
    }
    return PeopleConfig(**(few | changes))


def made(path: Path, subject: str, first: int, count: int, **changes: Any) -> ShardReader:
    """A shard of generated pairs."""
    make_people(first, count, config(subject, **changes), path, lambda _: None)
    return ShardReader(path)
