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
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

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
    log: bool = False,
) -> Markup:
    """Curves over a common axis; of a long one the means of neighbouring points are drawn.

    Args:
        series: name to (x, y); an empty one is left out, but keeps its colour.
        dots: mark every point, for curves of few; a single one always is.
        levels: heights to mark by a dotted grey line, each with its name.
        legend: name the curves in the chart; a page that shows the same ones often names them once by `swatch`.
        log: heights by their logarithm; what is not above zero is left out.
    """
    figure, axes = _axes(xlabel, ylabel)
    if log:
        axes.set_yscale("log", nonpositive="mask")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda height, place: f"{height:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    for number, (name, (x, y)) in enumerate(series.items()):
        if len(x):
            x, y = thinned(x, y)
            colour, dash = style(number)
            axes.plot(
                x,
                y,
                dash,
                color=colour,
                label=name,
                linewidth=1.6,
                marker="o" if dots or len(x) == 1 else None,
                markersize=3,
            )
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


def bars(series: Mapping[str, Mapping[str, float]], xlabel: str, title: str) -> Markup:
    """Level bars; of one series each with its value, of several under each other in their colours.

    Args:
        series: by name, what each bar is called and how long it is; one alone needs no name.
        xlabel: what they measure, with its unit.
        title: what tells the bars apart.
    """
    names = list(dict.fromkeys(name for some in series.values() for name in some))
    figure, axes = _axes(xlabel, "")
    thick = 0.72 / len(series)
    figure.set_figheight(0.85 + len(names) * max(0.19, 0.13 * len(series)))
    for number, (label, some) in enumerate(series.items()):
        shift = (number - (len(series) - 1) / 2) * thick
        places = [place + shift for place, name in enumerate(names) if name in some]
        lengths = [some[name] for name in names if name in some]
        drawn = axes.barh(places, lengths, thick, color=style(number)[0], alpha=0.85, label=label)
        if len(series) == 1:
            axes.bar_label(drawn, fmt="%.1f", fontsize=7, padding=2, color="#475569")
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)  # the first at the top
    longest = max((value for some in series.values() for value in some.values()), default=0.0)
    axes.set_xlim(0, 1.12 * longest if longest > 0 else 1.0)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(visible=False, axis="y")
    axes.set_title(title, fontsize=9, loc="left", color="#475569")
    if len(series) > 1:
        figure.legend(*axes.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside upper right", ncols=3)
    return _svg(figure, f"{xlabel} {title}")


def spread(series: Mapping[str, Mapping[float, Sequence[float]]], xlabel: str, ylabel: str) -> Markup:
    """Means over repetitions, with a band from the least to the most and a dot for each.

    Args:
        series: name to the values at each place of the axis, which is logarithmic.
    """
    figure, axes = _axes(xlabel, ylabel)
    axes.set_xscale("log")
    for number, (name, values) in enumerate(series.items()):
        places, colour = sorted(values), style(number)[0]
        axes.fill_between(
            places, [min(values[x]) for x in places], [max(values[x]) for x in places], color=colour, alpha=0.12
        )
        axes.plot(
            places, [np.mean(values[x]) for x in places], style(number)[1], color=colour, label=name, linewidth=1.6
        )
        dots = [(x, y) for x in places for y in values[x]]
        axes.plot(*zip(*dots, strict=True), ".", color=colour, markersize=5)
    ticks = sorted({x for values in series.values() for x in values})
    axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure, f"{ylabel} over {xlabel}")


def scatter(x: ArrayLike, y: ArrayLike, xlabel: str, ylabel: str) -> Markup:
    """Points in a square with its diagonal, for two measures (N,) of the same things in the same unit.

    Where the first is greater, below the diagonal, a point has the second colour, else the first.
    """
    figure, axes = _axes(xlabel, ylabel)
    figure.set_size_inches(4.6, 4.3)
    first, second = np.asarray(x, float), np.asarray(y, float)
    most = 1.05 * float(max(first.max(), second.max()))
    axes.plot([0, most], [0, most], color="#64748b", linewidth=1, linestyle=":")
    colours = np.where(second < first, COLOURS[1], COLOURS[0]).tolist()
    axes.scatter(first, second, s=11, color=colours, alpha=0.5, linewidths=0, rasterized=len(first) > MOST_POINTS)
    axes.set(xlim=(0, most), ylim=(0, most), aspect="equal")
    return _svg(figure, f"{ylabel} over {xlabel}")


def confusion_matrix(counts: NDArray[np.int64], names: Sequence[str]) -> Markup:
    """How many samples of each class (rows) were given each class (columns), coloured by their share of the row.

    Args:
        counts: (C, C).
        names: the C classes.
    """
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _axes("given", "true")
    figure.set_size_inches(max(4.6, 1.6 + 0.3 * len(names)), max(3.4, 1.3 + 0.3 * len(names)))
    axes.pcolormesh(share, cmap="Blues", vmin=0, vmax=1, edgecolors="#ffffff", linewidth=0.5)
    middles = np.arange(len(names)) + 0.5
    axes.set_xticks(middles, names, rotation=90, fontsize=8)
    axes.set_yticks(middles, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.grid(visible=False)
    for row, column in zip(*np.nonzero(counts), strict=True):
        ink = "#ffffff" if share[row, column] > 0.55 else "#0f172a"
        axes.text(column + 0.5, row + 0.5, f"{counts[row, column]}", fontsize=7, color=ink, ha="center", va="center")
    return _svg(figure, "confusion matrix")


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
