"""What pairs are made from: a maker lists the parts of the work and makes one of them in a worker process.

It travels there by pickle, so it holds settings and no open file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from humanpt.data.harvest import Harvest
from humanpt.data.video import open_clip
from humanpt.detect.detector import Subject
from humanpt.errors import InputError
from humanpt.workers import Tell


@dataclass(frozen=True, kw_only=True)
class Part:
    """A piece of work that is done whole or not at all."""

    name: str
    """What it is called in the summary, unique among the parts."""
    size: int
    """Bytes that stand for its size; they decide which parts share a shard."""
    content: Any
    """What its maker makes pairs from."""


class Maker(ABC):
    """Where pairs come from."""

    noun: ClassVar[str]
    """What a part is, in the singular: "clip"."""
    unit: ClassVar[str]
    """What progress counts, in the singular: "frame"."""
    module: ClassVar[str]
    """The module that every part needs."""
    reasons: ClassVar[Mapping[str, str]]
    """Why a picture or a pair is not taken: the names under which it is counted, and what they mean."""
    config: Any
    """The settings, a dataclass; they are written into every shard."""

    @property
    def subject(self) -> Subject:
        """Whose pairs they are."""
        subject: Subject = self.config.subject
        return subject

    @property
    def total(self) -> int | None:
        """How many units there will be, None if that is not known."""
        return None

    @property
    def settings_file(self) -> Path | None:
        """A file that the result depends on besides the parts."""
        return None

    @property
    def preload(self) -> list[str]:
        """The modules that every part needs, imported once for all workers."""
        network = {"own": "humanpt.detect.heatmap", "auto": "humanpt.detect.auto"}  # torch takes long to import
        detector = network.get(getattr(self.config, "detector", ""))
        return [self.module, *([detector] if detector else [])]

    @property
    def needs_gpu(self) -> bool:
        """Whether a part is made on a GPU."""
        return str(getattr(self.config, "device", "cpu")).startswith("cuda")

    def files(self, part: Part) -> list[Path]:
        """Files and folders that must be there where the part is made."""
        return [self.settings_file] if self.settings_file else []

    @abstractmethod
    def parts(self) -> list[Part]:
        """All parts, in order; raises what can be said to be wrong before the work begins."""

    @abstractmethod
    def see_that_one_opens(self, parts: Sequence[Part]) -> None:
        """Raise if none of the parts can be made."""

    @abstractmethod
    def make(self, part: Part, shard: Path, tell: Tell) -> Harvest:
        """Make one part into a shard."""

    @abstractmethod
    def why_nothing(self, summary: dict[str, Any]) -> str:
        """Why there are no pairs, and what to try."""


def see_that_one_clip_opens(paths: Sequence[Path], decoder: Literal["auto", "pyav", "decord"]) -> None:
    """Raise what the first clip raises if none of them can be opened."""
    first: InputError | None = None
    for path in paths:
        try:
            open_clip(path, decoder)
            return
        except InputError as error:
            first = first or error
    if first:
        raise first


def detector_file(detector: str) -> Path | None:
    """The file that a detector of the form NAME:FILE depends on."""
    _, _, file = detector.partition(":")
    return Path(file) if file else None


def why_no_pairs(summary: dict[str, Any], tips: Mapping[str, str], usual: str) -> str:
    """Why clips or captures gave no pairs, and what to try.

    Args:
        summary: what was found and left out.
        tips: what to try when most was left out for a reason.
        usual: the reason where nothing was counted.
    """
    what = "people" if summary["subject"] == "body" else "hands"
    parts = f"{summary['parts']} {summary['noun']}{'s' * (summary['parts'] != 1)}"
    if not summary["boxes"]:
        return (
            f"no {what} found in {parts} ({summary['looked']} frames looked at); try --set detect.min_score=0.15, "
            "bring boxes (--detector boxes:FILE or onnx:FILE), or take whole frames (--detector full)"
        )
    reasons = ", ".join(f"{count} {summary['reasons'][reason]}" for reason, count in summary["rejected"].items())
    return (
        f"{what} found in {summary['found']} frames, but no pair passed the rules ({reasons or 'no track lasted'}); "
        f"loosen them, for example --set {tips[max(summary['rejected'], key=summary['rejected'].get, default=usual)]}"
    )
