"""Dense pose: which part of the body each pixel shows, and where on the part's chart it lies.

Source: Güler et al., DensePose (arXiv 1802.00434): cross-entropy of the parts, and the error of u and v on the true
part alone. Ours is that the cross-entropy is taken apart, exactly, into that of the body against everything else and
that of the parts on the body, each a mean of its own: most pixels show no body, and would drown the parts. A mask
without points teaches the first alone. Every sample counts alike, however many pixels it labels.

Letters: B batch, S side of a crop, P parts, N points.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from humanpt.body.geodesics import SurfaceDistances, surface_distances
from humanpt.data.split import spread
from humanpt.metrics.classes import confusion
from humanpt.metrics.dense import gps
from humanpt.models.dense import DensePoseMaps, DensePoseNetwork
from humanpt.models.vit import normalise
from humanpt.render.overlay import colour_of
from humanpt.tasks.dense_samples import (
    POINTS,
    SOME_PART,
    DenseBatch,
    DensePoseConfig,
    DensePoseSamples,
    DenseSample,
    collate,
    labelled_places,
)

__all__ = [
    "POINTS",
    "DenseAnswers",
    "DenseBatch",
    "DenseLosses",
    "DensePoseConfig",
    "DensePoseNetwork",
    "DensePoseSamples",
    "DensePoseTask",
    "DenseSample",
    "collate",
    "dense_losses",
    "labelled_places",
    "predict",
    "similarities",
]

Number = TypeVar("Number", Tensor, float)

SHOWN = 4  # held-out pictures drawn while a run goes on


class DenseAnswers(NamedTuple):
    """What a network says of some crops, each as it lies in its picture: a mirrored one is mirrored back."""

    part: Tensor
    """(B, S, S) int64, 0 for none and from 1 in the order of the config's part names."""
    uv: Tensor
    """(B, 2, S, S) u and v on the part from 0 to 1, 0 where there is none."""
    confidence: Tensor
    """(B, S, S) how probable the part is, from 0 to 1."""


class DenseLosses(NamedTuple):
    """What is lowered, of each sample."""

    mask: Tensor
    """(B,) cross-entropy between body and no body, the body's probability being the sum of its parts'."""
    parts: Tensor
    """(B,) cross-entropy of the parts: on labelled pixels among the parts alone, at points with no body as well."""
    uv: Tensor
    """(B,) absolute error of u and v on the true part."""


class DensePoseTask:
    """Training step and held-out figures of dense pose; meets `engine.task.Task`.

    Args:
        config: everything about it.
        network: a `DensePoseNetwork`, or what holds one and answers as it does.
        heldout: the samples to evaluate on; None for a task that only trains.
    """

    def __init__(self, config: DensePoseConfig, network: nn.Module, heldout: DensePoseSamples | None = None) -> None:
        self.config = config
        self.model = network
        count = 0 if heldout is None else len(heldout)
        self._places: list[int] = spread(np.arange(count), config.heldout_pictures).tolist()
        self.heldout = heldout
        self._kept: list[DenseSample] = []

    def loss(self, batch: DenseBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one batch, and its terms `mask`, `parts` and `uv`."""
        losses = dense_losses(self.model(normalise(batch.pictures)), batch)
        terms = {name: term.mean() for name, term in losses._asdict().items()}
        return self._total(terms), {name: term.detach() for name, term in terms.items()}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Figures of the held-out pictures.

        Returns:
            `loss` and its terms. `uv_error`, the mean distance on the chart at labelled pixels or points, of the
            coordinates for the true part. Where distances along the surface are known, `gps`, the geodesic point
            similarity with one k of 25.5 cm, averaged over pictures. `mask_iou`, intersection over union of the whole
            body, where masks are known; and where pixels have parts, `part_accuracy`, the share of the body's pixels
            that are given theirs, and `mean_iou`, averaged over the parts that occur. Empty when nothing is held out.
        """
        if not self._places:
            return {}
        classes = 1 + len(self.config.part_names)
        counts, masks = torch.zeros(classes, classes, dtype=torch.int64), torch.zeros(2, 2, dtype=torch.int64)
        totals: dict[str, list[Tensor]] = {name: [] for name in (*DenseLosses._fields, "uv_error", "gps")}
        distances = self._distances()
        for batch in self._batches():
            maps = self.model(normalise(batch.pictures))
            for name, term in dense_losses(maps, batch)._asdict().items():
                totals[name].append(term.cpu())
            totals["uv_error"].append(_uv_errors(maps, batch).cpu())
            part, uv = maps.best()
            named, known = batch.label < classes, batch.label <= SOME_PART
            counts += confusion(part[named].cpu(), batch.label[named].long().cpu(), classes)
            masks += confusion((part > 0)[known].long().cpu(), (batch.label > 0)[known].long().cpu(), 2)
            if distances is not None:
                totals["gps"].append(similarities(part.cpu(), uv.cpu(), batch, distances))
        figures = {name: float(torch.cat(values).nanmean()) for name, values in totals.items() if values}
        figures = {"loss": self._total(figures), **figures}
        if masks.sum():
            figures["mask_iou"] = float(_overlaps(masks)[1])
        if counts[1:].sum():
            figures["part_accuracy"] = float(counts.diagonal()[1:].sum() / counts[1:].sum())
            figures["mean_iou"] = float(_overlaps(counts)[1:][counts[1:].sum(dim=1) > 0].mean())
        return figures

    @torch.no_grad()
    def pictures(self) -> dict[str, NDArray[np.uint8]]:
        """Held-out crops, each beside the parts found in it and the true ones."""
        if not self._places:
            return {}
        batch = next(self._batches())
        part = self.model(normalise(batch.pictures[:SHOWN])).best()[0].cpu().numpy()
        rgb = batch.pictures[:SHOWN].permute(0, 2, 3, 1).cpu().numpy()
        true = batch.label[:SHOWN].cpu().numpy()
        rows = [
            np.hstack([one, _painted(one, found), _painted(one, np.where(labels < SOME_PART, labels, 0))])
            for one, found, labels in zip(rgb, part, true, strict=True)
        ]
        return {"dense_pose": np.vstack(rows)}

    def _total(self, terms: Mapping[str, Number]) -> Number:
        return terms["mask"] + terms["parts"] + self.config.uv_weight * terms["uv"]

    def _batches(self) -> Iterator[DenseBatch]:
        """The held-out samples on the model's device; read once, as drawing exact labels takes long."""
        if not self._kept:
            assert self.heldout is not None
            self._kept = [self.heldout[place] for place in self._places]
        device = next(self.model.parameters()).device
        for start in range(0, len(self._kept), self.config.heldout_batch):
            yield collate(self._kept[start : start + self.config.heldout_batch]).to(device)

    def _distances(self) -> SurfaceDistances | None:
        kind, _, model = self.config.charts.partition(":")
        return surface_distances(model) if kind == "canonical" else None


def dense_losses(maps: DensePoseMaps, batch: DenseBatch) -> DenseLosses:
    """How wrong each sample is: means over its labelled pixels and over its points, added; 0 where there are none."""
    logits, uv = maps.parts.float(), maps.uv.float()
    label = batch.label.long()
    on_part, body = (label > 0) & (label < logits.shape[1]), label > 0
    total, somewhere = logits.logsumexp(dim=1), logits[:, 1:].logsumexp(dim=1)
    mask = _mean_where(total - torch.where(body, somewhere, logits[:, 0]), label <= SOME_PART)
    index = _part_index(label, on_part)
    part = _mean_where(F.cross_entropy(logits[:, 1:], index, reduction="none"), on_part)
    of_true = uv.gather(2, index[:, None, None].expand(-1, 2, -1, -1, -1))[:, :, 0]
    places = _mean_where((of_true - batch.uv.float()).abs().mean(dim=1), on_part)
    if batch.points.shape[1]:
        at_points, uv_points = _read_at(logits, batch.points), _read_at(uv.flatten(1, 2), batch.points)
        there = batch.points_part > 0
        part = part + _mean_where(F.cross_entropy(at_points, batch.points_part, reduction="none"), there)
        off = (_of_part(uv_points, batch.points_part) - batch.points_uv).abs().mean(dim=2)
        places = places + _mean_where(off, there)
    return DenseLosses(mask, part, places)


def similarities(part: Tensor, uv: Tensor, batch: DenseBatch, distances: SurfaceDistances) -> Tensor:
    """Geodesic point similarity of each sample, k 25.5 cm, at its points or at pixels spread over its body.

    Args:
        part, uv: (B, S, S) and (B, 2, S, S) answers on the CPU, as `DensePoseMaps.best` gives them.
        batch: what they answer.
        distances: along the surface.

    Returns:
        (B,) float64 from 0 to 1, NaN for a sample without labelled body.
    """
    found, batch = [], batch.to(torch.device("cpu"))
    for row in range(len(part)):
        y, x, true_part, true_uv = labelled_places(batch, row)
        metres = distances.between(
            part[row][y, x].numpy(), uv[row][:, y, x].T.numpy(), true_part.numpy(), true_uv.numpy()
        )
        found.append(gps(torch.from_numpy(metres).double()))  # NaN of no points
    return torch.stack(found)


@torch.no_grad()
def predict(network: nn.Module, batch: DenseBatch) -> DenseAnswers:
    """What a network says of a batch that lies where it does, left hands mirrored back."""
    found = answers(network, batch.pictures)
    back = batch.mirrored[:, None, None]
    return DenseAnswers(
        part=torch.where(back, found.part.flip(-1), found.part),
        uv=torch.where(back[:, None], found.uv.flip(-1), found.uv),
        confidence=torch.where(back, found.confidence.flip(-1), found.confidence),
    )


@torch.no_grad()
def answers(network: nn.Module, pictures: Tensor) -> DenseAnswers:
    """What a network says of (B, 3, S, S) uint8 crops as they are shown to it; they lie where it does."""
    maps: DensePoseMaps = network(normalise(pictures))
    part, uv = maps.best()
    confidence = maps.parts.float().softmax(dim=1).gather(1, part[:, None])[:, 0]
    return DenseAnswers(part=part, uv=uv, confidence=confidence)


def _mean_where(values: Tensor, where: Tensor) -> Tensor:
    """(B,): the mean of (B, ...) values over the places of each sample, 0 where there is none."""
    return (values * where).flatten(1).sum(dim=1) / where.flatten(1).sum(dim=1).clamp_min(1)


def _part_index(label: Tensor, on_part: Tensor) -> Tensor:
    """Places in the axis of parts; the first where there is no part."""
    return (label - 1).masked_fill(~on_part, 0)


def _read_at(maps: Tensor, points: Tensor) -> Tensor:
    """(B, C, N): maps (B, C, S, S) read between pixels, at points (B, N, 2) x, y."""
    grid = (points + 0.5) * (2 / maps.shape[-1]) - 1
    return F.grid_sample(maps, grid[:, :, None], padding_mode="border", align_corners=False)[..., 0]


def _of_part(uv: Tensor, part: Tensor) -> Tensor:
    """(B, N, 2): of (B, 2P, N) coordinates those for each point's part (B, N), from 1."""
    both = uv.reshape(len(uv), 2, -1, uv.shape[2])
    chosen = both.gather(2, (part - 1).clamp_min(0)[:, None, None].expand(-1, 2, -1, -1))  # (B, 2, 1, N)
    return chosen[:, :, 0].mT


def _uv_errors(maps: DensePoseMaps, batch: DenseBatch) -> Tensor:
    """(B,): mean distance on the chart of the true part, at points where there are some, else at pixels; or NaN."""
    uv = maps.uv.float()
    label = batch.label.long()
    on_part = (label > 0) & (label < SOME_PART)
    of_true = uv.gather(2, _part_index(label, on_part)[:, None, None].expand(-1, 2, -1, -1, -1))[:, :, 0]
    errors = _mean_where((of_true - batch.uv.float()).norm(dim=1), on_part)
    errors = errors.masked_fill(~on_part.flatten(1).any(dim=1), torch.nan)
    if batch.points.shape[1]:
        there = batch.points_part > 0
        off = (_of_part(_read_at(uv.flatten(1, 2), batch.points), batch.points_part) - batch.points_uv).norm(dim=2)
        errors = torch.where(there.any(dim=1), _mean_where(off, there), errors)
    return errors


def _overlaps(counts: Tensor) -> Tensor:
    """(C,) intersection over union of each class, from counts (C, C) of pixels."""
    right = counts.diagonal().double()
    return right / (counts.sum(dim=0) + counts.sum(dim=1) - right)


def _painted(rgb: NDArray[np.uint8], part: NDArray[np.integer]) -> NDArray[np.uint8]:
    """A crop (S, S, 3) with its parts (S, S) in colours."""
    colours = np.array([(0, 0, 0), *(colour_of(number) for number in range(int(part.max())))], np.float64)
    share = 0.7 * (part > 0)[..., None]
    return np.asarray((1 - share) * rgb + share * colours[part], np.uint8)
