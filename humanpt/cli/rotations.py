"""`humanpt eval rotations`: the rotation study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from humanpt.cli.options import Json, Overrides, Resume, Seed
from humanpt.cli.runs import given, leave_if_stopped


def rotations(
    out: Annotated[Path | None, typer.Option(help="Folder of the study.", show_default="runs/rotations-N")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Networks of each form.")] = 3,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of each training.", show_default="3000")] = None,
    seed: Seed = None,
    resume: Resume = False,
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Compare forms of rotations: which one does a small network learn best?

    Procrustes, 6D, quaternion, rotation vector and, for contrast, Euler angles, on all rotations and on those up to 45
    degrees. Takes minutes on one core. Writes OUT/results.json, which every finished form extends, and OUT/report.html.
    """
    from humanpt.cli.console import Bars, print_json
    from humanpt.commands import rotation_study as command

    changes = given({"seeds": seeds, "task.steps": steps, "seed": seed})
    with Bars() as report:
        study = command.run(command.RotationStudyConfig(), [*changes, *(overrides or [])], out, report, resume=resume)
    (print_json if json else _show)(study)
    leave_if_stopped(study)


def _show(study: dict[str, Any]) -> None:
    """The outcome in a terminal."""
    from humanpt.cli.console import print_line, print_table

    rows = [
        (
            line["form"],
            f"{line['limit']:g}",
            f"{line['mean']:.2f}" + ("" if line["spread"] is None else f" ± {line['spread']:.2f}"),
            f"{line['worst']:.1f}",
            f"{line['baseline']:.1f}",
        )
        for line in study["table"]
    ]
    title = f"errors in degrees, {len(study['seed'])} networks each, {study['n']:,} tests"
    print_table(title, ("form", "angles up to", "mean", "worst", "always no turn"), rows)
    for bar in study["bars"]:
        wanted = f"at most {bar['most']:g}" if bar["most"] is not None else f"at least {bar['least']:g}"
        print_line(f"{'held' if bar['held'] else 'missed'}: {bar['text']}: {bar['figure']:.3g} ({wanted})")
    if study["interrupted"]:
        print_line(f"stopped early; the same command with --out {study['out']} --resume goes on")
    if study["report"]:
        print_line(f"open the report: {study['report']}")
