"""The command that makes pairs of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from humanpt.cli.options import Hand, Json, Overrides, Resume, Seed, subject_of
from humanpt.errors import ConfigError, NothingFoundError

if TYPE_CHECKING:
    from humanpt.commands.maker import Maker


def mkpairs(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for shards, summary and preview.")] = Path("pairs"),
    hand: Hand = False,
    multiview: Annotated[
        bool, typer.Option("--multiview", help="INPUT is a capture: a video or frame folder per camera.")
    ] = False,
    count: Annotated[int | None, typer.Option(help="How many pairs `synthetic` makes.", show_default="1000")] = None,
    detector: Annotated[
        str,
        typer.Option(help="Who finds the subjects: auto, own, motion (still camera), full, boxes:FILE or onnx:FILE."),
    ] = "auto",
    decoder: Annotated[Literal["auto", "pyav", "decord"], typer.Option(help="Video reader.")] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Parts of the work done at once.", show_default="all cores")
    ] = None,
    device: Annotated[str, typer.Option(help="Where `synthetic` draws: cpu or cuda.")] = "cpu",
    ray: Annotated[
        str | None,
        typer.Option(
            help="Make the parts on a Ray cluster: auto, local, HOST:PORT or ray://HOST:PORT.",
            show_default="this machine",
        ),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Make this share alone, as one job of many with the same --out; then --resume joins them.",
            show_default="all",
        ),
    ] = None,
    seed: Seed = None,
    source_licence: Annotated[str, typer.Option(help="Terms of your clips, kept in every shard's ledger.")] = "unknown",
    resume: Resume = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run wrote to --out.")] = False,
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Find people or hands in videos and write pairs of their pictures.

    INPUT is a video, a folder of videos or of frames (searched recursively), or a .txt list of such paths: pairs of two
    moments. With --multiview it is a capture by several cameras, with its calibration if there is one: pairs of two
    views. The word [bold]synthetic[/] generates people or hands, with exact truth: pairs of both kinds.

    Ends with a summary and OUT/preview.html. --set reaches every rule, for example --set pairs.min_motion=0.03.
    """
    from humanpt.cli.console import Bars, print_json
    from humanpt.cli.results import show_mkpairs, show_share
    from humanpt.commands import mkpairs as command
    from humanpt.commands.parts import Share
    from humanpt.workers import cores

    share = Share.parse(part) if part else None
    if share and (ray or overwrite):
        raise ConfigError("--part shares a folder with other jobs; leave out --ray and --overwrite")
    if ray and workers:
        raise ConfigError("--workers is for this machine; with --ray every processor of the cluster makes a part")
    about: dict[str, Any] = {"subject": subject_of(hand), "seed": seed or 0}
    if inputs == ["synthetic"]:
        if multiview:
            raise ConfigError("--multiview is for captures; synthetic pairs have several views anyway")
        maker = _of_people({**about, "device": device, "count": 1000 if count is None else count}, overrides or [])
    elif "synthetic" in inputs:
        raise ConfigError("synthetic stands alone; a folder of that name is ./synthetic")
    elif count is not None:
        raise ConfigError("--count is for generated pairs: humanpt mkpairs synthetic --count N")
    else:
        about |= {"detector": detector, "decoder": decoder, "source_licence": source_licence}
        make = _of_captures if multiview else _of_clips
        maker = make(list(map(Path, inputs)), about, overrides or [])
    config = command.MkpairsConfig(workers=workers or cores())
    with Bars() as report:
        if share:
            made = command.run_share(maker, out, config, report, share)
        else:
            summary = command.run(maker, out, config, report, resume=resume, overwrite=overwrite, ray=ray)
    if share:
        (print_json if json else show_share)(made)
        return
    (print_json if json else show_mkpairs)(summary)
    if summary["problem"]:
        raise NothingFoundError(summary["problem"])


def _of_people(about: dict[str, Any], overrides: list[str]) -> Maker:
    from humanpt.commands.from_people import PeopleMaker
    from humanpt.config import override
    from humanpt.data.people.config import PeopleConfig

    return PeopleMaker(config=override(PeopleConfig(**about), overrides))


def _of_captures(inputs: list[Path], about: dict[str, Any], overrides: list[str]) -> Maker:
    from humanpt.commands.from_captures import CaptureMaker
    from humanpt.config import override
    from humanpt.data.captures.rules import CaptureConfig

    return CaptureMaker(inputs=inputs, config=override(CaptureConfig(**about), overrides))


def _of_clips(inputs: list[Path], about: dict[str, Any], overrides: list[str]) -> Maker:
    from humanpt.commands.from_clips import ClipMaker
    from humanpt.config import override
    from humanpt.data.harvest import HarvestConfig

    return ClipMaker(inputs=inputs, config=override(HarvestConfig(**about), overrides))
