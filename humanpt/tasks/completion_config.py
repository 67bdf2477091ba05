"""How completion pre-training is set up: pictures, masks, mixture and loss, and the draw of a mask.

Sources: Armando et al., CroCo-Man (arXiv 2311.09104), for a mask of fixed ratio that leans to the person; Weinzaepfel
et al., CroCo (arXiv 2210.10716), for everything else. How far the mask leans and how kinds are mixed is ours.

Letters: N patches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from humanpt.data.augment import AugmentConfig
from humanpt.data.shards import Kind
from humanpt.errors import ConfigError
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
    objective: Literal["completion", "mae"] = "completion"
    """`completion` rebuilds a picture with the help of another; `mae` rebuilds one picture of a pair, either with equal
    chance, from itself alone: the baseline, which needs a model without cross_attention."""
    mask: MaskConfig = field(default_factory=MaskConfig)
    """What is withheld."""
    decode_share: float = 1.0
    """Share of the withheld patches that is predicted, drawn for each sample; below 1 a step costs less."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """How stored pictures become what the network sees."""
    augment_on_device: bool = False
    """Whether training pictures are resized, cut and coloured on the device, in batch, instead of by the loader."""
    normalise_target: bool = True
    """Whether each patch to predict is brought to mean 0 and variance 1."""
    view_weight: float = 1.0
    """Weight of the cross-view term of the loss; with 0 such pairs are not read."""
    pose_weight: float = 1.0
    """Weight of the cross-pose term of the loss; with 0 such pairs are not read."""
    view_share: float | None = 0.5
    """Share of cross-view pairs among those trained on, where there are both kinds; None takes them as they come."""
    data_shares: tuple[float, ...] | None = None
    """How much is taken from each folder of pairs, in their order, as numbers of any scale, such as 3, 1; 0 leaves a
    folder out. None takes from each in proportion to its pairs."""
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
        if self.objective not in ("completion", "mae"):
            raise ConfigError(f"objective is {self.objective!r}; choose completion or mae")
        if self.model.cross_attention != (self.objective == "completion"):
            fitting = str(self.objective == "completion").lower()
            raise ConfigError(
                f"objective is {self.objective} and model.cross_attention {self.model.cross_attention}; completion "
                f"needs cross-attention to its second picture, mae has none: set model.cross_attention={fitting}"
            )
        if not 0 < self.decode_share <= 1:
            raise ConfigError(f"decode_share is {self.decode_share}; it is a share of the withheld patches, above 0")
        if not min(self.view_weight, self.pose_weight) >= 0 or not max(self.view_weight, self.pose_weight) > 0:
            raise ConfigError(
                f"view_weight is {self.view_weight} and pose_weight {self.pose_weight}; "
                "neither may be negative and one must be positive"
            )
        if self.view_share is not None and not 0 < self.view_share < 1:
            raise ConfigError(
                f"view_share is {self.view_share}; it must lie between 0 and 1, a weight of 0 leaves one out"
            )
        shares = self.data_shares
        if shares is not None and not (all(share >= 0 for share in shares) and 0 < sum(shares) < math.inf):
            raise ConfigError(f"data_shares is {shares}; none may be negative and one must be positive")
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


def draw_predicted(rng: np.random.Generator, mask: NDArray[np.bool_], share: float) -> NDArray[np.bool_] | None:
    """Choose the withheld patches to predict, (N,) bool, max(1, round(share x withheld)) of them; None for all."""
    if share == 1:
        return None
    withheld = rng.permutation(np.flatnonzero(mask))
    predicted = np.zeros_like(mask)
    predicted[withheld[: max(1, round(share * len(withheld)))]] = True
    return predicted
