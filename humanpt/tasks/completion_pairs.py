"""Pairs with withheld patches: how completion pre-training is set up, and the samples and batches it sees.

Sources: Armando et al., CroCo-Man (arXiv 2311.09104), for a mask of fixed ratio that leans to the person; Weinzaepfel
et al., CroCo (arXiv 2210.10716), for everything else. How far the mask leans and how kinds are mixed is ours.

Letters: B batch, N patches, S side of a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from humanpt.data.augment import AugmentConfig, Window, centre_view, patch_coverage, random_view
from humanpt.data.image import Rgb
from humanpt.data.order import Order, sample_rng
from humanpt.data.shards import Kind, PairSet
from humanpt.errors import ConfigError, InputError
from humanpt.models.croco import CroCoConfig

KIND_NAMES = tuple(kind.name.lower() for kind in Kind)


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """How much of the first picture is withheld, and where."""

    cross_view: float = 0.9
    """Share of the patches withheld in a cross-view pair."""
    cross_pose: float = 0.9
    """Share of the patches withheld in a cross-pose pair."""
    pattern: Literal["human", "random"] = "human"
    """`human` leans to the person where the pair has a person mask; `random` gives all patches the same chance."""
    person_bias: float = 0.5
    """How far `human` leans to the person: 0 not at all, below 1 at least one patch of the person stays visible."""
    person_share: float = 0.5
    """A patch is the person's when at least this share of it is."""

    def __post_init__(self) -> None:
        for name in ("cross_view", "cross_pose"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it is a share of the patches, between 0 and 1")
        if self.pattern not in ("human", "random"):
            raise ConfigError(f"pattern is {self.pattern!r}; choose human or random")
        if not 0 <= self.person_bias <= 1:
            raise ConfigError(f"person_bias is {self.person_bias}; it must lie from 0 to 1")
        if not 0 < self.person_share <= 1:
            raise ConfigError(f"person_share is {self.person_share}; it must lie above 0 and up to 1")

    def ratio(self, kind: Kind) -> float:
        """Share of the patches withheld in a pair of this kind."""
        return self.cross_view if kind is Kind.CROSS_VIEW else self.cross_pose


@dataclass(frozen=True, kw_only=True)
class CompletionConfig:
    """Network, mask, pictures and loss of completion pre-training."""

    model: CroCoConfig = field(default_factory=CroCoConfig)
    """The network."""
    mask: MaskConfig = field(default_factory=MaskConfig)
    """What is withheld."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """How stored pictures become what the network sees."""
    normalise_target: bool = True
    """Whether each patch to predict is brought to mean 0 and variance 1."""
    view_weight: float = 1.0
    """Weight of the cross-view term of the loss; with 0 such pairs are not read."""
    pose_weight: float = 1.0
    """Weight of the cross-pose term of the loss; with 0 such pairs are not read."""
    view_share: float | None = 0.5
    """Share of cross-view pairs among those trained on, where there are both kinds; None takes them as they come."""
    heldout_pairs: int = 512
    """Most held-out pairs that an evaluation looks at, drawn once."""
    heldout_seed: int = 0
    """Seed of that draw, of the held-out masks and of the wrong references; apart from a run's seed."""
    heldout_batch: int = 32
    """Pairs that an evaluation takes at once; without effect on its result."""

    def __post_init__(self) -> None:
        if self.augment.crop_size != self.model.image_size:
            raise ConfigError(
                f"augment.crop_size is {self.augment.crop_size} and model.image_size {self.model.image_size}; "
                "they must be equal"
            )
        if not min(self.view_weight, self.pose_weight) >= 0 or not max(self.view_weight, self.pose_weight) > 0:
            raise ConfigError(
                f"view_weight is {self.view_weight} and pose_weight {self.pose_weight}; "
                "neither may be negative and one must be positive"
            )
        if self.view_share is not None and not 0 < self.view_share < 1:
            raise ConfigError(
                f"view_share is {self.view_share}; it must lie between 0 and 1, a weight of 0 leaves one out"
            )
        if self.heldout_pairs < 0 or self.heldout_seed < 0 or self.heldout_batch < 1:
            raise ConfigError("heldout_pairs and heldout_seed must be at least 0, heldout_batch at least 1")
        for kind in Kind:
            if not withheld_count(self.mask.ratio(kind), self.model.num_patches):
                name, ratio = f"mask.{KIND_NAMES[kind]}", self.mask.ratio(kind)
                raise ConfigError(f"{name} is {ratio}; of {self.model.num_patches} patches it withholds none")

    @property
    def weights(self) -> tuple[float, float]:
        """Weights of the two terms of the loss, indexed by `Kind`."""
        return (self.view_weight, self.pose_weight)


def withheld_count(ratio: float, patches: int) -> int:
    """How many of so many patches are withheld."""
    return int(ratio * patches)


def draw_mask(
    rng: np.random.Generator, coverage: NDArray[np.floating[Any]], ratio: float, config: MaskConfig
) -> NDArray[np.bool_]:
    """Choose the patches to withhold.

    Of n patches of the person floor(n (r + b (1 - r))) are withheld, r the ratio and b the bias, as far as the total
    allows; the others are drawn from the background. Without such patches every patch has the same chance.

    Args:
        rng: source of the draw.
        coverage: (rows, columns) share of each patch that is the person; NaN where it is not known.
        ratio: share of the patches to withhold.

    Returns:
        (N,) bool, row-major, True at withheld patches, int(ratio x N) of them.
    """
    person = (coverage >= config.person_share).ravel()  # NaN is never the person's
    total, people = withheld_count(ratio, person.size), int(person.sum())
    mask = np.zeros(person.size, np.bool_)
    if config.pattern == "random" or people == 0:
        mask[rng.permutation(person.size)[:total]] = True
        return mask
    # The tolerance is for products such as 60 x 0.95 that fall short of a whole number by rounding alone.
    wanted = int(people * (ratio + config.person_bias * (1 - ratio)) + 1e-9)
    of_person = min(max(wanted, total - (person.size - people)), people, total)
    mask[rng.permutation(np.flatnonzero(person))[:of_person]] = True
    mask[rng.permutation(np.flatnonzero(~person))[: total - of_person]] = True
    return mask


class PairSample(NamedTuple):
    """One pair as the network sees it."""

    image1: Rgb
    """(S, S, 3) uint8."""
    image2: Rgb
    """(S, S, 3) uint8."""
    mask: NDArray[np.bool_]
    """(N,) True at the patches of image1 that are withheld."""
    kind: Kind
    pair: int
    """Number of the pair in its set."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PairBatch:
    """Pairs that travel together; pictures stay bytes until they are on the device, a quarter of the way's load."""

    image1: Tensor
    """(B, 3, S, S) uint8, channels last in memory."""
    image2: Tensor
    """(B, 3, S, S) uint8, channels last in memory."""
    mask: Tensor
    """(B, N) bool. It never leaves the CPU, where it is asked which patches to gather: see `positions.places`."""
    kind: Tensor
    """(B,) int64 codes of `Kind`."""
    pair: Tensor
    """(B,) int64 numbers of the pairs in their set, on the CPU."""

    def __len__(self) -> int:
        return len(self.mask)

    def to(self, device: torch.device) -> Self:
        """The batch with pictures and kinds on the device; from pinned memory without waiting for the copy."""
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in ("image1", "image2", "kind")}
        return type(self)(**moved, mask=self.mask, pair=self.pair)

    def pin_memory(self) -> Self:
        """The batch in memory from which a GPU copies by itself; for `torch.utils.data.DataLoader`."""
        moved = {name: getattr(self, name).pin_memory() for name in ("image1", "image2", "kind")}
        return type(self)(**moved, mask=self.mask, pair=self.pair)


def collate(samples: Sequence[PairSample]) -> PairBatch:
    """Put samples into a batch."""
    image1, image2 = (
        torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        for images in ([sample.image1 for sample in samples], [sample.image2 for sample in samples])
    )
    return PairBatch(
        image1=image1,
        image2=image2,
        mask=torch.from_numpy(np.stack([sample.mask for sample in samples])),
        kind=torch.tensor([int(sample.kind) for sample in samples]),
        pair=torch.tensor([sample.pair for sample in samples]),
    )


class CompletionSamples(Dataset[PairSample]):
    """The training samples of a run: item p is what stands at stream position p (see `data.order`), for any p from 0.

    Args:
        pairs: the set.
        indices: the pairs of the set to train on.
        config: mask, pictures, and the mixture of kinds.
        seed: of the order and of every draw.

    Raises:
        InputError: if no pair is of a kind that the loss counts.
    """

    def __init__(self, pairs: PairSet, indices: NDArray[np.int64], config: CompletionConfig, seed: int) -> None:
        self.pairs, self.config, self.seed = pairs, config, seed
        self.indices = _counted(pairs, indices, config)
        if not len(self.indices):
            names = " or ".join(name for name, weight in zip(KIND_NAMES, config.weights, strict=True) if weight)
            raise InputError(f"none of {len(indices)} training pairs is {names}; give other pairs or other weights")
        kinds = pairs.kind[self.indices]
        both = len(np.unique(kinds)) == 2 and config.view_share is not None
        groups = [self.indices[kinds == kind] for kind in Kind] if both else [self.indices]
        self._streams = [(group, Order(len(group), seed)) for group in groups]

    def __len__(self) -> int:
        """Pairs to train on: an epoch, though the stream of positions has no end."""
        return len(self.indices)

    def locate(self, position: int) -> int:
        """The number in the set of the pair at a stream position."""
        stream, place = 0, position
        if len(self._streams) == 2:
            # Spread evenly, so that every stretch of the stream, however short, holds the mixture as nearly as it can.
            share = self.config.view_share or 0.0
            views = int(position * share)
            is_view = int((position + 1) * share) > views
            stream, place = (0, views) if is_view else (1, position - views)
        group, order = self._streams[stream]
        return int(group[order.locate(place)[1]])

    def __getitem__(self, position: int) -> PairSample:
        rng = sample_rng(self.seed, position)
        return _sample(self.pairs, self.locate(position), self.config, rng, partial(random_view, rng=rng))


class HeldOutPairs(Dataset[PairSample]):
    """Held-out pairs in a fixed shuffled order, each with its central crops and a mask of its own that never changes.

    To each belongs a wrong reference, drawn once: the second picture of a pair of another sequence, held out or not. A
    picture of the same clip would be no wrong one, as it shows the same subject and place, often at a nearer moment.

    Attributes:
        indices: (H,) numbers of the pairs in their set, in that order.
        wrong: (H,) numbers of the pairs whose second pictures are the wrong references; None in a set of one sequence.
    """

    def __init__(self, pairs: PairSet, indices: NDArray[np.int64], config: CompletionConfig) -> None:
        self.pairs, self.config = pairs, config
        rng = np.random.default_rng(config.heldout_seed)
        self.indices = rng.permutation(_counted(pairs, indices, config))[: config.heldout_pairs]
        self.wrong: NDArray[np.int64] | None = None
        if len(np.unique(pairs.sequence)) > 1:
            own = pairs.sequence[self.indices]
            self.wrong = np.array([rng.choice(np.flatnonzero(pairs.sequence != s)) for s in own], np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> PairSample:
        index = int(self.indices[place])
        rng = sample_rng(self.config.heldout_seed, index)
        return _sample(self.pairs, index, self.config, rng, centre_view)

    def wrong_reference(self, place: int) -> Rgb:
        """(S, S, 3) uint8, the central crop of the wrong reference of the pair at a place.

        Raises:
            ValueError: in a set of one sequence, which has none.
        """
        if self.wrong is None:
            raise ValueError("all pairs are of one sequence, so there is no reference from another")
        _, stored = self.pairs.images(int(self.wrong[place]), self.config.augment.stored_size)
        return centre_view(stored, self.config.augment)[0]


def _counted(pairs: PairSet, indices: NDArray[np.int64], config: CompletionConfig) -> NDArray[np.int64]:
    """Those of the pairs whose kind the loss counts."""
    return indices[np.array(config.weights)[pairs.kind[indices]] > 0]


def _sample(
    pairs: PairSet,
    index: int,
    config: CompletionConfig,
    rng: np.random.Generator,
    view: Callable[[Rgb, AugmentConfig], tuple[Rgb, Window]],
) -> PairSample:
    """Read a pair, cut the views, and draw the mask."""
    stored1, stored2 = pairs.images(index, config.augment.stored_size)
    person, _ = pairs.masks(index)
    image1, window = view(stored1, config.augment)
    image2, _ = view(stored2, config.augment)
    kind = Kind(int(pairs.kind[index]))
    coverage = patch_coverage(person, window, config.model.grid[0])
    return PairSample(image1, image2, draw_mask(rng, coverage, config.mask.ratio(kind), config.mask), kind, index)
