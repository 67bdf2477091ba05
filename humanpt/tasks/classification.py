"""Gestures and grasps: which of some classes a picture shows.

The tokens of a picture are averaged, normed and mapped to classes. Where the subject is small in the picture, our own
detector can cut it out first: a picture of 64 pixels across a whole room has few left for the fingers.

Letters: B batch, C classes, N pictures, S side of a crop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from humanpt.data.crops import square_around
from humanpt.data.frame import ArrayFrame
from humanpt.data.image import Rgb
from humanpt.data.labelled.class_folders import ClassSet
from humanpt.data.order import sample_rng
from humanpt.data.square_crops import CropConfig, draw_crop, plain_crop, take, whole_square
from humanpt.detect.heatmap import OwnDetector
from humanpt.errors import ConfigError
from humanpt.metrics.classes import confusion, mean_per_class, top1
from humanpt.models.classes import ClassesHeadConfig, ClassesNetwork
from humanpt.models.vit import normalise
from humanpt.tasks.samples import LabelledSamples, TensorBatch

__all__ = [
    "ClassesBatch",
    "ClassesConfig",
    "ClassesNetwork",
    "ClassesSample",
    "ClassesSamples",
    "ClassesTask",
    "collate",
    "part",
    "predict",
]

SHOWN = 16  # held-out pictures on the sheet
RIGHT, WRONG = (0, 158, 115), (213, 94, 0)  # frames of pictures told right and wrong


@dataclass(frozen=True, kw_only=True)
class ClassesConfig(ClassesHeadConfig):
    """Everything about the task but its data and the length of its training."""

    crop: Literal["picture", "hand", "body"] = "picture"
    """What the network sees: the whole picture, or the person or hand that our detector is surest of, and the whole
    picture where it finds none. The detector knows hands that fill a good part of a picture; where whole people are
    shown it takes arms for hands."""
    margin: float = 1.6
    """Side of that crop over the longer side of the detector's box."""
    mirror: bool = False
    """Whether a class means the same in a mirror, as a gesture of either hand does; training then flips at random."""
    smoothing: float = 0.1
    """Share of a label that is spread evenly over all classes."""
    augment: CropConfig = field(default_factory=CropConfig)
    """How training crops are moved and coloured."""
    folds: int = 1
    """With 2 or more, the set is parted into so many folds, of which one is held out; for sets too small to split."""
    fold: int = 0
    """Which of them is held out, from 0."""
    heldout_batch: int = 32
    """Held-out pictures looked at together."""

    def __post_init__(self) -> None:
        if self.crop not in ("picture", "hand", "body"):
            raise ConfigError(f"crop is {self.crop!r}; choose picture, hand or body")
        if not 0 <= self.smoothing < 1 or self.margin <= 0:
            raise ConfigError(f"smoothing is {self.smoothing}, margin {self.margin}; from 0 to below 1, and above 0")
        if self.folds < 1 or not 0 <= self.fold < self.folds or self.heldout_batch < 1:
            raise ConfigError(f"fold is {self.fold} of {self.folds}; folds are at least 1 and counted from 0")


class ClassesSample(NamedTuple):
    """One picture and its class."""

    picture: Rgb
    """(S, S, 3) uint8 RGB."""
    label: int
    """Its class."""
    number: int
    """Its number in the set."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassesBatch(TensorBatch):
    """Pictures that travel together."""

    pictures: Tensor
    """(B, 3, S, S) uint8 RGB."""
    label: Tensor
    """(B,) int64 classes."""
    number: Tensor
    """(B,) int64 numbers in the set."""

    def __len__(self) -> int:
        return len(self.label)


def collate(samples: Sequence[ClassesSample]) -> ClassesBatch:
    """Put samples into a batch."""
    return ClassesBatch(
        pictures=torch.from_numpy(np.stack([sample.picture for sample in samples])).permute(0, 3, 1, 2),
        label=torch.tensor([sample.label for sample in samples]),
        number=torch.tensor([sample.number for sample in samples]),
    )


def part(
    data: ClassSet, config: ClassesConfig, heldout_share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Part a set into pictures to train on and pictures held out, by share or by fold.

    Returns:
        Sorted indices (T,) and (H,).

    Raises:
        InputError: if there are more folds than groups of pictures.
    """
    if config.folds > 1:
        return data.fold(config.fold, config.folds, seed)
    return data.split(heldout_share, seed)


class ClassesSamples(LabelledSamples[ClassSet, ClassesConfig, ClassesSample]):
    """Pictures with their classes; arguments as `LabelledSamples`."""

    def __init__(
        self,
        data: ClassSet,
        indices: NDArray[np.int64],
        config: ClassesConfig,
        crop_size: int,
        seed: int,
        *,
        training: bool,
    ) -> None:
        super().__init__(data, indices, config, crop_size, seed, training=training)
        self._squares: dict[int, NDArray[np.float32]] = {}
        self._detector: OwnDetector | None = None

    def __getitem__(self, position: int) -> ClassesSample:
        index = self.locate(position)
        rgb = self.data.picture(index)
        if index not in self._squares:
            self._squares[index] = self._square(rgb)
        square, flip = self._squares[index], False
        if self.training:
            rng = sample_rng(self.seed, position)
            draw = draw_crop(square, self.config.augment, rng)
            flip = bool(rng.integers(2)) and self.config.mirror
        else:
            draw = plain_crop(square)
        picture = take(rgb, draw, self.crop_size)
        return ClassesSample(picture[:, ::-1] if flip else picture, int(self.data.labels[index]), index)

    def _square(self, rgb: Rgb) -> NDArray[np.float32]:
        """(4,) the crop of a picture, found once in each process."""
        height, width = rgb.shape[:2]
        if self.config.crop != "picture":
            if self._detector is None:
                self._detector = OwnDetector(self.config.crop)
            found = self._detector.detect(ArrayFrame(0, 0.0, rgb))
            if len(found):
                return square_around(found.boxes[int(found.scores.argmax())], self.config.margin)
        return whole_square(height, width)


class ClassesTask:
    """Training step and held-out figures of a classifier; meets `engine.task.Task`.

    Args:
        config: everything about it.
        network: a `ClassesNetwork`, or what holds one and answers as it does.
        heldout: the pictures to evaluate on; None for a task that only trains.
    """

    def __init__(self, config: ClassesConfig, network: nn.Module, heldout: ClassesSamples | None = None) -> None:
        self.config = config
        self.model = network
        self.heldout = heldout

    def loss(self, batch: ClassesBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy of one batch, and the share told right, `top1`."""
        logits = self.model(normalise(batch.pictures)).float()
        loss = F.cross_entropy(logits, batch.label, label_smoothing=self.config.smoothing)
        return loss, {"top1": (logits.detach().argmax(dim=1) == batch.label).float().mean()}

    def evaluate(self) -> dict[str, float]:
        """Figures of the held-out pictures.

        Returns:
            `loss`, the cross-entropy without smoothing; `top1`, the share told right; `mean_per_class`, the mean over
            classes of that share; `chance`, what always saying the most frequent class would make of `top1`. Empty when
            nothing is held out.
        """
        if self.heldout is None or not len(self.heldout):
            return {}
        logits, labels = self.answers()
        counts = confusion(logits.argmax(dim=1), labels, len(self.config.class_names))
        return {
            "loss": float(F.cross_entropy(logits, labels)),
            "top1": top1(counts),
            "mean_per_class": mean_per_class(counts),
            "chance": float(counts.sum(dim=1).max() / counts.sum()),
        }

    @torch.no_grad()
    def answers(self) -> tuple[Tensor, Tensor]:
        """Logits (H, C) and classes (H,) of the held-out pictures, on the CPU, in their order."""
        parts = [(self._logits(batch), batch.label) for batch in self._batches()]
        return torch.cat([logits for logits, _ in parts]), torch.cat([labels for _, labels in parts])

    @torch.no_grad()
    def pictures(self) -> dict[str, NDArray[np.uint8]]:
        """A sheet of held-out pictures, those told right in a green frame, the others in a red one."""
        if self.heldout is None or not len(self.heldout):
            return {}
        batch = collate([self.heldout[place] for place in range(min(SHOWN, len(self.heldout)))])
        right = (self._logits(batch).argmax(dim=1) == batch.label).tolist()
        framed = [
            _framed(picture, RIGHT if good else WRONG)
            for picture, good in zip(batch.pictures.permute(0, 2, 3, 1).numpy(), right, strict=True)
        ]
        framed += [np.zeros_like(framed[0])] * (-len(framed) % 4)
        rows = [np.hstack(framed[start : start + 4]) for start in range(0, len(framed), 4)]
        return {"classes": np.vstack(rows)}

    def _batches(self) -> Iterator[ClassesBatch]:
        assert self.heldout is not None
        count, size = len(self.heldout), self.config.heldout_batch
        for start in range(0, count, size):
            yield collate([self.heldout[place] for place in range(start, min(start + size, count))])

    def _logits(self, batch: ClassesBatch) -> Tensor:
        device = next(self.model.parameters()).device
        logits: Tensor = self.model(normalise(batch.pictures.to(device)))
        return logits.float().cpu()


@torch.no_grad()
def predict(network: nn.Module, batch: ClassesBatch) -> Tensor:
    """(B, C) how probable each class is for each picture of a batch that lies where the network does."""
    logits: Tensor = network(normalise(batch.pictures))
    return logits.float().softmax(dim=1)


def _framed(picture: Rgb, colour: tuple[int, int, int]) -> Rgb:
    """A picture (S, S, 3) with a coloured border of a sixteenth of its side."""
    framed, width = picture.copy(), max(1, len(picture) // 16)
    inner = framed[width:-width, width:-width].copy()
    framed[:] = colour
    framed[width:-width, width:-width] = inner
    return framed
