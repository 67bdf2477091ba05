"""Which two cameras make a cross-view pair at an instant.

Every `pairs.every` seconds a subject's cameras are paired: those whose rotation lies between `min_angle` and
`max_angle` (any two, where no poses are known), those paired least often so far first, drawn at random among equals,
up to `per_instant` of them. A pair whose subject has hardly changed, in either view, since the same two cameras were
paired last is a near-duplicate. Draws depend on the seed, the capture's name, the subject and the instant alone.

Letters: C cameras.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from humanpt.data.captures.rules import CaptureConfig
from humanpt.data.change import ChangeMeter
from humanpt.data.pairs import REASONS, Candidate
from humanpt.data.sources.camera import CameraModel

VIEW_REASONS = {
    "small": REASONS["small"],
    "outside": REASONS["outside"],
    "near-duplicate": "hardly changed since the same two cameras were paired before",
    "one view": "subject seen by one camera alone",
    "unsupported": "two cameras agree, but not min_views of those that should see the subject",
    "crowded": "several in view, and no calibration to tell them apart",
    "angle": "cameras rotated by less than min_angle or more than max_angle",
    "enough": "more pairs than per_instant",
}
"""Why a picture or a pair was not taken, as the summary names it."""
VIEW_TIPS = {
    "small": "pairs.min_size=48",
    "outside": "pairs.min_inside=0.2",
    "near-duplicate": "capture.min_change=0.02",
    "one view": "capture.max_mismatch=0.5",
    "unsupported": "capture.min_views=2",
    "crowded": "capture.calibration=FILE",
    "angle": "capture.max_angle=120",
    "enough": "capture.per_instant=10",
}
"""What to try when most was left out for a reason."""


class Cut(Protocol):
    """Cuts a picture when it is first asked for."""

    @property
    def candidate(self) -> Candidate:
        """The picture."""
        ...


@dataclass(frozen=True, kw_only=True)
class ChosenViews:
    """Two pictures of one subject at one instant: `image1` is to be completed with the help of `image2`."""

    camera1: int
    camera2: int
    image1: Candidate
    image2: Candidate


class ViewPairChooser:
    """Chooses the pairs of one capture.

    Args:
        config: the rules.
        name: the capture's; other captures draw differently.
        cameras: the C cameras, None where nothing is known of one.
        rejected: counts, by the names of `VIEW_REASONS`, what was not taken.
    """

    def __init__(
        self, config: CaptureConfig, name: str, cameras: Sequence[CameraModel | None], rejected: Counter[str]
    ) -> None:
        self._rules = config.capture
        self._every = config.pairs.every
        self._entropy = [config.seed, zlib.crc32(name.encode("utf-8", "surrogateescape"))]
        self._rejected = rejected
        self._meter = ChangeMeter(config.pairs.margin)
        self.angles = rotations(cameras)
        self._asked: dict[int, float] = {}
        self._latest: dict[tuple[int, int, int], tuple[Candidate, Candidate]] = {}
        self._uses: Counter[tuple[int, int]] = Counter()

    def due(self, subject: int, instant: float) -> bool:
        """Whether the subject wants pairs at this time; a yes is remembered."""
        if instant - self._asked.get(subject, -np.inf) < self._every - 5e-4:
            return False
        self._asked[subject] = instant
        return True

    def near(self, cameras: Sequence[int]) -> list[tuple[int, int]]:
        """The pairs of these cameras that see a subject from different sides, but not from opposite ones."""
        pairs = list(combinations(sorted(cameras), 2))
        if len(cameras) < 2:
            self._rejected["one view"] += 1
        kept = []
        for pair in pairs:
            angle = self.angles[pair]
            if np.isnan(angle) or self._rules.min_angle <= angle <= self._rules.max_angle:
                kept.append(pair)
        self._rejected["angle"] += len(pairs) - len(kept)
        return kept

    def choose(
        self, instant: float, subject: int, pairs: Sequence[tuple[int, int]], cuts: Mapping[int, Cut]
    ) -> list[ChosenViews]:
        """Choose among pairs of cameras; only the pictures that come into question are cut."""
        options = [pair for pair in pairs if pair[0] in cuts and pair[1] in cuts]
        random = np.random.default_rng([*self._entropy, subject, round(instant * 1000) & 0xFFFFFFFF])
        order = sorted(random.permutation(len(options)).tolist(), key=lambda option: self._uses[options[option]])
        chosen: list[ChosenViews] = []
        for option in order:
            first, second = options[option]
            if len(chosen) == self._rules.per_instant:
                self._rejected["enough"] += 1
                continue
            image1, image2 = cuts[first].candidate, cuts[second].candidate
            if not self._changed((subject, first, second), (image1, image2)):
                self._rejected["near-duplicate"] += 1
                continue
            self._latest[subject, first, second] = (image1, image2)
            self._uses[first, second] += 1
            one, two = (
                ((first, image1), (second, image2)) if random.random() < 0.5 else ((second, image2), (first, image1))
            )
            chosen.append(ChosenViews(camera1=one[0], image1=one[1], camera2=two[0], image2=two[1]))
        return chosen

    def _changed(self, which: tuple[int, int, int], images: tuple[Candidate, Candidate]) -> bool:
        """Whether the subject changed in at least one view since the same two cameras were paired last."""
        before = self._latest.get(which)
        if before is None:
            return True
        changes = [
            self._meter.amount(self._meter.follow(now.view, old.view), now.mask)
            for now, old in zip(images, before, strict=True)
        ]
        return max(changes) >= self._rules.min_change


def rotations(cameras: Sequence[CameraModel | None]) -> NDArray[np.float64]:
    """(C, C) rotation between each two cameras in degrees, NaN where a pose is unknown."""
    angles = np.full((len(cameras),) * 2, np.nan)
    for (i, first), (j, second) in combinations(enumerate(cameras), 2):
        if first is None or second is None or first.cam_from_world is None or second.cam_from_world is None:
            continue
        turn = first.cam_from_world[:3, :3] @ second.cam_from_world[:3, :3].T
        angles[i, j] = angles[j, i] = np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    return angles
