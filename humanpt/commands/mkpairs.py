"""`humanpt mkpairs`: clips in, shards of pairs out.

Clips are sorted and put into groups by size before anything is read; each group becomes one shard. A clip is worked
on in a process of its own and leaves a small shard and a note in `OUT/.mkpairs/`; when a group's clips are all done
these are joined, in order, into the group's shard. So the result depends on neither the number of workers nor on
interruptions, and resuming means doing what has no note yet.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from humanpt import __version__
from humanpt.config import to_dict
from humanpt.data.clips import FoundClip, find_clips
from humanpt.data.harvest import Harvest, HarvestConfig, clip_bytes, harvest
from humanpt.data.pairs import REASONS
from humanpt.data.shards import PairRecord, ShardReader, ShardWriter
from humanpt.detect.choose import check_detector
from humanpt.engine.report import Report
from humanpt.errors import ConfigError, InputError, NothingFoundError, OutputError
from humanpt.files import write_json
from humanpt.pages.preview import write_preview
from humanpt.workers import Ended, Tell, run_jobs

SUMMARY = "summary.json"
PREVIEW = "preview.html"
WORK = ".mkpairs"


@dataclass(frozen=True, kw_only=True)
class MkpairsConfig:
    """What the command line asks for."""

    harvest: HarvestConfig = field(default_factory=HarvestConfig)
    """How a clip becomes pairs."""
    workers: int = 1
    """Clips worked on at once, a process each."""
    shard_bytes: int = 256 << 20
    """Clips are grouped, in order, until their files come to this size; each group becomes one shard."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"--workers is {self.workers}; it must be at least 1")
        if self.shard_bytes < 1:
            raise ConfigError(f"shard_bytes is {self.shard_bytes}; it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """Which clips make which shard."""

    clips: tuple[FoundClip, ...]
    groups: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, clips: Sequence[FoundClip], shard_bytes: int) -> _Plan:
        groups: list[list[int]] = [[]]
        size = 0
        for number, clip in enumerate(clips):
            if groups[-1] and size >= shard_bytes:
                groups.append([])
                size = 0
            groups[-1].append(number)
            size += clip_bytes(clip.path)
        return cls(clips=tuple(clips), groups=tuple(map(tuple, groups)))


def run(
    inputs: Sequence[Path],
    out: Path,
    config: MkpairsConfig,
    report: Report,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Make pairs from clips.

    Args:
        inputs: video files, folders of them, folders of frames, or list files.
        out: folder for shards, summary and preview.
        resume: go on with an interrupted run of the same inputs and settings.
        overwrite: remove what an earlier run left in `out`.

    Returns:
        The summary, as written to `out/summary.json`.

    Raises:
        InputError: if an input is missing, none can be read, or the detector fits none of them.
        OutputError: if `out` is not empty or cannot be written.
        NothingFoundError: if no pair was found anywhere; the summary is written all the same.
    """
    began = time.perf_counter()
    clips = find_clips(inputs)
    check_detector(
        config.harvest.detector, config.harvest.subject, [clip.name for clip in clips], config.harvest.detect
    )
    plan = _Plan.of(clips, config.shard_bytes)
    work = out / WORK
    _prepare(out, work, config, plan, resume=resume, overwrite=overwrite)
    try:
        _harvest_all(plan, work, out, config, report)
    except KeyboardInterrupt:
        done = sum(_note(work, number).is_file() for number in range(len(clips)))
        report.note(f"stopped after {done} of {len(clips)} clips; the same command with --resume goes on from here")
        raise
    summary = _summary(plan, work, out, config, time.perf_counter() - began)
    if summary["pairs"]:
        write_preview(out / PREVIEW, summary, [out / name for name in summary["shards"]])
    write_json(out / SUMMARY, summary)  # the sign that this folder is complete
    shutil.rmtree(work)
    _complain(summary, config)
    return summary


def _harvest_all(plan: _Plan, work: Path, out: Path, config: MkpairsConfig, report: Report) -> None:
    """Do every clip that has no note yet, sealing each group's shard when its last clip is done."""
    missing = [number for number in range(len(plan.clips)) if not _note(work, number).is_file()]
    report.stage(f"{len(plan.clips)} clips", None, "frame")
    if len(missing) < len(plan.clips):
        report.note(f"{len(plan.clips) - len(missing)} of {len(plan.clips)} clips were done before")
    group_of = {number: group for group, members in enumerate(plan.groups) for number in members}
    for group in range(len(plan.groups)):
        _seal(plan, group, work, out, config)
    jobs = run_jobs(
        partial(_one_clip, plan=plan, config=config, work=work), missing, config.workers, "humanpt.data.harvest"
    )
    done = len(plan.clips) - len(missing)
    try:
        for event in jobs:
            if isinstance(event, Ended):
                name = plan.clips[event.job].name
                if event.problem is not None:
                    problem = event.problem if name in event.problem else f"{name}: {event.problem}"
                    write_json(_note(work, event.job), dataclasses.asdict(Harvest(name=name, problem=problem)))
                    report.note(problem)
                done += 1
                report.advance(0, clips=done)
                _seal(plan, group_of[event.job], work, out, config)
            else:
                report.advance(event.amount, clips=done)
    finally:
        jobs.close()


def _one_clip(number: int, tell: Tell, *, plan: _Plan, config: MkpairsConfig, work: Path) -> None:
    """What a worker process does."""
    result = harvest(plan.clips[number], config.harvest, _part(work, number), tell)
    write_json(_note(work, number), dataclasses.asdict(result))


def _seal(plan: _Plan, group: int, work: Path, out: Path, config: MkpairsConfig) -> None:
    """Join the parts of a group into its shard, once all of its clips are done and if it is not there yet."""
    members, shard = plan.groups[group], out / f"pairs-{group:05d}.h5"
    if shard.exists() or not all(_note(work, number).is_file() for number in members):
        return
    parts = [part for number in members if (part := _part(work, number)).is_file()]
    filled = [reader for part in parts if len(reader := ShardReader(part))]
    if filled:
        with ShardWriter(
            shard,
            subject_kind=config.harvest.subject,
            crop_size=config.harvest.pairs.crop_size,
            config=to_dict(config.harvest),
            sources=[source for reader in filled for source in reader.sources],
        ) as writer:
            for source, reader in enumerate(filled):  # a part has one source
                for row in range(len(reader)):
                    writer.append(_of_source(reader.record(row), source))
    for part in parts:
        part.unlink()


def _of_source(record: PairRecord, source: int) -> PairRecord:
    image1, image2 = (dataclasses.replace(image, source=source) for image in (record.image1, record.image2))
    return dataclasses.replace(record, image1=image1, image2=image2)


def _part(work: Path, number: int) -> Path:
    return work / f"{number:06d}.h5"


def _note(work: Path, number: int) -> Path:
    return work / f"{number:06d}.json"


def _prepare(out: Path, work: Path, config: MkpairsConfig, plan: _Plan, *, resume: bool, overwrite: bool) -> None:
    """See that `out` may be written, and leave there what a resumed run must find unchanged."""
    promise = json.loads(
        json.dumps(
            {
                "settings": to_dict(config.harvest) | {"shard_bytes": config.shard_bytes},
                "clips": [[clip.name, clip_bytes(clip.path)] for clip in plan.clips],
            }
        )
    )
    promised = work / "plan.json"
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file; --out names a folder")
    if overwrite and out.exists():
        _clear(out)
    elif resume and promised.is_file():
        earlier = json.loads(promised.read_text())
        for what in ("clips", "settings"):
            if earlier[what] != promise[what]:
                raise OutputError(
                    f"{out}: was begun with other {what}; --overwrite starts again, another --out keeps it"
                )
    elif resume and (out / SUMMARY).is_file():
        raise OutputError(f"{out}: is complete, there is nothing to resume; --overwrite starts again")
    elif out.is_dir() and any(path.name != SUMMARY for path in out.iterdir()):  # a summary alone: nothing was found
        raise OutputError(
            f"{out}: is not empty; add --resume to go on, --overwrite to start again, or choose another --out"
        )
    write_json(promised, promise)


def _clear(out: Path) -> None:
    """Remove what mkpairs writes, and refuse to touch a folder that holds anything else."""
    ours = [*out.glob("pairs-*.h5"), *out.glob(".pairs-*.partial"), out / SUMMARY, out / PREVIEW, out / WORK]
    strangers = sorted(set(out.iterdir()) - set(ours))
    if strangers:
        raise OutputError(f"{out}: holds {strangers[0].name}, which mkpairs did not write; choose another --out")
    for path in ours:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _summary(plan: _Plan, work: Path, out: Path, config: MkpairsConfig, seconds: float) -> dict[str, Any]:
    clips = [json.loads(_note(work, number).read_text()) for number in range(len(plan.clips))]
    rejected: Counter[str] = Counter()
    for clip in clips:
        rejected.update(clip["rejected"])
    totals = {
        key: sum(clip[key] for clip in clips)
        for key in ("frames", "looked", "found", "subjects", "tracks", "kept_tracks", "jumps", "pairs")
    }
    return {
        "command": "mkpairs",
        "version": __version__,
        "out": str(out),
        "subject": config.harvest.subject,
        "detector": config.harvest.detector,
        "clips": len(clips),
        "unreadable": sum(clip["problem"] is not None for clip in clips),
        **totals,
        "rejected": {reason: rejected[reason] for reason in REASONS if rejected[reason]},
        "shards": [path.name for path in sorted(out.glob("pairs-*.h5"))],
        "preview": str(out / PREVIEW) if totals["pairs"] else None,
        "seconds": seconds,
        "frames_per_second": totals["frames"] / seconds,
        "per_clip": clips,
        "config": to_dict(config),
    }


def _complain(summary: dict[str, Any], config: MkpairsConfig) -> None:
    """Raise when there is nothing to show for the work."""
    clips = summary["per_clip"]
    if summary["unreadable"] == len(clips):
        more = f" (and {len(clips) - 1} more clips)" if len(clips) > 1 else ""
        raise InputError(f"{clips[0]['problem']}{more}")
    if summary["detector"].startswith("boxes:") and not summary["subjects"]:
        raise InputError(
            f"{summary['detector'].removeprefix('boxes:')}: no row fits any of the {len(clips)} clips; "
            f"the first clip is called {clips[0]['name']}"
        )
    if summary["pairs"]:
        return
    what = "people" if config.harvest.subject == "body" else "hands"
    if not summary["subjects"]:
        raise NothingFoundError(
            f"no {what} found in {len(clips)} clips ({summary['looked']} frames looked at); if the camera moves, bring "
            f"boxes (--detector boxes:FILE or onnx:FILE), or take whole frames (--detector full)"
        )
    reasons = ", ".join(f"{count} {REASONS[reason]}" for reason, count in summary["rejected"].items())
    raise NothingFoundError(
        f"{what} found in {summary['found']} frames, but no pair passed the rules ({reasons or 'no track lasted'}); "
        "loosen them, for example --set pairs.min_motion=0.02 or --set pairs.min_size=48"
    )
