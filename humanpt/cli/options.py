"""Option types that several commands share."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Change any field of the settings; repeat for several."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, for machines.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of every random draw.", show_default="0")]
Hand = Annotated[bool, typer.Option("--hand/--body", help="Hands, or whole people.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Length of the run.", show_default="the recipe's")]
Precision = Annotated[
    Literal["auto", "fp32", "bf16"] | None,
    typer.Option(help="auto: bf16 where the device has it.", show_default="the recipe's"),
]


def subject_of(hand: bool) -> Literal["body", "hand"]:
    """The word for what `Hand` chose."""
    return "hand" if hand else "body"
