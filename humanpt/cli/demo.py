"""`humanpt demo`: meshes of hands or people, live."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from humanpt.cli.options import Device, Json, Overrides, subject_of
from humanpt.cli.runs import given
from humanpt.errors import ConfigError

MAY_STAND_ALONE = {"--webcam": "0", "--serve": "auto"}
"""Options that may come without a value, and the value that they have then."""
SCREEN = {"serve", "host", "terminal", "mirror"}
RECORDED = {"record", "vertices", "obj", "once"}
IDLE_BESIDE = {
    "finish": {"webcam", "video", "images", "hand", "model", "task", "reference", "detector", "smooth", "focal"}
    | {"benchmark", "target_fps", "device", "overrides", *SCREEN, *RECORDED},
    "benchmark": {"webcam", "video", "images", "task", "reference", "focal", "target_fps", *SCREEN, *RECORDED},
    "terminal": {"serve", "host", "mirror"},
    "webcam": {"once"},
}
"""Options that have no effect beside another one, which says so instead of leaving them unheard."""


class DemoCommand(TyperCommand):
    """A command some of whose options may come without a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put in the values that were left out."""
        filled: list[str] = []
        for at, word in enumerate(args):
            filled.append(word)
            if word in MAY_STAND_ALONE and (at + 1 == len(args) or args[at + 1].startswith("-")):
                filled.append(MAY_STAND_ALONE[word])
        parsed: list[str] = super().parse_args(ctx, filled)
        return parsed


def demo(
    ctx: typer.Context,
    webcam: Annotated[
        str | None,
        typer.Option(
            metavar="[INDEX|PATH|URL]", help="A camera or a network stream; alone, camera 0.", show_default=False
        ),
    ] = None,
    video: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A clip, or a folder of numbered frames.", show_default=False)
    ] = None,
    images: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Pictures, each for itself; or one.", show_default=False)
    ] = None,
    hand: Annotated[
        bool | None,
        typer.Option("--hand/--body", help="Hands, or whole people.", show_default="as --model, else people"),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            help="A fine-tuned run, a checkpoint or an exported file; several with --target-fps, the best first.",
            show_default="the network that comes with humanpt",
        ),
    ] = None,
    task: Annotated[
        Literal["mesh", "completion"],
        typer.Option(help="Meshes; or masked completion by a pre-trained run, which --model names."),
    ] = "mesh",
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FRAME",
            help="For completion: the picture that helps.",
            show_default="a moment ago",
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            help="Who finds people or hands: auto, own, motion, full, boxes:FILE, onnx:FILE.", show_default="auto"
        ),
    ] = None,
    smooth: Annotated[
        Literal["one-euro", "velocity", "none"] | None,
        typer.Option(help="Filter that steadies meshes over time.", show_default="one-euro"),
    ] = None,
    focal: Annotated[
        float | None,
        typer.Option(
            metavar="PIXELS", help="Focal length of the camera.", show_default="from EXIF, else the longer side"
        ),
    ] = None,
    serve: Annotated[
        str | None,
        typer.Option(
            metavar="[PORT]", help="Show a page at this port, which a browser opens.", show_default="without a display"
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address of the page; one that others can reach makes it ask for a token.")
    ] = "127.0.0.1",
    terminal: Annotated[bool, typer.Option("--terminal", help="No screen: figures in the terminal.")] = False,
    mirror: Annotated[
        bool | None,
        typer.Option("--mirror/--no-mirror", help="Show a mirror, on screen alone.", show_default="with cameras here"),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Record into a folder: film, people.npz, animation.", show_default=False),
    ] = None,
    vertices: Annotated[bool, typer.Option("--vertices", help="Record surfaces in people.npz too.")] = False,
    obj: Annotated[bool, typer.Option("--obj", help="Record every mesh of every frame as an .obj file.")] = False,
    once: Annotated[bool, typer.Option("--once", help="End with the clip instead of showing it again.")] = False,
    finish: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT", help="Make whole files of a recording that was cut short, and end.", show_default=False
        ),
    ] = None,
    benchmark: Annotated[
        Path | None,
        typer.Option(metavar="CLIP", help="Measure every stage on a clip, and end.", show_default=False),
    ] = None,
    target_fps: Annotated[
        float | None,
        typer.Option(min=0.1, help="Frames a second to keep: takes the first --model that does.", show_default=False),
    ] = None,
    device: Device = "auto",
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """See meshes of people, or with --hand of hands: from a camera, a clip or pictures.

    [bold]humanpt demo --webcam --hand[/] works as installed, on a CPU. Where there is no display it serves a page;
    Ctrl-C ends it. --record writes a film, people.npz (docs/demo.md), animation.glb for Blender and game engines and
    .bvh files. How the camera's focal length is known is said on screen and in every file: distances scale with it.
    """
    from humanpt.cli.console import Bars, print_json
    from humanpt.cli.results import show_benchmark, show_demo
    from humanpt.commands import demo as command
    from humanpt.live.recorder import RecordConfig
    from humanpt.live.seen import Screens

    _refuse_idle(ctx)
    subject = None if hand is None else subject_of(hand)
    changes = [
        *given({"pipeline.detector": detector, "pipeline.smooth.method": smooth}),
        *(overrides or []),
    ]
    if finish is not None:
        from humanpt.cli.results import show_files
        from humanpt.live.recorder import finish_recording

        with Bars() as report:
            files = {name: str(path) for name, path in finish_recording(finish, report).items()}
        print_json({"command": "demo finish", "files": files}) if json else show_files(files)
        return
    if benchmark is not None:
        from humanpt.commands import demo_benchmark

        with Bars() as report:
            measured = demo_benchmark.run(
                benchmark, command.DemoConfig(), changes, model or [], report, subject=subject, device=device
            )
        (print_json if json else show_benchmark)(measured)
        return
    if webcam is None and video is None and images is None:
        webcam = "0"
    origin = command.Origin(webcam=webcam, video=video, images=images, focal=focal)
    here = webcam is not None and "://" not in webcam
    screens = Screens(
        screen="terminal" if terminal else "auto" if serve is None else "page",
        host=host,
        port=None if serve in (None, "auto") else _port(serve),
        mirrored=here if mirror is None else mirror,
    )
    with Bars() as report:
        summary = command.run(
            origin,
            command.DemoConfig(),
            changes,
            model or [],
            screens,
            report,
            subject=subject,
            task=task,
            reference=reference,
            record=record,
            recording=RecordConfig(vertices=vertices, obj=obj, animation=images is None),
            once=once,
            target=target_fps,
            device=device,
        )
    (print_json if json else show_demo)(summary)
    if summary["trouble"]:
        raise typer.Exit(2)


def _refuse_idle(ctx: typer.Context) -> None:
    """Refuse what would have no effect beside other options."""
    parts = {str(part.name): part.opts[0] for part in ctx.command.params}
    named = {name for name in parts if getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"}
    if ctx.params["task"] == "completion" and "smooth" in named:
        raise ConfigError("--smooth has no effect beside --task completion; leave it out")
    for option in named & IDLE_BESIDE.keys():
        for idle in sorted(named & IDLE_BESIDE[option]):
            raise ConfigError(f"{parts[idle]} has no effect beside {parts[option]}; leave one of them out")


def _port(text: str | None) -> int:
    if text is None or not text.isdecimal() or int(text) > 65535:
        raise typer.BadParameter(f"--serve {text}: a port is a number up to 65535, 0 for any that is free")
    return int(text)
