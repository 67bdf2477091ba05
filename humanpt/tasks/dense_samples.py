"""Training samples and batches of dense pose: a crop, and what is known of its pixels.

Some sets know every pixel, others a mask and a few points. Both become one form: a map of labels with two values of
its own, for pixels that show some part that nobody named and for pixels of which nothing is known; and a list of points
between pixels. Left hands are shown in a mirror, so that the network sees right ones alone.

Letters: B batch, S side of a crop, P points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.data.image import Rgb
from humanpt.data.labelled.dense import DenseMaps, DenseSet
from humanpt.data.order import sample_rng
from humanpt.data.square_crops import CropConfig, draw_crop, nearest_pixels, plain_crop, take, to_crop
from humanpt.errors import ConfigError
from humanpt.models.dense import DenseHeadConfig
from humanpt.tasks.samples import LabelledSamples, TensorBatch

SOME_PART, UNKNOWN = 254, 255
"""Labels of pixels: on the subject, but nobody said where; and of which nothing is said at all."""

POINTS = 150
"""Pixels of a fully labelled picture that are compared along the surface."""

MOST_KEPT = 20_000
"""Pictures of which a process keeps the exact labels."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class DensePoseConfig(DenseHeadConfig):
    """Everything about the task but its data and the length of its training."""

    charts: str = "densepose"
    """Whose u and v these are, as the layout of the data says; kept with the run."""
    uv_weight: float = 2.0
    """Weight of the surface coordinates in the loss, those of the mask and of the parts being 1."""
    augment: CropConfig = field(default_factory=CropConfig)
    """How training crops are moved and coloured."""
    heldout_pictures: int = 256
    """Held-out pictures to evaluate on, at most; they are kept in memory as crops."""
    heldout_batch: int = 32
    """How many of them are looked at together."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.uv_weight < 0 or self.heldout_pictures < 0 or self.heldout_batch < 1:
            raise ConfigError("uv_weight and heldout_pictures must not be negative, and heldout_batch at least 1")
        if len(self.part_names) >= SOME_PART:
            raise ConfigError(f"part_names has {len(self.part_names)} names; fewer than {SOME_PART} can be told apart")


class DenseSample(NamedTuple):
    """One crop and its labels."""

    picture: Rgb
    """(S, S, 3) uint8 RGB."""
    label: NDArray[np.uint8]
    """(S, S) part from 1, 0 for none, or one of the two values above."""
    uv: Floats
    """(2, S, S) u and v where `label` is a part, else 0."""
    points: Floats
    """(P, 2) places x, y in pixels of the crop."""
    points_part: NDArray[np.int64]
    """(P,) their parts, from 1."""
    points_uv: Floats
    """(P, 2) their u and v."""
    square: Floats
    """(4,) the crop in pixels of the picture."""
    mirrored: bool
    """Whether all this is seen in a mirror."""
    number: int
    """Of the sample in the set."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DenseBatch(TensorBatch):
    """Crops that travel together."""

    pictures: Tensor
    """(B, 3, S, S) uint8 RGB."""
    label: Tensor
    """(B, S, S) uint8, see `DenseSample`."""
    uv: Tensor
    """(B, 2, S, S) float16."""
    points: Tensor
    """(B, P, 2) float32; P is that of the sample with the most."""
    points_part: Tensor
    """(B, P) int64, 0 where a sample has fewer points."""
    points_uv: Tensor
    """(B, P, 2) float32."""
    square: Tensor
    """(B, 4) float32."""
    mirrored: Tensor
    """(B,) bool."""
    number: Tensor
    """(B,) int64."""

    def __len__(self) -> int:
        return len(self.pictures)


def collate(samples: Sequence[DenseSample]) -> DenseBatch:
    """Put samples into a batch."""
    most = max(len(sample.points) for sample in samples)

    def padded(values: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.pad(values, [(0, most - len(values))] + [(0, 0)] * (values.ndim - 1))

    return DenseBatch(
        pictures=torch.from_numpy(np.stack([sample.picture for sample in samples])).permute(0, 3, 1, 2),
        label=torch.from_numpy(np.stack([sample.label for sample in samples])),
        uv=torch.from_numpy(np.stack([sample.uv for sample in samples])).half(),
        points=torch.from_numpy(np.stack([padded(sample.points) for sample in samples])),
        points_part=torch.from_numpy(np.stack([padded(sample.points_part) for sample in samples])),
        points_uv=torch.from_numpy(np.stack([padded(sample.points_uv) for sample in samples])),
        square=torch.from_numpy(np.stack([sample.square for sample in samples])),
        mirrored=torch.tensor([sample.mirrored for sample in samples]),
        number=torch.tensor([sample.number for sample in samples]),
    )


class DensePoseSamples(LabelledSamples[DenseSet, DensePoseConfig, DenseSample]):
    """Crops with dense labels; arguments as `LabelledSamples`."""

    def __init__(
        self,
        data: DenseSet,
        indices: NDArray[np.int64],
        config: DensePoseConfig,
        crop_size: int,
        seed: int,
        *,
        training: bool,
    ) -> None:
        super().__init__(data, indices, config, crop_size, seed, training=training)
        self._kept: dict[int, bytes | None] = {}

    def __getitem__(self, position: int) -> DenseSample:
        number = self.locate(position)
        square = self.data.square(number)
        if self.training:
            draw = draw_crop(square, self.config.augment, sample_rng(self.seed, position))
        else:
            draw = plain_crop(square)
        rgb = self.data.picture(number)
        sample = self._labels(number, draw.square, rgb.shape[:2])
        sample = sample._replace(picture=take(rgb, draw, self.crop_size))
        return _in_a_mirror(sample) if self.data.side(number) == "left" else sample

    def _labels(self, number: int, square: Floats, shape: tuple[int, ...]) -> DenseSample:
        """The labels of a sample as its crop sees them; the picture is left out."""
        size = self.crop_size
        pixels, inside = nearest_pixels(square, size, shape[0], shape[1])
        uv: Floats = np.zeros((2, size, size), np.float32)
        points: Floats = np.zeros((0, 2), np.float32)
        points_part, points_uv = np.zeros(0, np.int64), np.zeros((0, 2), np.float32)
        full = self._maps(number)
        if full is not None:
            label, coordinates = full[..., 0].reshape(-1)[pixels], full[..., 1:].reshape(-1, 2)[pixels]
            uv = np.asarray(np.moveaxis(coordinates, -1, 0) / 255, np.float32)
        else:
            mask, found = self.data.mask(number), self.data.points(number)
            label = np.full((size, size), UNKNOWN, np.uint8)
            if mask is not None:
                label = np.where(mask, np.uint8(SOME_PART), np.uint8(0)).reshape(-1)[pixels]
            places = to_crop(found.pixels, square, size)
            shown = ((places >= -0.5) & (places <= size - 0.5)).all(axis=1)
            points, points_part, points_uv = places[shown], found.part[shown], found.uv[shown]
        label = np.where(inside, label, np.uint8(0))
        uv *= (label > 0) & (label < SOME_PART)
        nothing = np.zeros((0, 0, 3), np.uint8)
        return DenseSample(nothing, label, uv, points, points_part, points_uv, square, mirrored=False, number=number)

    def _maps(self, number: int) -> NDArray[np.uint8] | None:
        """(H, W, 3) label and u, v in 255ths of every pixel of a picture, or None.

        Exact maps take some sixty milliseconds to draw, a dozen times as long as all else about a sample. So each
        process keeps those that it has drawn for training, 15 kB for a picture of 256 pixels.
        """
        if number in self._kept:
            packed = self._kept[number]
        else:
            maps = self.data.maps(number)
            packed = None if maps is None else _packed(maps)
            if self.training and len(self._kept) < MOST_KEPT:
                self._kept[number] = packed
        return None if packed is None else np.asarray(cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_COLOR))


def labelled_places(batch: DenseBatch, row: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where a sample of a batch on the CPU has labels to compare along the surface.

    Args:
        batch: of any samples.
        row: which of them.

    Returns:
        Rows and columns of pixels (N,), parts (N,) from 1, and u and v (N, 2): of its points where it has some, else of
        up to `POINTS` pixels spread over its body.
    """
    there = batch.points_part[row] > 0
    label = batch.label[row]
    if bool(there.any()):
        x, y = batch.points[row][there].round().long().clamp(0, label.shape[-1] - 1).T
        return y, x, batch.points_part[row][there], batch.points_uv[row][there]
    y, x = ((label > 0) & (label < SOME_PART)).nonzero().T
    spread = torch.linspace(0, max(0, len(y) - 1), min(len(y), POINTS)).long()
    y, x = y[spread], x[spread]
    return y, x, label[y, x].long(), batch.uv[row].float()[:, y, x].T


def _packed(maps: DenseMaps) -> bytes:
    """The maps of a picture (H, W) as a small PNG file of label, u and v: coordinates to 1/255, as DensePose's own."""
    label = np.where(maps.known, maps.part, UNKNOWN)[..., None]
    return cv2.imencode(".png", np.concatenate([label, np.rint(maps.uv * 255)], axis=2).astype(np.uint8))[1].tobytes()


def _in_a_mirror(sample: DenseSample) -> DenseSample:
    """What a mirror shows of a left hand, whose parts and charts are those of a right one."""
    points = sample.points.copy()
    points[:, 0] = len(sample.label) - 1 - points[:, 0]
    return sample._replace(
        picture=sample.picture[:, ::-1],
        label=sample.label[:, ::-1],
        uv=sample.uv[..., ::-1],
        points=points,
        mirrored=True,
    )
