"""The figures of a training log: what each is called on a page, its unit, and whether less or more of it is better."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Log = Sequence[Mapping[str, Any]]
Group = Literal["held out", "reference", "transfer", "training", "speed"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """How one figure of the log is told."""

    name: str
    """Its name in the log."""
    title: str
    """What a page calls it."""
    group: Group | None
    """Which figures it stands beside; None for one that this table does not know."""
    unit: str = ""
    """Behind the number; `%` for a share, which is then shown as hundredths."""
    better: Literal["low", "high"] | None = None
    """Which way is better; None where that is nothing to judge a run by."""
    digits: int = 4
    """Decimals shown."""
    pixels: bool = False
    """Whether it is an error of completed pixels, which compares only on the same held-out pairs and masks."""
    over_kinds: bool = False
    """Whether it is taken over those kinds of pairs that the loss counts, so that it compares only where they agree."""

    @property
    def factor(self) -> float:
        """From the log's number to the one shown."""
        return 100.0 if self.unit == "%" else 1.0

    def told(self, value: float | None) -> str:
        """A value as text, without what `title` says already."""
        return "-" if value is None else f"{value * self.factor:,.{self.digits}f}"

    @property
    def label(self) -> str:
        """Title and unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


def _held_out(name: str, title: str, *, over_kinds: bool = False) -> Figure:
    return Figure(name=name, title=title, group="held out", better="low", pixels=True, over_kinds=over_kinds)


def _share(name: str, title: str, group: Group, better: Literal["low", "high"]) -> Figure:
    of_reference = group == "reference"
    return Figure(
        name=name,
        title=title,
        group=group,
        unit="%",
        better=better,
        digits=1,
        pixels=of_reference,
        over_kinds=of_reference,
    )


def _transfer(name: str, title: str, better: Literal["low"] | None = "low") -> Figure:
    return Figure(name=name, title=title, group="transfer", unit="mm", better=better, digits=1)


FIGURES = (
    _held_out("heldout_loss", "held-out loss", over_kinds=True),
    _held_out("heldout_cross_view", "held-out loss, cross-view"),
    _held_out("heldout_cross_pose", "held-out loss, cross-pose"),
    _share("heldout_margin", "worse with the reference of another clip", "reference", "high"),
    _share("heldout_margin_none", "worse without a reference", "reference", "high"),
    Figure(
        name="heldout_right",
        title="held-out error, right reference",
        group="reference",
        better="low",
        pixels=True,
        over_kinds=True,
    ),
    Figure(name="heldout_shuffled", title="held-out error, reference of another clip", group="reference"),
    Figure(name="heldout_none", title="held-out error, no reference", group="reference"),
    _transfer("probe_mpjpe_mm", "linear probe, 3D key points"),
    _transfer("probe_pa_mm", "linear probe, 3D key points after alignment"),
    _transfer("retrieval_pa_mm", "nearest pose after alignment"),
    _transfer("probe_pixels_mm", "linear probe of pixels alone", None),
    _transfer("probe_mean_mm", "always the mean pose", None),
    _transfer("retrieval_random_mm", "a random pose after alignment", None),
    Figure(name="loss", title="training loss", group="training", better=None),
    Figure(name="cross_view", title="training loss, cross-view", group="training"),
    Figure(name="cross_pose", title="training loss, cross-pose", group="training"),
    Figure(name="grad_norm", title="norm of the gradient", group="training"),
    Figure(name="lr", title="learning rate", group="training", digits=6),
    Figure(name="pairs_per_second", title="pairs per second", group="speed", better="high", digits=1),
    _share("waiting", "time spent waiting for data", "speed", "low"),
    Figure(name="peak_memory_gib", title="peak memory", group="speed", unit="GiB", better="low", digits=2),
)
"""In the order of a page. Training losses judge no run: they are not measured on the same samples."""

LEVELS: Mapping[str, Mapping[str, str]] = {
    "probe_mpjpe_mm": {"probe_pixels_mm": "pixels alone", "probe_mean_mm": "mean pose"},
    "retrieval_pa_mm": {"retrieval_random_mm": "random pose"},
}
"""For a curve, the constants that are drawn across its chart, each with its name there."""

_KNOWN = {figure.name: figure for figure in FIGURES}
_CONSTANTS = {name for levels in LEVELS.values() for name in levels}
_TRANSFER = ("probe_", "retrieval_")


def figures_in(logs: Iterable[Log]) -> list[Figure]:
    """The figures that any of the logs holds, in the order of a page, those that nobody knows at the end."""
    found = {name: None for log in logs for line in log for name, value in line.items() if value is not None}
    found.pop("step", None)
    unknown = [Figure(name=name, title=name.replace("_", " "), group=None) for name in found if name not in _KNOWN]
    return [figure for figure in FIGURES if figure.name in found] + unknown


def is_constant(figure: Figure) -> bool:
    """Whether it is a level to compare with rather than a curve."""
    return figure.name in _CONSTANTS


def curve(log: Log, name: str, factor: float = 1.0) -> tuple[list[float], list[float]]:
    """Steps and values of a figure, where the log has it."""
    points = [(line["step"], line[name] * factor) for line in log if line.get(name) is not None]
    return [step for step, _ in points], [value for _, value in points]


def levels_of(log: Log, name: str) -> dict[str, float]:
    """The constants that a figure is compared with, by the names they have in a chart."""
    newest = newest_figures(log)
    return {title: newest[level] for level, title in LEVELS.get(name, {}).items() if level in newest}


def newest_figures(log: Log) -> dict[str, float]:
    """The last value of every figure, since not every line has all of them."""
    newest: dict[str, float] = {}
    for line in log:
        newest |= {name: value for name, value in line.items() if value is not None and name != "step"}
    return newest


def tidy(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the log with transfer named for itself: it is measured beside the held-out pairs, not on them."""
    return {
        name.removeprefix("heldout_") if name.removeprefix("heldout_").startswith(_TRANSFER) else name: value
        for name, value in line.items()
    }
