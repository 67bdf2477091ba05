"""Progress bars, result tables and the one line of an error, all by Rich.

Progress, notes and errors go to stderr; results go to stdout, so that `--json` leaves one document there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from humanpt.files import finite

stderr = Console(stderr=True, highlight=False)
stdout = Console(highlight=False)


class Bars:
    """The report of a command line: a bar with figures beside it, on stderr. Meets `engine.report.Report`."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]} {task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            console=stderr,
            transient=True,
        )
        self._task: Any = None
        self._figures: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress.live.is_started:
            self._progress.stop()

    def stage(self, name: str, total: int | None, unit: str) -> None:
        """Begin a new bar; the one before it is over."""
        if stderr.is_terminal and self._task is None:
            self._progress.start()
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._figures = {}
        self._task = self._progress.add_task(escape(name), total=total, unit=f"{unit}s", figures="")

    def advance(self, amount: float = 1, **figures: float) -> None:
        """Move the bar, with figures to show beside it."""
        self._figures |= figures
        shown = "  ".join(f"{name} {value:.4g}" for name, value in self._figures.items())
        self._progress.update(self._task, advance=amount, figures=shown)

    def note(self, text: str) -> None:
        """One line above the bar."""
        stderr.print(escape(text), soft_wrap=True)


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural where it is not one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration_text(seconds: float) -> str:
    """Seconds in the unit that fits."""
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def print_json(document: Any) -> None:
    """The one document of `--json`."""
    typer.echo(json.dumps(finite(document), indent=2))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on stdout, first column to the left, the others to the right."""
    table = Table(header_style="dim", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    stdout.print(f"[bold]{escape(title)}[/]", soft_wrap=True)  # a title of the table itself breaks at its width
    stdout.print(table)


def print_line(text: str) -> None:
    """One line of a result on stdout."""
    stdout.print(escape(text), soft_wrap=True)


def print_error(text: str) -> None:
    """The one line of an error on stderr."""
    stderr.print(f"[bold red]error:[/] {escape(' '.join(text.split()))}", soft_wrap=True)
