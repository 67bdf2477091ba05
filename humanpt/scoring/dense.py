"""Figures of dense pose, person after person: GPS, GPSm, average precision, and what pixels are given.

One person is looked at in each crop, so a detection is what was found there, and its score the mean confidence of the
body's pixels. Average precision matches the detections of a picture to the labelled people of it, whosever crop they
were found in; a detection and what it is like stay in memory for that (some hundred bytes a person).

Letters: P points, C parts and the background.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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


class Likeness(NamedTuple):
    """How what was found in a crop fits a labelled person, as in `DensePerson`."""

    distances: Tensor
    """(P,) metres."""
    parts: Tensor
    """(P,) from 1."""
    overlap: float
    """From 0 to 1, or NaN."""


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
    number: int = -1
    """Of the person among all that are scored; only asked for if there is a `picture`."""
    picture: int | None = None
    """A number of the picture, whose people are matched together; None if nobody else is labelled in it."""
    beside: Mapping[int, Likeness] = field(default_factory=dict)
    """The others labelled in the same picture by their numbers, and how what was found of this person fits them."""


class _Detection(NamedTuple):
    """A person as average precision sees it."""

    number: int
    picture: int | None
    score: float
    area: float
    similarity: float
    beside: dict[int, float]
    """Similarity to the others of the picture."""


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
        self._detections: dict[str, list[_Detection]] = {}
        self._confidence = ConfidenceTally()
        self._gps: list[float] = []
        self._overlaps: list[float] = []

    def add(self, person: DensePerson) -> float:
        """Go on with a person; returns its GPS, NaN without points."""
        if not len(person.distances):
            self._gps.append(float("nan"))
        else:
            likeness = {person.number: Likeness(person.distances, person.parts, person.overlap), **person.beside}
            plain = {number: self._similarity(fit) for number, fit in likeness.items() if len(fit.distances)}
            masked = {number: _masked(value, likeness[number].overlap) for number, value in plain.items()}
            self._gps.append(plain[person.number])
            self._detect("gps_", person, plain)
            self._detect("gpsm_", person, {number: value for number, value in masked.items() if value == value})
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
        for kind, detections in self._detections.items():
            pictures = _pictures(detections)
            for name, size in SIZES.items():
                precision = average_precision(joined([_matched(people, size) for people in pictures]))
                if name == "all":
                    figures[f"{kind}ap"] = float(precision.mean())
                    figures[f"{kind}ap50"] = float(precision[THRESHOLDS.index(0.5)])
                    figures[f"{kind}ap75"] = float(precision[THRESHOLDS.index(0.75)])
                else:
                    figures[f"{kind}ap_{name}"] = float(precision.mean())
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

    def _similarity(self, fit: Likeness) -> float:
        return float(gps(fit.distances.double(), widths(fit.parts, self.variant)))

    def _detect(self, kind: str, person: DensePerson, similarities: Mapping[int, float]) -> None:
        if person.number in similarities:
            beside = {number: value for number, value in similarities.items() if number != person.number}
            own = similarities[person.number]
            found = _Detection(person.number, person.picture, person.score, person.area, own, beside)
            self._detections.setdefault(kind, []).append(found)


def _masked(similarity: float, overlap: float) -> float:
    return float(gpsm(torch.tensor(similarity, dtype=torch.float64), torch.tensor(overlap, dtype=torch.float64)))


def _pictures(detections: Sequence[_Detection]) -> list[list[_Detection]]:
    """The people of each picture; whoever is labelled alone has one of their own."""
    pictures: dict[tuple[str, int], list[_Detection]] = {}
    for place, found in enumerate(detections):
        key = ("alone", place) if found.picture is None else ("picture", found.picture)
        pictures.setdefault(key, []).append(found)
    return list(pictures.values())


def _matched(people: Sequence[_Detection], size: tuple[float, float]) -> Matched:
    """Match all detections of a picture to all its people.

    What was found in the crop around a person's box has that person's area: the owners' rules leave out what lies on
    the box of a person who does not count.
    """
    rows = [[found.similarity if each is found else found.beside.get(each.number, 0.0) for each in people]
            for found in people]  # fmt: skip
    area = torch.tensor([found.area for found in people], dtype=torch.float64)
    scores = torch.tensor([found.score for found in people], dtype=torch.float64)
    return match(torch.tensor(rows, dtype=torch.float64), scores, area, area, size)


def _mean(values: list[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).nanmean()) if values else float("nan")
