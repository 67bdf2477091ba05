"""What first weights are worth: tables and plots over the share of labels, with the spread over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from humanpt.pages.charts import spread, swatch
from humanpt.pages.page import write_page
from humanpt.pages.scores import score


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
    figures: Mapping[str, float]
    """All figures of its evaluation."""


def summarise(outcomes: Sequence[Outcome], figure: str) -> list[dict[str, Any]]:
    """A line for each first weights and share: mean, least and most over the seeds, and what the mean gains.

    Args:
        outcomes: what was measured.
        figure: the figure that is compared.

    Returns:
        In the order of the outcomes: `init`, `share`, `labelled`, `seeds` (how many), `mean`, `least`, `most`, and
        `gain`, by first weights the share by which the mean is better than theirs, 0.1 being 10 % less error; of those
        with the same seeds alone.
    """
    cells: dict[tuple[str, float], list[Outcome]] = {}
    for outcome in outcomes:
        cells.setdefault((outcome.init, outcome.share), []).append(outcome)
    means = {cell: statistics.fmean(one.figures[figure] for one in some) for cell, some in cells.items()}
    seeds = {cell: {one.seed for one in some} for cell, some in cells.items()}
    lines = []
    for (init, share), some in cells.items():
        values = [one.figures[figure] for one in some]
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
                "gain": {name: _gain(means[init, share], means[name, share], figure) for name in others},
            }
        )
    return lines


def _gain(value: float, other: float, figure: str) -> float | None:
    """By what share of the other a value is better; None where the other is 0."""
    if not other:
        return None
    return (other - value if score(figure).better == "low" else value - other) / other


def tables_in_markdown(document: Mapping[str, Any]) -> str:
    """The tables as Markdown, a row for each first weights, a column for each share of labels."""
    texts = []
    for figure in document["tables"]:
        head = [_titled(figure), *heading(document)[1:]]
        lines = [head, ["---"] * len(head), *rows(document, figure)]
        texts.append("".join(f"| {' | '.join(line)} |\n" for line in lines))
    return "\n".join(texts)


def write_transfer_report(path: Path, document: Mapping[str, Any]) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        document: what `humanpt eval transfer` prints with `--json`.

    Raises:
        OutputError: if the page cannot be written.
    """
    names = list(dict.fromkeys(outcome["init"] for outcome in document["outcomes"]))
    write_page(
        path,
        "transfer.html",
        title=f"Transfer: {document['task']}",
        document=document,
        swatches={name: swatch(number) for number, name in enumerate(names)},
        head=heading(document),
        parts=[_part(document, figure, names) for figure in document["tables"]] if names else [],
    )


def _part(document: Mapping[str, Any], figure: str, names: Sequence[str]) -> dict[str, Any]:
    """What the page shows of a figure."""
    values: dict[str, dict[float, list[float]]] = {name: {} for name in names}
    for outcome in document["outcomes"]:
        values[outcome["init"]].setdefault(100 * outcome["share"], []).append(outcome["figures"][figure])
    gains = [
        (line["init"], _percent(line["share"]), name, f"{gain:+.1%}", gain > 0)
        for line in document["tables"][figure]
        for name, gain in line["gain"].items()
        if gain is not None and name in (document["baseline"], "mae")
    ]
    return {
        "title": _titled(figure),
        "better": score(figure).better,
        "chart": spread(values, "share of the labels (%)", _titled(figure)),
        "rows": rows(document, figure),
        "gains": gains,
    }


def _titled(figure: str) -> str:
    """A figure with its unit."""
    told = score(figure)
    return f"{told.title} ({told.unit})" if told.unit else told.title


def heading(document: Mapping[str, Any]) -> list[str]:
    """What the columns of the table hold."""
    return ["first weights", *(f"{_percent(share)} of the labels" for share in document["shares"])]


def rows(document: Mapping[str, Any], figure: str) -> list[list[str]]:
    """Name and cells of each first weights; "-" where there is no run yet."""
    cells = {(line["init"], line["share"]): line for line in document["tables"][figure]}
    names = dict.fromkeys(name for name, _ in cells)
    return [
        [name, *(_cell(cells[name, share], figure) if (name, share) in cells else "-" for share in document["shares"])]
        for name in names
    ]


def _cell(line: Mapping[str, Any], figure: str) -> str:
    """A mean with its spread."""
    mean, least, most = (score(figure).told(line[name]) for name in ("mean", "least", "most"))
    return mean if line["seeds"] == 1 else f"{mean} ({least} to {most})"


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
