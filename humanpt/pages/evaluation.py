"""`report.html` of an evaluated run: its figures with the card they belong to, and the cases behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from humanpt.body.skeletons import BODY_PARTS
from humanpt.data.image import Rgb
from humanpt.pages.case_pictures import (
    draw_case,
    draw_surface,
    heat_key,
    heat_limit,
    round_limit,
    tile_names,
)
from humanpt.pages.cases import STANDINGS, Case, Cases, Standing, SurfaceErrors
from humanpt.pages.charts import Series, bars, confusion_matrix, lines
from humanpt.pages.dense_pictures import DenseCase, draw_dense, part_colours
from humanpt.pages.page import write_page
from humanpt.pages.scores import ALIGNMENTS, by_alignment, leading, score, told

HEADLINE = 6  # figures that stand large at the top; all are in the table
CAPTION = 3  # figures of a single case
LISTED = 4  # names of a card's list that are told
Binned: TypeAlias = Sequence[tuple[str, int, float]]
"""For each range of something its name, how many samples it has, and their mean error in millimetres."""
Calibration: TypeAlias = Sequence[tuple[float, float, int]]
"""For each range of the confidence its mean, what was measured there, and how many samples it has."""
ALIGNED = {prefix.removesuffix("_") or "root": words for prefix, words in ALIGNMENTS.items()}
HEADINGS: Mapping[Standing, str] = {"best": "The best", "median": "Around the median", "worst": "The worst"}


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassCase:
    """One classified picture."""

    name: str
    """Of the sample."""
    picture: Rgb
    """(S, S, 3)."""
    true: str
    """The class it has."""
    predicted: str
    """The class it was given."""
    confidence: float
    """The probability given to that class, from 0 to 1."""


def write_evaluation_report(
    path: Path,
    *,
    title: str,
    card: Mapping[str, Any],
    figures: Mapping[str, float],
    cases: Cases,
    per_joint: Mapping[str, float] | None = None,
    per_part: Mapping[str, float] | None = None,
    by_occlusion: Binned = (),
    by_view_angle: Binned = (),
    pck_curve: Series | None = None,
    surface: SurfaceErrors | None = None,
    calibration: Calibration | None = None,
    ranked_by: str = "error",
    notes: Sequence[str] = (),
) -> None:
    """Write the page of evaluated meshes or key points.

    Args:
        path: the HTML file.
        title: what was evaluated on what.
        card: the protocol that the figures were taken by.
        figures: by the names that `pages.scores` tells; the first ones stand at the top.
        cases: the best, usual and worst ones, as `CasePicker` chooses them.
        per_joint: mean error of each key point, millimetres.
        per_part: mean error of the vertices of each part of the surface, millimetres.
        by_occlusion: errors by the share of the subject that is hidden.
        by_view_angle: errors by where the subject is seen from.
        pck_curve: by alignment, distances in millimetres and the share of key points within each, from 0 to 1.
        surface: mean error of each vertex, to be drawn on the mesh at rest.
        calibration: of the confidence, with the mean error in millimetres as what was measured.
        ranked_by: the error that ranks the cases, in words.
        notes: what a reader should know besides, one sentence each.

    Raises:
        OutputError: if the page cannot be written.
    """
    limit = heat_limit(case for some in cases.values() for case in some)
    charts = [
        bars({"": per_joint}, "mean error (mm)", "by joint") if per_joint else None,
        bars({"": per_part}, "mean error (mm)", "by part of the surface") if per_part else None,
        binned_bars({"": by_occlusion}, "by how much is hidden") if by_occlusion else None,
        binned_bars({"": by_view_angle}, "by where it is seen from") if by_view_angle else None,
        share_curves(pck_curve) if pck_curve else None,
        calibration_chart(calibration, "mean error (mm)") if calibration else None,
    ]
    write_page(
        path,
        "evaluation.html",
        **_head(title, card, figures, notes),
        charts=[chart for chart in charts if chart is not None],
        groups=[
            (HEADINGS[standing], [shown(case, limit) for case in cases[standing]])
            for standing in STANDINGS
            if cases.get(standing)
        ],
        tiles=tiles_of(cases),
        ranked_by=ranked_by,
        surface=None if surface is None else _surface(surface),
        heat=heat_key(limit),
    )


def write_class_report(
    path: Path,
    *,
    title: str,
    card: Mapping[str, Any],
    figures: Mapping[str, float],
    class_names: Sequence[str],
    confusion: NDArray[np.int64],
    worst: Sequence[ClassCase],
    calibration: Calibration | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write the page of classified pictures.

    Args:
        path: the HTML file.
        title: what was evaluated on what.
        card: the protocol that the figures were taken by.
        figures: by the names that `pages.scores` tells.
        class_names: the C classes.
        confusion: (C, C) how many samples of each class (rows) were given each class (columns).
        worst: the mistakes made with the greatest confidence, first of all.
        calibration: of the confidence, with the share that is right as what was measured.
        notes: what a reader should know besides, one sentence each.

    Raises:
        ValueError: if the matrix is not as large as there are classes.
        OutputError: if the page cannot be written.
    """
    if confusion.shape != (len(class_names), len(class_names)):
        raise ValueError(f"a confusion matrix of {confusion.shape} for {len(class_names)} classes")
    counts = confusion.sum(axis=1)
    right = {name: 100 * float(confusion[i, i]) / int(counts[i]) for i, name in enumerate(class_names) if counts[i]}
    write_page(
        path,
        "evaluation_classes.html",
        **_head(title, card, figures, notes),
        confusion=confusion_matrix(confusion, class_names),
        charts=[
            bars({"": right}, "right (%)", "by class"),
            *([calibration_chart(calibration, "share that is right", diagonal=True)] if calibration else []),
        ],
        worst=worst,
    )


def write_dense_report(
    path: Path,
    *,
    title: str,
    card: Mapping[str, Any],
    figures: Mapping[str, float],
    cases: Mapping[Standing, Sequence[DenseCase]],
    part_names: Sequence[str] = BODY_PARTS,
    per_part: Mapping[str, float] | None = None,
    calibration: Calibration | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write the page of dense poses.

    Args:
        path: the HTML file.
        title: what was evaluated on what.
        card: the protocol that the figures were taken by.
        figures: by the names that `pages.scores` tells.
        cases: the best, usual and worst ones.
        part_names: of the parts, numbered from 1.
        per_part: intersection over union of each part, from 0 to 1.
        calibration: of the confidence, with the share of pixels of the right part as what was measured.
        notes: what a reader should know besides, one sentence each.

    Raises:
        OutputError: if the page cannot be written.
    """
    shares = {name: 100 * value for name, value in per_part.items()} if per_part else None
    charts = [
        bars({"": shares}, "intersection over union (%)", "by part of the surface") if shares else None,
        calibration_chart(calibration, "share that is right", diagonal=True) if calibration else None,
    ]
    write_page(
        path,
        "evaluation_dense.html",
        **_head(title, card, figures, notes),
        charts=[chart for chart in charts if chart is not None],
        groups=[
            (
                HEADINGS[standing],
                [{"case": case, "strip": draw_dense(case), **_caption(case)} for case in cases[standing]],
            )
            for standing in STANDINGS
            if cases.get(standing)
        ],
        parts_key=part_colours(part_names),
    )


def shown(case: Case, limit_mm: float | None) -> dict[str, Any]:
    """A case as the templates show it."""
    return {"strip": draw_case(case, limit_mm), "tiles": ", ".join(tile_names(case)), **_caption(case)}


def tiles_of(cases: Cases) -> str:
    """What the tiles of these cases are, in words; empty without a case."""
    return next((", ".join(tile_names(case)) for standing in STANDINGS for case in cases.get(standing, ())), "")


def card_rows(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A card as rows of a table, nested ones with their names in front; digests are cut short."""
    rows = []
    for name, value in card.items():
        if isinstance(value, Mapping):
            rows += [(f"{name} {inner}", text) for inner, text in card_rows(value)]
        elif value not in (None, "", (), []):
            rows.append((name.replace("_", " "), _card_value(value)))
    return rows


def binned_bars(binned: Mapping[str, Binned], title: str) -> Markup:
    """Bars of the errors by ranges of something, each range with how many samples it has."""
    named = {
        series: {f"{label}  (n = {count:,})": mm for label, count, mm in some if count}
        for series, some in binned.items()
    }
    return bars(named, "mean error (mm)", title)


def share_curves(curves: Series) -> Markup:
    """Curves of the share of key points within a distance, from 0 to 1 and told in hundredths."""
    order = [*(name for name in ALIGNED if name in curves), *(name for name in curves if name not in ALIGNED)]
    told_of = {ALIGNED.get(name, name): (curves[name][0], [100 * share for share in curves[name][1]]) for name in order}
    return lines(told_of, "distance (mm)", "key points within it (%)", legend=len(told_of) > 1)


def calibration_chart(calibration: Calibration, ylabel: str, *, diagonal: bool = False) -> Markup:
    """What was measured over the confidence; with a diagonal, where the two should agree."""
    series: dict[str, tuple[Sequence[float], Sequence[float]]] = {
        "measured": ([row[0] for row in calibration], [row[1] for row in calibration])
    }
    if diagonal:
        series["as it should be"] = ([0, 1], [0, 1])
    return lines(series, "confidence", ylabel, dots=True, legend=diagonal)


def _surface(surface: SurfaceErrors) -> dict[str, Any]:
    limit = round_limit(surface.errors_mm)
    return {"picture": draw_surface(surface, limit), "heat": heat_key(limit)}


def _head(title: str, card: Mapping[str, Any], figures: Mapping[str, float], notes: Sequence[str]) -> dict[str, Any]:
    """What every page of an evaluation begins with."""
    where = [str(card[name]) for name in ("dataset", "split") if card.get(name)]
    count = [f"{card['count']:,} samples"] if isinstance(card.get("count"), int) else []
    return {
        "title": title,
        "subtitle": ", ".join([*where, *count]),
        "headline": [(told(name, value), score(name).title) for name, value in leading(figures, HEADLINE).items()],
        "figures": by_alignment(figures),
        "card": card_rows(card),
        "notes": notes,
    }


def _caption(case: Case | DenseCase) -> dict[str, Any]:
    return {
        "name": case.name,
        "errors": [(score(name).title, told(name, value)) for name, value in leading(case.errors, CAPTION).items()],
    }


def _card_value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        first = ", ".join(_card_value(item).replace("_", " ") for item in value[:LISTED])
        return first if len(value) <= LISTED else f"{len(value)}: {first}, …"
    text = str(value)
    return f"{text[:16]}…" if len(text) == 64 and set(text) <= set("0123456789abcdef") else text
