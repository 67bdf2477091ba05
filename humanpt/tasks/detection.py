"""Training of our own detector: generated pictures in, centres, boxes and masks out.

Sources: the loss of the centres is CenterNet's (Zhou et al., arXiv 1904.07850) with TTFNet's wide centres (Liu et al.,
arXiv 1909.00700); boxes are lowered by their generalised IoU (Rezatofighi et al., arXiv 1902.09630). What ships is a
running mean of the weights, which is what is evaluated.

Letters: B batch, S side of a picture, h = w = S / 8 of the grid, N boxes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from humanpt.data.detection.pictures import Composer, DetectionPicture, PictureConfig
from humanpt.detect.heatmap import SCALE_AT, decode
from humanpt.detect.matching import match, rates, recall_at
from humanpt.engine.average import Averaged
from humanpt.errors import ConfigError
from humanpt.models.heatmap import STRIDE, HeatMapConfig, HeatMapNet, HeatMaps, boxes_of
from humanpt.tasks.samples import TensorBatch

SPREAD = 0.54 / 6  # of a centre in the heat map, in box sides: TTFNet's alpha over 6
LOW_SCORE = 0.05  # peaks below are not looked at when evaluating
ALLOWED = 0.3  # false boxes per picture at which recall is told and the threshold chosen


@dataclass(frozen=True, kw_only=True)
class DetectionConfig:
    """A detector's training but for its length."""

    model: HeatMapConfig = field(default_factory=HeatMapConfig)
    """Shape of the network."""
    pictures: PictureConfig = field(default_factory=PictureConfig)
    """How training pictures are composed."""
    sides_weight: float = 2.0
    """Weight of the boxes in the loss, that of the centres being 1."""
    kind_weight: float = 0.5
    """Weight of the kind in the loss, where there are two."""
    mask_weight: float = 0.5
    """Weight of the mask in the loss."""
    heldout_pictures: int = 400
    """Pictures of held-out people on held-out backgrounds to evaluate on."""

    def __post_init__(self) -> None:
        if self.model.kinds != (1 if self.pictures.subject == "body" else 2):
            raise ConfigError(f"a {self.pictures.subject} detector cannot have {self.model.kinds} kinds")
        if self.heldout_pictures < 0 or min(self.sides_weight, self.kind_weight, self.mask_weight) < 0:
            raise ConfigError("heldout_pictures and the weights of the loss must not be negative")


class Targets(NamedTuple):
    """What the network should say of one picture."""

    centre: NDArray[np.float32]
    """(1, h, w) 1 at centres, falling off around them."""
    kind: NDArray[np.float32]
    """(1, h, w) 1 where the cell's subject is of the second kind."""
    asked: NDArray[np.float32]
    """(1, h, w) 0 where a doubtful subject makes every answer right, else 1."""
    box: NDArray[np.float32]
    """(4, h, w) edges of the box that each cell should draw, in pixels."""
    weight: NDArray[np.float32]
    """(h, w) how much its box counts; the weights of one subject sum to 1."""
    mask: NDArray[np.float32]
    """(1, h, w) share of the cell that lies on a subject."""


def draw_targets(picture: DetectionPicture) -> Targets:
    """Draw what the network should answer to a picture; of overlapping boxes, the smaller one owns the shared cells."""
    side = len(picture.rgb) // STRIDE
    centre, kind = np.zeros((2, side, side), np.float32)
    asked = np.ones((side, side), np.float32)
    box = np.zeros((4, side, side), np.float32)
    weight = np.zeros((side, side), np.float32)
    middles = np.arange(side, dtype=np.float32) * STRIDE + (STRIDE - 1) / 2
    areas = (picture.boxes[:, 2:] - picture.boxes[:, :2]).prod(axis=1)
    for row in np.argsort(-areas, kind="stable"):
        x1, y1, x2, y2 = picture.boxes[row]
        if picture.doubtful[row]:
            across, down = (middles > x1) & (middles < x2), (middles > y1) & (middles < y2)
            asked[np.ix_(down, across)] = 0
            continue
        # Measured from the middle of the nearest cell, so that every subject has one cell that is wholly its centre.
        column, line = (int(np.abs(middles - middle).argmin()) for middle in ((x1 + x2) / 2, (y1 + y2) / 2))
        dx = (middles - middles[column]) / max(SPREAD * (x2 - x1), STRIDE / 4)
        dy = (middles - middles[line]) / max(SPREAD * (y2 - y1), STRIDE / 4)
        bump = np.exp(-(dx[None, :] ** 2 + dy[:, None] ** 2) / 2).astype(np.float32)
        bump[bump < 0.01] = 0
        np.maximum(centre, bump, out=centre)
        inside = ((middles > x1) & (middles < x2))[None, :] & ((middles > y1) & (middles < y2))[:, None]
        own = np.where(inside, bump, 0)
        own[line, column] = 1
        cells = own > 0
        box[:, cells] = picture.boxes[row][:, None]
        weight[cells] = (own / own.sum())[cells]
        kind[cells] = picture.kinds[row]
    asked[centre > 0.5] = 1
    share = picture.mask.reshape(side, STRIDE, side, STRIDE).mean(axis=(1, 3), dtype=np.float32)
    return Targets(centre=centre[None], kind=kind[None], asked=asked[None], box=box, weight=weight, mask=share[None])


@dataclass(frozen=True, kw_only=True)
class DetectionBatch(TensorBatch):
    """Pictures with what the network should say of them."""

    pictures: Tensor
    """(B, 3, S, S) uint8 RGB."""
    centre: Tensor
    """(B, 1, h, w); see `Targets`."""
    kind: Tensor
    """(B, 1, h, w)."""
    asked: Tensor
    """(B, 1, h, w)."""
    box: Tensor
    """(B, 4, h, w)."""
    weight: Tensor
    """(B, h, w)."""
    mask: Tensor
    """(B, 1, h, w)."""

    def __len__(self) -> int:
        return len(self.pictures)


def collate(pictures: list[DetectionPicture]) -> DetectionBatch:
    """Several pictures and their targets as one batch."""
    targets = [draw_targets(picture) for picture in pictures]
    stacked = {name: torch.from_numpy(np.stack([getattr(one, name) for one in targets])) for name in Targets._fields}
    rgb = torch.from_numpy(np.stack([picture.rgb for picture in pictures])).permute(0, 3, 1, 2)
    return DetectionBatch(pictures=rgb, **stacked)


class DetectionSamples(Dataset[DetectionPicture]):
    """An endless supply of training pictures: the picture at each stream position."""

    def __init__(self, composer: Composer, seed: int) -> None:
        self.composer = composer
        self.seed = seed

    def __getitem__(self, position: int) -> DetectionPicture:
        return self.composer.picture(self.seed, position)


class DetectionTask:
    """Training step and held-out figures of a detector; meets `engine.task.Task`.

    Args:
        config: everything about it.
        heldout: makes the pictures to evaluate on; None for a task that only trains.
        seed: of these pictures.
    """

    def __init__(self, config: DetectionConfig, heldout: Composer | None = None, seed: int = 0) -> None:
        self.config = config
        self.model = Averaged(HeatMapNet(config.model))
        count = config.heldout_pictures if heldout is not None else 0
        self._heldout = [heldout.picture(seed, number) for number in range(count)] if heldout is not None else []

    def loss(self, batch: DetectionBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one batch, and its three terms."""
        return self._measure(self.model(_scaled(batch.pictures)), batch)

    def pictures(self) -> dict[str, NDArray[np.uint8]]:
        """None; the detector is looked at by its figures."""
        return {}

    def _measure(self, maps: HeatMaps, batch: DetectionBatch) -> tuple[Tensor, dict[str, Tensor]]:
        subjects = batch.weight.sum().clamp_min(1)
        centre = centre_loss(maps.centre, batch.centre, batch.asked) / subjects
        sides = (box_loss(boxes_of(maps.sides), batch.box) * batch.weight).sum() / subjects
        mask = F.binary_cross_entropy_with_logits(maps.mask, batch.mask)
        terms = {"centre": centre, "sides": sides, "mask": mask}
        loss = centre + self.config.sides_weight * sides + self.config.mask_weight * mask
        if maps.kind.shape[1]:
            wrong = F.binary_cross_entropy_with_logits(maps.kind, batch.kind, reduction="none")[:, 0]
            terms["kind"] = (wrong * batch.weight).sum() / subjects
            loss = loss + self.config.kind_weight * terms["kind"]
        return loss, {name: term.detach() for name, term in terms.items()}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Figures of the running mean on held-out pictures.

        Returns:
            `loss` and its terms; `recall`, at 0.3 false boxes per picture and IoU 0.4, and `threshold`, the score at
            which that is; `boxed`, the recall by threshold 0.3 alone, and `false`, its false boxes per picture; `side`,
            the share of found hands of the right side. Empty when nothing is held out.
        """
        if not self._heldout:
            return {}
        totals: dict[str, float] = {}
        size, matches, sides = 32, [], []
        for start in range(0, len(self._heldout), size):
            pictures = self._heldout[start : start + size]
            batch = collate(pictures).to(self._device)
            maps = self.model(_scaled(batch.pictures))
            loss, terms = self._measure(maps, batch)
            for name, value in {"loss": loss, **terms}.items():
                totals[name] = totals.get(name, 0.0) + float(value) * len(pictures) / len(self._heldout)
            for found, picture in zip(decode(maps, LOW_SCORE), pictures, strict=True):
                one = match(found.boxes, found.scores, picture.boxes, picture.doubtful)
                matches.append(one)
                met = one.right & (one.scores >= SCALE_AT)
                sides.append((found.second[one.order[met]] > 0.5) == picture.kinds[one.met[met]])
        recall, threshold = recall_at(matches, ALLOWED)
        boxed, false = rates(matches, SCALE_AT)
        totals |= {"recall": recall, "threshold": threshold, "boxed": boxed, "false": false}
        if self.config.model.kinds == 2:
            totals["side"] = float(np.concatenate(sides).mean()) if any(map(len, sides)) else 0.5
        return totals

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device


def centre_loss(logits: Tensor, centre: Tensor, asked: Tensor) -> Tensor:
    """CenterNet's focal loss, summed: easy cells count little, cells near a centre are hardly false.

    Args:
        logits, centre, asked: (B, 1, h, w) answers and targets.
    """
    logits = logits.float()
    score = logits.sigmoid()
    found = -F.logsigmoid(logits) * (1 - score) ** 2
    quiet = -F.logsigmoid(-logits) * score**2 * (1 - centre) ** 4
    return (torch.where(centre == 1, found, quiet) * asked).sum()


def box_loss(boxes: Tensor, truth: Tensor) -> Tensor:
    """1 - generalised IoU of (B, 4, h, w) edges: (B, h, w)."""
    x1, y1, x2, y2 = boxes.float().unbind(1)
    a1, b1, a2, b2 = truth.unbind(1)
    shared = (torch.minimum(x2, a2) - torch.maximum(x1, a1)).clamp_min(0) * (
        torch.minimum(y2, b2) - torch.maximum(y1, b1)
    ).clamp_min(0)
    union = ((x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - shared).clamp_min(1e-3)
    around = (torch.maximum(x2, a2) - torch.minimum(x1, a1)) * (torch.maximum(y2, b2) - torch.minimum(y1, b1))
    around = around.clamp_min(1e-3)
    return 1 - shared / union + (around - union) / around


def _scaled(pictures: Tensor) -> Tensor:
    return pictures.float() / 255
