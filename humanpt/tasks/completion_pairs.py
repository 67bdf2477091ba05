"""Pairs with withheld patches: the samples and batches that completion pre-training sees.

Sources: as for completion_config.

Letters: B batch, N patches, S side of a picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from humanpt.data.augment import AugmentConfig, Draw, centre_draw, patch_coverage, random_draw, view, window_of
from humanpt.data.device_views import device_views, stack_draws
from humanpt.data.image import Rgb, resize_square
from humanpt.data.mixture import Mixture, joint_shares
from humanpt.data.order import sample_rng
from humanpt.data.shards import Kind, PairSet
from humanpt.errors import ConfigError, InputError
from humanpt.models.vit import normalise
from humanpt.tasks.completion_config import KIND_NAMES, CompletionConfig, draw_mask, draw_predicted
from humanpt.tasks.samples import TensorBatch

__all__ = [
    "KIND_NAMES",
    "CompletionConfig",
    "CompletionSamples",
    "HeldOutPairs",
    "PairBatch",
    "PairSample",
    "collate",
    "draw_mask",
]


class PairSample(NamedTuple):
    """One pair as the network sees it, or as it is sent to the device to be cut and coloured there."""

    image1: Rgb
    """(S, S, 3) uint8."""
    image2: Rgb | None
    """(S, S, 3) uint8; None where one picture is completed from itself."""
    mask: NDArray[np.bool_]
    """(N,) True at the patches of image1 that are withheld."""
    kind: Kind
    pair: int
    """Number of the pair in its set."""
    weight: float
    """Batch size over the number of pairs of this kind in the whole step, so that the sum over a step of weight times
    error, divided by the batch size, is the sum of the means of each kind, however the step is divided."""
    predicted: NDArray[np.bool_] | None = None
    """(N,) True at the withheld patches to predict; None for all."""
    draws: tuple[Draw, Draw] | None = None
    """How image1 and image2, then stored pictures, are still to be cut and coloured; None where that is done."""
    augment: AugmentConfig | None = None
    """The sizes for doing so."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PairBatch(TensorBatch):
    """Pairs that travel together; pictures stay bytes until they are on the device, a quarter of the way's load."""

    image1: Tensor
    """(B, 3, S, S) uint8, channels last in memory; `views` makes of it what the network takes."""
    image2: Tensor | None
    """The same of the second pictures; None where pictures are completed from themselves."""
    mask: Tensor
    """(B, N) bool. It never leaves the CPU, where it is asked which patches to gather: see `positions.places`."""
    kind: Tensor
    """(B,) int64 codes of `Kind`."""
    pair: Tensor
    """(B,) int64 numbers of the pairs in their set, on the CPU."""
    weight: Tensor
    """(B,) float32; see `PairSample.weight`."""
    predicted: Tensor | None = None
    """(B, N) bool, True at the withheld patches to predict, on the CPU as the mask; None for all."""
    draws: Tensor | None = None
    """(B, 2, 5) float32, how the two pictures are still to be cut and coloured; None where that is done."""
    augment: AugmentConfig | None = None
    """The sizes for doing so."""

    def __len__(self) -> int:
        return len(self.mask)

    def views(self) -> tuple[Tensor, Tensor | None]:
        """The pictures as the network takes them: (B, 3, crop_size, crop_size) normalised, on the batch's device."""
        return self._view(self.image1, 0), None if self.image2 is None else self._view(self.image2, 1)

    def _view(self, pictures: Tensor, which: int) -> Tensor:
        if self.draws is None or self.augment is None:
            return normalise(pictures)
        return normalise(device_views(pictures, self.draws[:, which], self.augment))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The batch with a change made to what moves to the device, which masks and the numbers of pairs do not."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moving = ("image1", "image2", "kind", "weight", "draws")
        return type(self)(**values | {name: change(values[name]) for name in moving if values[name] is not None})


def collate(samples: Sequence[PairSample]) -> PairBatch:
    """Put samples into a batch."""
    first = samples[0]
    draws = [stack_draws(sample.draws) for sample in samples if sample.draws is not None]
    return PairBatch(
        image1=_stack([sample.image1 for sample in samples]),
        image2=None if first.image2 is None else _stack([s.image2 for s in samples if s.image2 is not None]),
        mask=torch.from_numpy(np.stack([sample.mask for sample in samples])),
        kind=torch.tensor([int(sample.kind) for sample in samples]),
        pair=torch.tensor([sample.pair for sample in samples]),
        weight=torch.tensor([sample.weight for sample in samples], dtype=torch.float32),
        predicted=None
        if first.predicted is None
        else torch.from_numpy(np.stack([s.predicted for s in samples if s.predicted is not None])),
        draws=torch.stack(draws) if draws else None,
        augment=first.augment,
    )


def _stack(pictures: Sequence[Rgb]) -> Tensor:
    """(B, 3, S, S) of B pictures (S, S, 3), channels last in memory."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


class CompletionSamples(Dataset[PairSample]):
    """The training samples of a run: item p is what stands at stream position p (see `data.order`), for any p from 0.

    The mixture of kinds and folders is spread evenly, so that every stretch of the stream, however short, holds it as
    nearly as it can. The draws of a position are the same whatever the objective and wherever pictures are coloured.

    Args:
        pairs: the set.
        indices: the pairs of the set to train on.
        config: mask, pictures, and the mixture.
        seed: of the order and of every draw.
        batch_size: samples of a whole step, over all processes, which their weights refer to.

    Raises:
        InputError: if no pair is of a kind that the loss counts, or a folder with a share has none.
        ConfigError: if the shares do not fit the folders, or those of kinds and folders cannot both hold.
    """

    def __init__(
        self, pairs: PairSet, indices: NDArray[np.int64], config: CompletionConfig, seed: int, batch_size: int
    ) -> None:
        self.pairs, self.config, self.seed, self.batch_size = pairs, config, seed, batch_size
        self.indices = _counted(pairs, indices, config)
        if not len(self.indices):
            names = " or ".join(name for name, weight in zip(KIND_NAMES, config.weights, strict=True) if weight)
            raise InputError(f"none of {len(indices)} training pairs is {names}; give other pairs or other weights")
        self._mixture = Mixture(*_groups(pairs, self.indices, config), seed)
        self._counts: tuple[int, Counter[int]] = (-1, Counter())  # of kinds, in the step asked about last

    def __len__(self) -> int:
        """Pairs to train on: an epoch, though the stream of positions has no end."""
        return len(self.indices)

    def locate(self, position: int) -> int:
        """The number in the set of the pair at a stream position."""
        return self._mixture.locate(position)

    def __getitem__(self, position: int) -> PairSample:
        config, rng = self.config, sample_rng(self.seed, position)
        draws = random_draw(config.augment, rng), random_draw(config.augment, rng)
        either = int(rng.integers(2))
        shown = either if config.objective == "mae" else 0
        index = self.locate(position)
        weight = self._weight(position, index)
        return _sample(self.pairs, index, config, rng, draws, weight, shown, training=True)

    def _weight(self, position: int, index: int) -> float:
        step = position // self.batch_size
        known, counts = self._counts
        if known != step:
            places = range(step * self.batch_size, (step + 1) * self.batch_size)
            counts = Counter(int(self.pairs.kind[self.locate(place)]) for place in places)
            self._counts = step, counts
        return self.batch_size / counts[int(self.pairs.kind[index])]


class HeldOutPairs(Dataset[PairSample]):
    """Held-out pairs in a fixed shuffled order, each with its central crops and a mask of its own that never changes.

    To each belongs a wrong reference, drawn once: the second picture of a pair of another sequence, held out or not. A
    picture of the same clip would be no wrong one, as it shows the same subject and place, often at a nearer moment.
    They are cut here whatever `augment_on_device` says, all withheld patches are predicted whatever `decode_share`
    says, and without a second picture (`mae`) it is still the first that is rebuilt: figures of runs compare.

    Attributes:
        indices: (H,) numbers of the pairs in their set, in that order.
        wrong: (H,) numbers of the pairs whose second pictures are the wrong references; None in a set of one sequence,
            and where there are no second pictures.
    """

    def __init__(self, pairs: PairSet, indices: NDArray[np.int64], config: CompletionConfig) -> None:
        self.pairs, self.config = pairs, config
        rng = np.random.default_rng(config.heldout_seed)
        self.indices = rng.permutation(_counted(pairs, indices, config))[: config.heldout_pairs]
        self.wrong: NDArray[np.int64] | None = None
        if len(np.unique(pairs.sequence)) > 1 and config.objective == "completion":
            own = pairs.sequence[self.indices]
            self.wrong = np.array([rng.choice(np.flatnonzero(pairs.sequence != s)) for s in own], np.int64)
        self._counts = Counter(pairs.kind[self.indices].tolist())

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> PairSample:
        index = int(self.indices[place])
        rng = sample_rng(self.config.heldout_seed, index)
        draw = centre_draw(self.config.augment)
        weight = len(self) / self._counts[int(self.pairs.kind[index])]
        return _sample(self.pairs, index, self.config, rng, (draw, draw), weight, 0, training=False)

    def wrong_reference(self, place: int) -> Rgb:
        """(S, S, 3) uint8, the central crop of the wrong reference of the pair at a place.

        Raises:
            ValueError: where there is none.
        """
        if self.wrong is None:
            raise ValueError("all pairs are of one sequence, so there is no reference from another")
        augment = self.config.augment
        stored = self.pairs.image(int(self.wrong[place]), 1, augment.stored_size)
        return view(stored, augment, centre_draw(augment))


def _counted(pairs: PairSet, indices: NDArray[np.int64], config: CompletionConfig) -> NDArray[np.int64]:
    """Those of the pairs whose kind the loss counts, and whose folder is not left out."""
    counts = np.array(config.weights)[pairs.kind[indices]] > 0
    if config.data_shares is not None:
        if len(config.data_shares) != len(pairs.folders):
            raise ConfigError(
                f"data_shares has {len(config.data_shares)} numbers for {len(pairs.folders)} folders of pairs; "
                "give one for each --data, in their order"
            )
        counts &= np.array(config.data_shares)[pairs.dataset[indices]] > 0
    return indices[counts]


def _groups(
    pairs: PairSet, indices: NDArray[np.int64], config: CompletionConfig
) -> tuple[list[NDArray[np.int64]], list[float]]:
    """What a mixture is made of: groups of pairs by kind and folder, as far as these are mixed, and their shares."""
    kinds, folders = pairs.kind[indices].astype(np.int64), pairs.dataset[indices]
    of_kinds, of_folders = None, None
    if config.view_share is not None and len(np.unique(kinds)) == 2:
        of_kinds = [config.view_share, 1 - config.view_share]
    if config.data_shares is not None:
        of_folders = [share / sum(config.data_shares) for share in config.data_shares]
        for folder, share in enumerate(of_folders):
            if share and not (folders == folder).any():
                raise InputError(
                    f"{pairs.folders[folder]}: no pair to train on, but data_shares gives it {share:.3g}; set it to 0"
                )
    rows = kinds if of_kinds else np.zeros_like(kinds)
    columns = folders if of_folders else np.zeros_like(kinds)
    shape = len(Kind) if of_kinds else 1, len(pairs.folders) if of_folders else 1
    counts = np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1]).reshape(shape)
    shares = joint_shares(counts, of_kinds, of_folders)
    if shares is None:
        raise ConfigError(
            f"view_share {config.view_share} and data_shares {config.data_shares} cannot both hold, as some folders "
            "have one kind of pair alone; set view_share=none or other data_shares"
        )
    cells = [(row, column) for row, column in np.ndindex(shape) if shares[row, column] > 0]
    groups = [indices[(rows == row) & (columns == column)] for row, column in cells]
    return groups, [float(shares[cell]) for cell in cells]


def _sample(
    pairs: PairSet,
    index: int,
    config: CompletionConfig,
    rng: np.random.Generator,
    draws: tuple[Draw, Draw],
    weight: float,
    shown: int,
    *,
    training: bool,
) -> PairSample:
    """Read a pair, cut the views, and draw the masks; `shown` is the picture to complete."""
    augment = config.augment
    kind = Kind(int(pairs.kind[index]))
    coverage = patch_coverage(pairs.masks(index)[shown], window_of(draws[shown], augment), config.model.grid[0])
    mask = draw_mask(rng, coverage, config.mask.ratio(kind), config.mask)
    predicted = draw_predicted(rng, mask, config.decode_share) if training else None
    if config.objective == "mae":
        stored: tuple[Rgb, ...] = (pairs.image(index, shown, augment.stored_size),)
        draws = draws[shown], draws[shown]
    else:
        stored = pairs.images(index, augment.stored_size)
    if training and config.augment_on_device:
        if pairs.crop_size is None:  # pictures of one batch must be of one size
            stored = tuple(resize_square(rgb, augment.stored_size) for rgb in stored)
        pictures, left = stored, draws
    else:
        pictures, left = tuple(view(rgb, augment, draw) for rgb, draw in zip(stored, draws, strict=False)), None
    image1, image2 = pictures if len(pictures) == 2 else (pictures[0], None)
    return PairSample(image1, image2, mask, kind, index, weight, predicted, left, augment if left else None)
