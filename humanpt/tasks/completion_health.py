"""Early warnings of completion pre-training, in words: what the log shows as it grows, and the data before that.

Each names what was seen and what to try. The limits are far from what a sound run shows, since a warning that is wrong
once is not read again; what they rest on stands beside each.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from statistics import fmean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanpt.data.augment import AugmentConfig, Window, patch_coverage
from humanpt.data.order import sample_rng
from humanpt.data.shards import Kind, PairSet
from humanpt.tasks.completion_pairs import KIND_NAMES, CompletionConfig, draw_mask
from humanpt.workers import cores

SETTLED = 500
"""Steps after the warm-up before a run is judged: the smallest recipe has learned much by then, others something."""
LINES = 8
"""Lines of the log before a run is judged, so that it is not by one bad batch."""
FALLEN = 0.98
"""A loss has fallen below this share of what knowing nothing scores: 1.0, or the first loss of other targets."""
RISEN = 1.1
"""Above this multiple of its lowest level a loss is rising; between stretches of a sound run it varies by 1 to 2 %."""
EVALUATIONS = 3
"""Measurements in a row without a use for the reference: it is often found late, but not after it was missed thrice."""
USED = 0.01
"""Smallest margin that speaks of a reference being used; sound runs show 0.1 and more."""
STARVED = 0.2
"""Share of the time without data that is worth a change; beside workers that keep up it is below 0.1 even on a CPU."""

REPEATED = 0.01
"""Share of repeated pairs that is worth a warning; one in a hundred thousand is not."""
READ = 2000  # pairs whose pictures are compared at most
LOOKED_AT = 400  # pairs whose masks are looked at


class Health:
    """Watches the lines of a log; called with each, it returns what is to be said, and says nothing twice.

    Args:
        warmup: steps until the learning rate has its peak.
        normalised: whether the targets are brought to mean 0 and variance 1, so that knowing nothing scores 1.0.
        workers: processes that read and augment pairs.
        past: lines from before a resume, so that a run goes on being judged by how it began; nothing is said of them.
    """

    def __init__(
        self, *, warmup: float, normalised: bool = True, workers: int = 0, past: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        self.judged_from = warmup + SETTLED
        self.normalised, self.workers = normalised, workers
        self._levels: list[float] = []
        self._lowest: tuple[float, int] | None = None
        self._waiting: list[float] = []
        self._margins: list[float] = []
        self._margin_none: list[float] = []
        self._said: set[str] = set()
        for line in past:
            self(line)

    def __call__(self, line: Mapping[str, Any]) -> list[str]:
        """Take a line of the log in, with its `step`, and return the warnings that it gives rise to."""
        step = int(line["step"])
        self._take_in(line, step)
        rules: dict[str, Callable[[int], str | None]] = {
            "falling": self._not_falling,
            "rising": self._rising,
            "reference": self._reference_unused,
            "waiting": self._starving,
        }
        found = {name: rule(step) for name, rule in rules.items() if name not in self._said}
        told = {name: text for name, text in found.items() if text is not None}
        self._said |= told.keys()
        return [f"step {step}: {text}" for text in told.values()]

    def _take_in(self, line: Mapping[str, Any], step: int) -> None:
        found = (line.get(name) for name in KIND_NAMES)  # NaN or None where there are no pairs of a kind
        terms = [float(term) for term in found if term is not None and math.isfinite(term)]
        if terms:
            self._levels.append(fmean(terms))
            now = median(self._levels[-5:])
            if self._lowest is None or now < self._lowest[0]:
                self._lowest = now, step
        for name, kept in (
            ("waiting", self._waiting),
            ("heldout_margin", self._margins),
            ("heldout_margin_none", self._margin_none),
        ):
            value = line.get(name)
            if value is not None and (name == "waiting" or step >= self.judged_from):
                kept.append(float(value))

    def _judged(self, step: int) -> bool:
        return step >= self.judged_from and len(self._levels) >= LINES

    def _level(self) -> float:
        return median(self._levels[-5:])

    def _fallen(self) -> bool:
        nothing_known = 1.0 if self.normalised else self._levels[0]  # first weights from elsewhere may begin below 1
        return self._level() <= FALLEN * nothing_known

    def _not_falling(self, step: int) -> str | None:
        if not self._judged(step) or self._fallen():
            return None
        nothing = " (1.0 is what knowing nothing scores)" if self.normalised else ""
        return (
            f"the training loss is not falling: {self._levels[0]:.3f} at first, {self._level():.3f} now{nothing}; try "
            "another optim.base_lr (it is per 256 pairs, so small batches take small steps), and look at the completed "
            "pictures and at the preview of the pairs"
        )

    def _rising(self, step: int) -> str | None:
        if not self._judged(step) or self._lowest is None or self._level() <= RISEN * self._lowest[0]:
            return None
        lowest, where = self._lowest
        return (
            f"the training loss is rising: {lowest:.3f} at step {where}, {self._level():.3f} now; try a lower "
            "optim.base_lr, a longer warm-up or loop.clip_norm=1, from best.safetensors with --init"
        )

    def _reference_unused(self, step: int) -> str | None:
        margins, wrong = (self._margins, "a wrong one") if self._margins else (self._margin_none, "none at all")
        last = margins[-EVALUATIONS:]
        if not self._judged(step) or len(last) < EVALUATIONS or max(last) >= USED or not self._fallen():
            return None
        return (
            f"the reference picture is not used: with {wrong} the held-out error is {last[-1]:+.1%}, and less than "
            f"{USED:.0%} worse in {EVALUATIONS} measurements in a row; try a larger share of masked patches "
            "(task.mask.cross_view, task.mask.cross_pose), pairs that have more in common (a smaller time or angle "
            "between the two), or more pairs"
        )

    def _starving(self, step: int) -> str | None:
        recent = self._waiting[1:][-3:]  # without the first line, in which the workers start
        if len(recent) < 3 or median(recent) <= STARVED:
            return None
        have = cores()
        more = (
            f"more workers (--set workers=N; now {self.workers} on {have} cores)"
            if self.workers < have
            else f"a machine with more cores ({self.workers} workers share {have})"
        )
        return (
            f"{median(recent):.0%} of the time goes by without data to train on; try {more}, or "
            "--set task.augment_on_device=true, which leaves colour and size to the device"
        )


def data_warnings(
    pairs: PairSet, training: NDArray[np.int64], heldout: NDArray[np.int64], config: CompletionConfig
) -> list[str]:
    """Look at the pairs before anything is trained on them; a matter of a second or two, as large sets are sampled.

    Args:
        pairs: the set.
        training, heldout: (T,) and (H,) indices of its pairs.
        config: what the loss counts, and how masks are drawn.

    Returns:
        A line for each thing that is likely to spoil the run, none where all is well.

    Raises:
        ShardError: if a shard was changed meanwhile.
    """
    return [
        *_repeated(pairs, training, heldout),
        *_masks(pairs, training, config),
        *_kinds(pairs, training, heldout, config),
    ]


def _repeated(pairs: PairSet, training: NDArray[np.int64], heldout: NDArray[np.int64]) -> list[str]:
    """Pairs whose pictures are those of another pair, or twice the same, to the byte."""
    rows = np.concatenate([training, heldout])
    sizes = np.concatenate([_sizes(reader) for reader in pairs.readers])[rows]
    _, group, members = np.unique(sizes, axis=0, return_inverse=True, return_counts=True)
    alike = np.flatnonzero(members[group.ravel()] > 1)  # equal bytes have equal lengths, so only these are read
    alike = alike[np.argsort(group.ravel()[alike], kind="stable")]
    unread = max(1.0, len(alike) / READ)  # what is found in those that are read stands for so many times more
    alike = alike[:READ]
    seen: dict[bytes, int] = {}
    again = leaked = 0
    for place in sorted(alike.tolist()):  # those for training come first
        first, second = pairs.jpegs(int(rows[place]))
        key = hashlib.blake2b(first, digest_size=16).digest() + hashlib.blake2b(second, digest_size=16).digest()
        if key in seen:
            again += 1
            leaked += place >= len(training) > seen[key]
        seen.setdefault(key, place)
    within = np.flatnonzero(sizes[:, 0] == sizes[:, 1])
    unread_within = max(1.0, len(within) / READ)
    same = sum(first == second for first, second in (pairs.jpegs(int(rows[place])) for place in within[:READ]))
    about = "about " if unread > 1 else ""
    leaked, again = round(leaked * unread), round((again - leaked) * unread)
    told = []
    if leaked and leaked >= REPEATED * len(heldout):
        told.append(
            f"{about}{leaked} of {len(heldout)} held-out pairs are trained on as well, picture for picture, so "
            "held-out figures are too good; the same clip was given twice under two names: leave one out"
        )
    if again >= max(1, REPEATED * len(rows)):
        told.append(
            f"{about}{again} of {len(rows)} pairs repeat another one, picture for picture, and count that much more; "
            "give each folder once (--data), and make pairs of each clip once"
        )
    same, about = round(same * unread_within), "about " if unread_within > 1 else ""
    if same >= max(1, REPEATED * len(rows)):
        told.append(
            f"in {about}{same} of {len(rows)} pairs both pictures are the same, so the second gives the first away; "
            "make the pairs again with a larger pairs.min_motion"
        )
    return told


def _sizes(reader: Any) -> NDArray[np.int64]:
    """(N, 2) bytes of the two JPEG files of each pair of a shard."""
    sizes = np.array(reader.column("jpeg_size"), np.int64)
    reader.release()
    return sizes


def _masks(pairs: PairSet, training: NDArray[np.int64], config: CompletionConfig) -> list[str]:
    """Whether the masks of the subject, and what is drawn by them, do what they are for."""
    places = np.unique(np.linspace(0, len(training) - 1, LOOKED_AT).round().astype(int))
    window = _central_window(config.augment)
    looked = empty = small = missed = 0
    for index in training[places].tolist():
        subject, _ = pairs.masks(index)
        looked += 1
        if subject is None or not subject.any():
            empty += 1
            continue
        coverage = patch_coverage(subject, window, config.model.grid[0])
        of_subject = (coverage >= config.mask.person_share).ravel()
        ratio = config.mask.ratio(Kind(int(pairs.kind[index])))
        drawn = draw_mask(sample_rng(config.heldout_seed, index), coverage, ratio, config.mask)
        small += not of_subject.any()
        missed += bool(of_subject.any() and not (drawn & of_subject).any())
    found = looked - empty
    told = []
    if config.mask.pattern == "human" and 2 * empty > looked:
        none = f"none of {looked} pairs" if empty == looked else f"only {found} of {looked} pairs"
        told.append(
            f"{none} looked at knows where the subject is, so masks there fall anywhere; make the pairs again with a "
            "detector (humanpt mkpairs), or set task.mask.pattern=random to say that it is meant"
        )
    if 2 * small > found > 0:
        told.append(
            f"in {small} of {found} pairs with a subject no patch is at least {config.mask.person_share:.0%} of it, so "
            "masks never lean to the subject; try a smaller task.mask.person_share, smaller patches "
            "(task.model.patch_size) or closer crops"
        )
    if 2 * missed > found > 0:
        told.append(
            f"in {missed} of {found} pairs with a subject the mask covers none of its patches; try "
            "task.mask.pattern=human or a larger share (task.mask.cross_view, task.mask.cross_pose)"
        )
    return told


def _central_window(config: AugmentConfig) -> Window:
    """The part of a stored picture that the central crop shows."""
    start = (config.stored_size - config.crop_size) // 2 / config.stored_size
    return Window(start, start, config.crop_size / config.stored_size)


def _kinds(
    pairs: PairSet, training: NDArray[np.int64], heldout: NDArray[np.int64], config: CompletionConfig
) -> list[str]:
    """Kinds of pairs that are trained on but not measured."""
    return [
        f"no {name.replace('_', '-')} pair is held out, so its held-out loss is not measured; try another seed or a "
        "larger heldout"
        for kind, name, weight in zip(Kind, KIND_NAMES, config.weights, strict=True)
        if weight and len(heldout) and (pairs.kind[training] == kind).any() and not (pairs.kind[heldout] == kind).any()
    ]
