"""`humanpt eval --compare A B`: two evaluations side by side, where they were made by one protocol.

Figures of unlike protocols are not set beside each other: what differs is told instead.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from humanpt import __version__
from humanpt.commands.evaluate import CARD, RESULTS
from humanpt.commands.evaluate_meshes import PREDICTIONS, RANKED_BY, case_at
from humanpt.config import from_dict
from humanpt.data.labelled import open_labelled
from humanpt.data.labelled.record import LabelledSet
from humanpt.data.records import SubjectKind
from humanpt.engine.report import Report
from humanpt.errors import ConfigError, HumanptError, InputError
from humanpt.pages.cases import Case
from humanpt.pages.evaluation_compare import Evaluated, write_run_comparison
from humanpt.scoring.card import Card, differences
from humanpt.scoring.predictions import Predictions

SHOWN = 12  # samples that both are drawn on: half of them the first's worst, half spread over all
PAGE = "comparison.html"


class Found(NamedTuple):
    """A folder of results."""

    folder: Path
    """Where they are."""
    card: Card
    """Their protocol."""
    results: dict[str, Any]
    """`results.json`."""
    predictions: Predictions | None
    """Of meshes; None of other tasks."""


def run(a: Path, b: Path, out: Path | None, report: Report) -> dict[str, Any]:
    """Compare two evaluations.

    Args:
        a: a folder of results, or a run with one such folder.
        b: the other.
        out: the page, if it is called .html, or its folder; None puts it into the current folder.
        report: told how far it is.

    Returns:
        The figures of both and how they differ.

    Raises:
        InputError: if there are no results, or the two are of different protocols or not of meshes.
        OutputError: if the page cannot be written.
    """
    found = [read_results(folder) for folder in (a, b)]
    unlike = differences(found[0].card, found[1].card)
    if unlike:
        raise ConfigError(f"{a} and {b} cannot be ranked, they differ in {'; '.join(unlike)}; evaluate both alike")
    page = out if out is not None and out.suffix == ".html" else (out or Path()) / PAGE
    names = _names(found)
    drawn, notes = _cases(found, report)
    write_run_comparison(page, *(_evaluated(*each) for each in zip(found, names, drawn, strict=True)))
    figures = [each.results["figures"] for each in found]
    return {
        "command": "eval compare",
        "version": __version__,
        "out": str(page),
        "names": names,
        "card": found[0].card.document(),
        "figures": {name: [one.get(name) for one in figures] for name in dict.fromkeys([*figures[0], *figures[1]])},
        "notes": notes,
    }


def read_results(folder: Path) -> Found:
    """What an evaluation left.

    Raises:
        InputError: if there is nothing, more than one evaluation of a run, or files of different evaluations.
    """
    places = [folder] if (folder / CARD).is_file() else sorted(path.parent for path in folder.glob(f"eval-*/{CARD}"))
    if not places:
        raise InputError(f"{folder}: holds no results of an evaluation; run humanpt eval {folder} first")
    if len(places) > 1:
        known = ", ".join(place.name for place in places)
        raise InputError(f"{folder}: holds several evaluations ({known}); name one of these folders")
    try:
        card, results = (json.loads((places[0] / name).read_text()) for name in (CARD, RESULTS))
    except (OSError, ValueError) as error:
        raise InputError(f"{places[0]}: its results cannot be read ({error}); evaluate again") from None
    protocol, path = from_dict(Card, card, str(places[0] / CARD)), places[0] / PREDICTIONS
    predictions = Predictions(path) if path.is_file() else None
    if predictions is not None and predictions.sha256 != protocol.predictions_sha256:
        raise InputError(f"{path}: not the predictions that {CARD} tells of; evaluate again")
    return Found(places[0], protocol, results, predictions)


def _names(found: list[Found]) -> list[str]:
    """What the page calls the two: the shortest ends of their paths that tell them apart."""
    parts = [each.folder.resolve().parts for each in found]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(some[-length:]) for some in parts]
        if names[0] != names[1]:
            return names
    return ["the first", "the second"]


def _cases(found: list[Found], report: Report) -> tuple[list[list[Case]], list[str]]:
    """The same samples with the predictions of both; none where the data are gone, with a note why."""
    first = found[0]
    if first.predictions is None or found[1].predictions is None:
        return [[], []], []
    try:
        data = open_labelled(
            first.results["data"], _split(first.card), subject=_subject(first.predictions.layout.subject)
        )
        number_of = {data.name(number): number for number in range(len(data))}
        places = _spread(first.predictions)
        report.stage("drawing cases", 2 * len(places), "case")
        drawn = []
        for each in found:
            assert each.predictions is not None
            drawn.append(_drawn(each.predictions, places, data, number_of, first.card.joints, report))
        return drawn, []
    except (HumanptError, KeyError) as error:  # the page is worth having without them
        report.note(f"no pictures: {error}")
        return [[], []], [f"no pictures: {error}"]


def _drawn(
    predictions: Predictions,
    places: list[int],
    data: LabelledSet,
    number_of: dict[str, int],
    joints: tuple[str, ...],
    report: Report,
) -> list[Case]:
    cases = []
    for place in places:
        cases.append(case_at(predictions, place, data, number_of[predictions.names[place]], joints))
        report.advance()
    return cases


def _spread(predictions: Predictions) -> list[int]:
    """The first's worst samples, then others spread over the set; the two evaluations have the same in one order."""
    errors = np.nan_to_num(predictions.errors(RANKED_BY), nan=-1.0)
    worst: list[int] = np.argsort(-errors, kind="stable")[: SHOWN // 2].tolist()
    others = [place for place in range(len(predictions)) if place not in worst]
    return worst + [others[step * len(others) // (SHOWN // 2)] for step in range(min(SHOWN // 2, len(others)))]


def _split(card: Card) -> str | None:
    """The split as readers take it."""
    return None if card.split in ("held-out", "all") else card.split


def _subject(word: str) -> SubjectKind:
    return "hand" if word == "hand" else "body"


def _evaluated(found: Found, name: str, cases: list[Case]) -> Evaluated:
    details, predictions = found.results["details"], found.predictions
    by_sample: dict[str, float] = {}
    if predictions is not None:
        by_sample = dict(zip(predictions.names, predictions.errors(RANKED_BY).tolist(), strict=True))
    known = ("per_joint", "per_part", "by_occlusion", "by_view_angle", "pck_curve")
    return Evaluated(
        name=name,
        card=found.card.document(),
        figures={key: value for key, value in found.results["figures"].items() if value is not None},
        by_sample=by_sample,
        cases=cases,
        part_label="mean error (mm)" if predictions is not None else "intersection over union",
        **{key: details[key] for key in known if details.get(key)},
    )
