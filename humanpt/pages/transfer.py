"""What first weights are worth: a table and a plot over the share of labels, with the spread over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from humanpt.pages.charts import spread, swatch
from humanpt.pages.page import write_page


class Measure(NamedTuple):
    """The figure that decides."""

    name: str
    """Its name among the figures of an evaluation."""
    title: str
    """What people call it, with its unit."""
    better: Literal["low", "high"]
    """Which end is the good one."""


class Outcome(NamedTuple):
    """One fine-tuned network, measured."""

    init: str
    """Name of the first weights."""
    share: float
    """Share of the labels."""
    seed: int
    """Seed of head, order and choice of labels."""
    labelled: int
    """Labelled pictures that it learned from."""
    value: float
    """The figure that decides."""
    figures: Mapping[str, float]
    """All figures of its evaluation."""


def summarise(outcomes: Sequence[Outcome], measure: Measure) -> list[dict[str, Any]]:
    """A line for each first weights and share: mean, least and most over the seeds, and what the mean gains.

    Returns:
        By order of the outcomes: `init`, `share`, `labelled`, `seeds` (how many), `mean`, `least`, `most`, and `gain`,
        by first weights the share by which the mean is better than theirs, 0.1 being 10 % less error; of those with the
        same seeds alone.
    """
    cells: dict[tuple[str, float], list[Outcome]] = {}
    for outcome in outcomes:
        cells.setdefault((outcome.init, outcome.share), []).append(outcome)
    means = {cell: statistics.fmean(one.value for one in some) for cell, some in cells.items()}
    seeds = {cell: {one.seed for one in some} for cell, some in cells.items()}
    lines = []
    for (init, share), some in cells.items():
        values = [one.value for one in some]
        others = [name for name, at in cells if at == share and name != init and seeds[name, at] == seeds[init, share]]
        lines.append(
            {
                "init": init,
                "share": share,
                "labelled": some[0].labelled,
                "seeds": len(some),
                "mean": means[init, share],
                "least": min(values),
                "most": max(values),
                "gain": {name: _gain(means[init, share], means[name, share], measure) for name in others},
            }
        )
    return lines


def _gain(value: float, other: float, measure: Measure) -> float | None:
    """By what share of the other a value is better; None where the other is 0."""
    if not other:
        return None
    return (other - value if measure.better == "low" else value - other) / other


def table_in_markdown(document: Mapping[str, Any]) -> str:
    """The table as Markdown, a row for each first weights, a column for each share of labels."""
    head = [document["measure"]["title"], *heading(document)[1:]]
    lines = [head, ["---"] * len(head), *rows(document)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write_transfer_report(path: Path, document: Mapping[str, Any]) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        document: what `humanpt eval transfer` prints with `--json`.

    Raises:
        OutputError: if the page cannot be written.
    """
    lines = document["table"]
    names = list(dict.fromkeys(line["init"] for line in lines))
    values: dict[str, dict[float, list[float]]] = {name: {} for name in names}
    for outcome in document["outcomes"]:
        values[outcome["init"]].setdefault(100 * outcome["share"], []).append(outcome["value"])
    gains = [
        (line["init"], _percent(line["share"]), name, gain)
        for line in lines
        for name, gain in line["gain"].items()
        if gain is not None and name in (document["baseline"], "mae")
    ]
    write_page(
        path,
        "transfer.html",
        title=f"Transfer: {document['task']}",
        document=document,
        chart=spread(values, "share of the labels (%)", document["measure"]["title"]) if lines else None,
        swatches={name: swatch(number) for number, name in enumerate(names)},
        head=heading(document),
        rows=rows(document),
        gains=[(init, share, name, f"{gain:+.1%}", gain > 0) for init, share, name, gain in gains],
    )


def heading(document: Mapping[str, Any]) -> list[str]:
    """What the columns of the table hold."""
    return ["first weights", *(f"{_percent(share)} of the labels" for share in document["shares"])]


def rows(document: Mapping[str, Any]) -> list[list[str]]:
    """Name and cells of each first weights; "-" where there is no run yet."""
    cells = {(line["init"], line["share"]): line for line in document["table"]}
    names = dict.fromkeys(name for name, _ in cells)
    return [
        [name, *(_cell(cells[name, share]) if (name, share) in cells else "-" for share in document["shares"])]
        for name in names
    ]


def _cell(line: Mapping[str, Any]) -> str:
    """A mean with its spread."""
    if line["seeds"] == 1:
        return f"{line['mean']:.4g}"
    return f"{line['mean']:.4g} ({line['least']:.4g} to {line['most']:.4g})"


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
