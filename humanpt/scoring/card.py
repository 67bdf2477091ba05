"""The card of an evaluation: by which protocol its figures were taken, and of what. Figures of unlike cards do not
compare, however alike their names are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from humanpt.config import to_dict

OWN = ("predictor", "predictions_sha256", "labels_licence")
"""Fields in which comparable evaluations may differ."""
SHOWN = 3  # differing entries of a list that a message names


@dataclass(frozen=True, kw_only=True)
class Card:
    """A protocol, and what was measured by it."""

    benchmark: str
    """Name of the rules."""
    dataset: str
    """Whose labels."""
    split: str
    """Which part of them, by the name that their owners use."""
    count: int
    """Samples measured."""
    samples_sha256: str
    """Digest of their names in order."""
    subject: str
    """Hands or people."""
    joints: tuple[str, ...] = ()
    """Names of the key points measured, in their order."""
    regressor: str = ""
    """Where predicted key points come from."""
    mesh: str = ""
    """Topology of the mesh measured; empty without one."""
    gender: str = ""
    """Of the body model that predicts, and of the one behind the labels."""
    root: tuple[str, ...] = ()
    """Key points whose mean root-relative figures begin at."""
    alignment: str = ""
    """What is done to predictions before they are measured, in words."""
    reflections: bool = False
    """Whether alignment may mirror."""
    crops: str = ""
    """What decides which part of the picture a network sees."""
    focal: str = ""
    """Where focal lengths come from."""
    rules: Mapping[str, Any] = field(default_factory=dict)
    """Thresholds and other settings of the rules."""
    labels_licence: str = ""
    """Terms of the data set."""
    predictor: str = ""
    """Whose predictions."""
    predictions_sha256: str = ""
    """Digest of the predictions in order."""

    def document(self) -> dict[str, Any]:
        """The card for a JSON file, which `humanpt.config.from_dict` reads."""
        return to_dict(self)


def differences(a: Card, b: Card) -> list[str]:
    """In what two protocols differ, a phrase each; empty where figures compare."""
    found = []
    for name in (each.name for each in fields(Card)):
        first, second = getattr(a, name), getattr(b, name)
        if name in OWN or first == second:
            continue
        if isinstance(first, Mapping):
            for rule in dict.fromkeys([*first, *second]):
                if first.get(rule) != second.get(rule):
                    found.append(f"{rule} ({_told(first.get(rule))} and {_told(second.get(rule))})")
        elif name.endswith("sha256"):
            if a.count == b.count:  # a differing count says it already
                found.append("which samples")
        elif isinstance(first, tuple):
            found.append(f"{name} ({_set_text(first, second)})")
        else:
            found.append(f"{name} ({_told(first)} and {_told(second)})")
    return found


def _told(value: Any) -> str:
    return "none" if value in (None, "", (), []) else str(value)


def _set_text(first: tuple[str, ...], second: tuple[str, ...]) -> str:
    """How two lists of names differ."""
    lost = [name for name in first if name not in second]
    gained = [name for name in second if name not in first]
    if not lost and not gained:
        return "the same names in another order"
    parts = [f"only {side} has {', '.join(names[:SHOWN])}{' ...' if len(names) > SHOWN else ''}"
             for side, names in (("the first", lost), ("the second", gained)) if names]  # fmt: skip
    return f"{len(first)} and {len(second)}: {'; '.join(parts)}"
