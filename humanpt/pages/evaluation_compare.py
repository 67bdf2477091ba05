"""Two evaluated runs on one page: figures, errors side by side, and what each makes of the same samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from humanpt.data.image import Rgb
from humanpt.pages.case_pictures import draw_case, heat_key, heat_limit, tile_names
from humanpt.pages.cases import Case
from humanpt.pages.charts import Series, bars, scatter, swatch
from humanpt.pages.evaluation import ALIGNED, CAPTION, Binned, binned_bars, card_rows, share_curves
from humanpt.pages.page import write_page
from humanpt.pages.scores import leading, score, told

HEADLINE = 4  # figures whose change stands large at the top


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluated:
    """What an evaluation found, as a page beside another shows it."""

    name: str
    """What the page calls the run."""
    card: Mapping[str, Any]
    """The protocol that its figures were taken by."""
    figures: Mapping[str, float]
    """By the names that `pages.scores` tells."""
    per_joint: Mapping[str, float] = field(default_factory=dict)
    """Mean error of each key point, millimetres."""
    per_part: Mapping[str, float] = field(default_factory=dict)
    """Mean error of each part of the surface, millimetres, or what `part_label` says."""
    part_label: str = "mean error (mm)"
    """What is told of each part, with its unit."""
    by_occlusion: Binned = ()
    """Errors by the share of the subject that is hidden."""
    by_view_angle: Binned = ()
    """Errors by where the subject is seen from."""
    pck_curve: Series = field(default_factory=dict)
    """By alignment, distances in millimetres and the share of key points within each, from 0 to 1."""
    by_sample: Mapping[str, float] = field(default_factory=dict)
    """The ranking error of each sample, millimetres, by the name of the sample."""
    cases: Sequence[Case] = ()
    """Samples drawn out; those that both runs have are shown, in the order of the first."""


def write_run_comparison(
    path: Path, a: Evaluated, b: Evaluated, *, unlike: Sequence[str] = (), title: str | None = None
) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        a: the run that stands on the left.
        b: the other one.
        unlike: why their figures do not compare, in words; then none is called the better one.
        title: of the page; by default the names of the runs.

    Raises:
        OutputError: if the page cannot be written.
    """
    both = {a.name: a, b.name: b}
    shared = [(case, other) for case in a.cases for other in b.cases if case.name == other.name]
    limit = heat_limit(case for pair in shared for case in pair)
    charts = [
        _bars({name: run.per_joint for name, run in both.items()}, "mean error (mm)", "by joint"),
        _bars({name: run.per_part for name, run in both.items()}, a.part_label, "by part of the surface"),
        _binned({name: run.by_occlusion for name, run in both.items()}, "by how much is hidden"),
        _binned({name: run.by_view_angle for name, run in both.items()}, "by where it is seen from"),
        _curves(both),
    ]
    write_page(
        path,
        "evaluation_compare.html",
        title=title or f"{a.name} beside {b.name}",
        runs=[(swatch(number), name) for number, name in enumerate(both)],
        unlike=unlike,
        headline=_headline(a, b) if not unlike else [],
        figures=_figures(a, b, judge=not unlike),
        samples=_samples(a, b),
        charts=[chart for chart in charts if chart is not None],
        cards=_cards(a, b),
        cases=[_pair(case, other, a.name, b.name, limit) for case, other in shared],
        tiles=", ".join(tile_names(shared[0][0])) if shared else "",
        heat=heat_key(limit),
    )


def _figures(a: Evaluated, b: Evaluated, *, judge: bool) -> list[dict[str, Any]]:
    """Rows of the table of figures: what both say, and how much less or more the second is."""
    rows = []
    for name in dict.fromkeys([*a.figures, *b.figures]):
        first, second, better = a.figures.get(name), b.figures.get(name), score(name).better
        texts = [told(name, value) for value in (first, second)]
        change, best = "", None
        if first is not None and second is not None:
            change = f"{(second - first) / abs(first):+.1%}" if first and texts[0] != texts[1] else ""
            if judge and better is not None and texts[0] != texts[1]:
                best = told(name, min(first, second) if better == "low" else max(first, second))
        cells = [(text, text == best) for text in texts]
        rows.append({"title": score(name).title, "cells": cells, "change": change})
    return rows


def _headline(a: Evaluated, b: Evaluated) -> list[tuple[str, str, str]]:
    """How the first figures change from the first run to the second, in words, and whether that is good or bad."""
    changed = []
    for name, value in leading(a.figures, HEADLINE).items():
        if not value or name not in b.figures:
            continue
        figure, change = score(name), (b.figures[name] - value) / abs(value)
        words = f"{figure.title}: {figure.told(value)} to {told(name, b.figures[name])}"
        verdict = (
            "" if figure.better is None or not change else "good" if (change < 0) == (figure.better == "low") else "bad"
        )
        changed.append((f"{change:+.1%}", words, verdict))
    return changed


def _samples(a: Evaluated, b: Evaluated) -> dict[str, Any] | None:
    """Both errors of each sample against each other; None where the runs share none."""
    names = [
        name
        for name, error in a.by_sample.items()
        if name in b.by_sample and np.isfinite(error) and np.isfinite(b.by_sample[name])
    ]
    if not names:
        return None
    first, second = (np.array([run.by_sample[name] for name in names]) for run in (a, b))
    return {
        "chart": scatter(first, second, f"{a.name} (mm)", f"{b.name} (mm)"),
        "count": f"{len(names):,}",
        "better": f"{np.mean(second < first):.0%}",
    }


def _bars(series: Mapping[str, Mapping[str, float]], label: str, title: str) -> Markup | None:
    return bars(series, label, title) if all(series.values()) else None


def _binned(binned: Mapping[str, Binned], title: str) -> Markup | None:
    return binned_bars(binned, title) if all(binned.values()) else None


def _curves(both: Mapping[str, Evaluated]) -> Markup | None:
    """One curve of each run, by the strictest alignment that both have."""
    kinds = [kind for kind in ALIGNED if all(kind in run.pck_curve for run in both.values())]
    return share_curves({name: run.pck_curve[kinds[-1]] for name, run in both.items()}) if kinds else None


def _cards(a: Evaluated, b: Evaluated) -> list[tuple[str, str, str, bool]]:
    """Rows of both cards: the name, what each says, and whether they differ."""
    first, second = dict(card_rows(a.card)), dict(card_rows(b.card))
    names = dict.fromkeys([*first, *second])
    return [(name, first.get(name, "-"), second.get(name, "-"), first.get(name) != second.get(name)) for name in names]


def _pair(case: Case, other: Case, first: str, second: str, limit_mm: float | None) -> dict[str, Any]:
    def told_of(some: Case) -> str:
        return ", ".join(
            f"{score(name).title} {told(name, value)}" for name, value in leading(some.errors, CAPTION).items()
        )

    pictures: list[tuple[str, Rgb, str]] = [
        (first, draw_case(case, limit_mm), told_of(case)),
        (second, draw_case(other, limit_mm, crop=False), told_of(other)),
    ]
    return {"name": case.name, "pictures": pictures}
