"""The commands. Heavy imports happen inside functions, so that every --help answers at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from humanpt import __version__
from humanpt.cli.options import Device, Hand, Json, Overrides, Resume, Seed
from humanpt.errors import HumanptError, NothingFoundError

INTERRUPTED = 130  # what shells use for "ended by Ctrl-C"
RESUME_ME = 75  # sysexits' "try again later": saved and stopped because the machine is wanted back


class _Commands(TyperGroup):
    """A mendable error becomes one line and its exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except HumanptError as error:
            from humanpt.cli.console import print_error

            print_error(str(error))
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except OSError as error:  # all others have become one line before: this is stdout
            from humanpt.cli.console import print_error

            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still to be flushed
            if isinstance(error, BrokenPipeError):
                sys.exit(0)  # whoever read the result has seen enough
            print_error(f"the result cannot be written to standard output ({error.strerror})")
            sys.exit(2)


app = typer.Typer(
    name="humanpt",
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line."""
    app()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"humanpt {__version__}")
        raise typer.Exit


@app.callback()
def _humanpt(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Self-supervised pre-training on people: completion across views and poses.

    A first run: [bold]humanpt mkpairs videos/[/] finds people and writes pairs, [bold]humanpt pretrain[/] trains on
    them; add [bold]--hand[/] to both for hands. Each ends with a page to open.
    """


@app.command()
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
    seed: Seed = 0,
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
    from humanpt.commands.maker import Maker
    from humanpt.commands.parts import Share
    from humanpt.config import override
    from humanpt.errors import ConfigError
    from humanpt.workers import cores

    generate = inputs == ["synthetic"]
    if "synthetic" in inputs and not generate:
        raise ConfigError("synthetic stands alone; a folder of that name is ./synthetic")
    if generate and multiview:
        raise ConfigError("--multiview is for captures; synthetic pairs have several views anyway")
    if count is not None and not generate:
        raise ConfigError("--count is for generated pairs: humanpt mkpairs synthetic --count N")
    share = Share.parse(part) if part else None
    if share and (ray or overwrite):
        raise ConfigError("--part shares a folder with other jobs; leave out --ray and --overwrite")
    if ray and workers:
        raise ConfigError("--workers is for this machine; with --ray every processor of the cluster makes a part")
    subject: Literal["body", "hand"] = "hand" if hand else "body"
    found: dict[str, Any] = {
        "subject": subject,
        "detector": detector,
        "decoder": decoder,
        "seed": seed,
        "source_licence": source_licence,
    }
    maker: Maker
    if generate:
        from humanpt.commands.from_people import PeopleMaker
        from humanpt.data.people.config import PeopleConfig

        people = PeopleConfig(subject=subject, seed=seed, device=device, count=1000 if count is None else count)
        maker = PeopleMaker(config=override(people, overrides or []))
    elif multiview:
        from humanpt.commands.from_captures import CaptureMaker
        from humanpt.data.captures.rules import CaptureConfig

        paths = list(map(Path, inputs))
        maker = CaptureMaker(inputs=paths, config=override(CaptureConfig(**found), overrides or []))
    else:
        from humanpt.commands.from_clips import ClipMaker
        from humanpt.data.harvest import HarvestConfig

        paths = list(map(Path, inputs))
        maker = ClipMaker(inputs=paths, config=override(HarvestConfig(**found), overrides or []))
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


@app.command()
def pretrain(
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of pair shards; repeatable.", show_default="pairs, else generated ones"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/SUBJECT-RECIPE-N")] = None,
    hand: Hand = False,
    recipe: Annotated[
        str, typer.Option(help="tiny, vits16_small, vitb16_small, vitb16_base or vitl16_base.")
    ] = "vits16_small",
    objective: Annotated[
        Literal["completion", "mae"] | None,
        typer.Option(help="mae completes single pictures: the baseline.", show_default="completion"),
    ] = None,
    kinds: Annotated[
        Literal["both", "view", "pose"] | None,
        typer.Option(help="Train on cross-view pairs, cross-pose pairs or both.", show_default="both"),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Length of the run.", show_default="the recipe's")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Pairs per step.", show_default="the recipe's")] = None,
    init: Annotated[
        Path | None, typer.Option(help="First weights: a run, a checkpoint, a file of CroCo, DUSt3R, MAE, timm.")
    ] = None,
    device: Device = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16"] | None,
        typer.Option(help="auto: bf16 where the device has it.", show_default="the recipe's"),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of every random draw.", show_default="0")] = None,
    augment_on_device: Annotated[
        bool, typer.Option("--augment-on-device", help="Cut and colour pictures on the device, in batch.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what the run would take (size, memory, time); write nothing.")
    ] = False,
    resume: Resume = False,
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Pre-train an encoder: complete one masked picture with the help of the other.

    Reads the shards that mkpairs wrote; without any it generates people or hands and trains on these. Ends with
    RUN/report.html: loss curves, completed pictures, whether the right reference helps more than a wrong one, and what
    a linear probe reads from the features. --set reaches every field, for example --set optim.base_lr=3e-4.

    Several GPUs or machines: torchrun --nproc-per-node 8 -m humanpt pretrain ... SIGTERM and SIGUSR1 save and exit with
    code 75; the same command with --resume goes on, on as many processes as there are then.
    """
    from humanpt.cli.console import Bars, print_json
    from humanpt.cli.results import show_dry_run, show_pretrain
    from humanpt.commands import pretrain as command
    from humanpt.recipes import pretrain_recipe

    subject: Literal["body", "hand"] = "hand" if hand else "body"
    weights = {"view": ["task.pose_weight=0"], "pose": ["task.view_weight=0"]}
    changes = [
        *(["task.objective=mae", "task.model.cross_attention=false"] if objective == "mae" else []),
        *weights.get(kinds or "both", []),
        *(["task.augment_on_device=true"] if augment_on_device else []),
        *([f"loop.steps={steps}"] if steps else []),
        *([f"loop.batch_size={batch_size}"] if batch_size else []),
        *([f"precision={precision}"] if precision else []),
        *([f"seed={seed}"] if seed is not None else []),
        *(overrides or []),
    ]
    with Bars() as report:
        summary = command.run(
            pretrain_recipe(recipe, subject),
            changes,
            data,
            out,
            report,
            device=device,
            init=init,
            resume=resume,
            dry=dry_run,
        )
    if dry_run:
        (print_json if json else show_dry_run)(summary)
        return
    if "command" in summary:  # of several processes the first alone speaks
        (print_json if json else show_pretrain)(summary)
    _leave_if_stopped(summary)


@app.command()
def finetune(
    task: Annotated[Literal["detection"], typer.Argument(help="What to train.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/detector-SUBJECT-N")] = None,
    hand: Hand = False,
    backgrounds: Annotated[
        Path | None,
        typer.Option(help="Folder of photographs with nobody in them.", show_default="generated rooms alone"),
    ] = None,
    cutouts: Annotated[
        Path | None,
        typer.Option(help="Folder of generated people, filled if it is not; runs may share one.", show_default="OUT"),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Length of the run.", show_default="the recipe's")] = None,
    init: Annotated[Path | None, typer.Option(help="A checkpoint to take the first weights from.")] = None,
    device: Device = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16"], typer.Option(help="auto: bf16 where the device has it.")
    ] = "auto",
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of every random draw.", show_default="0")] = None,
    resume: Resume = False,
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Train a network for a task. Now: detection, the detector that finds people or hands for mkpairs.

    Generates people, pastes them over photographs, rooms and clutter, and learns from those pictures alone. Ends with
    RUN/detector.safetensors, which says how it was made. --set reaches every field: --set cutouts.people=500.
    """
    from humanpt.cli.console import Bars, print_json
    from humanpt.cli.results import show_finetune
    from humanpt.commands import finetune as command
    from humanpt.recipes.finetune import detection
    from humanpt.workers import cores

    changes = [
        *([f"loop.steps={steps}"] if steps else []),
        *([f"seed={seed}"] if seed is not None else []),
        *(overrides or []),
    ]
    with Bars() as report:
        summary = command.run(
            detection("hand" if hand else "body"),
            changes,
            out,
            report,
            backgrounds=backgrounds,
            cutouts=cutouts,
            cores=cores(),
            device=device,
            precision=precision,
            init=init,
            resume=resume,
        )
    if json:
        print_json(summary)
    else:
        show_finetune(summary)
    _leave_if_stopped(summary)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The page.")] = Path("report.html"),
    json: Json = False,
) -> None:
    """Compare runs of pretrain on one page.

    Curves of every figure over each other, final figures, the settings that differ, warnings, and the same held-out
    pairs completed by each run. Runs may be finished, stopped or still going.
    """
    from humanpt.cli.console import Bars, print_json, print_line
    from humanpt.commands import report as command

    with Bars() as bars:
        found = command.run(runs, out, bars)
    if json:
        print_json(found)
    else:
        print_line(f"open the report: {found['out']}")


@app.command()
def export(
    run: Annotated[
        Path, typer.Argument(help="A run's folder, whose best checkpoint counts, or a checkpoint.", show_default=False)
    ],
    to: Annotated[
        Literal["croco", "timm"], typer.Option(help="croco: the whole network; timm: the encoder.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write.", show_default="croco.pth or timm.safetensors beside the checkpoint"),
    ] = None,
    json: Json = False,
) -> None:
    """Write the weights of a run for naver/croco's code or for timm.

    The ledger of what they were trained on, with its licences, goes with them.
    """
    from humanpt.cli.console import Bars, print_json, print_line
    from humanpt.commands import export as command

    with Bars() as bars:
        written = command.run(run, to, out, bars)
    if json:
        print_json(written)
    else:
        print_line(f"{written['out']}: {written['tensors']} tensors")
        print_line(f"load it by: {written['load']}")


def _leave_if_stopped(summary: dict[str, Any]) -> None:
    """End with the exit code of a run that was stopped."""
    if summary["interrupted"]:
        sys.exit(INTERRUPTED if summary["stopped_by"] == "SIGINT" else RESUME_ME)


@app.command()
def doctor(
    path: Annotated[
        Path | None,
        typer.Argument(help="A shard, a folder of shards, a run or a capture to check.", show_default=False),
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(help="Draw a plan of a capture's cameras to this SVG file.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Show what is installed and missing, and check a shard, a run or a capture by several cameras.

    Exit code 1 when something needs mending.
    """
    from humanpt.cli.console import print_json
    from humanpt.cli.results import show_doctor
    from humanpt.commands import doctor as command

    found = command.run(path, plan)
    if json:
        print_json(found)
    else:
        show_doctor(found)
    if not found["ok"]:
        raise typer.Exit(1)
