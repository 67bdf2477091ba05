"""`report.html`: what a pre-training run learned."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanpt.pages.charts import Series, lines
from humanpt.pages.figures import Log, curve, levels_of, newest_figures, tidy
from humanpt.pages.page import write_page
from humanpt.tasks.completion import KIND_NAMES, Panel

TRANSFER = {
    "probe_mpjpe_mm": "linear probe of the frozen encoder",
    "probe_pixels_mm": "the same probe of small pixels, no network",
    "probe_mean_mm": "always the mean pose",
    "probe_pa_mm": "linear probe of the frozen encoder, after alignment",
    "retrieval_pa_mm": "pose of the most similar picture, after alignment",
    "retrieval_random_mm": "pose of a random picture, after alignment",
}
SIDE = 128  # of one shown picture, in pixels: panels of four, two in a row


def write_training_report(
    path: Path,
    summary: Mapping[str, Any],
    log: Log,
    panels: Mapping[str, Sequence[Panel]],
    attention: Sequence[tuple[str, NDArray[np.uint8]]] = (),
) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        summary: as `pretrain` writes it; its `warnings`, if it has any, come first.
        log: the lines of `log.jsonl`.
        panels: completed pictures by the name of their part of the split.
        attention: pictures of where withheld patches look, (H, W, 3) each with its caption.
    """
    log = [tidy(line) for line in log]
    data, figures = summary["data"], tidy(summary["figures"])
    what = "people" if summary["subject"] == "body" else "hands"
    headline = [
        (summary["steps"], "steps"),
        (f"{summary['pairs_per_second']:.0f}", "pairs per second"),
        (_number(figures.get("loss")), "training loss"),
        (_number(figures.get("heldout_loss")), "held-out loss"),
    ]
    if "heldout_margin" in figures:
        headline.append((_percent(figures["heldout_margin"]), "worse with a wrong reference"))
    if "probe_mpjpe_mm" in figures:
        headline.append((f"{figures['probe_mpjpe_mm']:.1f} mm", "linear probe of 3D key points"))
    if figures.get("waiting") is not None:
        headline.append((f"{figures['waiting']:.0%}", "of the time waiting for data"))
    write_page(
        path,
        "report.html",
        title=f"Completion of {what}: {summary['recipe']}",
        subtitle=f"{summary['device']}, {summary['precision']}, finished {summary['finished']}"
        + (" (stopped early)" if summary["interrupted"] else ""),
        warnings=summary.get("warnings", ()),
        figures=headline,
        alone=summary["config"]["task"].get("objective") == "mae",
        reference=_reference(figures),
        heldout=data["heldout"]["pairs"],
        normalised=summary["config"]["task"]["normalise_target"],
        charts=_charts(log),
        transfer=_transfer(log),
        attention=attention,
        panels={name: [_shown(panel) for panel in some] for name, some in panels.items()},
        split=f"{data['training']['pairs']} training pairs of {len(data['training']['sequences'])} clips; "
        f"{data['heldout']['pairs']} held-out pairs of {len(data['heldout']['sequences'])} clips"
        + (f" ({', '.join(data['heldout']['sequences'])})." if data["heldout"]["sequences"] else "."),
        sources=data["sources"],
        settings=json.dumps(summary["config"], indent=2),
    )


def _reference(figures: Mapping[str, Any]) -> dict[str, str] | None:
    """The wrong-reference test in words, if anything was held out."""
    if figures.get("heldout_none") is None:
        return None
    return {
        "right": _number(figures["heldout_right"]),
        "none": _number(figures["heldout_none"]),
        "margin_none": _percent(figures["heldout_margin_none"]),
        "shuffled": _number(figures["heldout_shuffled"]) if "heldout_shuffled" in figures else "",
        "margin": _percent(figures.get("heldout_margin")),
    }


def _charts(log: Log) -> list[Any]:
    """Loss terms of each kind, what the reference is worth, and how the run went, as far as the log tells."""
    by_kind = {
        f"{name.replace('_', '-')}{suffix}": curve(log, prefix + name)
        for name in KIND_NAMES
        for prefix, suffix in (("", ""), ("heldout_", ", held out"))
    }
    errors = {
        "right reference": curve(log, "heldout_right"),
        "one of another clip": curve(log, "heldout_shuffled"),
        "none": curve(log, "heldout_none"),
    }
    margins = {
        "one of another clip": curve(log, "heldout_margin", 100),
        "none": curve(log, "heldout_margin_none", 100),
    }
    told: list[tuple[Series, str, bool]] = [
        (by_kind, "loss per kind", False),
        (errors, "held-out error", True),
        (margins, "worse than with the right one (%)", True),
        ({"waiting": curve(log, "waiting", 100)}, "time spent waiting for data (%)", False),
        ({"speed": curve(log, "pairs_per_second")}, "pairs per second", False),
        ({"learning rate": curve(log, "lr")}, "learning rate", False),
    ]
    return [_chart(series, label, dots) for series, label, dots in told if any(len(x) for x, _ in series.values())]


def _chart(series: Series, label: str, dots: bool) -> Any:
    return lines(series, "step", label, dots, legend=len(series) > 1)


def _transfer(log: Log) -> dict[str, Any] | None:
    """Curves of what frozen features tell of 3D poses, with the final figures; None where nothing was probed."""
    newest = newest_figures(log)
    if "probe_mpjpe_mm" not in newest:
        return None
    charts = [
        lines({"network": curve(log, name)}, "step", label, True, levels=levels_of(log, name), legend=False)
        for name, label in (
            ("probe_mpjpe_mm", "linear probe, 3D key points (mm)"),
            ("probe_pa_mm", "linear probe after alignment (mm)"),
            ("retrieval_pa_mm", "nearest pose after alignment (mm)"),
        )
        if name in newest
    ]
    rows = [(title, f"{newest[name]:.1f}") for name, title in TRANSFER.items() if name in newest]
    return {"charts": charts, "rows": rows}


def _shown(panel: Panel) -> dict[str, Any]:
    pictures = [panel.masked, panel.reconstruction, panel.truth, panel.reference]
    shown = [picture for picture in pictures if picture is not None]  # without a second one there is no reference
    return {"picture": side_by_side(shown), "kind": KIND_NAMES[panel.kind].replace("_", "-")}


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
