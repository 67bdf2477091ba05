"""Masked completion, live: what a pre-trained network makes of somebody of whom it sees a few patches alone.

Whoever is found is cut out as for pairs (`data/harvest.py`, by the same rule), most patches are withheld, as many as in
cross-pose pairs of the run, and the network fills them in with the help of a reference: somebody cut out of a given
picture in the same way, or the same person or hand a moment ago. Networks of one picture (MAE) have no reference. The
withheld patches stay the same for a while, as ones that change with every picture flicker.

Letters: H, W height and width of a picture, S side of the network's pictures.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanpt.data.augment import AugmentConfig, centre_draw, centre_view, patch_coverage, window_of
from humanpt.data.crops import mask_in_square, square_around
from humanpt.data.frame import ArrayFrame
from humanpt.data.image import Rgb, read_image, warp_square
from humanpt.data.pairs import PairConfig
from humanpt.data.shards import Kind
from humanpt.detect.choose import make_detector
from humanpt.detect.detector import Detector, Subject
from humanpt.engine.runtime import Precision, autocast
from humanpt.errors import ConfigError, InputError
from humanpt.live.follow import Floats, Followed, longer_side
from humanpt.live.panel_drawer import PanelDrawer
from humanpt.live.people_file import About
from humanpt.live.pipeline import Finder, PipelineConfig, Timed, detector_for
from humanpt.live.shot import Shot, Stage, Subject3D, View
from humanpt.tasks.completion import CompletionTask, Panel
from humanpt.tasks.completion_config import draw_mask
from humanpt.tasks.completion_pairs import PairSample, collate

RULES = PairConfig()
"""How pairs are cut out, and how far apart their pictures are at least."""
KIND = Kind.CROSS_POSE
"""The pairs that these are most like: one camera, two moments."""
OFTEN = 0.1  # seconds between pictures of somebody that are kept as references
SMALLEST = 2.0  # pixels of the longer side of a box, below which there is nothing to cut out
STILLS = ("own", "full", "onnx")
"""Detectors that can look at a single picture; for the others our own does."""
SCALED = "completed patches carry the mean and spread of the true ones"
"""Said where the network predicts patches without these."""


@dataclass(frozen=True, kw_only=True)
class LiveCompletionConfig:
    """What is completed, and how often it changes."""

    shown: int = 1
    """People or hands completed at once, those followed longest."""
    ago: float = 1.0
    """How long ago the reference was, in seconds, where no picture is given."""
    hold: float = 1.5
    """Time for which the same patches are withheld, in seconds."""
    seed: int = 0
    """Of the draw of these patches."""

    def __post_init__(self) -> None:
        if self.shown < 1:
            raise ConfigError(f"completion.shown is {self.shown}; it must be at least 1")
        if not self.ago >= RULES.min_gap:
            raise ConfigError(
                f"completion.ago is {self.ago}; it is in seconds and at least {RULES.min_gap}, as in pairs"
            )
        if self.hold < 0 or self.seed < 0:
            raise ConfigError("completion.hold and completion.seed must not be negative")


@dataclass(kw_only=True, eq=False)
class Past:
    """What is kept of somebody who is followed."""

    views: deque[tuple[float, Rgb]] = field(default_factory=deque)
    """Times in seconds and what the network was shown then, the oldest first."""
    mask: NDArray[np.bool_] | None = None
    """(N,) the patches that are withheld."""
    drawn: float = -np.inf
    """When they were drawn, in seconds."""

    def add(self, timestamp: float, view: Rgb) -> None:
        """Keep what is shown now, if the last one is not quite new."""
        if not self.views or timestamp - self.views[-1][0] >= OFTEN:
            self.views.append((timestamp, view))

    def reference(self, timestamp: float, ago: float) -> Rgb | None:
        """The newest view that is old enough, else the oldest; None while all are newer than those of pairs may be."""
        while len(self.views) > 1 and timestamp - self.views[1][0] >= ago:
            self.views.popleft()
        known = bool(self.views) and timestamp - self.views[0][0] >= RULES.min_gap
        return self.views[0][1] if known else None


class CompletionPipeline(Finder):
    """Looks at one picture after the other, and completes who is in it; `open_completion` makes one.

    Args:
        task: the network, on its device, in evaluation mode.
        detector: who finds people or hands.
        config: of following. Boxes are all there is, so the detector looks at every picture.
        settings: what is completed.
        reference: (S, S, 3) what the network is shown beside everybody; None takes themselves a moment ago.
        precision: of the network.
    """

    def __init__(
        self,
        task: CompletionTask,
        detector: Detector,
        config: PipelineConfig,
        settings: LiveCompletionConfig,
        *,
        reference: Rgb | None = None,
        precision: Precision = "fp32",
    ) -> None:
        super().__init__(detector, replace(config, follow=replace(config.follow, every=0.0, retry=0.0)))
        self.task, self.settings = task, settings
        self._reference, self._precision = reference, precision
        self._rng = np.random.default_rng(settings.seed)
        self._pasts: dict[int, Past] = {}

    def __call__(self, shot: Shot) -> View:
        """Find who is in the next picture, and complete the first of them."""
        seconds: dict[Stage, float] = {}
        with Timed(seconds, "detect"):
            detected = self.look(shot)
        people = list(self.follower.people)
        self._pasts = {person.identity: self._pasts.get(person.identity, Past()) for person in people}
        with Timed(seconds, "network"):
            completed = self._complete(shot, people[: self.settings.shown])
        return View(
            shot=shot,
            subjects=tuple(_boxed(person) for person in people),
            seconds=seconds,
            detected=detected,
            panels={identity: _titled(panel) for identity, panel in completed.items()},
        )

    def _complete(self, shot: Shot, people: list[Followed]) -> dict[int, Panel]:
        """Panels by identity, of all who have a reference."""
        samples = {}
        for person in people:
            if longer_side(person.box) < SMALLEST:
                continue
            shown, coverage = cut_out(
                shot.picture, person.box, self.task.config.augment, self.task.config.model.grid[0]
            )
            reference = self._reference_of(person.identity, shot.timestamp, shown)
            if reference is None and self.task.config.model.cross_attention:
                continue
            mask = self._mask_of(person.identity, shot.timestamp, coverage)
            samples[person.identity] = PairSample(shown, reference, mask, KIND, pair=0, weight=1.0)
        if not samples:
            return {}
        with autocast(self.task.model.mask_token.device, self._precision):
            return dict(zip(samples, self.task.panels(collate(list(samples.values()))), strict=True))

    def _reference_of(self, identity: int, timestamp: float, shown: Rgb) -> Rgb | None:
        if self._reference is not None or not self.task.config.model.cross_attention:
            return self._reference
        past = self._pasts[identity]
        reference = past.reference(timestamp, self.settings.ago)
        past.add(timestamp, shown)
        return reference

    def _mask_of(self, identity: int, timestamp: float, coverage: NDArray[np.float32]) -> NDArray[np.bool_]:
        past, config = self._pasts[identity], self.task.config.mask
        if past.mask is None or timestamp - past.drawn >= self.settings.hold:
            past.mask, past.drawn = draw_mask(self._rng, coverage, config.ratio(KIND), config), timestamp
        return past.mask


def open_completion(
    task: CompletionTask,
    subject: Subject,
    config: PipelineConfig,
    settings: LiveCompletionConfig,
    *,
    reference: Path | None = None,
    precision: Precision = "fp32",
) -> tuple[CompletionPipeline, partial[PanelDrawer]]:
    """The pipeline of a pre-trained network, and what makes drawers of its views (`mirrored`, `bars`).

    Args:
        task: the network, on its device, in evaluation mode.
        subject: whom it was trained on.
        config: how pictures are looked at.
        settings: what is completed.
        reference: the picture with the subject that helps; None takes everybody themselves a moment ago.
        precision: of the network.

    Raises:
        ConfigError: if there is no such detector, the network takes no reference, or there is no moment ago to take
            one from.
        InputError: if the detector's file or the reference is missing, or nobody is found in the reference.
    """
    crossing = task.config.model.cross_attention
    if reference is not None and not crossing:
        raise ConfigError(f"--reference {reference}: this network completes pictures from themselves; leave it out")
    if reference is None and crossing and config.separate:
        raise ConfigError("pictures of a folder have no moment before them; name the picture that helps by --reference")
    detector, config = detector_for(replace(config, subject=subject))
    given = None if reference is None else reference_in(reference, config, task.config.augment)
    pipeline = CompletionPipeline(task, detector, config, settings, reference=given, precision=precision)
    caption = f"reference: {settings.ago:g} s before" if reference is None else f"reference: {reference.name}"
    lines = [*([caption] if crossing else []), *([SCALED] if task.config.normalise_target else [])]
    titles = (*(["reference"] if crossing else []), "masked", "completed", "as it was")
    return pipeline, partial(PanelDrawer, titles, groups=settings.shown, caption="; ".join(lines))


def cut_out(picture: Rgb, box: Floats, augment: AugmentConfig, patches: int) -> tuple[Rgb, NDArray[np.float32]]:
    """What the network is shown of somebody, cut as held-out pairs are.

    Args:
        picture: (H, W, 3) uint8.
        box: (4,) edges in pixels.
        augment: sizes.
        patches: along a side of what is shown, n.

    Returns:
        (S, S, 3) uint8, and the share of each patch (n, n) that lies in the box.
    """
    square = square_around(box, RULES.margin)
    inside = mask_in_square(None, box, square, (picture.shape[1], picture.shape[0]))
    coverage = patch_coverage(inside, window_of(centre_draw(augment), augment), patches)
    return centre_view(warp_square(picture, square, RULES.crop_size), augment), coverage


def reference_in(path: Path, config: PipelineConfig, augment: AugmentConfig) -> Rgb:
    """(S, S, 3) uint8, the surest person or hand of a picture file, as the network is shown them.

    Args:
        path: the picture.
        config: whom to look for, and by which detector; those that need a clip leave it to our own.
        augment: sizes.

    Raises:
        InputError: if it is missing or no picture, or nobody is found in it.
    """
    picture = read_image(path)
    spec = config.detector if config.detector.partition(":")[0] in STILLS else "own"
    detector = make_detector(spec, config.subject)
    detector.start(path.name, picture.shape[1], picture.shape[0])
    found = detector.detect(ArrayFrame(0, 0.0, picture, path.name))
    if not len(found):
        what = "hand" if config.subject == "hand" else "person"
        raise InputError(
            f"{path}: no {what} was found in it; take a picture that shows one clearly, or one cut out with "
            "--detector full"
        )
    return cut_out(picture, found.boxes[int(found.scores.argmax())], augment, 1)[0]


def about_boxes(subject: Subject, **told: Any) -> About:
    """What the numbers of recordings mean where there are no meshes: boxes and identities alone.

    Args:
        subject: whose they are.
        told: other fields of `About`.
    """
    return About(
        model="none",
        subject=subject,
        rig="none",
        topology="none",
        pose_parameterization="none",
        joint_names=(),
        parents=(),
        keypoint_names=(),
        shape_names=(),
        licence="none",
        credit="none",
        **told,
    )


def _titled(panel: Panel) -> dict[str, Rgb]:
    pictures = {"masked": panel.masked, "completed": panel.reconstruction, "as it was": panel.truth}
    return pictures if panel.reference is None else {"reference": panel.reference, **pictures}


def _boxed(person: Followed) -> Subject3D:
    """Somebody of whom the box is all that is known."""
    none = np.empty((0, 3), np.float32)
    return Subject3D(
        identity=person.identity,
        kind=person.sides.kind,
        score=min(1.0, person.score),
        box=person.box.copy(),
        keypoints=none,
        pixels=none[:, :2],
        vertices=none,
        pose=None,
        shape=None,
        transl=None,
    )
