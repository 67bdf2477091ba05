"""Figures of classified pictures, batch after batch.

Letters: B pictures, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from humanpt.metrics.classes import confusion, mean_per_class, top1
from humanpt.scoring.tally import ConfidenceTally


class ClassesResult(NamedTuple):
    """What an evaluation found."""

    figures: dict[str, float]
    """`top1` and `mean_per_class`, shares of one, and `calibration_error`, the mean difference between confidence and
    share that is right."""
    confusion: Tensor
    """(C, C) int64 counts, true classes by predicted ones."""
    calibration: list[tuple[float, float, int]]
    """For each range of confidence that occurs its mean, the share that is right, and how many pictures."""


class ClassScores:
    """Counts of right and wrong answers."""

    def __init__(self, class_names: Sequence[str]) -> None:
        """Begin; `class_names` are the C classes."""
        self.class_names = tuple(class_names)
        self._counts = torch.zeros(len(self.class_names), len(self.class_names), dtype=torch.int64)
        self._confidence = ConfidenceTally()

    def add(self, predicted: Tensor, true: Tensor, confidence: Tensor) -> None:
        """Go on with (B,) classes, (B,) true ones, and the (B,) probabilities given to the predicted ones."""
        predicted, true = predicted.cpu(), true.cpu()
        self._counts += confusion(predicted, true, len(self.class_names))
        self._confidence.add(confidence.cpu(), predicted == true)

    def result(self) -> ClassesResult:
        """What was found so far."""
        return ClassesResult(
            figures={
                "top1": top1(self._counts),
                "mean_per_class": mean_per_class(self._counts),
                "calibration_error": self._confidence.error(),
            },
            confusion=self._counts.clone(),
            calibration=self._confidence.calibration(),
        )
