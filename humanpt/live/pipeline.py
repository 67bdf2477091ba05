"""From pictures to the hands or bodies in them: detect, follow, recover meshes, make them steady.

The detector runs where following needs it (`follow.py`); the network runs on every picture, for all subjects at once.
Pictures come in the order of their time, and some may be missing. A cut, another size of picture, or time that runs
backwards (a clip that begins again) ends whatever was followed. What is drawn over a picture is about that picture.

Letters: N subjects, K key points, V vertices, J joints, P shape parameters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.body.skeletons import ROOTS
from humanpt.data.frame import ArrayFrame
from humanpt.data.image import Rgb
from humanpt.data.records import Side
from humanpt.detect.choose import make_detector
from humanpt.detect.detector import DetectConfig, Detector, Subject
from humanpt.errors import ConfigError
from humanpt.geometry.cameras import project
from humanpt.live.follow import Floats, FollowConfig, Followed, Follower, box_around
from humanpt.live.shot import Shot, Stage, Subject3D, View
from humanpt.live.sides import KINDS
from humanpt.live.smooth import NEAREST, Meshes, MeshSmoother, Posed, SmoothConfig, Smoother
from humanpt.tasks.mesh_pictures import Recoverer, recover_boxes

WEAKER = 0.45
"""Part of the score that begins to follow somebody which confirms who is followed already; as in `detect/auto.py`."""
MODELS = ("auto", "own", "onnx")
"""Detectors whose scores are a network's."""
TRUSTED = ("boxes", "full")
"""Detectors that say where everybody is, and not where somebody might be."""
THUMBNAIL = (32, 24)
"""Pixels across and down of the pictures that are compared to notice a cut."""


class Recovered(Protocol):
    """What the network says of one box, in the axes of the picture's camera, metres; CPU tensors."""

    @property
    def keypoints(self) -> Tensor:
        """(K, 3)."""
        ...

    @property
    def vertices(self) -> Tensor:
        """(V, 3)."""
        ...

    @property
    def pose(self) -> Tensor | None:
        """(J, 3, 3) as the body model of that side takes it; None from a network without a model's parameters."""
        ...

    @property
    def shape(self) -> Tensor | None:
        """(P,) None likewise."""
        ...

    @property
    def transl(self) -> Tensor | None:
        """(3,) None likewise."""
        ...

    @property
    def right(self) -> float | None:
        """Probability that this is a right hand, whatever side it was taken for; None where the network cannot say."""
        ...


Recover = Callable[[Rgb, Floats, Floats, Sequence[Side]], Sequence[Recovered]]
"""A picture, its (3, 3) camera matrix, (N, 4) boxes and N sides to N meshes, as `recover_boxes` answers."""


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """How pictures are looked at."""

    subject: Subject = "hand"
    """Whether hands or bodies are wanted; as the network."""
    detector: str = "auto"
    """Who finds them: auto, own, motion, full, boxes:FILE or onnx:FILE."""
    clip: str = ""
    """The clip's name, by which a file of boxes finds its rows."""
    separate: bool = False
    """Whether every picture stands on its own, as in a folder of photographs: nobody is followed, nothing smoothed."""
    cut_change: float = 30.0
    """Mean change of grey from one picture to the next from which it may be a cut, of 255."""
    cut_likeness: float = 0.3
    """Correlation with the last picture below which it is one."""
    follow: FollowConfig = field(default_factory=FollowConfig)
    """Who is followed, and when the detector looks."""
    smooth: SmoothConfig = field(default_factory=SmoothConfig)
    """How meshes are made steady."""

    def __post_init__(self) -> None:
        if not 0 <= self.cut_change <= 255 or not -1 <= self.cut_likeness <= 1:
            raise ConfigError("cut_change lies from 0 to 255 and cut_likeness from -1 to 1")


def detector_for(config: PipelineConfig, detect: DetectConfig | None = None) -> tuple[Detector, PipelineConfig]:
    """The detector that a config names, and the config with what following must know of it.

    Args:
        config: of the pipeline.
        detect: how a model is run; its least score becomes that from which somebody new is followed.

    Raises:
        ConfigError: if there is no such detector.
        InputError: if its file is missing or of another kind.
    """
    detect, kind = detect or DetectConfig(), config.detector.partition(":")[0]
    follow = replace(config.follow, trusted=kind in TRUSTED)
    if kind in MODELS:
        follow = replace(follow, start_score=detect.min_score, sure_score=max(follow.sure_score, detect.min_score))
        detect = replace(detect, min_score=detect.min_score * WEAKER)
    else:
        follow = replace(follow, start_score=0.0, sure_score=0.0)
    return make_detector(config.detector, config.subject, detect), replace(config, follow=follow)


def open_pipeline(recoverer: Recoverer, config: PipelineConfig, smoother: Smoother | None = None) -> Pipeline:
    """The pipeline of a network.

    Args:
        recoverer: what reads crops.
        config: how pictures are looked at; the subject is the network's.
        smoother: in place of the filters for pose, shape and points.

    Raises:
        ConfigError: if there is no such detector.
        InputError: if its file is missing or of another kind.
    """
    detector, config = detector_for(replace(config, subject=recoverer.subject))
    names = list(recoverer.keypoint_names)
    return Pipeline(
        partial(recover_boxes, recoverer),
        detector,
        config,
        posed=recoverer.points,
        root=[names.index(name) for name in ROOTS[recoverer.subject]],
        smoother=smoother,
    )


class Finder:
    """Finds who is in one picture after the other, and follows them; a new one for each clip or camera.

    Args:
        detector: who finds the subjects; `detector_for` makes it with its config.
        config: how.
    """

    def __init__(self, detector: Detector, config: PipelineConfig) -> None:
        self.config = config
        self.follower = Follower(config.follow)
        self._detector = detector
        self._size: tuple[int, int] | None = None  # of the picture before
        self._time = -np.inf
        self._thumbnail: NDArray[np.float32] | None = None

    def forget(self) -> None:
        """Begin anew: nobody is followed, and the detector starts as with a new clip."""
        self.follower.forget()
        self._size, self._time = None, -np.inf

    def look(self, shot: Shot) -> bool:
        """Move on to a picture, and let the detector look at it if it is needed; whether it was."""
        height, width = shot.picture.shape[:2]
        cut = not self.config.separate and self._is_cut(shot)
        if self.config.separate or cut or self._size != (width, height) or shot.timestamp < self._time:
            self.forget()
            self._detector.start(self.config.clip, width, height)
        self._size, self._time = (width, height), shot.timestamp
        self.follower.move_on(shot.timestamp, width, height)
        if not self.follower.wants_detection(shot.timestamp):
            return False
        frame = ArrayFrame(shot.number if shot.place is None else shot.place, shot.timestamp, shot.picture, shot.name)
        self.follower.meet(shot.timestamp, self._detector.detect(frame))
        return True

    def _is_cut(self, shot: Shot) -> bool:
        """Whether a picture shows something else than the one before."""
        before, now = self._thumbnail, thumbnail(shot.picture)
        self._thumbnail = now
        if before is None or np.abs(now - before).mean() < self.config.cut_change:
            return False
        now, before = now - now.mean(), before - before.mean()
        alike = float((now * before).sum() / max(np.linalg.norm(now) * np.linalg.norm(before), 1e-6))
        return alike < self.config.cut_likeness


class Pipeline(Finder):
    """Looks at one picture after the other; a new one for each clip or camera.

    Args:
        recover: the network.
        detector: who finds the subjects; `detector_for` makes it with its config.
        config: how.
        posed: the network's body model, which makes meshes again from smoothed parameters (`ModelPoints` is one); None
            for networks without parameters.
        root: numbers of the key points whose middle is the root.
        smoother: in place of the filters for pose, shape and points.
    """

    def __init__(
        self,
        recover: Recover,
        detector: Detector,
        config: PipelineConfig,
        *,
        posed: Posed | None = None,
        root: Sequence[int] = (0,),
        smoother: Smoother | None = None,
    ) -> None:
        super().__init__(detector, config)
        self._recover = recover
        plain = config.separate or config.smooth.method == "none"
        self._smoother = None if plain and smoother is None else MeshSmoother(config.smooth, posed, root, smoother)

    def forget(self) -> None:
        """Begin anew: nobody is followed, nothing smoothed, and the detector starts as with a new clip."""
        super().forget()
        if self._smoother is not None:
            self._smoother.forget()

    def __call__(self, shot: Shot) -> View:
        """Find the subjects of the next picture."""
        seconds: dict[Stage, float] = {}
        with Timed(seconds, "detect"):
            detected = self.look(shot)
        people = list(self.follower.people)
        sides: list[Side] = [person.sides.side for person in people]
        recovered: Sequence[Recovered] = ()
        with Timed(seconds, "network"):
            if people:
                boxes = np.stack([person.box for person in people])
                recovered = self._recover(shot.picture, shot.camera.intrinsics, boxes, sides)
        with Timed(seconds, "smooth"):
            subjects = self._subjects(shot, people, sides, recovered) if people else ()
        return View(shot=shot, subjects=subjects, seconds=seconds, detected=detected)

    def _subjects(
        self, shot: Shot, people: Sequence[Followed], sides: Sequence[Side], recovered: Sequence[Recovered]
    ) -> tuple[Subject3D, ...]:
        """What became of the meshes of a picture; following learns from them as the network gave them."""
        intrinsics = torch.from_numpy(shot.camera.intrinsics).float()
        meshes = _stacked(recovered)
        seen = _seen(torch.cat((meshes.keypoints, meshes.vertices), dim=1), intrinsics)
        count = meshes.keypoints.shape[1]
        self.follower.see(np.stack([box_around(row[count:]) for row in seen]), seen[:, :count])
        for person, mesh in zip(people, recovered, strict=True):
            if mesh.right is not None:
                person.sides.vote(mesh.right)
        if self._smoother is not None:
            keys = [(person.identity, side) for person, side in zip(people, sides, strict=True)]
            meshes = self._smoother(shot.timestamp, keys, [side == "left" for side in sides], meshes)
            seen = _seen(torch.cat((meshes.keypoints, meshes.vertices), dim=1), intrinsics)
        return tuple(
            Subject3D(
                identity=person.identity,
                kind=KINDS[sides[row]],
                score=min(1.0, person.score),
                box=box_around(seen[row, count:]),
                keypoints=meshes.keypoints[row].numpy(),
                pixels=seen[row, :count],
                vertices=meshes.vertices[row].numpy(),
                pose=None if meshes.pose is None else meshes.pose[row].numpy(),
                shape=None if meshes.shape is None else meshes.shape[row].numpy(),
                transl=None if meshes.transl is None else meshes.transl[row].numpy(),
            )
            for row, person in enumerate(people)
        )


def thumbnail(picture: Rgb) -> NDArray[np.float32]:
    """(H, W, 3) to a few grey pixels, by which cuts are noticed."""
    small = cv2.resize(picture, THUMBNAIL, interpolation=cv2.INTER_AREA)
    return np.asarray(np.asarray(small, np.float32).mean(axis=-1))


def _stacked(recovered: Sequence[Recovered]) -> Meshes:
    """The meshes of a picture, in one."""

    def stacked(name: str) -> Tensor | None:
        parts = [getattr(mesh, name) for mesh in recovered]
        return None if parts[0] is None else torch.stack(parts)

    return Meshes(
        keypoints=torch.stack([mesh.keypoints for mesh in recovered]),
        vertices=torch.stack([mesh.vertices for mesh in recovered]),
        pose=stacked("pose"),
        shape=stacked("shape"),
        transl=stacked("transl"),
    )


def _seen(points: Tensor, intrinsics: Tensor) -> Floats:
    """(N, M, 3) points to their pixels (N, M, 2); what lies behind the camera is drawn as if just before it."""
    before = torch.cat((points[..., :2], points[..., 2:].clamp_min(NEAREST)), dim=-1)
    return np.asarray(project(before, intrinsics.expand(len(points), 3, 3)).numpy(), np.float32)


class Timed:
    """Adds the time that a block takes to the seconds of a stage."""

    def __init__(self, seconds: dict[Stage, float], stage: Stage) -> None:
        self._seconds, self._stage = seconds, stage

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._stage] = time.perf_counter() - self._start
