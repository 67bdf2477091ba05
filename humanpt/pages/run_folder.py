"""What a report finds in the folder of a run, whether it ended, was stopped, or is still going."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humanpt.engine.checkpoint import read_header
from humanpt.engine.loop import BEST, LAST, LOG
from humanpt.errors import CheckpointError, InputError
from humanpt.files import exists
from humanpt.pages.figures import newest_figures, tidy

CONFIG, SUMMARY = "config.json", "summary.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class RunFolder:
    """One run, read."""

    folder: Path
    """Where it lies."""
    log: tuple[Mapping[str, Any], ...]
    """The lines of its log, at least one."""
    config: Mapping[str, Any]
    """Its resolved settings; empty if they are lost."""
    summary: Mapping[str, Any] | None
    """As the command wrote it; None while the run goes on, or when it was killed."""
    ledger: Mapping[str, Any] | None
    """The data it was trained on; None where nothing was saved yet."""
    problems: tuple[str, ...]
    """One line for each thing that cannot be read, and is left out."""

    @property
    def figures(self) -> dict[str, float]:
        """The newest of every figure."""
        return newest_figures(self.log)

    @property
    def step(self) -> int:
        """The step of the last line of the log."""
        return int(self.log[-1]["step"])

    @property
    def state(self) -> str:
        """Whether it ended, in words."""
        if self.summary is None:
            return "not finished"
        return "stopped early" if self.summary.get("interrupted") else "finished"

    @property
    def weights(self) -> Path | None:
        """Its best checkpoint, else its last; None before the first save."""
        return next((self.folder / name for name in (BEST, LAST) if (self.folder / name).is_file()), None)

    def best(self) -> tuple[float, int] | None:
        """The lowest held-out loss and its step; None if nothing was held out."""
        measured = [
            (line["heldout_loss"], int(line["step"])) for line in self.log if line.get("heldout_loss") is not None
        ]
        return min(measured, default=None)


def read_run(folder: Path) -> RunFolder:
    """Read the folder of a run.

    Raises:
        InputError: if there is no such folder, it is no run, or its log is missing or holds nothing to draw.
    """
    if not exists(folder):
        raise InputError(f"{folder}: no such folder; give the folders of runs, as `humanpt pretrain --out` names them")
    if not folder.is_dir() or not any((folder / name).exists() for name in (CONFIG, LOG, LAST)):
        raise InputError(f"{folder}: is no run (it holds no {CONFIG} or {LOG}); give a folder that pretrain wrote")
    problems: list[str] = []
    log = _read_log(folder / LOG, problems)
    config, summary = (_read_document(folder / name, problems) for name in (CONFIG, SUMMARY))
    ledger = None if summary is None else summary.get("data")
    if (folder / LAST).is_file() and (config is None or ledger is None):
        try:
            provenance = read_header(folder / LAST).provenance
            config, ledger = config or provenance.config, ledger or provenance.ledger
        except CheckpointError as error:
            problems.append(str(error))
    if config is None:
        problems.append(f"{folder}: its settings are lost (no {CONFIG}); they are not compared")
    return RunFolder(
        folder=folder,
        log=tuple(log),
        config=config or {},
        summary=summary,
        ledger=ledger,
        problems=tuple(problems),
    )


def _read_log(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    if not path.is_file():
        raise InputError(f"{path}: is missing, so there is nothing to draw; leave this run out, or --resume it")
    try:
        texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    lines, broken = [], []
    for number, text in enumerate(texts, 1):
        line = _parse(text)
        if line is None:
            broken.append(number)
        else:
            lines.append(line)
    if not lines:
        why = "not one of its lines can be read" if broken else "is empty: the run stopped before its first line"
        raise InputError(f"{path}: {why}; leave this run out, or --resume it")
    if broken:
        which = f"line {broken[0]} is" if len(broken) == 1 else f"{len(broken)} lines (the first is {broken[0]}) are"
        problems.append(f"{path}: {which} broken and left out")
    return lines


def _parse(text: str) -> dict[str, Any] | None:
    """A line of the log, numbers that are not finite as None; None if it is no such line."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    if not isinstance(line, dict) or not _is_number(line.get("step")) or not math.isfinite(line["step"]):
        return None
    if not all(value is None or _is_number(value) for value in line.values()):
        return None
    return {name: value if value is not None and math.isfinite(value) else None for name, value in tidy(line).items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _read_document(path: Path, problems: list[str]) -> Mapping[str, Any] | None:
    """A JSON document of a run; None if there is none."""
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        problems.append(f"{path}: cannot be read ({error}) and is left out")
        return None
    if not isinstance(document, dict):
        problems.append(f"{path}: holds no settings or summary and is left out")
        return None
    return document
