"""Charts as inline SVG, drawn by matplotlib without a display."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

COLOURS = ("#2563eb", "#d97706", "#059669", "#b91c1c", "#7c3aed", "#475569")
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


def lines(series: Series, xlabel: str, ylabel: str, dots: bool = False) -> Markup:
    """Curves over a common axis.

    Args:
        series: name to (x, y); an empty one is left out.
        dots: mark every point, for curves of few.
    """
    figure, axes = _axes(xlabel, ylabel)
    for colour, (name, (x, y)) in zip(COLOURS * 4, series.items(), strict=False):
        if len(x):
            axes.plot(x, y, color=colour, label=name, linewidth=1.6, marker="o" if dots else None, markersize=3)
    if axes.lines:
        axes.legend(frameon=False, fontsize=8)
    return _svg(figure, f"{ylabel} over {xlabel}")


def _axes(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.4, 2.9), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(xlabel, fontsize=9)
    axes.set_ylabel(ylabel, fontsize=9)
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
