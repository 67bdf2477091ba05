"""Dense pose: geodesic point similarity, with and without the mask, and average precision.

Every annotated point of a person is predicted to lie somewhere on the surface; d is the distance along the surface
between that place and the annotated one, in metres on the reference body. GPS is the mean of exp(-d^2 / 2 k^2), GPSm
the geometric mean of GPS and the overlap of the masks. Published figures come in two variants that must not be mixed:
one k for the whole body in the paper, one for each coarse part in the later code.

Letters: P points, D detections, G annotated persons, H thresholds, R levels of recall.

Source: Güler et al., DensePose, CVPR 2018; the later code (facebookresearch/DensePose) for GPSm and for k by part;
Lin et al., Microsoft COCO, 2014, for the matching and the average precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Variant = Literal["one-k", "k-per-part"]

ONE_K = 0.255
"""Of the paper, in metres."""
PART_K = (0.351, 0.107, 0.126, 0.237, 0.173, 0.142, 0.128, 0.150)
"""Of the later code, in metres: torso, hands, feet, upper legs, lower legs, upper arms, lower arms, head."""
COARSE_OF_PART = (0, 0, 1, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7)
"""For each of DensePose's 24 parts its place in `PART_K`; the label of a part is its index plus one."""
THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""Similarities from which on a person counts as found, over which AP is averaged: 0.50 to 0.95."""
RECALLS = 101
"""Levels of recall at which precision is read, from 0 to 1."""
MOST_DETECTIONS = 20
"""Detections of one picture that count, those of the highest scores."""
SIZES = {"all": (0.0, float("inf")), "m": (32.0**2, 96.0**2), "l": (96.0**2, float("inf"))}
"""Areas in square pixels that a person must have to count."""


def widths(parts: Tensor, variant: Variant) -> Tensor:
    """The k of each point, in metres.

    Args:
        parts: (P,) labels from 1 to 24 of the annotated points.
        variant: one k for the whole body, or one for each coarse part.

    Raises:
        ValueError: if a label is out of range.
    """
    if len(parts) and not 1 <= int(parts.min()) <= int(parts.max()) <= len(COARSE_OF_PART):
        raise ValueError(f"part labels from {int(parts.min())} to {int(parts.max())}; they go from 1 to 24")
    if variant == "one-k":
        return torch.full((len(parts),), ONE_K, dtype=torch.float64)
    return torch.tensor(PART_K, dtype=torch.float64)[torch.tensor(COARSE_OF_PART)[parts.long() - 1]]


def gps(distances: Tensor, k: Tensor | float = ONE_K) -> Tensor:
    """Geodesic point similarity of one person.

    Args:
        distances: (..., P) geodesic distances in metres; infinite where no body was predicted at the point.
        k: that of all points, or (P,) of each, in metres.

    Returns:
        (...) from 0 to 1.
    """
    return torch.exp(-distances.square() / (2 * torch.as_tensor(k) ** 2)).mean(dim=-1)


def gpsm(similarity: Tensor, overlap: Tensor) -> Tensor:
    """GPS and the intersection over union of the masks, as their geometric mean; any shape."""
    return (similarity * overlap).sqrt()


class Matched(NamedTuple):
    """What became of the detections in one picture, or in several after one another."""

    scores: Tensor
    """(D,) confidences."""
    hits: Tensor
    """(H, D) whether the detection found a person at each threshold."""
    ignored: Tensor
    """(H, D) whether it counts neither as right nor as wrong."""
    persons: int
    """Annotated persons to be found."""


def match(
    similarity: Tensor, scores: Tensor, areas: Tensor, detected_areas: Tensor, size: tuple[float, float]
) -> Matched:
    """Give each detection, from the most confident on, the annotated person that it is most like.

    Args:
        similarity: (D, G) GPS, GPSm or overlap.
        scores: (D,) confidences.
        areas: (G,) square pixels of the annotated persons.
        detected_areas: (D,) likewise.
        size: the least and the most area of a person that counts; others are ignored, and so are detections of such
            a size that match nobody.
    """
    order = scores.argsort(descending=True, stable=True)[:MOST_DETECTIONS]
    outside = (areas < size[0]) | (areas > size[1])
    strange = ((detected_areas < size[0]) | (detected_areas > size[1]))[order]
    hits = torch.zeros(len(THRESHOLDS), len(order), dtype=torch.bool)
    ignored = torch.zeros_like(hits)
    for row, threshold in enumerate(THRESHOLDS):
        free = torch.ones(len(areas), dtype=torch.bool)
        for place, detection in enumerate(order.tolist()):
            found = _choose(similarity[detection], threshold, free, outside)
            if found is None:
                ignored[row, place] = strange[place]
                continue
            free[found] = False
            ignored[row, place] = outside[found]
            hits[row, place] = ~outside[found]
    return Matched(scores[order], hits, ignored, int((~outside).sum()))


def _choose(similarity: Tensor, threshold: float, free: Tensor, outside: Tensor) -> int | None:
    """The free person most like a detection from the threshold on; one that counts before one that is ignored."""
    for group in (~outside, outside):
        candidates = free & group & (similarity >= threshold - 1e-10)
        if candidates.any():
            return int(torch.where(candidates, similarity, -1.0).argmax())
    return None


def joined(matches: Sequence[Matched]) -> Matched:
    """The detections of several pictures in one list."""
    return Matched(
        torch.cat([one.scores for one in matches]),
        torch.cat([one.hits for one in matches], dim=1),
        torch.cat([one.ignored for one in matches], dim=1),
        sum(one.persons for one in matches),
    )


def average_precision(matched: Matched) -> Tensor:
    """Precision averaged over the levels of recall, at each threshold.

    Returns:
        (H,) float64 from 0 to 1; NaN if there was nobody to find.
    """
    if matched.persons == 0:
        return torch.full((len(THRESHOLDS),), torch.nan, dtype=torch.float64)
    order = matched.scores.argsort(descending=True, stable=True)
    right = matched.hits[:, order].double().cumsum(dim=1)  # (H, D)
    wrong = (~matched.hits & ~matched.ignored)[:, order].double().cumsum(dim=1)
    recall = right / matched.persons
    precision = right / (right + wrong).clamp_min(1)
    best = precision.flip(1).cummax(dim=1).values.flip(1)  # the best precision at this recall or a higher one
    levels = torch.linspace(0, 1, RECALLS, dtype=torch.float64).expand(len(recall), -1).contiguous()
    place = torch.searchsorted(recall, levels)  # the first detection that reaches each level
    padded = torch.cat([best, torch.zeros(len(best), 1, dtype=best.dtype)], dim=1)
    return padded.gather(1, place).mean(dim=1)
