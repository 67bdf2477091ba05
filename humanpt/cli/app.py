"""The command line. Commands import what is heavy inside their functions, so that every --help answers at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from humanpt import __version__
from humanpt.cli import evaluate, finetune, pairs, runs
from humanpt.cli.demo import DemoCommand, demo
from humanpt.cli.options import Json
from humanpt.errors import HumanptError

UsageError: Any = typer.BadParameter.__base__
"""Click's, wherever this version of Typer keeps it."""


class _Commands(TyperGroup):
    """A mendable error becomes one line and its exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except HumanptError as error:
            from humanpt.cli.console import print_error

            print_error(str(error))
            sys.exit(error.exit_code)
        except UsageError as error:
            if type(error).__name__ == "NoArgsIsHelpError":  # no mistake: `humanpt finetune` ends as `humanpt` does
                raise
            from humanpt.cli.console import print_error

            where = error.ctx.command_path if error.ctx else "humanpt"
            what = error.format_message().replace("Value error, ", "").rstrip(".")
            print_error(f"{where}: {what}; see {where} --help")
            sys.exit(2)
        except KeyboardInterrupt:
            sys.exit(runs.INTERRUPTED)
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


for command in (pairs.mkpairs, runs.pretrain, runs.report, runs.export, doctor):
    app.command()(command)
app.command(cls=DemoCommand)(demo)
app.add_typer(finetune.app, name="finetune")
app.add_typer(evaluate.app, name="eval")
