"""Figures of dense pose, person after person: GPS, GPSm, average precision, and what pixels are given.

One person is looked at in each crop, so a detection is what was found there, and its score the mean confidence of the
body's pixels. A detection and its thresholds stay in memory (a hundred bytes a person), as average precision asks
for all of them at the end.

Letters: P points, C parts and the background.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from humanpt.metrics.classes import confusion
from humanpt.metrics.dense import (
    SIZES,
    THRESHOLDS,
    Matched,
    Variant,
    average_precision,
    gps,
    gpsm,
    joined,
    match,
    widths,
)
from humanpt.scoring.tally import ConfidenceTally


@dataclass(frozen=True, kw_only=True, eq=False)
class DensePerson:
    """What was found of one person."""

    distances: Tensor
    """(P,) geodesic distances in metres at the labelled points, infinite where no body was found."""
    parts: Tensor
    """(P,) labels of the points, from 1."""
    overlap: float
    """Intersection over union of the masks, from 0 to 1; NaN where the mask is not labelled."""
    score: float
    """Confidence, from 0 to 1."""
    area: float
    """Square pixels of the person in the picture."""


class DenseResult(NamedTuple):
    """What an evaluation found."""

    figures: dict[str, float]
    """Shares of one: `gps`, `mask_iou`, `gps_ap` over the thresholds, `gps_ap50`, `gps_ap75`, `gps_ap_m`, `gps_ap_l`,
    and `gpsm_ap` and so on by GPSm; and where all pixels are labelled `part_accuracy` and `mean_iou`."""
    per_part: dict[int, float]
    """Intersection over union of each part that occurs."""
    calibration: list[tuple[float, float, int]]
    """For each range of confidence its mean, the share of the body's pixels that are given their part, and how many."""
    persons: int
    """How many there were."""


class DenseScores:
    """The figures of one variant of GPS."""

    def __init__(self, variant: Variant, parts: int) -> None:
        """Begin.

        Args:
            variant: one k for the whole body or one for each coarse part; figures of the two do not compare.
            parts: how many parts the surface has.
        """
        self.variant = variant
        self._counts = torch.zeros(parts + 1, parts + 1, dtype=torch.int64)
        self._matches: dict[tuple[str, str], list[Matched]] = {}
        self._confidence = ConfidenceTally()
        self._gps: list[float] = []
        self._overlaps: list[float] = []

    def add(self, person: DensePerson) -> float:
        """Go on with a person; returns its GPS, NaN without points."""
        if not len(person.distances):
            self._gps.append(float("nan"))
        else:
            similarity = gps(person.distances.double(), widths(person.parts, self.variant))
            self._gps.append(float(similarity))
            self._match("gps_", similarity, person)
            if person.overlap == person.overlap:
                self._match("gpsm_", gpsm(similarity, torch.tensor(person.overlap)), person)
        self._overlaps.append(person.overlap)
        return self._gps[-1]

    def add_pixels(self, predicted: Tensor, true: Tensor, confidence: Tensor) -> None:
        """Go on with labelled pixels: (N,) parts found and (N,) there, from 1 and 0 for none, and (N,) confidences."""
        predicted, true = predicted.cpu().long(), true.cpu().long()
        self._counts += confusion(predicted, true, len(self._counts))
        body = true > 0
        self._confidence.add(confidence.cpu()[body], (predicted == true)[body])

    def result(self) -> DenseResult:
        """What was found so far."""
        figures = {"gps": _mean(self._gps), "mask_iou": _mean(self._overlaps)}
        for (kind, size), matches in self._matches.items():
            precision = average_precision(joined(matches))
            if size == "all":
                figures[f"{kind}ap"] = float(precision.mean())
                figures[f"{kind}ap50"] = float(precision[THRESHOLDS.index(0.5)])
                figures[f"{kind}ap75"] = float(precision[THRESHOLDS.index(0.75)])
            else:
                figures[f"{kind}ap_{size}"] = float(precision.mean())
        per_part: dict[int, float] = {}
        if self._counts[1:].sum():
            right = self._counts.diagonal().double()
            overlap = right / (self._counts.sum(dim=0) + self._counts.sum(dim=1) - right)
            there = [part for part in range(1, len(self._counts)) if self._counts[part].sum()]
            per_part = {part: float(overlap[part]) for part in there}
            figures["part_accuracy"] = float(right[1:].sum() / self._counts[1:].sum())
            figures["mean_iou"] = sum(per_part.values()) / len(per_part)
        return DenseResult(
            figures={name: value for name, value in figures.items() if value == value},
            per_part=per_part,
            calibration=self._confidence.calibration(),
            persons=len(self._gps),
        )

    def _match(self, kind: str, similarity: Tensor, person: DensePerson) -> None:
        area, score = torch.tensor([person.area]), torch.tensor([person.score])
        for name, size in SIZES.items():
            found = match(similarity.reshape(1, 1), score, area, area, size)
            self._matches.setdefault((kind, name), []).append(found)


def _mean(values: list[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).nanmean()) if values else float("nan")
