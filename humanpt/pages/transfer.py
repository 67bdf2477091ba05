"""What first weights are worth: tables and plots over the share of labels, with the spread over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from humanpt.pages.charts import spread, swatch
from humanpt.pages.page import write_page
from humanpt.pages.scores import score

MEAN_POSE = "mean pose of the test data, without looking"
"""What tables call the constant that first weights should beat."""


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
    """The figures of its evaluation that are known."""


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
    """The tables as Markdown, a row for each first weights, a column for each share of labels; and what made them."""
    texts = [f"{text}\n"] if (text := unfinished(document)) else []
    for figure in document["tables"]:
        head = [_titled(figure), *heading(document)[1:]]
        lines = [head, ["---"] * len(head), *rows(document, figure)]
        texts.append("".join(f"| {' | '.join(line)} |\n" for line in lines))
    return "\n".join([*texts, f"humanpt {document['version']}\n"])


def unfinished(document: Mapping[str, Any]) -> str:
    """What is missing, in a sentence; empty where nothing is."""
    there, asked = len(document["outcomes"]), document["asked"]
    if there == asked:
        return ""
    return f"Not finished: {there} of {asked} runs are there; the same command with --resume makes the others."


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
        swatches={name: swatch(number) for number, name in enumerate([*names, MEAN_POSE])},
        unfinished=unfinished(document),
        head=heading(document),
        parts=[_part(document, figure, names) for figure in document["tables"]] if names else [],
    )


def _part(document: Mapping[str, Any], figure: str, names: Sequence[str]) -> dict[str, Any]:
    """What the page shows of a figure."""
    values: dict[str, dict[float, list[float]]] = {name: {} for name in names}
    for outcome in document["outcomes"]:
        values[outcome["init"]].setdefault(100 * outcome["share"], []).append(outcome["figures"][figure])
    reference = document["reference"].get(figure)
    if reference is not None:
        values[MEAN_POSE] = {100 * share: [reference] for share in document["shares"]}
    return {
        "title": _titled(figure),
        "better": score(figure).better,
        "chart": spread(values, "share of the labels (%)", _titled(figure)),
        "rows": rows(document, figure),
        "gains": _gains(document, figure),
    }


def _gains(document: Mapping[str, Any], figure: str) -> list[tuple[str, str, str, str, str]]:
    """What each mean gains over the baseline, and the best of a share over all others, with the colour of each."""
    lines, reference = document["tables"][figure], document["reference"].get(figure)
    best: dict[float, Mapping[str, Any]] = {}
    for line in lines:
        other = best.get(line["share"])
        if other is None or (_gain(line["mean"], other["mean"], figure) or 0) > 0:
            best[line["share"]] = line
    found = []
    for line in lines:
        no_better = reference is not None and (_gain(line["mean"], reference, figure) or 0) <= 0
        for name, gain in line["gain"].items():
            if gain is not None and (name == document["baseline"] or line is best[line["share"]]):
                colour = "bad" if gain <= 0 else "soft" if no_better else "good"
                found.append((line["init"], _percent(line["share"]), name, f"{gain:+.1%}", colour))
    return found


def _titled(figure: str) -> str:
    """A figure with its unit."""
    told = score(figure)
    return f"{told.title} ({told.unit})" if told.unit else told.title


def heading(document: Mapping[str, Any]) -> list[str]:
    """What the columns of the table hold, with the count of labelled pictures where all first weights have the same."""
    return [
        "first weights",
        *(f"{_percent(share)} of the labels{_counted(document, share)}" for share in document["shares"]),
    ]


def _counted(document: Mapping[str, Any], share: float) -> str:
    """How many labelled pictures a share is, which may differ over seeds."""
    counts = {(one["seed"], one["labelled"]) for one in document["outcomes"] if one["share"] == share}
    if not counts or len(counts) > len({seed for seed, _ in counts}):
        return ""
    least, most = (choose(count for _, count in counts) for choose in (min, max))
    return f" ({least:,})" if least == most else f" ({least:,} to {most:,})"


def rows(document: Mapping[str, Any], figure: str) -> list[list[str]]:
    """Name and cells of each first weights, "-" where there is no run yet; the constant to beat comes last."""
    cells = {(line["init"], line["share"]): line for line in document["tables"][figure]}
    shares, asked = document["shares"], len(document["seeds"])
    found = [
        [name, *(_cell(cells[name, share], figure, asked) if (name, share) in cells else "-" for share in shares)]
        for name in dict.fromkeys(name for name, _ in cells)
    ]
    if figure in document["reference"]:
        found.append([MEAN_POSE, *[score(figure).told(document["reference"][figure])] * len(shares)])
    return found


def _cell(line: Mapping[str, Any], figure: str, asked: int) -> str:
    """A mean with its spread, and of how many seeds it is where more were asked for."""
    mean, least, most = (score(figure).told(line[name]) for name in ("mean", "least", "most"))
    count = line["seeds"]
    notes = [f"{least} to {most}"] if count > 1 else []
    notes += [f"{count} seed{'' if count == 1 else 's'}"] if count < asked else []
    return f"{mean} ({'; '.join(notes)})" if notes else mean


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
