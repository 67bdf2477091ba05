"""Charts as inline SVG, drawn by matplotlib without a display."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

COLOURS = ("#2563eb", "#d97706", "#059669", "#b91c1c", "#7c3aed", "#475569")
DASHES = ("-", "--", ":", "-.")  # the second round of colours is dashed, the third dotted
MOST_POINTS = 400  # of one curve: a page of long runs stays small, and more cannot be told apart
Series = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def histogram(values: ArrayLike, xlabel: str, limits: Sequence[tuple[float, str]] = (), bins: int = 30) -> Markup:
    """How values are spread.

    Args:
        values: (N,) numbers.
        xlabel: what they are, with their unit.
        limits: places to mark by a dashed line, each with its name.
    """
    figure, axes = _axes(xlabel, "pairs")
    axes.hist(np.asarray(values), bins=bins, color=COLOURS[0], alpha=0.85)
    for place, name in limits:
        axes.axvline(place, color=COLOURS[3], linestyle="--", linewidth=1)
        axes.annotate(
            name, (place, 0.98), xycoords=("data", "axes fraction"), fontsize=8, rotation=90, va="top", ha="right"
        )
    return _svg(figure, f"histogram: {xlabel}")


def lines(
    series: Series,
    xlabel: str,
    ylabel: str,
    dots: bool = False,
    *,
    levels: Mapping[str, float] | None = None,
    legend: bool = True,
) -> Markup:
    """Curves over a common axis; of a long one the means of neighbouring points are drawn.

    Args:
        series: name to (x, y); an empty one is left out, but keeps its colour.
        dots: mark every point, for curves of few.
        levels: heights to mark by a dotted grey line, each with its name.
        legend: name the curves in the chart; a page that shows the same ones often names them once by `swatch`.
    """
    figure, axes = _axes(xlabel, ylabel)
    for number, (name, (x, y)) in enumerate(series.items()):
        if len(x):
            x, y = thinned(x, y)
            colour, dash = style(number)
            axes.plot(x, y, dash, color=colour, label=name, linewidth=1.6, marker="o" if dots else None, markersize=3)
    for name, height in (levels or {}).items():
        axes.axhline(height, color="#64748b", linestyle=":", linewidth=1)
        axes.annotate(
            name,
            (0.995, height),
            xycoords=("axes fraction", "data"),
            fontsize=7.5,
            color="#475569",
            va="bottom",
            ha="right",
        )
    if axes.lines and legend:
        axes.legend(frameon=False, fontsize=8)
    return _svg(figure, f"{ylabel} over {xlabel}")


def style(number: int) -> tuple[str, str]:
    """Colour and dashes of the curve of that number, counted from 0."""
    return COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]


def swatch(number: int) -> Markup:
    """A short piece of the curve of that number, to stand beside its name."""
    colour, dash = style(number)
    pattern = {"-": "none", "--": "6 3", ":": "2 3", "-.": "7 3 2 3"}[dash]
    return Markup(
        '<svg width="26" height="10" aria-hidden="true" style="display:inline-block;width:26px;vertical-align:middle">'
        '<line x1="1" y1="5" x2="25" y2="5" stroke="{}" stroke-width="3" stroke-dasharray="{}"/></svg>'
    ).format(colour, pattern)


def thinned(x: Sequence[float], y: Sequence[float], most: int = MOST_POINTS) -> tuple[list[float], list[float]]:
    """A curve of at most so many points: as it is, or the means over equal stretches of its points."""
    if len(x) <= most:
        return list(x), list(y)
    places = np.linspace(0, len(x), most + 1).round().astype(int)
    counts = np.diff(places)
    return tuple((np.add.reduceat(np.asarray(v, float), places[:-1]) / counts).tolist() for v in (x, y))


def _axes(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.6, 2.7), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(xlabel, fontsize=9)
    axes.set_ylabel(textwrap.fill(ylabel, 34), fontsize=9)  # what the height of a chart has room for
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    return figure, axes


def _svg(figure: Figure, label: str) -> Markup:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    return Markup(re.sub("<svg", f'<svg role="img" aria-label="{label}"', svg, count=1))  # the label is our own text
