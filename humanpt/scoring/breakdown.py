"""Errors by how much of the subject is hidden and by where it is seen from.

Letters: B samples, K key points.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

Binned = list[tuple[str, int, float]]
"""For each range its name, how many samples it has, and the mean of their errors."""


class Breakdown:
    """Means of errors over ranges of something."""

    def __init__(self, edges: Sequence[float], labels: Sequence[str]) -> None:
        """Begin.

        Args:
            edges: inner borders of the ranges, ascending; a value at a border belongs to the range above it.
            labels: of the ranges, one more than borders.
        """
        if len(labels) != len(edges) + 1:
            raise ValueError(f"{len(labels)} labels for {len(edges)} borders; there must be one more")
        self.labels = tuple(labels)
        self._edges = torch.tensor(edges, dtype=torch.float64)
        self._sum = torch.zeros(len(labels), dtype=torch.float64)
        self._count = torch.zeros(len(labels), dtype=torch.int64)

    def add(self, values: Tensor, errors: Tensor) -> None:
        """Go on with (B,) values of what the ranges are of, and (B,) errors; NaN in either leaves a sample out."""
        values, errors = values.double(), errors.double()
        known = ~(values.isnan() | errors.isnan())
        place = torch.bucketize(values[known], self._edges, right=True)
        self._sum.index_add_(0, place, errors[known])
        self._count += torch.bincount(place, minlength=len(self._count))

    def result(self) -> Binned:
        """The ranges that have samples, in order."""
        means = (self._sum / self._count).tolist()
        return [row for row in zip(self.labels, self._count.tolist(), means, strict=True) if row[1]]


def by_hidden() -> Breakdown:
    """Ranges of the share of key points that are hidden, from 0 to 1."""
    return Breakdown((1e-9, 0.25, 0.5), ("nothing hidden", "below 25 %", "25 to 50 %", "50 % and more"))


def by_view_angle(subject: str) -> Breakdown:
    """Ranges of the angle in degrees between where a palm or a chest faces and the camera."""
    front, back = ("palm", "back of the hand") if subject == "hand" else ("front", "back")
    return Breakdown((45, 90, 135), (f"0 to 45° ({front})", "45 to 90°", "90 to 135°", f"135 to 180° ({back})"))


def view_angles(keypoints: Tensor, names: Sequence[str], left: Tensor) -> Tensor:
    """How far a palm or a chest is turned from the camera.

    A palm looks at right angles to the bases of index and little finger seen from the wrist; a chest at right angles to
    the line of the shoulders and that from them to the hips.

    Args:
        keypoints: (B, K, 3) in the axes of the camera, metres.
        names: of the key points.
        left: (B,) whether it is a left hand.

    Returns:
        (B,) degrees from 0 (towards the camera) to 180; NaN where the key points are unknown or have other names.
    """
    at = {name: keypoints[:, place].double() for place, name in enumerate(names)}
    if {"wrist", "index1", "little1"} <= set(names):
        facing = torch.linalg.cross(at["index1"] - at["wrist"], at["little1"] - at["wrist"])
        facing = torch.where(left[:, None], -facing, facing)
        middle = at["wrist"]
    elif {"left_shoulder", "right_shoulder", "left_hip", "right_hip"} <= set(names):
        shoulders = (at["left_shoulder"] + at["right_shoulder"]) / 2
        middle = (at["left_hip"] + at["right_hip"]) / 2
        facing = torch.linalg.cross(middle - shoulders, at["left_shoulder"] - at["right_shoulder"])
    else:
        return torch.full((len(keypoints),), torch.nan, dtype=torch.float64)
    cosine = functional.cosine_similarity(facing, -middle, dim=1)
    return torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))
