"""`report.html`: what a pre-training run learned."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanpt.pages.charts import lines
from humanpt.pages.page import write_page
from humanpt.tasks.completion import KIND_NAMES, Panel

SIDE = 128  # of one shown picture, in pixels: panels of four, two in a row
Log = Sequence[Mapping[str, Any]]


def write_training_report(
    path: Path, summary: Mapping[str, Any], log: Log, panels: Mapping[str, Sequence[Panel]]
) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        summary: as `pretrain` writes it.
        log: the lines of `log.jsonl`.
        panels: completed pictures by the name of their part of the split.
    """
    data, figures = summary["data"], summary["figures"]
    what = "people" if summary["subject"] == "body" else "hands"
    headline = [
        (summary["steps"], "steps"),
        (f"{summary['pairs_per_second']:.0f}", "pairs per second"),
        (_number(figures.get("loss")), "training loss"),
        (_number(figures.get("heldout_loss")), "held-out loss"),
        (_percent(figures.get("heldout_margin")), "worse with a wrong reference"),
    ]
    write_page(
        path,
        "report.html",
        title=f"Completion of {what}: {summary['recipe']}",
        subtitle=f"{summary['device']}, {summary['precision']}, finished {summary['finished']}"
        + (" (stopped early)" if summary["interrupted"] else ""),
        figures=headline,
        reference=_reference(figures),
        heldout=data["heldout"]["pairs"],
        normalised=summary["config"]["task"]["normalise_target"],
        charts=_charts(log),
        panels={name: [_shown(panel) for panel in some] for name, some in panels.items()},
        split=f"{data['training']['pairs']} training pairs of {len(data['training']['sequences'])} clips; "
        f"{data['heldout']['pairs']} held-out pairs of {len(data['heldout']['sequences'])} clips"
        + (f" ({', '.join(data['heldout']['sequences'])})." if data["heldout"]["sequences"] else "."),
        sources=data["sources"],
        settings=json.dumps(summary["config"], indent=2),
    )


def _reference(figures: Mapping[str, Any]) -> dict[str, str] | None:
    """The wrong-reference test in words, if anything was held out."""
    if "heldout_right" not in figures:
        return None
    return {
        "right": _number(figures["heldout_right"]),
        "none": _number(figures["heldout_none"]),
        "margin_none": _percent(figures["heldout_margin_none"]),
        "shuffled": _number(figures["heldout_shuffled"]) if "heldout_shuffled" in figures else "",
        "margin": _percent(figures.get("heldout_margin")),
    }


def _charts(log: Log) -> list[Any]:
    def curve(key: str, factor: float = 1.0) -> tuple[list[float], list[float]]:
        points = [(line["step"], line[key] * factor) for line in log if line.get(key) is not None]
        return [x for x, _ in points], [y for _, y in points]

    by_kind = {
        f"{name.replace('_', '-')}{suffix}": curve(prefix + name)
        for name in KIND_NAMES
        for prefix, suffix in (("", ""), ("heldout_", ", held out"))
    }
    charts = [lines(by_kind, "step", "loss per kind")]
    if any("heldout_right" in line for line in log):
        errors = {
            "right reference": curve("heldout_right"),
            "one of another clip": curve("heldout_shuffled"),
            "none": curve("heldout_none"),
        }
        margins = {"one of another clip": curve("heldout_margin", 100), "none": curve("heldout_margin_none", 100)}
        charts.append(lines(errors, "step", "held-out error", dots=True))
        charts.append(lines(margins, "step", "worse than with the right one (%)", dots=True))
    charts.append(lines({"learning rate": curve("lr")}, "step", "learning rate"))
    return charts


def _shown(panel: Panel) -> dict[str, Any]:
    pictures = [panel.masked, panel.reconstruction, panel.truth, panel.reference]
    return {"picture": side_by_side(pictures), "kind": KIND_NAMES[panel.kind].replace("_", "-")}


def side_by_side(pictures: Sequence[NDArray[np.uint8]], side: int = SIDE) -> NDArray[np.uint8]:
    """Square RGB pictures in a row with narrow white gaps, (side, W, 3)."""
    gap = np.full((side, 4, 3), 255, np.uint8)
    row: list[NDArray[np.uint8]] = []
    for picture in pictures:
        how = cv2.INTER_AREA if picture.shape[0] > side else cv2.INTER_NEAREST
        row += [np.asarray(cv2.resize(picture, (side, side), interpolation=how), np.uint8), gap]
    return np.hstack(row[:-1])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1%}"
