"""Figures of classified pictures, batch after batch.

Letters: B pictures, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from humanpt.metrics.classes import confusion, mean_per_class, top1

BINS = 10
"""Ranges of confidence, from 0 to 1, whose share of right answers is told."""


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
        self._bins = torch.zeros(3, BINS, dtype=torch.float64)  # pictures, confidence, right

    def add(self, predicted: Tensor, true: Tensor, confidence: Tensor) -> None:
        """Go on with (B,) classes, (B,) true ones, and the (B,) probabilities given to the predicted ones."""
        predicted, true, confidence = predicted.cpu(), true.cpu(), confidence.cpu().double()
        self._counts += confusion(predicted, true, len(self.class_names))
        place = (confidence * BINS).long().clamp(0, BINS - 1)
        for row, values in enumerate((torch.ones_like(confidence), confidence, (predicted == true).double())):
            self._bins[row].index_add_(0, place, values)

    def result(self) -> ClassesResult:
        """What was found so far."""
        count, confidence, right = self._bins
        there = count > 0
        means, shares = confidence[there] / count[there], right[there] / count[there]
        error = float(((means - shares).abs() * count[there]).sum() / count.sum()) if there.any() else float("nan")
        return ClassesResult(
            figures={
                "top1": top1(self._counts),
                "mean_per_class": mean_per_class(self._counts),
                "calibration_error": error,
            },
            confusion=self._counts.clone(),
            calibration=list(zip(means.tolist(), shares.tolist(), count[there].long().tolist(), strict=True)),
        )
