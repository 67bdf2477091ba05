"""Which two moments of a track make a cross-pose pair.

A track's pictures arrive in order, a few per second. Each new one looks back over at most `max_gap` seconds and pairs
with up to `partners` earlier pictures that pass every rule of the specification (completion.md, section 2.2). Only
that window is kept, so memory does not grow with the clip. Draws depend on the seed, the clip's name and the track
alone.
"""

from __future__ import annotations

import zlib
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from humanpt.data.change import ChangeMeter
from humanpt.data.image import encode_jpeg
from humanpt.errors import ConfigError

REASONS = {
    "small": "box smaller than min_size",
    "outside": "crop reaches too far out of the picture",
    "near-duplicate": "hardly differs from the picture before it",
    "alone": "no earlier picture within the time gaps",
    "still": "changed less than min_motion",
    "far": "changed more than max_motion",
    "hidden": "too little of the subject found again in the other picture",
    "used up": "partners already used max_uses times",
    "short track": "subject followed for less than min_track",
}
"""Why a picture or a candidate pair was not taken, as the summary names it."""


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """The selection rules; the numbers are ours, see docs/pairs.md."""

    every: float = 0.2
    """Time between two pictures of one track, in seconds."""
    min_gap: float = 0.1
    """Shortest time between the two pictures of a pair, in seconds."""
    max_gap: float = 3.0
    """Longest time between the two pictures of a pair, in seconds."""
    min_motion: float = 0.05
    """Smallest change between the two pictures, a mean shift over the box size; see data/change.py."""
    max_motion: float = 0.6
    """Largest change between the two pictures."""
    min_visible: float = 0.15
    """Smallest share of the subject's pixels that must be found again in the other picture."""
    min_size: float = 96.0
    """Smallest longer side of both subject boxes, in source pixels."""
    min_inside: float = 0.35
    """Smallest share of the crop that must lie inside the picture; a whole 16:9 frame fills 0.39 of its square crop."""
    novelty: float = 0.02
    """A picture that changed less than this since the track's last one is a near-duplicate and is dropped."""
    min_track: float = 0.5
    """Tracks shorter than this are taken for noise, in seconds."""
    tries: int = 4
    """Partners tried for each new picture before it goes without."""
    partners: int = 2
    """Pairs that a new picture may begin."""
    max_uses: int = 4
    """Pairs in which one picture may be the earlier one."""
    margin: float = 1.2
    """Side of the square crop over the longer side of the subject box."""
    crop_size: int = 256
    """Side of the stored crops, in pixels."""
    jpeg_quality: int = 90
    """Quality of the stored JPEG crops, 1 to 100."""

    def __post_init__(self) -> None:
        if not 0 < self.min_gap < self.max_gap:
            raise ConfigError(f"pairs: gaps must satisfy 0 < min < max, got {self.min_gap} and {self.max_gap} seconds")
        if not 0 <= self.min_motion < self.max_motion:
            raise ConfigError(f"pairs: motion must satisfy 0 <= min < max, got {self.min_motion} and {self.max_motion}")
        if not 0 <= self.min_visible <= 1 or not 0 <= self.min_inside <= 1:
            raise ConfigError("pairs: min_visible and min_inside are shares between 0 and 1")
        if self.every <= 0 or self.min_track < 0 or min(self.tries, self.partners, self.max_uses) < 1:
            raise ConfigError(
                "pairs: every must be positive, min_track not negative, tries, partners and max_uses at least 1"
            )
        if self.margin < 1 or self.crop_size < 32 or not 1 <= self.jpeg_quality <= 100:
            raise ConfigError("pairs: margin must be at least 1, crop_size at least 32, jpeg_quality 1 to 100")


@dataclass(eq=False, kw_only=True)
class Candidate:
    """One picture of a track that may become half of a pair."""

    frame: int
    timestamp: float
    crop: NDArray[np.uint8]  # (S, S, 3) RGB
    quality: int  # of the JPEG, 1 to 100
    mask: NDArray[np.bool_]  # (64, 64)
    box: NDArray[np.float32]  # (4,)
    square: NDArray[np.float32]  # (4,)
    score: float
    mask_kind: Literal["detector", "motion", "box", "none"]
    side: Literal["none", "unknown", "left", "right"]
    view: NDArray[np.uint8] = field(init=False)
    uses: int = 0

    def __post_init__(self) -> None:
        self.view = ChangeMeter.view(self.crop)

    @cached_property
    def jpeg(self) -> bytes:
        """The crop as it is stored, encoded once however many pairs it is in."""
        return encode_jpeg(self.crop, self.quality)


@dataclass(frozen=True, kw_only=True)
class ChosenPair:
    """Two pictures of one track: `image1` is to be completed with the help of `image2`."""

    image1: Candidate
    image2: Candidate
    change: float


class PairChooser:
    """Chooses the pairs of one track.

    Args:
        config: the rules.
        seed: the run's seed.
        clip: the clip's name; other clips draw differently.
        track: the track's number.
        rejected: counts, by the names of `REASONS`, what was not taken.
    """

    def __init__(self, config: PairConfig, seed: int, clip: str, track: int, rejected: Counter[str]) -> None:
        self.config = config
        self.rejected = rejected
        self._random = np.random.default_rng([seed, zlib.crc32(clip.encode("utf-8", "surrogateescape")), track])
        self._meter = ChangeMeter(config.margin)
        self._window: deque[Candidate] = deque()
        self._asked = -np.inf

    def due(self, timestamp: float) -> bool:
        """Whether the track wants a picture at this time; asked before anything is cropped, and a yes is remembered."""
        # Half a millisecond of slack: timestamps of a steady clip are not exact multiples of its frame time.
        if timestamp - self._asked < self.config.every - 5e-4:
            return False
        self._asked = timestamp
        return True

    def offer(self, new: Candidate) -> list[ChosenPair]:
        """Look for earlier partners of a new picture; the picture then waits for later ones itself."""
        config = self.config
        while self._window and new.timestamp - self._window[0].timestamp > config.max_gap:
            self._window.popleft()
        if self._window:
            last = self._window[-1]
            if self._meter.amount(self._meter.follow(new.view, last.view), new.mask) < config.novelty:
                self.rejected["near-duplicate"] += 1
                return []
        chosen = self._partners(new)
        self._window.append(new)
        return chosen

    def _partners(self, new: Candidate) -> list[ChosenPair]:
        config = self.config
        chosen: list[ChosenPair] = []
        earlier = [old for old in self._window if new.timestamp - old.timestamp >= config.min_gap]
        fresh = [old for old in earlier if old.uses < config.max_uses]
        if not fresh:
            self.rejected["used up" if earlier else "alone"] += 1
        for choice in self._random.permutation(len(fresh))[: config.tries]:
            old = fresh[choice]
            flow = self._meter.follow(new.view, old.view)
            change = self._meter.amount(flow, new.mask)
            if change < config.min_motion:
                self.rejected["still"] += 1
            elif change > config.max_motion:
                self.rejected["far"] += 1
            elif self._meter.visible(flow, new.view, old.view, new.mask) < config.min_visible:
                self.rejected["hidden"] += 1
            else:
                old.uses += 1
                image1, image2 = (new, old) if self._random.random() < 0.5 else (old, new)
                chosen.append(ChosenPair(image1=image1, image2=image2, change=change))
                if len(chosen) == config.partners:
                    break
        return chosen
