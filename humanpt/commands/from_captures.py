"""Cross-view pairs from captures by several cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humanpt.commands.maker import Maker, Part, detector_file, see_that_one_clip_opens, why_no_pairs
from humanpt.data.captures.cross_view import harvest_capture
from humanpt.data.captures.find import find_captures
from humanpt.data.captures.rules import CaptureConfig
from humanpt.data.captures.view_pairs import VIEW_REASONS, VIEW_TIPS
from humanpt.data.captures.views import Capture
from humanpt.data.harvest import Harvest, clip_bytes
from humanpt.detect.choose import check_detector
from humanpt.workers import Tell


@dataclass(frozen=True, kw_only=True)
class CaptureMaker(Maker):
    """Cross-view pairs from captures by several cameras."""

    inputs: Sequence[Path]
    """Folders with one video or frame folder per camera."""
    config: CaptureConfig
    """How a capture becomes pairs."""

    noun = "capture"
    unit = "frame"
    module = "humanpt.data.captures.cross_view"
    reasons = VIEW_REASONS

    @property
    def settings_file(self) -> Path | None:  # noqa: D102 - as in Maker
        return detector_file(self.config.detector)

    def parts(self) -> list[Part]:  # noqa: D102 - as in Maker
        captures = find_captures(self.inputs, self.config.capture)
        clips = [view.clip for capture in captures for view in capture.views]
        check_detector(self.config.detector, self.subject, [clip.name for clip in clips], self.config.detect)
        return [
            Part(name=capture.name, size=sum(clip_bytes(view.clip.path) for view in capture.views), content=capture)
            for capture in captures
        ]

    def see_that_one_opens(self, parts: Sequence[Part]) -> None:  # noqa: D102 - as in Maker
        see_that_one_clip_opens([view.clip.path for part in parts for view in part.content.views], self.config.decoder)

    def files(self, part: Part) -> list[Path]:  # noqa: D102 - as in Maker
        return [*(view.clip.path for view in part.content.views), *super().files(part)]

    def make(self, part: Part, shard: Path, tell: Tell) -> Harvest:  # noqa: D102 - as in Maker
        capture: Capture = part.content
        return harvest_capture(capture, self.config, shard, tell)

    def why_nothing(self, summary: dict[str, Any]) -> str:  # noqa: D102 - as in Maker
        return why_no_pairs(summary, VIEW_TIPS, "one view")
