"""`humanpt eval`: how good a fine-tuned network is, and the studies that answer a question of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from humanpt.cli.options import Device, Json
from humanpt.cli.rotations import rotations
from humanpt.cli.transfer import transfer

DEFAULT = "run"


class _DefaultCommand(TyperGroup):
    """What is no command of the group is a run to evaluate: `humanpt eval RUN` is `humanpt eval run RUN`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_DefaultCommand,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Measure a fine-tuned network by a benchmark's own rules: [bold]humanpt eval RUN[/]; or run a study.",
)


@app.command(name=DEFAULT)
def evaluate(
    run: Annotated[
        Path | None, typer.Argument(help="A run that finetune wrote, or a checkpoint.", show_default=False)
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(help="Whose rules: freihand, ho3d-v3, 3dpw, emdb, ...", show_default="the data's own"),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Labelled samples: a folder, or NAME:FOLDER.", show_default="what the run held out"),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Which part, by the owners' name.", show_default="that for evaluation")
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Measure this file, a predictions.h5 or a server's pred.json; no run.", show_default=False),
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            help="Set two evaluations side by side, if their protocols are alike; no run.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the results, or of the page of --compare.", show_default="RUN/eval-..."),
    ] = None,
    submission: Annotated[
        bool, typer.Option("--submission", help="Write what the benchmark's server takes, too.")
    ] = False,
    most: Annotated[
        int | None, typer.Option(min=1, help="Measure so many samples, spread evenly.", show_default="all")
    ] = None,
    reflections: Annotated[
        bool | None,
        typer.Option("--reflections/--no-reflections", help="Let Procrustes mirror.", show_default="the benchmark's"),
    ] = None,
    pck: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Range of the PCK curve in mm, such as 20 50.", show_default="the benchmark's"),
    ] = None,
    gps: Annotated[
        Literal["one-k", "k-per-part"] | None,
        typer.Option(help="Variant of GPS; their figures do not compare.", show_default="one-k"),
    ] = None,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Write OUT/report.html.")] = True,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples looked at together.")] = 32,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read pictures.")] = 2,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Measure a run, or a file of predictions, by a benchmark's own rules.

    Without --data a run is measured on what it held out from its training. Leaves OUT/report.html, OUT/results.json,
    the protocol in OUT/card.json and, of meshes, OUT/predictions.h5.
    """
    from humanpt.cli.console import Bars, print_json
    from humanpt.commands import compare_evaluations
    from humanpt.commands import evaluate as command
    from humanpt.scoring.benchmarks import Changes

    if sum(given is not None for given in (run, predictions, compare)) != 1:
        raise typer.BadParameter("give a RUN, or --predictions FILE, or --compare A B")
    with Bars() as report:
        if compare is not None:
            found = compare_evaluations.run(*compare, out, report)
        else:
            config = command.EvaluateConfig(
                benchmark=benchmark,
                data=data,
                split=split,
                most=most,
                changes=Changes(reflections=reflections, pck_mm=pck),
                variant=gps,
                submission=submission,
                page=page,
                batch=batch_size,
                workers=workers,
            )
            if predictions is not None:
                found = command.run_file(predictions, config, out, report)
            else:
                assert run is not None
                found = command.run(run, config, out, report, device=device)
    (print_json if json else _show_comparison if compare else _show)(found)


app.command()(rotations)
app.command()(transfer)


def _show(found: dict[str, Any]) -> None:
    """The outcome in a terminal."""
    from humanpt.cli.console import counted, print_line, print_table
    from humanpt.pages.scores import score, told

    rows = [(score(name).title, told(name, value)) for name, value in found["figures"].items()]
    print_table(f"{found['benchmark']}, {found['split']}, {counted(found['samples'], 'sample')}", ("", ""), rows)
    for note in found["details"].get("notes", ()):
        print_line(f"note: {note}")
    if "submission" in found:
        print_line(f"for the server: {found['submission']}")
    print_line(f"open the report: {found['report']}" if found["report"] else f"results: {found['out']}")


def _show_comparison(found: dict[str, Any]) -> None:
    """Two evaluations in a terminal."""
    from humanpt.cli.console import print_line, print_table
    from humanpt.pages.scores import score, told

    rows = [(score(name).title, *(told(name, value) for value in pair)) for name, pair in found["figures"].items()]
    print_table(f"{found['card']['dataset']}, {found['card']['split']}", ("", *found["names"]), rows)
    print_line(f"open the page: {found['out']}")
