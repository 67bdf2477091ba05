"""The page of the rotation study: errors of every form in a table and in charts, and what was expected of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from humanpt.pages.charts import lines, swatch
from humanpt.pages.page import write_page
from humanpt.tasks.rotation import ANGLE_BINS, CHUNK, FULL_TURN

NAMES = {
    "procrustes": "Procrustes (9 numbers)",
    "6d": "6D (6)",
    "quat": "quaternion (4)",
    "rotvec": "rotation vector (3)",
    "euler": "Euler angles (3)",
}
"""The forms as the page calls them, with how many numbers a head gives for each."""

Curve = tuple[list[float], list[float]]


def write_rotation_study(path: Path, study: Mapping[str, Any]) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        study: what `commands.rotation_study` keeps in `results.json`.

    Raises:
        OutputError: if the file cannot be written.
    """
    task, limits = study["config"]["task"], study["config"]["limits"]
    write_page(
        path,
        "rotation_study.html",
        title="Which form of rotations is learnt best?",
        task=task,
        seeds=study["seed"],
        device=study["device"],
        forms=[(swatch(number), NAMES[form]) for number, form in enumerate(study["config"]["forms"])],
        limits=[_range(limit) for limit in limits],
        baselines=list(study["baseline"].values()),
        rows=_rows(study),
        bars=[bar | {"bar": _told(bar)} for bar in study["bars"]],
        groups=[(_range(limit), _charts(study, limit)) for limit in limits],
    )


def _rows(study: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each form: its mean error, spread and worst answer at each range, None where it was not tried."""
    found = {(line["form"], line["limit"]): line for line in study["table"]}
    least = {limit: min(line["mean"] for line in study["table"] if line["limit"] == limit) for _, limit in found}
    rows = []
    for number, form in enumerate(study["config"]["forms"]):
        cells = []
        for limit in study["config"]["limits"]:
            line = found.get((form, limit))
            cells.append(None if line is None else line | {"best": f"{line['mean']:.2f}" == f"{least[limit]:.2f}"})
        rows.append({"swatch": swatch(number), "name": NAMES[form], "cells": cells})
    return rows


def _charts(study: Mapping[str, Any], limit: float) -> list[Markup]:
    """Errors by rank, errors by true angle, and losses, each form one curve: the mean over its seeds."""
    of_form = {result["form"]: result["seeds"] for result in study["results"] if result["limit"] == limit}
    forms, task = study["config"]["forms"], study["config"]["task"]

    def curves(what: str, first: float, last: float) -> dict[str, Curve]:
        """One figure of every form, at places that are evenly spread from the first to the last."""
        return {NAMES[form]: _curve([s[what] for s in of_form.get(form, [])], first, last) for form in forms}

    ranked = curves("quantiles", 0, 100)
    by_angle = curves("by_angle", limit / ANGLE_BINS / 2, limit - limit / ANGLE_BINS / 2)
    losses = curves("loss", min(CHUNK, task["steps"]), task["steps"])
    return [
        lines(ranked, "share of the tests, %", "error that the share stays within, degrees", legend=False, log=True),
        lines(by_angle, "angle of the true rotation, degrees", "mean error, degrees", True, legend=False, log=True),
        lines(losses, "step", "loss (squared distance of matrices)", legend=False, log=True),
    ]


def _curve(by_seed: Sequence[Sequence[float | None]], first: float, last: float) -> Curve:
    """Points of the mean over seeds, without the places where a seed has none."""
    y = np.asarray(by_seed, float).mean(0) if by_seed else np.empty(0)
    x = np.linspace(first, last, len(y))
    return x[np.isfinite(y)].tolist(), y[np.isfinite(y)].tolist()


def _range(limit: float) -> str:
    return "all rotations" if limit == FULL_TURN else f"up to {limit:g} degrees"


def _told(bar: Mapping[str, Any]) -> str:
    return f"at most {bar['most']:g}" if bar["most"] is not None else f"at least {bar['least']:g}"
