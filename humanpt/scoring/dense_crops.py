"""What a network says of a crop, against the labels of the person that the crop is around, and of the others beside.

Letters: S side of a crop, P points, H and W the height and width of a picture.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.body.geodesics import Distances
from humanpt.data.labelled.dense import DenseSet
from humanpt.data.square_crops import nearest_pixels, to_crop
from humanpt.scoring.dense import DensePerson, Likeness
from humanpt.tasks.dense_samples import SOME_PART, DenseBatch, labelled_places


class CropAnswer(NamedTuple):
    """What a network says of a crop, on the CPU."""

    part: Tensor
    """(S, S) parts from 1, 0 where there is nobody."""
    uv: Tensor
    """(2, S, S) places on the charts."""
    confidence: Tensor
    """(S, S) from 0 to 1."""
    square: NDArray[np.float32]
    """(4,) the crop in pixels of the picture."""


def person_found(answer: CropAnswer, batch: DenseBatch, row: int, distances: Distances | None) -> DensePerson:
    """What was found of the person that a crop is around.

    Args:
        answer: of the crop.
        batch: with its labels.
        row: which sample of the batch.
        distances: along the surface; None leaves the points out.
    """
    label, body = batch.label[row], answer.part > 0
    known, there = label <= SOME_PART, label > 0
    both, either = (body & there & known).sum(), ((body | there) & known).sum()
    side = float(answer.square[2] - answer.square[0])
    person = DensePerson(
        distances=torch.empty(0),
        parts=torch.empty(0),
        overlap=float(both / either) if either else float("nan"),
        score=float(answer.confidence[body].mean()) if body.any() else 0.0,
        area=float((there & known).sum()) * (side / label.shape[-1]) ** 2,
        number=int(batch.number[row]),
    )
    if distances is None:
        return person
    y, x, part, uv = labelled_places(batch, row)
    metres = distances.between(answer.part[y, x].numpy(), answer.uv[:, y, x].T.numpy(), part.numpy(), uv.numpy())
    return replace(person, distances=torch.from_numpy(metres), parts=part)


def in_company(
    person: DensePerson, answer: CropAnswer, data: DenseSet, counted: frozenset[int], distances: Distances | None
) -> DensePerson:
    """A person with what its owners say of its size, and with how what was found fits the others of the picture.

    Args:
        person: as `person_found` gives it.
        answer: of its crop.
        data: the set that it is from.
        counted: the numbers of all samples that are scored.
        distances: along the surface; None leaves the others out.

    Raises:
        InputError: if labels of the others are damaged.
    """
    area = data.area(person.number)
    person = person if area is None else replace(person, area=area)
    others = [other for other in data.beside(person.number) if other in counted]
    if not others or distances is None:
        return person
    beside = {other: likeness(answer, data, other, distances) for other in others}
    return replace(person, picture=min(person.number, *others), beside=beside)


def likeness(answer: CropAnswer, data: DenseSet, other: int, distances: Distances) -> Likeness:
    """How what was found in a crop fits a person of the picture, whose points and mask may lie outside of the crop.

    Raises:
        InputError: if the person's labels are damaged.
    """
    size, told = answer.part.shape[-1], data.points(other)
    places = np.rint(to_crop(told.pixels, answer.square, size)).astype(np.int64)
    inside = ((places >= 0) & (places < size)).all(axis=1)
    x, y = places.clip(0, size - 1).T
    found = np.where(inside, answer.part[y, x].numpy(), 0)
    metres = distances.between(found, answer.uv[:, y, x].T.numpy(), told.part, told.uv)
    return Likeness(torch.from_numpy(metres), torch.from_numpy(told.part), _overlap(answer, data.mask(other)))


def _overlap(answer: CropAnswer, mask: NDArray[np.bool_] | None) -> float:
    """Intersection over union of what was found and a mask (H, W) of the picture; NaN without one."""
    if mask is None:
        return float("nan")
    size = answer.part.shape[-1]
    pixels, in_picture = nearest_pixels(answer.square, size, *mask.shape)
    there, body = mask.reshape(-1)[pixels] & in_picture, answer.part.numpy() > 0
    both = float((there & body).sum())
    scale = size / float(answer.square[2] - answer.square[0])
    whole = max(float(mask.sum()) * scale**2, float(there.sum()))  # of the mask in pixels of the crop, cut off or not
    return both / (whole + float(body.sum()) - both)
