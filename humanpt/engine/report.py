"""What a loop tells its caller while it works, and a caller that does not listen.

Nothing below the command line prints. Whatever takes long is given a `Report` and speaks through it; the command line
draws bars and lines from it, tests and library users pass `Silent`.
"""

from __future__ import annotations

from typing import Protocol


class Report(Protocol):
    """Where long work says how far it is. Not thread-safe: one report belongs to one thread."""

    def stage(self, name: str, total: int | None, unit: str) -> None:
        """Begin a new bar; the one before it is over.

        Args:
            name: what is being done, such as "training".
            total: how many units there will be, None when that is not known.
            unit: what is counted, in the singular: "step", "frame", "clip".
        """
        ...

    def advance(self, amount: float = 1, **figures: float) -> None:
        """Move the bar by `amount` units.

        Args:
            figures: numbers to show beside the bar; each stays until a later call gives it anew.
        """
        ...

    def note(self, text: str) -> None:
        """Tell the user one line that matters beyond the moment."""
        ...


class Silent:
    """A report that nobody reads."""

    def stage(self, name: str, total: int | None, unit: str) -> None:
        """Do nothing."""

    def advance(self, amount: float = 1, **figures: float) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""
