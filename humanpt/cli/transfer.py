"""`humanpt eval transfer`: what pre-training is worth, in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from humanpt.cli.options import Device, Json, Overrides, Resume, Steps
from humanpt.cli.runs import given, leave_if_stopped


def transfer(
    task: Annotated[
        Literal["hand-mesh", "body-mesh", "dense-pose", "gesture", "grasp"],
        typer.Argument(help="What to fine-tune for.", show_default=False),
    ],
    init: Annotated[
        list[str],
        typer.Option(metavar="NAME=FILE", help="First weights and their name: a run, a checkpoint, a file; repeat."),
    ],
    data: Annotated[str | None, typer.Option(help="Labelled pictures to learn from.", show_default="generated")] = None,
    test: Annotated[
        str | None,
        typer.Option(help="Labelled pictures of other people to measure on.", show_default="a part of --data"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the comparison.", show_default="runs/transfer-TASK-N")
    ] = None,
    labels: Annotated[
        list[float] | None,
        typer.Option(min=0.0, max=1.0, help="Share of the labels; repeat for several.", show_default="0.01, 0.1, 1"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each cell of the table.")] = 3,
    recipe: Annotated[
        str | None, typer.Option(help="Size and schedule, as for finetune.", show_default="that of the first --init")
    ] = None,
    steps: Steps = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Pictures per step.", show_default="the recipe's")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at once, each in a process of its own.")] = 1,
    device: Device = "auto",
    resume: Resume = False,
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Fine-tune from several first weights on few labels and on many, and compare.

    The same head, schedule, seeds and labels for all; random weights are always among them. Ends with OUT/report.html,
    a table and a plot with the spread over seeds, and the table as OUT/transfer.md. For example: humanpt eval transfer
    hand-mesh --init mae=runs/mae --init both=runs/both --data hands --test other-hands
    """
    from humanpt.cli.console import Bars, print_json, print_line, print_table
    from humanpt.commands import transfer as command
    from humanpt.recipes.finetune import finetune_recipe

    weights = [path for name, path in command.parse_inits(init).items() if path is not None]
    with Bars() as report:
        document = command.run(
            finetune_recipe(task, recipe, weights[0]),
            [*given({"loop.steps": steps, "loop.batch_size": batch_size}), *(overrides or [])],
            init,
            data,
            test,
            out,
            report,
            shares=labels or (0.01, 0.1, 1.0),
            seeds=seeds,
            jobs=jobs,
            device=device,
            resume=resume,
        )
    if json:
        print_json(document)
    else:
        from humanpt.pages.scores import score
        from humanpt.pages.transfer import heading, rows, unfinished

        for figure in document["tables"]:
            print_table(f"{task}: {score(figure).title}", heading(document), rows(document, figure))
        if text := unfinished(document):
            print_line(text)
        print_line(f"open the report: {document['report']}")
    leave_if_stopped(document)
