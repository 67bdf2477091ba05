"""`report.html` of a fine-tuned network: how it went, what it began from, and what it makes of held-out pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from humanpt.pages.charts import Series, lines
from humanpt.pages.figures import Log, curve, newest_figures
from humanpt.pages.page import write_page
from humanpt.pages.scores import score, told

HELD_OUT = "heldout_"
HOW_IT_WENT = {
    "waiting": ("time spent waiting for data (%)", 100.0),
    "pairs_per_second": ("pairs per second", 1.0),
    "samples_per_second": ("samples per second", 1.0),
    "pictures_per_second": ("pictures per second", 1.0),
    "lr": ("learning rate", 1.0),
    "grad_norm": ("norm of the gradient", 1.0),
    "peak_memory_gib": ("peak memory (GiB)", 1.0),
}
HEADLINE = 4  # held-out figures that stand large at the top
_BASELINE = "mean_pose"


def write_finetuning_report(
    path: Path, summary: Mapping[str, Any], log: Log, panels: Mapping[str, NDArray[np.uint8]]
) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        summary: as `finetune` writes it; what it does not tell is left out.
        log: the lines of `log.jsonl`.
        panels: (H, W, 3) pictures of held-out predictions by what they show, as the task's `pictures` gives them.

    Raises:
        OutputError: if the page cannot be written.
    """
    newest = newest_figures(log)
    write_page(
        path,
        "finetuning.html",
        title=f"Fine-tuned: {summary.get('task') or summary.get('command', '')}",
        subtitle=_subtitle(summary),
        warnings=summary.get("warnings", ()),
        headline=_headline(summary, newest),
        setting=_setting(summary),
        heldout=_heldout_charts(log, newest),
        training=_training_charts(log),
        finals=[(score(name).title, told(name, value)) for name, value in _heldout(newest).items()],
        panels=panels,
        settings=json.dumps(summary.get("config", {}), indent=2),
    )


def _headline(summary: Mapping[str, Any], newest: Mapping[str, float]) -> list[tuple[str, str]]:
    held = [(told(name, value), score(name).title) for name, value in _heldout(newest).items()]
    best = [pair for pair in held if pair[1] != "loss"][:HEADLINE]
    steps = [(f"{summary['steps']:,}", "steps")] if "steps" in summary else []
    waiting = [(f"{newest['waiting']:.0%}", "of the time waiting for data")] if "waiting" in newest else []
    return [*best, *steps, *waiting]


def _subtitle(summary: Mapping[str, Any]) -> str:
    words = [str(summary[name]) for name in ("recipe", "device", "precision") if summary.get(name)]
    end = f"finished {summary['finished']}" if summary.get("finished") else ""
    return ", ".join([*words, *([end] if end else [])]) + (" (stopped early)" if summary.get("interrupted") else "")


def _setting(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What it began from, on how many labels, and what was trained, as far as the summary tells."""
    data = summary.get("data", {})
    return [(name, text) for name, text in _setting_rows(summary, data) if text]


def _setting_rows(summary: Mapping[str, Any], data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    labels, config = summary.get("labels"), summary.get("config", {})
    share = config.get("labels") if labels is None else labels
    return [
        ("first weights", str(summary.get("init") or data.get("init") or "random")),
        ("labels used", f"{share:.0%}" if isinstance(share, float) else ""),
        (
            "trained",
            {"all": "all weights", "head": "the head alone", "norm": "the head and norms"}.get(
                str(summary.get("tune") or config.get("tune")), ""
            ),
        ),
    ]


def _heldout(newest: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in newest.items() if name.startswith(HELD_OUT)}


def _heldout_charts(log: Log, newest: Mapping[str, float]) -> list[Markup]:
    """Every figure of the held-out part over the steps, the training loss beside the held-out one."""
    charts = []
    for name in _heldout(newest):
        figure = score(name)
        series: Series = {"held out": curve(log, name, figure.factor)}
        if name == f"{HELD_OUT}loss":
            series = {"held out": curve(log, name), "training": curve(log, "loss")}
        charts.append(lines(series, "step", figure.label, dots=len(series) == 1, legend=len(series) > 1))
    return charts


def _training_charts(log: Log) -> list[Markup]:
    """How the run went: speed, waiting, learning rate."""
    told_of = [(curve(log, name, factor), label) for name, (label, factor) in HOW_IT_WENT.items()]
    return [lines({label: some}, "step", label, legend=False) for some, label in told_of if some[0]]
