"""Sums of errors that stay as small as they are, however many samples go through them.

Letters: B samples, K points, H thresholds, N answers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from humanpt.metrics.pose import area_under


class PointTally:
    """The errors of the same K points in many samples: their mean, and how many lie within each threshold."""

    def __init__(self, points: int, thresholds: Tensor) -> None:
        """Begin.

        Args:
            points: K.
            thresholds: (H,) metres, ascending.
        """
        self.thresholds = thresholds.double()
        self.sum = torch.zeros(points, dtype=torch.float64)
        self.count = torch.zeros(points, dtype=torch.int64)
        self._within = torch.zeros(points, len(thresholds) + 1, dtype=torch.int64)  # the last: above all of them

    def add(self, errors: Tensor) -> None:
        """Go on with (B, K) errors in metres, NaN where unknown."""
        known = ~errors.isnan()
        self.sum += torch.where(known, errors, 0.0).sum(dim=0)
        self.count += known.sum(dim=0)
        bins = self._within.shape[1]
        place = torch.bucketize(errors, self.thresholds) + bins * torch.arange(len(self.sum))
        self._within += torch.bincount(place[known], minlength=self._within.numel()).view_as(self._within)

    def per_point(self) -> Tensor:
        """(K,) mean errors in metres, NaN where nothing was known."""
        return self.sum / self.count

    def curve(self) -> Tensor:
        """(H,) the share of errors within each threshold, as the mean over the points of their shares (PCK)."""
        shares = self._within.cumsum(dim=1)[:, :-1].double() / self.count[:, None]
        return shares[self.count > 0].mean(dim=0)

    def area(self) -> float:
        """The area under `curve` as a share of the whole (AUC); NaN without a known error."""
        return float(area_under(self.curve(), self.thresholds))


class MeanTally:
    """The mean of a figure over samples, those without it (NaN) left out."""

    def __init__(self) -> None:
        self.sum = 0.0
        self.count = 0

    def add(self, values: Tensor) -> None:
        """Go on with (B,) values."""
        known = values[~values.isnan()]
        self.sum += float(known.double().sum())
        self.count += len(known)

    def mean(self) -> float:
        """NaN without any value."""
        return self.sum / self.count if self.count else float("nan")


class ConfidenceTally:
    """How often answers are right, by the confidence that they are given with."""

    def __init__(self, bins: int = 10) -> None:
        """Begin; `bins` are the ranges of confidence from 0 to 1."""
        self._bins = torch.zeros(3, bins, dtype=torch.float64)  # answers, confidence, right

    def add(self, confidence: Tensor, right: Tensor) -> None:
        """Go on with (N,) confidences from 0 to 1, and (N,) whether the answers are right."""
        confidence = confidence.double()
        place = (confidence * self._bins.shape[1]).long().clamp(0, self._bins.shape[1] - 1)
        for row, values in enumerate((torch.ones_like(confidence), confidence, right.double())):
            self._bins[row].index_add_(0, place, values)

    def calibration(self) -> list[tuple[float, float, int]]:
        """For each range that occurs its mean confidence, the share that is right, and how many answers."""
        count, confidence, right = self._bins[:, self._bins[0] > 0]
        shares = (right / count).tolist()
        return list(zip((confidence / count).tolist(), shares, count.long().tolist(), strict=True))

    def error(self) -> float:
        """The mean difference between confidence and share that is right; NaN without answers."""
        count, confidence, right = self._bins
        return float((confidence - right).abs().sum() / count.sum())
