"""One place between two threads, for one item."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Slot(Generic[T]):
    """Holds at most one item.

    With `drop` a newer item takes the place of one that nobody took yet, so the giver never waits and the taker always
    gets the newest; without it the giver waits until the place is free, so the taker gets every item.
    """

    def __init__(self, *, drop: bool) -> None:
        self.dropped = 0
        self._drop = drop
        self._item: T | None = None
        self._finished = False
        self._changed = threading.Condition()

    def put(self, item: T) -> bool:
        """Give an item; False if nobody will take it any more."""
        with self._changed:
            while self._item is not None and not self._drop and not self._finished:
                self._changed.wait()
            if self._finished:
                return False
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify_all()
            return True

    def take(self, patience: float | None = None) -> T | None:
        """The item, once there is one; None if none came within `patience` seconds, or none will come any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._finished, patience)
            item, self._item = self._item, None
            self._changed.notify_all()
            return item

    @property
    def over(self) -> bool:
        """Whether there is no item and none will come."""
        with self._changed:
            return self._finished and self._item is None

    def finish(self) -> None:
        """No more items will be given; one that lies here may still be taken."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def close(self) -> None:
        """No more items will be given or taken."""
        with self._changed:
            self._item, self._finished = None, True
            self._changed.notify_all()
