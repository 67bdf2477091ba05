"""`humanpt finetune`: a command for every task that a pre-trained encoder is trained for, and for our own detector."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from humanpt.cli.options import Device, Hand, Json, Overrides, Precision, Resume, Seed, Steps, subject_of
from humanpt.cli.runs import given, leave_if_stopped

if TYPE_CHECKING:
    from humanpt.commands.finetune_config import Kind

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Train a pre-trained encoder for a task: meshes, dense pose, gestures, grasps; or our own detector.",
)

Data = Annotated[
    str | None,
    typer.Option(
        help="Labelled pictures: a folder, or NAME:FOLDER such as freihand:/data/FreiHAND.", show_default="generated"
    ),
]
Classes = Annotated[
    str | None, typer.Option(help="A folder with a folder per class, or a CSV file of image,label[,split,side,group].")
]
Out = Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/TASK-N")]
Init = Annotated[
    Path | None,
    typer.Option(help="First weights: a run, a checkpoint, a file of CroCo, DUSt3R, MAE, timm.", show_default="random"),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        help="Size and schedule: tiny, vits16_small, vitb16_small, vitb16_base, vitl16_base; or live, for meshes.",
        show_default="that of --init, else vits16_small",
    ),
]
Labels = Annotated[
    float | None, typer.Option(help="Share of the labels to train on; a smaller one lies within a larger.")
]
Tune = Annotated[
    Literal["all", "head", "norm"] | None,
    typer.Option(help="What is trained: all weights, the head, or the head and all norms.", show_default="all"),
]
Model = Annotated[
    str | None,
    typer.Option(help="Body model: anny, or your own file of mano, smpl, smplx.", show_default="the labels' own"),
]
Free = Annotated[bool, typer.Option("--free", help="Predict vertices and joints directly, not the model's parameters.")]
Views = Annotated[
    Literal["1", "2"] | None,
    typer.Option(
        help="2 reads a second picture too, by the pre-trained decoder with nothing masked.", show_default="1"
    ),
]
Decoder = Annotated[
    Literal["pretrained", "random"] | None,
    typer.Option(help="Where the decoder of two views begins; random for contrast.", show_default="pretrained"),
]
Rotation = Annotated[
    Literal["procrustes", "6d", "quat", "rotvec"] | None,
    typer.Option(help="How numbers become rotations.", show_default="procrustes"),
]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Pictures per step.", show_default="the recipe's")]


def mesh(
    context: typer.Context,
    data: Data = None,
    init: Init = None,
    out: Out = None,
    recipe: Recipe = None,
    labels: Labels = None,
    tune: Tune = None,
    model: Model = None,
    free: Free = False,
    views: Views = None,
    decoder: Decoder = None,
    rotation: Rotation = None,
    steps: Steps = None,
    batch_size: BatchSize = None,
    device: Device = "auto",
    precision: Precision = None,
    seed: Seed = None,
    resume: Resume = False,
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Train for meshes of hands or bodies, by the name of the command."""
    kind = cast("Kind", context.info_name)
    anny = {"hand-mesh": "anny-hand", "body-mesh": "anny-body"}[kind]
    fields = {
        "task.model": anny if model == "anny" else model,
        "task.free": free or None,
        "task.views": views,
        "task.decoder": decoder,
        "task.rotation": rotation,
    }
    changes = _changes(fields, labels, tune, steps, batch_size, precision, seed, overrides)
    _run(kind, changes, data, out, recipe, init, device, resume, json)


MESH_ENDS = (
    "Ends with RUN/report.html: held-out errors in mm beside what the mean pose would score, and meshes drawn over "
    "held-out pictures. Several GPUs: torchrun --nproc-per-node 8 -m humanpt finetune ..."
)
app.command(
    "hand-mesh",
    help="Hand meshes: parameters of a hand model with a camera, or with --free vertices and joints directly.\n\n"
    f"Left hands are mirrored to right ones, and their predictions back. {MESH_ENDS}",
)(mesh)
app.command(
    "body-mesh",
    help="Body meshes: parameters of a body model with a camera, or with --free vertices and joints directly.\n\n"
    f"{MESH_ENDS}",
)(mesh)


@app.command("dense-pose")
def dense_pose(
    data: Data = None,
    init: Init = None,
    out: Out = None,
    hand: Hand = False,
    recipe: Recipe = None,
    labels: Labels = None,
    tune: Tune = None,
    steps: Steps = None,
    batch_size: BatchSize = None,
    device: Device = "auto",
    precision: Precision = None,
    seed: Seed = None,
    resume: Resume = False,
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Dense pose: the part of the surface that each pixel shows, and where on the part it lies.

    Reads generated people or hands, or densepose-coco:FOLDER. Ends with RUN/report.html: figures, and parts painted
    over held-out pictures.
    """
    fields = {"subject": "hand" if hand else None}
    changes = _changes(fields, labels, tune, steps, batch_size, precision, seed, overrides)
    _run("dense-pose", changes, data, out, recipe, init, device, resume, json)


def classes(
    context: typer.Context,
    data: Classes = None,
    init: Init = None,
    out: Out = None,
    crop: Annotated[
        Literal["picture", "hand", "body"] | None,
        typer.Option(help="Look at the whole picture, or at the hand or person found in it.", show_default="picture"),
    ] = None,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="A class means the same in a mirror: flip pictures at random.")
    ] = False,
    recipe: Recipe = None,
    labels: Labels = None,
    tune: Tune = None,
    steps: Steps = None,
    batch_size: BatchSize = None,
    device: Device = "auto",
    precision: Precision = None,
    seed: Seed = None,
    resume: Resume = False,
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Train for classes of pictures, by the name of the command."""
    fields = {"task.crop": crop, "task.mirror": mirror or None}
    changes = _changes(fields, labels, tune, steps, batch_size, precision, seed, overrides)
    _run(cast("Kind", context.info_name), changes, data, out, recipe, init, device, resume, json)


for name in ("gesture", "grasp"):
    app.command(
        name,
        help=f"{name.capitalize()}s: which of the classes of a folder a picture shows.\n\n"
        "--data is a folder with a folder per class, or a CSV file. A set too small to split is parted by --set "
        "task.folds=5, of which --set task.fold=0 to 4 is held out. Ends with RUN/report.html: the share told right, "
        "and its mean over classes.",
    )(classes)


@app.command()
def detection(
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
    steps: Steps = None,
    init: Annotated[Path | None, typer.Option(help="A checkpoint to take the first weights from.")] = None,
    device: Device = "auto",
    precision: Precision = None,
    seed: Seed = None,
    resume: Resume = False,
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Our own detector, which finds people or hands for mkpairs.

    Generates people, pastes them over photographs, rooms and clutter, and learns from those pictures alone. Ends with
    RUN/detector.safetensors, which says how it was made. --set reaches every field: --set cutouts.people=500.
    """
    from humanpt.cli.console import Bars, print_json
    from humanpt.cli.results import show_detection
    from humanpt.commands import finetune_detection as command
    from humanpt.recipes.finetune import detection as recipe
    from humanpt.workers import cores

    with Bars() as report:
        summary = command.run(
            recipe(subject_of(hand)),
            [*given({"loop.steps": steps, "precision": precision, "seed": seed}), *(overrides or [])],
            out,
            report,
            backgrounds=backgrounds,
            cutouts=cutouts,
            cores=cores(),
            device=device,
            init=init,
            resume=resume,
        )
    (print_json if json else show_detection)(summary)
    leave_if_stopped(summary)


def _changes(
    fields: dict[str, Any],
    labels: float | None,
    tune: str | None,
    steps: int | None,
    batch_size: int | None,
    precision: str | None,
    seed: int | None,
    overrides: list[str] | None,
) -> list[str]:
    """Options as words of `--set`, and those words themselves."""
    shared = {"labels": labels, "tune": tune, "loop.steps": steps, "loop.batch_size": batch_size}
    return [*given(fields | shared | {"precision": precision, "seed": seed}), *(overrides or [])]


def _run(
    kind: Kind,
    changes: list[str],
    data: str | None,
    out: Path | None,
    recipe: str | None,
    init: Path | None,
    device: str,
    resume: bool,
    json: bool,
) -> None:
    from humanpt.cli.console import Bars, print_json
    from humanpt.cli.results import show_finetune
    from humanpt.commands import finetune as command
    from humanpt.recipes.finetune import finetune_recipe

    with Bars() as report:
        config = finetune_recipe(kind, recipe, init)
        fixed = [] if recipe is None else ["recipe"]
        summary = command.run(config, changes, data, out, report, init=init, device=device, resume=resume, fixed=fixed)
    if "command" in summary:  # of several processes the first alone speaks
        (print_json if json else show_finetune)(summary)
    leave_if_stopped(summary)
