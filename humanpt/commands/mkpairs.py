"""`humanpt mkpairs`: clips in, shards of pairs out.

Clips are sorted and put into groups by size before anything is read; each group becomes one shard. A clip is worked
on in a process of its own and leaves a small shard and a note in `OUT/.mkpairs/`; when a group's clips are all done
these are joined, in order, into the group's shard. So the result depends on neither the number of workers nor on
interruptions, and resuming means doing what has no note yet.
"""

from __future__ import annotations

import dataclasses
import json
import re
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
from humanpt.data.harvest import Harvest, HarvestConfig, clip_bytes, content_hash, harvest
from humanpt.data.pairs import REASONS
from humanpt.data.shards import ShardReader, ShardWriter
from humanpt.data.video import open_clip
from humanpt.detect.choose import check_detector
from humanpt.engine.report import Report
from humanpt.errors import ConfigError, InputError, OutputError
from humanpt.files import cannot_write, write_json
from humanpt.pages.preview import write_preview
from humanpt.workers import Ended, Tell, run_jobs

SUMMARY = "summary.json"
PREVIEW = "preview.html"
WORK = ".mkpairs"
TIPS = {
    "small": "pairs.min_size=48",
    "outside": "pairs.min_inside=0.2",
    "near-duplicate": "pairs.novelty=0.005",
    "alone": "pairs.every=0.1",
    "still": "pairs.min_motion=0.02",
    "far": "pairs.max_motion=1",
    "hidden": "pairs.min_visible=0",
    "used up": "pairs.max_uses=10",
    "short track": "pairs.min_track=0.2",
}
"""What to try when most was left out for a reason."""


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
        The summary, as written to `out/summary.json`. When there are no pairs its `problem` says why and what to try.

    Raises:
        InputError: if an input is missing, none can be read, or the detector fits none of them.
        OutputError: if `out` is not empty or cannot be written.
        ConfigError: if both `resume` and `overwrite` are given.
    """
    if resume and overwrite:
        raise ConfigError("--resume goes on and --overwrite starts again; give one of them")
    began = time.perf_counter()
    clips = find_clips(inputs)
    check_detector(
        config.harvest.detector, config.harvest.subject, [clip.name for clip in clips], config.harvest.detect
    )
    plan = _Plan.of(clips, config.shard_bytes)
    work = out / WORK
    _prepare(out, work, config, plan, resume=resume, overwrite=overwrite)
    try:
        new = _harvest_all(plan, work, out, config, report)
    except KeyboardInterrupt:
        done = sum(_note(work, number).is_file() for number in range(len(clips)))
        report.note(f"stopped after {done} of {len(clips)} clips; the same command with --resume goes on from here")
        raise
    summary = _summary(plan, new, work, out, config, time.perf_counter() - began)
    if summary["pairs"]:
        write_preview(out / PREVIEW, summary, [out / name for name in summary["shards"]])
    write_json(out / SUMMARY, summary)  # the sign that this folder is complete
    shutil.rmtree(work, ignore_errors=True)
    _refuse_unfit_input(summary)
    return summary


def _harvest_all(plan: _Plan, work: Path, out: Path, config: MkpairsConfig, report: Report) -> list[int]:
    """Do every clip that has no note yet, sealing each group's shard when its last clip is done; their numbers."""
    missing = [number for number in range(len(plan.clips)) if not _note(work, number).is_file()]
    report.stage(f"{len(plan.clips)} clips", None, "frame")
    if len(missing) < len(plan.clips):
        report.note(f"{len(plan.clips) - len(missing)} of {len(plan.clips)} clips were done before")
    group_of = {number: group for group, members in enumerate(plan.groups) for number in members}
    for group in range(len(plan.groups)):
        _seal(plan, group, work, out, config)
    todo = [(number, plan.clips[number]) for number in missing]
    jobs = run_jobs(partial(_one_clip, config=config.harvest, work=work), todo, config.workers, __name__)
    done = len(plan.clips) - len(missing)
    try:
        for event in jobs:
            if isinstance(event, Ended):
                number, clip = event.job
                if event.problem is not None:
                    problem = event.problem if clip.name in event.problem else f"{clip.name}: {event.problem}"
                    write_json(_note(work, number), dataclasses.asdict(Harvest(name=clip.name, problem=problem)))
                    report.note(problem)
                done += 1
                report.advance(0, clips=done)
                _seal(plan, group_of[number], work, out, config)
            else:
                report.advance(event.amount, clips=done)
    finally:
        jobs.close()
    return missing


def _one_clip(job: tuple[int, FoundClip], tell: Tell, *, config: HarvestConfig, work: Path) -> None:
    """What a worker process does."""
    number, clip = job
    result = harvest(clip, config, _part(work, number), tell)
    write_json(_note(work, number), dataclasses.asdict(result))


def _seal(plan: _Plan, group: int, work: Path, out: Path, config: MkpairsConfig) -> None:
    """Join the parts of a group into its shard, once all of its clips are done and if it is not there yet."""
    members, shard = plan.groups[group], out / f"pairs-{group:05d}.h5"
    if shard.exists() or not all(_note(work, number).is_file() for number in members):
        return
    parts = [part for number in members if (part := _part(work, number)).is_file()]
    filled = []
    for part in parts:
        reader = ShardReader(part)
        reader.release()  # each mapped file holds a descriptor, and there may be thousands of parts
        if len(reader):
            filled.append(reader)
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
                    writer.append(reader.record(row).moved(source))
                reader.release()
    for part in parts:
        part.unlink()


def _part(work: Path, number: int) -> Path:
    return work / f"{number:06d}.h5"


def _note(work: Path, number: int) -> Path:
    return work / f"{number:06d}.json"


def _prepare(out: Path, work: Path, config: MkpairsConfig, plan: _Plan, *, resume: bool, overwrite: bool) -> None:
    """See that `out` may be written, and leave there what a resumed run must find unchanged."""
    _, _, file = config.harvest.detector.partition(":")
    promise: dict[str, Any] = {
        "version": __version__,
        "settings": to_dict(config.harvest) | {"shard_bytes": config.shard_bytes},
        "detector": content_hash(Path(file)) if file else None,
        "clips": [[clip.name, clip_bytes(clip.path)] for clip in plan.clips],
    }
    promise = json.loads(json.dumps(promise))  # as it will be read
    promised = work / "plan.json"
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file; --out names a folder")
    held = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if overwrite:
        if held:
            _see_that_one_opens(plan, config)  # before anything is lost
        _clear(out)
    elif resume and promised.is_file():
        earlier = _read_json(promised)
        for what, now in promise.items():
            if earlier.get(what) != now:
                raise OutputError(
                    f"{out}: was begun with other {what}; --overwrite starts again, another --out keeps it"
                )
    elif resume and SUMMARY in held:
        raise OutputError(f"{out}: is complete, there is nothing to resume; --overwrite starts again")
    elif resume and held:
        raise OutputError(f"{out}: holds no interrupted run; choose another --out, or leave out --resume")
    elif held - {SUMMARY}:  # a summary alone: nothing was found
        raise OutputError(
            f"{out}: is not empty; add --resume to go on, --overwrite to start again, or choose another --out"
        )
    write_json(promised, promise)


def _see_that_one_opens(plan: _Plan, config: MkpairsConfig) -> None:
    """Raise what the first clip raises if none of them can be opened."""
    first: InputError | None = None
    for clip in plan.clips:
        try:
            open_clip(clip.path, config.harvest.decoder)
            return
        except InputError as error:
            first = first or error
    if first:
        raise first


def _read_json(path: Path) -> dict[str, Any]:
    """A note of ours from an earlier session."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        document = None
    if not isinstance(document, dict):
        raise OutputError(f"{path}: is damaged; --overwrite starts again")
    return document


def _clear(out: Path) -> None:
    """Remove what mkpairs writes, and refuse to touch a folder that holds anything else."""
    if not out.exists():
        return
    names = re.compile(r"pairs-\d{5,}\.h5|\.(pairs-\d{5,}\.h5|summary\.json|preview\.html)\.partial")
    ours = {path for path in out.iterdir() if names.fullmatch(path.name) or path.name in (SUMMARY, PREVIEW, WORK)}
    strangers = sorted(set(out.iterdir()) - ours)
    if strangers:
        raise OutputError(f"{out}: holds {strangers[0].name}, which mkpairs did not write; choose another --out")
    try:
        for path in ours:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error


def _summary(
    plan: _Plan, new: Sequence[int], work: Path, out: Path, config: MkpairsConfig, seconds: float
) -> dict[str, Any]:
    clips = [_read_json(_note(work, number)) for number in range(len(plan.clips))]
    rejected: Counter[str] = Counter()
    for clip in clips:
        rejected.update(clip["rejected"])
    totals = {
        key: sum(clip[key] for clip in clips)
        for key in ("frames", "looked", "found", "boxes", "tracks", "kept_tracks", "jumps", "pairs")
    }
    summary = {
        "command": "mkpairs",
        "version": __version__,
        "out": str(out),
        "subject": config.harvest.subject,
        "detector": config.harvest.detector,
        "clips": len(clips),
        "unreadable": sum(clip["problem"] is not None for clip in clips),
        **totals,
        "rejected": {reason: rejected[reason] for reason in REASONS if rejected[reason]},
        "reasons": {reason: REASONS[reason] for reason in REASONS if rejected[reason]},
        "shards": [path.name for path in sorted(out.glob("pairs-*.h5"))],
        "preview": str(out / PREVIEW) if totals["pairs"] else None,
        "seconds": seconds,
        "frames_per_second": sum(clips[number]["frames"] for number in new) / seconds,
        "per_clip": clips,
        "config": to_dict(config),
    }
    return summary | {"problem": None if totals["pairs"] else _why_nothing(summary)}


def _why_nothing(summary: dict[str, Any]) -> str:
    """Why there are no pairs, and what to try."""
    what = "people" if summary["subject"] == "body" else "hands"
    clips = f"{summary['clips']} clip{'s' * (summary['clips'] != 1)}"
    if not summary["boxes"]:
        return (
            f"no {what} found in {clips} ({summary['looked']} frames looked at); if the camera moves, bring boxes "
            "(--detector boxes:FILE or onnx:FILE), or take whole frames (--detector full)"
        )
    reasons = ", ".join(f"{count} {REASONS[reason]}" for reason, count in summary["rejected"].items())
    return (
        f"{what} found in {summary['found']} frames, but no pair passed the rules ({reasons or 'no track lasted'}); "
        f"loosen them, for example --set {TIPS[max(summary['rejected'], key=summary['rejected'].get, default='alone')]}"
    )


def _refuse_unfit_input(summary: dict[str, Any]) -> None:
    """Raise when the fault is not with the rules but with what was given."""
    clips = summary["per_clip"]
    if summary["unreadable"] == len(clips):
        more = f" (and {len(clips) - 1} more clips)" if len(clips) > 1 else ""
        raise InputError(f"{clips[0]['problem']}{more}")
    if summary["detector"].startswith("boxes:") and not summary["boxes"]:
        remarks = [note for clip in clips for note in clip["notes"]]
        raise InputError(remarks[0] if remarks else f"{summary['detector']}: no box in it is for any of the clips")
