"""Several runs on one page: curves, final figures, the settings that differ, and what each makes of the same pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from humanpt.pages.charts import lines, swatch
from humanpt.pages.figures import Figure, curve, figures_in, is_constant, levels_of
from humanpt.pages.page import write_page
from humanpt.pages.run_folder import RunFolder
from humanpt.pages.training import side_by_side

GROUPS = {
    "held out": "Held-out pairs",
    "reference": "Is the reference used?",
    "transfer": "Transfer: what frozen features tell of 3D poses",
    "training": "Training",
    "speed": "Speed",
    None: "Other figures",
}
# What another value of changes the error that is measured, and not only how far it falls.
MEASURE = ("task.mask.", "task.model.patch_size", "task.model.image_size", "task.normalise_target", "task.heldout_")
KINDS = ("task.view_weight", "task.pose_weight")  # what a loss over kinds of pairs is taken over
HEAVY = 12  # settings that differ beyond which they fold away


@dataclass(frozen=True, kw_only=True, eq=False)
class Completed:
    """One held-out pair as every run completes it; (S, S, 3) uint8 pictures."""

    kind: str
    """Kind of the pair, in words."""
    truth: NDArray[np.uint8]
    """The first picture."""
    reference: NDArray[np.uint8]
    """The second picture."""
    by_run: Mapping[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]
    """By the name of the run, its masked input and its completion."""


def write_comparison(
    path: Path,
    runs: Mapping[str, RunFolder],
    *,
    warnings: Mapping[str, Sequence[str]],
    notes: Sequence[str],
    completed: Sequence[Completed],
) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        runs: by the name that the page calls each by; one is enough.
        warnings: early warnings of each run, in words.
        notes: what was left out and why.
        completed: held-out pairs that all runs were shown, if they share any.

    Raises:
        OutputError: if the file cannot be written.
    """
    differing = differences(runs)
    write_page(
        path,
        "compare.html",
        title=f"{len(runs)} runs side by side" if len(runs) > 1 else f"The run {next(iter(runs))}",
        runs=[_row(number, name, run) for number, (name, run) in enumerate(runs.items())],
        warnings=[(name, text) for name in runs for text in warnings.get(name, ())],
        notes=notes,
        caution=incomparable(runs),
        groups=_charts(runs),
        finals=_finals(runs),
        names=list(runs),
        differing=differing,
        folded=len(differing) > HEAVY,
        completed=[_shown(pair) for pair in completed],
    )


def differences(runs: Mapping[str, RunFolder]) -> dict[str, dict[str, Any]]:
    """The settings in which runs differ, by name (nested ones with dots) and run; None where a run has no such one."""
    flat = {name: _flat(run.config) for name, run in runs.items() if run.config}
    names = dict.fromkeys(field for settings in flat.values() for field in settings)
    found = {field: {name: settings.get(field) for name, settings in flat.items()} for field in names}
    return {field: values for field, values in found.items() if len({repr(v) for v in values.values()}) > 1}


def incomparable(runs: Mapping[str, RunFolder]) -> str | None:
    """Why errors of pixels do not compare between these runs, in words; None if they do."""
    differing = [name for name in differences(runs) if name.startswith(MEASURE)]
    if differing:
        return (
            f"the settings {', '.join(differing)} differ, so each run completes other patches or is measured otherwise"
        )
    heldout = {repr(_heldout(run)) for run in runs.values() if run.ledger}
    return "they were held out of different pairs" if len(heldout) > 1 else None


def final_figures(run: RunFolder) -> dict[str, float]:
    """The newest figures of a run, and its best held-out loss with its step."""
    best = run.best()
    return run.figures | ({} if best is None else {"best_heldout_loss": best[0], "best_step": float(best[1])})


def _heldout(run: RunFolder) -> tuple[Any, ...]:
    assert run.ledger is not None
    return run.ledger.get("shards"), run.ledger.get("heldout")


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def _row(number: int, name: str, run: RunFolder) -> dict[str, Any]:
    ledger, summary = run.ledger or {}, run.summary or {}
    return {
        "swatch": swatch(number),
        "name": name,
        "recipe": run.config.get("recipe", "-"),
        "subject": run.config.get("subject", "-"),
        "objective": run.config.get("task", {}).get("objective", "completion") if run.config.get("task") else "-",
        "state": f"{run.state}, step {run.step:,}",
        "where": ", ".join(filter(None, (summary.get("device"), summary.get("precision")))) or "-",
        "training": ledger.get("training", {}).get("pairs", "-"),
        "heldout": ledger.get("heldout", {}).get("pairs", "-"),
    }


def _charts(runs: Mapping[str, RunFolder]) -> list[tuple[str, list[Markup]]]:
    """Titles and charts of every group that the logs have figures of, every figure of all runs in one chart."""
    by_group: dict[str, list[Markup]] = {}
    for figure in figures_in(run.log for run in runs.values()):
        if is_constant(figure):
            continue
        series = {name: curve(run.log, figure.name, figure.factor) for name, run in runs.items()}
        few = max(len(x) for x, _ in series.values()) <= 40
        chart = lines(series, "step", figure.label, dots=few, levels=_levels(runs, figure), legend=False)
        by_group.setdefault(GROUPS[figure.group], []).append(chart)
    return list(by_group.items())


def _levels(runs: Mapping[str, RunFolder], figure: Figure) -> dict[str, float]:
    """The constants that all runs measured alike; those that differ would say nothing beside each other."""
    measured = [levels_of(run.log, figure.name) for run in runs.values()]
    common = {title: value for levels in measured for title, value in levels.items()}
    return {
        title: value
        for title, value in common.items()
        if all(abs(levels.get(title, value) - value) <= 1e-3 * abs(value) for levels in measured)
    }


def _finals(runs: Mapping[str, RunFolder]) -> list[dict[str, Any]]:
    """Rows of the table of final figures: a title, and the text of each run with whether it is the best."""
    caution = incomparable(runs)
    kinds_differ = not differences(runs).keys().isdisjoint(KINDS)
    rows = []
    best_loss = Figure(
        name="best_heldout_loss",
        title="lowest held-out loss",
        group="held out",
        better="low",
        pixels=True,
        over_kinds=True,
    )
    best_step = Figure(name="best_step", title="at step", group="held out", digits=0)
    finals = {name: final_figures(run) for name, run in runs.items()}
    for figure in [best_loss, best_step, *figures_in(run.log for run in runs.values())]:
        values = [finals[name].get(figure.name) for name in runs]
        known = [value for value in values if value is not None]
        if not known:
            continue
        judged = figure.better is not None and not (figure.pixels and caution)
        judged = judged and not (figure.over_kinds and kinds_differ)
        judged = judged and len({figure.told(value) for value in known}) > 1
        best = figure.told(min(known) if figure.better == "low" else max(known)) if judged else None
        rows.append({"title": figure.label, "cells": [(figure.told(v), figure.told(v) == best) for v in values]})
    return rows


def _shown(pair: Completed) -> dict[str, Any]:
    """A row of pictures; the masked input once if all runs were given the same, else with each completion."""
    inputs = [masked for masked, _ in pair.by_run.values()]
    alike = all(np.array_equal(masked, inputs[0]) for masked in inputs)
    given = [pair.reference, inputs[0], pair.truth] if alike else [pair.reference, pair.truth]
    return {
        "kind": pair.kind,
        "given": side_by_side(given),
        "caption": "reference, masked input, truth" if alike else "reference, truth",
        "by_run": [
            (name, side_by_side([completion] if alike else [masked, completion]))
            for name, (masked, completion) in pair.by_run.items()
        ],
    }
