"""Cross-pose pairs from clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humanpt.commands.maker import Maker, Part, detector_file, see_that_one_clip_opens, why_no_pairs
from humanpt.data.clips import FoundClip, find_clips
from humanpt.data.harvest import Harvest, HarvestConfig, clip_bytes, harvest
from humanpt.data.pairs import REASONS
from humanpt.detect.choose import check_detector
from humanpt.workers import Tell

TIPS = {
    "small": "pairs.min_size=48",
    "outside": "pairs.min_inside=0.2",
    "near-duplicate": "pairs.novelty=0.005",
    "alone": "pairs.every=0.1",
    "still": "pairs.min_motion=0.02",
    "far": "pairs.max_motion=1",
    "hidden": "pairs.min_visible=0",
    "used up": "pairs.max_uses=10",
    "short track": "pairs.min_track=0.2",
}
"""What to try when most was left out for a reason."""


@dataclass(frozen=True, kw_only=True)
class ClipMaker(Maker):
    """Cross-pose pairs from clips."""

    inputs: Sequence[Path]
    """Video files, folders of them, folders of frames, or list files."""
    config: HarvestConfig
    """How a clip becomes pairs."""

    noun = "clip"
    unit = "frame"
    module = "humanpt.data.harvest"
    reasons = REASONS

    @property
    def settings_file(self) -> Path | None:  # noqa: D102 - as in Maker
        return detector_file(self.config.detector)

    def parts(self) -> list[Part]:  # noqa: D102 - as in Maker
        clips = find_clips(self.inputs)
        check_detector(self.config.detector, self.subject, [clip.name for clip in clips], self.config.detect)
        return [Part(name=clip.name, size=clip_bytes(clip.path), content=clip) for clip in clips]

    def see_that_one_opens(self, parts: Sequence[Part]) -> None:  # noqa: D102 - as in Maker
        see_that_one_clip_opens([part.content.path for part in parts], self.config.decoder)

    def files(self, part: Part) -> list[Path]:  # noqa: D102 - as in Maker
        return [part.content.path, *super().files(part)]

    def make(self, part: Part, shard: Path, tell: Tell) -> Harvest:  # noqa: D102 - as in Maker
        clip: FoundClip = part.content
        return harvest(clip, self.config, shard, tell)

    def why_nothing(self, summary: dict[str, Any]) -> str:  # noqa: D102 - as in Maker
        return why_no_pairs(summary, TIPS, "alone")
