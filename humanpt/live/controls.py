"""What a person in front of the demo may do and see beside the picture, the same for page, window and terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from humanpt.errors import HumanptError

Action = Literal["record", "snapshot", "mirror"]
"""Begin or end a recording, keep the picture of now, turn the mirror on or off."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """How the demo is."""

    source: str
    """Where the pictures come from, for a person: `webcam 0, 640 x 480`."""
    trouble: str | None = None
    """One line while something is wrong (`camera lost, trying again`), None while all is well."""
    recording: bool = False
    """Whether a recording is being made."""
    mirrored: bool = False
    """Whether the drawn picture is shown as in a mirror."""


class Controls:
    """Actions by name and the status, for any number of screens in their own threads."""

    def __init__(self, actions: Mapping[Action, Callable[[], str]], status: Callable[[], Status]) -> None:
        """Take what the program can do.

        Args:
            actions: each does its work at once and answers with one line for a person; called by one thread at a time.
            status: quick, and safe to call from any thread.
        """
        self._actions = dict(actions)
        self._lock = threading.Lock()
        self.status = status

    @property
    def names(self) -> tuple[Action, ...]:
        """What there is to do."""
        return tuple(self._actions)

    def do(self, name: Action) -> tuple[bool, str]:
        """Do something.

        Returns:
            Whether it was done, and a line for a person about it.

        Raises:
            ValueError: if there is no such action.
        """
        if name not in self._actions:
            raise ValueError(f"no action {name!r}; there are {', '.join(self._actions) or 'none'}")
        with self._lock:
            try:
                return True, self._actions[name]()
            except HumanptError as error:
                return False, str(error)
