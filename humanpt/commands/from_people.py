"""Pairs of generated people and hands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humanpt.commands.maker import Maker, Part
from humanpt.data.harvest import Harvest
from humanpt.data.people.config import PeopleConfig
from humanpt.data.people.generate import PAIR_BYTES, REASONS, make_people, people_parts
from humanpt.workers import Tell


@dataclass(frozen=True, kw_only=True)
class PeopleMaker(Maker):
    """Cross-view and cross-pose pairs of generated people or hands, with exact truth."""

    config: PeopleConfig
    """How they come about."""

    noun = "part"
    unit = "pair"
    module = "humanpt.data.people.generate"
    reasons = REASONS

    @property
    def total(self) -> int | None:  # noqa: D102 - as in Maker
        return self.config.count

    def parts(self) -> list[Part]:  # noqa: D102 - as in Maker
        return [
            Part(name=f"pairs {first} to {first + count - 1}", size=count * PAIR_BYTES, content=(first, count))
            for first, count in people_parts(self.config)
        ]

    def files(self, part: Part) -> list[Path]:  # noqa: D102 - as in Maker
        return [Path(folder) for folder in (self.config.motions, self.config.photographs) if folder]

    def see_that_one_opens(self, parts: Sequence[Part]) -> None:
        """Nothing is read that could be missing."""

    def make(self, part: Part, shard: Path, tell: Tell) -> Harvest:  # noqa: D102 - as in Maker
        first, count = part.content
        return make_people(first, count, self.config, shard, tell)

    def why_nothing(self, summary: dict[str, Any]) -> str:  # noqa: D102 - as in Maker
        return "no scene passed the rules; loosen them, for example --set min_seen=0.2"
