"""Option types that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Change any field of the settings; repeat for several."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, for machines.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of every random draw.")]
Hand = Annotated[bool, typer.Option("--hand/--body", help="Hands, or whole people.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
