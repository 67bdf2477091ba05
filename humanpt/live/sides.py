"""Which hand is followed: opinions on single pictures made into one answer that does not flicker."""

from __future__ import annotations

from collections.abc import Mapping

from humanpt.data.records import Side
from humanpt.detect.detector import BoxKind

OPINION = 0.15  # what one opinion counts against all before it
SURE = 0.75  # mean probability of a side from which it is told, and taken back for the other one
LEAST = 3  # opinions before any is believed
SAID_BY_DETECTOR = 0.85  # probability of a side that a detector told

KINDS: Mapping[Side, BoxKind] = {"none": "body", "unknown": "hand", "left": "hand_left", "right": "hand_right"}
"""The kind of boxes that is of each side."""


class SideVotes:
    """The side of one hand through time; bodies have none.

    Args:
        kind: what a detector said at first.
    """

    def __init__(self, kind: BoxKind) -> None:
        self._body = kind == "body"
        self._right = 0.5  # mean probability of a right hand
        self._count = 0
        self._side: Side = "unknown"

    @property
    def side(self) -> Side:
        """How the network must be asked: "none" for bodies; "unknown" counts as right there."""
        return "none" if self._body else self._side

    @property
    def kind(self) -> BoxKind:
        """The same as a kind of boxes."""
        return KINDS[self.side]

    def vote(self, right: float) -> None:
        """Take in an opinion: the probability that this is a right hand. Of bodies there is none to have."""
        self._count += 1
        self._right += max(OPINION, 1 / (self._count + 1)) * (right - self._right)
        if self._count >= LEAST and self._right >= SURE:
            self._side = "right"
        elif self._count >= LEAST and self._right <= 1 - SURE:
            self._side = "left"

    def vote_kind(self, kind: BoxKind) -> None:
        """Take in what a detector said; `hand` says nothing."""
        if kind == "hand_right":
            self.vote(SAID_BY_DETECTOR)
        elif kind == "hand_left":
            self.vote(1 - SAID_BY_DETECTOR)

    def contradicts(self, kind: BoxKind) -> bool:
        """Whether a detector means the other hand."""
        return {self.kind, kind} == {"hand_left", "hand_right"}
