"""`humanpt report`: runs in, one page that compares them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from humanpt import __version__
from humanpt.commands.pretrain import PretrainConfig
from humanpt.config import from_dict
from humanpt.data.augment import centre_view
from humanpt.data.shards import Kind, PairSet
from humanpt.engine.checkpoint import load_weights
from humanpt.engine.report import Report
from humanpt.errors import ConfigError, HumanptError, InputError, OutputError
from humanpt.pages.compare import Completed, differences, final_figures, incomparable, write_comparison
from humanpt.pages.run_folder import RunFolder, read_run
from humanpt.tasks.completion import KIND_NAMES, CompletionTask, HeldOutPairs, Panel, collate
from humanpt.tasks.completion_health import Health

REPORT = "report.html"
PICTURES = 6  # held-out pairs that every run completes


def run(runs: Sequence[Path], out: Path, report: Report, *, pictures: int = PICTURES) -> dict[str, Any]:
    """Compare runs on one page; they may be finished, stopped or still going.

    Args:
        runs: folders that `pretrain` wrote.
        out: the page.
        report: told how far it is and what was left out.
        pictures: held-out pairs to complete with every run, from its weights, on the CPU; 0 for none.

    Returns:
        What the page shows, as `--json` prints it.

    Raises:
        InputError: if a folder is no run, or its log is missing or empty.
        OutputError: if the page cannot be written, or would replace the report that a run wrote of itself.
    """
    folders = list(dict.fromkeys(folder.resolve() for folder in runs))
    if not folders:
        raise InputError("no run to report on; give one or more folders that pretrain wrote")
    if out.resolve() in [folder / REPORT for folder in folders]:
        raise OutputError(f"{out}: is what the run wrote of itself; choose another page with --out")
    report.stage("reading runs", len(folders), "run")
    given = {folder.resolve(): folder for folder in reversed(runs)}
    read: dict[str, RunFolder] = {}
    for name, folder in zip(short_names(folders), folders, strict=True):
        read[name] = read_run(given[folder])
        report.advance()
    notes = [problem for found in read.values() for problem in found.problems]
    completed: list[Completed] = []
    if pictures:
        try:
            completed = _completed(read, pictures, report)
        except HumanptError as error:  # the page is worth having without them
            notes.append(f"no completed pictures: {error}")
    for note in notes:
        report.note(note)
    warnings = {name: _warnings(found) for name, found in read.items()}
    write_comparison(out, read, warnings=warnings, notes=notes, completed=completed)
    return {
        "command": "report",
        "version": __version__,
        "out": str(out),
        "runs": [_told(name, found, warnings[name]) for name, found in read.items()],
        "differing": differences(read),
        "incomparable": incomparable(read),
        "pictures": len(completed),
        "notes": notes,
    }


def short_names(folders: Sequence[Path]) -> list[str]:
    """For each of several different folders the shortest end of its path that tells it from the others."""
    for length in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-length:]) for folder in folders]
        if len(set(names)) == len(names):
            break
    return names


def _told(name: str, found: RunFolder, warnings: Sequence[str]) -> dict[str, Any]:
    return {
        "name": name,
        "run": str(found.folder),
        "recipe": found.config.get("recipe"),
        "subject": found.config.get("subject"),
        "state": found.state,
        "step": found.step,
        "figures": final_figures(found),
        "warnings": list(warnings),
    }


def _settings(found: RunFolder) -> PretrainConfig | None:
    """A run's settings, if this version still understands them."""
    try:
        return from_dict(PretrainConfig, found.config, str(found.folder))
    except ConfigError:
        return None


def _warnings(found: RunFolder) -> list[str]:
    """What the run was warned of; for one that is still going or older than warnings, what its log tells now."""
    if found.summary is not None and "warnings" in found.summary:
        return [str(text) for text in found.summary["warnings"]]
    config = _settings(found)
    if config is None or found.ledger is None:
        return []
    size, batch = found.ledger["training"]["pairs"], config.loop.batch_size
    health = Health(
        warmup=config.optim.schedule(batch, size / batch).warmup,
        normalised=config.task.normalise_target,
        workers=config.workers,
    )
    return [text for line in found.log for text in health(line)]


def _completed(runs: Mapping[str, RunFolder], count: int, report: Report) -> list[Completed]:
    """The same held-out pairs, completed by the weights of every run.

    Raises:
        HumanptError: saying why there are none: other data, nothing held out in common, or weights or data are gone.
    """
    configs = {name: _settings(found) for name, found in runs.items()}
    for name, found in runs.items():
        if found.weights is None or found.ledger is None:
            raise InputError(f"{name} has saved no weights yet")
        if configs[name] is None:
            raise InputError(f"the settings of {name} are lost, or of another version of humanpt or another command")
    ledgers = {name: cast("Mapping[str, Any]", found.ledger) for name, found in runs.items()}
    first = next(iter(ledgers.values()))
    if any(ledger["shards"] != first["shards"] for ledger in ledgers.values()):
        raise InputError("the runs were trained on different pairs")
    subject = cast("PretrainConfig", next(iter(configs.values()))).subject
    pairs = PairSet.open([Path(folder) for folder in first["data"]], subject_kind=subject)
    if [[reader.path.name, len(reader)] for reader in pairs.readers] != [shard[:2] for shard in first["shards"]]:
        raise InputError(f"{', '.join(first['data'])}: holds other pairs now than the runs were trained on")
    common = set.intersection(*(set(ledger["heldout"]["sequences"]) for ledger in ledgers.values()))
    rows = _spread(pairs, np.flatnonzero([pairs.sequences[number] in common for number in pairs.sequence]), count)
    if not len(rows):
        raise InputError("the runs hold no pairs out in common")
    report.stage("completing pictures", len(runs), "run")
    shown: dict[str, list[Panel]] = {}
    for name, found in runs.items():
        shown[name] = _panels(cast("PretrainConfig", configs[name]), cast("Path", found.weights), pairs, rows)
        report.advance()
    largest = max((panels for panels in shown.values()), key=lambda panels: panels[0].truth.shape[0])
    augment = cast("PretrainConfig", next(iter(configs.values()))).task.augment
    return [
        Completed(
            kind=KIND_NAMES[pairs.kind[row]].replace("_", "-"),
            truth=largest[place].truth,
            reference=centre_view(pairs.images(row)[1], augment),
            by_run={name: (panels[place].masked, panels[place].reconstruction) for name, panels in shown.items()},
        )
        for place, row in enumerate(rows.tolist())
    ]


def _spread(pairs: PairSet, rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """So many of some pairs, as many of each kind as there are, spread evenly over them."""
    of_kind = [rows[pairs.kind[rows] == kind] for kind in Kind]
    present = [some for some in of_kind if len(some)]
    each = -(-count // max(1, len(present)))
    chosen = [some[np.unique(np.linspace(0, len(some) - 1, each).round().astype(int))] for some in present]
    return np.concatenate(chosen)[:count] if chosen else rows


def _panels(config: PretrainConfig, weights: Path, pairs: PairSet, rows: NDArray[np.int64]) -> list[Panel]:
    """The pairs of these rows, in their order, as a run's weights complete them; kinds it was not trained on too."""
    task_config = replace(config.task, view_weight=1.0, pose_weight=1.0, data_shares=None, heldout_pairs=len(rows))
    task = CompletionTask(task_config)
    load_weights(weights, task.model)
    task.model.eval()
    held = HeldOutPairs(pairs, rows, task_config)
    place_of = {int(row): place for place, row in enumerate(held.indices)}
    with torch.no_grad():
        return task.panels(collate([held[place_of[int(row)]] for row in rows]))
