"""`humanpt mkpairs`: clips, captures or a seed in, shards of pairs out."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humanpt import __version__
from humanpt.commands.maker import Maker
from humanpt.commands.out_folder import prepare, prepare_share
from humanpt.commands.parts import Plan, Share, here, make_all
from humanpt.commands.parts_on_ray import on_ray
from humanpt.config import to_dict
from humanpt.engine.report import Report
from humanpt.engine.run_folder import one_of_several, sole_writer
from humanpt.errors import ConfigError, InputError
from humanpt.files import write_json
from humanpt.pages.preview import write_preview

SUMMARY = "summary.json"
PREVIEW = "preview.html"


@dataclass(frozen=True, kw_only=True)
class MkpairsConfig:
    """How the work is spread."""

    workers: int = 1
    """Parts worked on at once, a process each."""
    shard_bytes: int = 256 << 20
    """Parts are grouped, in order, until their sizes come to this; each group becomes one shard."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"--workers is {self.workers}; it must be at least 1")
        if self.shard_bytes < 1:
            raise ConfigError(f"shard_bytes is {self.shard_bytes}; it must be at least 1")


def run(
    maker: Maker,
    out: Path,
    config: MkpairsConfig,
    report: Report,
    *,
    resume: bool = False,
    overwrite: bool = False,
    ray: str | None = None,
) -> dict[str, Any]:
    """Make pairs.

    Args:
        maker: what they are made from.
        out: folder for shards, summary and preview.
        config: how the work is spread.
        report: told how far it is.
        resume: go on with an interrupted run of the same inputs and settings.
        overwrite: remove what an earlier run left in `out`.
        ray: make the parts on this Ray cluster, one for each of its processors: `auto`, `local`, `ray://HOST:PORT` or
            `HOST:PORT`; None makes them here.

    Returns:
        The summary, as written to `out/summary.json`. When there are no pairs its `problem` says why and what to try.

    Raises:
        InputError: if an input is missing, none can be read, or the detector fits none of them.
        OutputError: if `out` is not empty, cannot be written or is being written by another process.
        ConfigError: if both `resume` and `overwrite` are given, or Ray is not installed.
    """
    if resume and overwrite:
        raise ConfigError("--resume goes on and --overwrite starts again; give one of them")
    began = time.perf_counter()
    plan = Plan.of(maker, maker.parts(), out, config.shard_bytes)
    crew = on_ray(ray) if ray else here(config.workers)
    with sole_writer(out):
        prepare(
            plan,
            plan.promise(config.shard_bytes),
            (SUMMARY, PREVIEW),
            lambda: maker.see_that_one_opens(plan.parts),
            resume=resume,
            overwrite=overwrite,
        )
        new = make_all(plan, crew, report)
        summary = _summary(plan, new, config, time.perf_counter() - began)
        if summary["pairs"]:
            write_preview(out / PREVIEW, summary, [out / name for name in summary["shards"]])
        write_json(out / SUMMARY, summary)  # the sign that this folder is complete
        shutil.rmtree(plan.work, ignore_errors=True)
    _refuse_unfit_input(summary)
    return summary


def run_share(maker: Maker, out: Path, config: MkpairsConfig, report: Report, share: Share) -> dict[str, Any]:
    """Make one share of the parts into a folder that all shares write to; `run` with `resume` then joins them.

    What the share made before is not made again.

    Returns:
        What the share came to: `parts` of it, `pairs` and `unreadable` parts among them, and how many parts of all
        are still `missing`.

    Raises:
        InputError: if an input is missing.
        OutputError: if `out` is complete, was begun with other settings or inputs, or cannot be written.
    """
    began = time.perf_counter()
    plan = Plan.of(maker, maker.parts(), out, config.shard_bytes)
    with one_of_several(out, str(share)):
        prepare_share(plan, plan.promise(config.shard_bytes), (SUMMARY, PREVIEW), share)
        make_all(plan, here(config.workers), report, share)
        notes = [plan.note(number) for number in share.of(len(plan.parts))]
        missing = len(plan.missing(range(len(plan.parts))))
    return {
        "command": "mkpairs",
        "version": __version__,
        "out": str(out),
        "part": str(share),
        "noun": maker.noun,
        "parts": len(notes),
        "unreadable": sum(note["problem"] is not None for note in notes),
        "pairs": sum(note["pairs"] for note in notes),
        "missing": missing,
        "seconds": time.perf_counter() - began,
    }


def _summary(plan: Plan, new: Sequence[int], config: MkpairsConfig, seconds: float) -> dict[str, Any]:
    maker, out, parts = plan.maker, plan.out, plan.notes()
    rejected: Counter[str] = Counter()
    for part in parts:
        rejected.update(part["rejected"])
    totals = {
        key: sum(part[key] for part in parts)
        for key in ("frames", "looked", "found", "boxes", "tracks", "kept_tracks", "jumps", "pairs")
    }
    summary = {
        "command": "mkpairs",
        "version": __version__,
        "out": str(out),
        "subject": maker.subject,
        "noun": maker.noun,
        "unit": maker.unit,
        "detector": getattr(maker.config, "detector", None),
        "parts": len(parts),
        "unreadable": sum(part["problem"] is not None for part in parts),
        **totals,
        "rejected": {reason: rejected[reason] for reason in maker.reasons if rejected[reason]},
        "reasons": {reason: meaning for reason, meaning in maker.reasons.items() if rejected[reason]},
        "shards": [path.name for path in plan.shards()],
        "preview": str(out / PREVIEW) if totals["pairs"] else None,
        "seconds": seconds,
        "frames_per_second": sum(parts[number]["frames"] for number in new) / seconds,
        "per_part": parts,
        "config": to_dict(maker.config) | to_dict(config),
    }
    return summary | {"problem": None if totals["pairs"] else maker.why_nothing(summary)}


def _refuse_unfit_input(summary: dict[str, Any]) -> None:
    """Raise when the fault is not with the rules but with what was given."""
    parts = summary["per_part"]
    if summary["unreadable"] == len(parts):
        more = f" (and {len(parts) - 1} more {summary['noun']}s)" if len(parts) > 1 else ""
        raise InputError(f"{parts[0]['problem']}{more}")
    if (summary["detector"] or "").startswith("boxes:") and not summary["boxes"]:
        remarks = [note for part in parts for note in part["notes"]]
        raise InputError(
            remarks[0] if remarks else f"{summary['detector']}: no box in it is for any of the {summary['noun']}s"
        )
