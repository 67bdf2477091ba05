"""The commands that train, compare what was trained, and hand it on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from humanpt.cli.options import (
    Device,
    Hand,
    Json,
    Overrides,
    Precision,
    Resume,
    Seed,
    Steps,
    subject_of,
)

INTERRUPTED = 130  # what shells use for "ended by Ctrl-C"
RESUME_ME = 75  # sysexits' "try again later": saved and stopped because the machine is wanted back


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
    steps: Steps = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Pairs per step.", show_default="the recipe's")] = None,
    init: Annotated[
        Path | None, typer.Option(help="First weights: a run, a checkpoint, a file of CroCo, DUSt3R, MAE, timm.")
    ] = None,
    device: Device = "auto",
    precision: Precision = None,
    seed: Seed = None,
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

    weights = {"view": ["task.pose_weight=0"], "pose": ["task.view_weight=0"]}
    changes = [
        *(["task.objective=mae", "task.model.cross_attention=false"] if objective == "mae" else []),
        *weights.get(kinds or "both", []),
        *(["task.augment_on_device=true"] if augment_on_device else []),
        *given({"loop.steps": steps, "loop.batch_size": batch_size, "precision": precision, "seed": seed}),
        *(overrides or []),
    ]
    with Bars() as report:
        summary = command.run(
            pretrain_recipe(recipe, subject_of(hand)),
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
    leave_if_stopped(summary)


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


def export(
    run: Annotated[
        Path, typer.Argument(help="A run's folder, whose best checkpoint counts, or a checkpoint.", show_default=False)
    ],
    to: Annotated[
        Literal["onnx", "torchscript", "safetensors", "croco", "timm"],
        typer.Option(
            help="onnx or torchscript (holds code): what was fine-tuned, or a pre-trained encoder. safetensors: "
            "fine-tuned weights alone. Of pre-training: croco, the whole network; timm, the encoder.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write.", show_default="beside the checkpoint, such as mesh.onnx"),
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Round weights alone (safetensors) to float16: half the size.")
    ] = False,
    json: Json = False,
) -> None:
    """Write the network of a run for other programs, or its weights for naver/croco's code or timm.

    What is written is read again, run on crops and held against the original: beyond a tenth of a millimetre of
    meshes, with --half a whole one on average, nothing is written. What its numbers mean, the differences, and the
    ledger of what it was trained on, with its licences, go with it. Licensed body models stay out of the file.
    """
    from humanpt.cli.console import Bars, print_json, print_line
    from humanpt.commands import export as command

    with Bars() as bars:
        written = command.run(run, to, out, bars, half=half)
    if json:
        print_json(written)
    else:
        print_line(f"load it by: {written['load']}")


def given(fields: dict[str, object]) -> list[str]:
    """As words of `--set`, those fields that an option gave."""
    return [f"{name}={value}" for name, value in fields.items() if value is not None]


def leave_if_stopped(summary: dict[str, Any]) -> None:
    """End with the exit code of a run that was stopped."""
    if summary["interrupted"]:
        sys.exit(INTERRUPTED if summary["stopped_by"] == "SIGINT" else RESUME_ME)
