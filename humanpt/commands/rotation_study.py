"""`humanpt eval rotations`: which form of rotations a small network learns best, in a table, a page and a JSON file."""

from __future__ import annotations

import json
import signal
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from humanpt import __version__
from humanpt.commands.runs import new_run, refuse_used
from humanpt.config import from_dict, override, to_dict
from humanpt.engine.report import Report
from humanpt.engine.run_folder import sole_writer
from humanpt.engine.runtime import describe_device, interruptible
from humanpt.errors import ConfigError, InputError, OutputError
from humanpt.files import write_json
from humanpt.pages.rotation_study import write_rotation_study
from humanpt.tasks.rotation import FULL_TURN, Form, RotationConfig, baseline, train

RESULTS = "results.json"
PAGE = "report.html"
METRIC = "mean angle to the true rotation, in degrees"

SMALL = 45.0
"""The largest angle of the study's small rotations, in degrees, where a rotation vector has no seam."""


@dataclass(frozen=True, kw_only=True)
class RotationStudyConfig:
    """The whole study: every form, at every range of angles, with every seed."""

    forms: tuple[Form, ...] = ("procrustes", "6d", "quat", "rotvec", "euler")
    """Ways of saying a rotation; euler is there for contrast."""
    limits: tuple[float, ...] = (FULL_TURN, SMALL)
    """Largest angles of the rotations, in degrees; 180 draws evenly from all rotations."""
    seeds: int = 3
    """Networks of each form at each range."""
    seed: int = 0
    """The first of their seeds."""
    task: RotationConfig = field(default_factory=RotationConfig)
    """One training."""

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ConfigError(f"seeds is {self.seeds}; it is a number of networks and must be at least 1")
        for name, values in (("forms", self.forms), ("limits", self.limits)):
            if not values or len(set(values)) < len(values):
                raise ConfigError(f"{name} is {values}; name at least one, and none twice")
        if not all(0 < limit <= FULL_TURN for limit in self.limits):
            raise ConfigError(f"limits is {self.limits}; they are angles in degrees, above 0 and at most 180")


def run(
    config: RotationStudyConfig, changes: Sequence[str], out: Path | None, report: Report, *, resume: bool = False
) -> dict[str, Any]:
    """Train every form at every range of angles, and write the results and their page.

    The results are written anew after each form and range, so that a study that was stopped loses one at most.

    Args:
        config: what to compare.
        changes: `field=value` texts, as given to `--set`.
        out: the study's folder; None names a new one under runs/.
        report: told how far it is.
        resume: go on with the study in `out`.

    Returns:
        The content of `results.json` without the curves, as `--json` prints it.

    Raises:
        ConfigError: if a change does not fit, or resuming is asked for without a folder.
        InputError: if the folder to go on with holds no study, or one with other settings.
        OutputError: if the folder holds something already or cannot be written.
    """
    config = override(config, changes)
    if out is None and resume:
        raise ConfigError("--resume: name the folder of the study with --out")
    out = out or new_run("rotations")
    with sole_writer(out), interruptible() as interrupt:
        results = _begun(out, config) if resume else _none_yet(out)
        tried = [(limit, form) for limit in config.limits for form in config.forms]
        left = [unit for unit in tried if not any((r["limit"], r["form"]) == unit for r in results)]
        seeds = range(config.seed, config.seed + config.seeds)
        for limit, form in left:
            report.stage(f"{form}, to {limit:g} degrees", config.task.steps, "step")

            def told(steps: int, loss: float) -> bool:
                report.advance(steps, loss=loss)
                return not interrupt.asked

            trained = None if interrupt.asked else train(config.task, form, limit, seeds, told)
            if trained is None:
                break
            results.append({"form": form, "limit": limit, "seeds": trained})
            write_json(out / RESULTS, _document(config, results))
        document = _document(config, results)
        if results:
            write_rotation_study(out / PAGE, document)
    document["interrupted"] = len(results) < len(tried)
    document["stopped_by"] = signal.Signals(interrupt.signal).name if interrupt.asked else None
    document["out"], document["report"] = str(out), str(out / PAGE) if results else None
    return {name: value for name, value in document.items() if name != "results"}


def bars(table: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the study is expected to show: each as a text, the figure, the bar, and whether the figure is within it.

    Only of what was tried: half a study has fewer.

    Args:
        table: lines as `tabulate` gives them.
    """
    of_all = {line["form"]: line for line in table if line["limit"] == FULL_TURN}
    of_small = {line["form"]: line for line in table if line["limit"] == SMALL}
    found = []
    if {"quat", "rotvec"} <= of_all.keys():
        better = min(of_all["quat"]["mean"], of_all["rotvec"]["mean"])
        for form in ("procrustes", "6d"):
            if form in of_all:
                text = f"all rotations: mean error of {form}, over the better of quat and rotvec"
                found.append(_bar(text, of_all[form]["mean"] / better, most=0.6))
                text = f"all rotations: worst error of {form}, in degrees"
                found.append(_bar(text, of_all[form]["worst"], most=30.0))
        worst = max(of_all["quat"]["worst"], of_all["rotvec"]["worst"])
        found.append(_bar("all rotations: worst error of quat and rotvec, in degrees", worst, least=150.0))
    if {"procrustes", "rotvec"} <= of_small.keys():
        share = of_small["rotvec"]["mean"] / of_small["procrustes"]["mean"]
        found.append(_bar(f"up to {SMALL:g} degrees: mean error of rotvec over that of procrustes", share, most=1.2))
    return found


def tabulate(results: Sequence[Mapping[str, Any]], by_limit: Mapping[float, float]) -> list[dict[str, Any]]:
    """A line for each form and range: mean error over the seeds, its spread, the worst answer, and the baseline.

    Args:
        results: as `results.json` keeps them.
        by_limit: the error of answering "no turn", for each range.
    """
    table = []
    for result in results:
        means = [seed["mean"] for seed in result["seeds"]]
        table.append(
            {
                "form": result["form"],
                "limit": result["limit"],
                "mean": statistics.fmean(means),
                "spread": statistics.stdev(means) if len(means) > 1 else None,
                "median": statistics.fmean(seed["median"] for seed in result["seeds"]),
                "worst": max(seed["worst"] for seed in result["seeds"]),
                "by_seed": [{name: seed[name] for name in ("seed", "mean", "worst")} for seed in result["seeds"]],
                "baseline": by_limit[result["limit"]],
            }
        )
    return table


def _bar(text: str, figure: float, *, most: float | None = None, least: float | None = None) -> dict[str, Any]:
    held = (most is None or figure <= most) and (least is None or figure >= least)
    return {"text": text, "figure": figure, "most": most, "least": least, "held": held}


def _document(config: RotationStudyConfig, results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All that `results.json` holds."""
    seeds = range(config.seed, config.seed + config.seeds)
    by_limit = {limit: statistics.fmean(baseline(config.task, limit, seeds)) for limit in config.limits}
    table = tabulate(results, by_limit)
    return {
        "command": "eval rotations",
        "version": __version__,
        "config": to_dict(config),
        "metric": METRIC,
        "n": config.task.tests,
        "seed": list(seeds),
        "baseline": {f"no turn, to {limit:g} degrees": value for limit, value in by_limit.items()},
        "device": describe_device(torch.device("cpu")).rpartition(",")[0],  # of its threads one works
        "table": table,
        "bars": bars(table),
        "results": list(results),
    }


def _none_yet(out: Path) -> list[dict[str, Any]]:
    """No results, in a folder that may be filled."""
    if (out / RESULTS).is_file():
        raise OutputError(f"{out}: it already holds a study; go on with it by --resume, or choose another --out")
    refuse_used(out)
    return []


def _begun(out: Path, config: RotationStudyConfig) -> list[dict[str, Any]]:
    """The results of a study that was stopped."""
    path = out / RESULTS
    try:
        document = json.loads(path.read_text())
        earlier = from_dict(RotationStudyConfig, document["config"], str(path))
        results: list[dict[str, Any]] = document["results"]
    except FileNotFoundError:
        return _none_yet(out)  # stopped before anything was written
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no study's results ({error}); choose another --out") from None
    if earlier != config:
        raise InputError(f"{path}: was begun with other settings; give the same ones, or choose another --out")
    return results
