"""`report.html` of a fine-tuned network: how it went, what it began from, and what it makes of held-out pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from humanpt.pages.charts import Series, lines
from humanpt.pages.figures import Log, curve, newest_figures
from humanpt.pages.page import write_page
from humanpt.pages.scores import score, told

HELD_OUT = "heldout_"
TUNED = {"all": "all weights", "head": "the head alone", "norm": "the head, and the norms of the trunk"}
HOW_IT_WENT = {
    "waiting": ("time spent waiting for data (%)", 100.0),
    "pictures_per_second": ("pictures per second", 1.0),
    "lr": ("learning rate", 1.0),
    "grad_norm": ("norm of the gradient", 1.0),
    "peak_memory_gib": ("peak memory (GiB)", 1.0),
}
HEADLINE = 4  # held-out figures that stand large at the top
LEAST_LENGTH = 448  # of a shown picture, pixels


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
    last, best = _held_out(newest_figures(log)), _held_out(summary.get("best_figures", {}))
    heldout = last | best
    levels = _levels(heldout)
    words = [str(summary[name]) for name in ("recipe", "device", "precision") if summary.get(name)]
    if summary.get("finished"):
        words.append(f"finished {summary['finished']}" + (" (stopped early)" if summary.get("interrupted") else ""))
    write_page(
        path,
        "finetuning.html",
        title=f"{str(summary.get('task', 'A network')).replace('-', ' ').capitalize()}, fine-tuned",
        subtitle=", ".join(words),
        warnings=summary.get("warnings", ()),
        headline=_headline(summary, heldout),
        best_step=summary["best_step"] if best else None,
        setting=_setting(summary),
        finals=[(score(name).title, told(name, best.get(name)), told(name, last.get(name))) for name in heldout],
        heldout=[_heldout_chart(log, name, levels.get(name, {})) for name in heldout if not _is_level(name, heldout)],
        training=_training_charts(log, heldout),
        panels={name.replace("/", " "): _enlarged(picture) for name, picture in panels.items()},
        settings=json.dumps(summary.get("config", {}), indent=2),
    )


def _held_out(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if name.startswith(HELD_OUT)}


def _headline(summary: Mapping[str, Any], heldout: Mapping[str, float]) -> list[tuple[str, str]]:
    measured = [name for name in heldout if score(name).better is not None and name != f"{HELD_OUT}loss"]
    found = [(told(name, heldout[name]), score(name).title) for name in measured if not _is_level(name, heldout)]
    found = found[:HEADLINE]
    if "steps" in summary:
        found.append((f"{summary['steps']:,}", "steps"))
    if summary.get("waiting") is not None:
        found.append((f"{summary['waiting']:.0%}", "of the time waiting for data"))
    return found


def _setting(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What it began from, on how many labels, and what was trained, as far as the summary tells."""
    data = summary.get("data", {})
    rows = [
        ("first weights", str(summary.get("init") or "")),
        ("data", str(data.get("data") or "")),
        ("licence of the data", ", ".join(str(source["licence"]) for source in data.get("sources", ()))),
        ("labels used", f"{summary['labels']:.0%}" if "labels" in summary else ""),
        ("pictures trained on", f"{summary['labelled']:,}" if "labelled" in summary else ""),
        ("pictures held out", f"{summary['heldout']:,}" if "heldout" in summary else ""),
        ("trained", TUNED.get(str(summary.get("tune")), "")),
    ]
    return [(name, text) for name, text in rows if text]


def _enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture whose longer side has at least some length, so that crops of small networks can be made out."""
    ratio = LEAST_LENGTH / max(picture.shape[:2])
    if ratio <= 1:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_CUBIC), np.uint8)


def _is_level(name: str, heldout: Mapping[str, float]) -> bool:
    """Whether a figure is what a guess without looking would score, which its chart shows as a level."""
    bare = name.removeprefix(HELD_OUT)
    return bare == "chance" or (bare.startswith("mean_") and HELD_OUT + bare.removeprefix("mean_") in heldout)


def _levels(heldout: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """The levels of each figure by what they are called in its chart."""
    found = {}
    for name, value in heldout.items():
        if _is_level(name, heldout):
            bare = name.removeprefix(HELD_OUT)
            of = "top1" if bare == "chance" else bare.removeprefix("mean_")
            title = "always the most frequent" if bare == "chance" else "always the mean pose"
            found[HELD_OUT + of] = {title: value * score(HELD_OUT + of).factor}
    return found


def _heldout_chart(log: Log, name: str, levels: Mapping[str, float]) -> Markup:
    """A held-out figure over the steps, beside the same figure of training where there is one."""
    figure, alone = score(name), name.removeprefix(HELD_OUT)
    series: Series = {
        "held out": curve(log, name, figure.factor),
        "training": curve(log, alone, figure.factor),
    }
    both = bool(series["training"][0])
    few = len(series["held out"][0]) <= 40 and not both
    return lines(series, "step", figure.label, dots=few, levels=levels, legend=both)


def _training_charts(log: Log, heldout: Mapping[str, float]) -> list[Markup]:
    """Terms of the loss that are measured in training alone, and how the run went."""
    known = {"step", "loss", *HOW_IT_WENT, *heldout, *(name.removeprefix(HELD_OUT) for name in heldout)}
    terms = dict.fromkeys(name for line in log for name in line if name not in known)
    series: Series = {score(name).title: curve(log, name) for name in terms}
    charts = [lines(series, "step", "terms of the training loss")] if series else []
    for name, (label, factor) in HOW_IT_WENT.items():
        some = curve(log, name, factor)
        if some[0]:
            charts.append(lines({label: some}, "step", label, legend=False))
    return charts
