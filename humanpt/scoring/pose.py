"""Errors of 3D key points and meshes by a benchmark's rules, batch after batch, in memory that does not grow.

Points come in metres in the axes of the camera, NaN where the truth is not known; figures are in millimetres. Each
figure's name begins with its alignment: `raw_` none, no prefix the root's, `scaled_` the root's and the length of one
bone, `pa_` Procrustes with scale. Computed in double precision on the CPU.

Letters: B samples, K key points, V vertices, H thresholds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from humanpt.errors import ConfigError
from humanpt.geometry.alignment import enough_known, fit_known, fit_similarity
from humanpt.metrics.fscore import f_scores
from humanpt.metrics.pose import acceleration_errors, point_errors
from humanpt.scoring.tally import MeanTally, PointTally

MM = 1000.0
Alignment = Literal["raw", "root", "scaled", "pa"]
PREFIX: dict[Alignment, str] = {"raw": "raw_", "root": "", "scaled": "scaled_", "pa": "pa_"}


@dataclass(frozen=True, kw_only=True)
class PoseProtocol:
    """The rules by which predictions are measured."""

    keypoint_names: tuple[str, ...]
    """The K key points that count, in the order in which they come."""
    alignments: tuple[Alignment, ...] = ("root", "pa")
    """What is done to predictions before they are measured."""
    root: tuple[str, ...] = ()
    """The key points whose mean is brought to that of the truth by the alignments "root" and "scaled"."""
    bone: str | None = None
    """The key point whose distance from the root "scaled" makes that of the truth; meshes are left out."""
    mirror: bool = False
    """Whether Procrustes may mirror, as some benchmarks' own scripts do."""
    mesh_alignment: Literal["own", "keypoints", "freihand"] = "own"
    """Whether Procrustes fits a mesh by its own vertices, moves it along with the key points, or takes the rotation and
    scale of the key points about the mesh's own mean and then their mean shift: the rule of FreiHAND's script for
    meshes of another topology, by which one that is only turned does not come to lie on the truth."""
    f_thresholds: tuple[float, ...] = ()
    """Metres of the F-scores; empty for none."""
    pck: tuple[float, float, int] = (0.0, 0.05, 100)
    """Least and greatest threshold of the PCK curve in metres, and how many."""
    rate: float | None = None
    """Frames in a second of a video data set, for the error of accelerations; None without."""

    def __post_init__(self) -> None:
        if not self.keypoint_names:
            raise ConfigError("no key points to measure; the model and the data set have none in common")
        missing = [name for name in self.root if name not in self.keypoint_names]
        if missing or (not self.root and {"root", "scaled"} & set(self.alignments)):
            raise ConfigError(f"root is {list(self.root)}; it must name key points that are measured")
        if "scaled" in self.alignments and self.bone not in self.keypoint_names:
            raise ConfigError(f"bone is {self.bone}; it must name a key point that is measured")
        if not 0 <= self.pck[0] < self.pck[1] or self.pck[2] < 2:
            raise ConfigError(f"pck is {self.pck}; it is a least and a greater distance in metres and 2 or more steps")

    @property
    def thresholds(self) -> Tensor:
        """(H,) of the PCK curve, metres."""
        return torch.linspace(*self.pck, dtype=torch.float64)


class Points(NamedTuple):
    """Hands or people in the axes of the camera, metres."""

    keypoints: Tensor
    """(B, K, 3)."""
    vertices: Tensor | None = None
    """(B, V, 3); None without a mesh."""


class PoseResult(NamedTuple):
    """What an evaluation found."""

    figures: dict[str, float]
    """Lengths in millimetres (`_mm`), areas and F-scores as shares of one, by name."""
    per_keypoint_mm: dict[str, float]
    """Mean error of each key point, by the strictest alignment that there is ("pa")."""
    per_vertex_mm: Tensor | None
    """(V,) likewise."""
    curves: dict[str, tuple[list[float], list[float]]]
    """PCK curves by alignment: thresholds in millimetres, and shares of one."""
    samples: int
    """How many there were."""


class PoseScores:
    """The figures of one protocol, fed batch after batch."""

    def __init__(self, protocol: PoseProtocol) -> None:
        self.protocol = protocol
        self.count = 0
        self._keypoints = {
            kind: PointTally(len(protocol.keypoint_names), protocol.thresholds) for kind in protocol.alignments
        }
        self._vertices: dict[Alignment, PointTally] = {}
        self._means: dict[str, MeanTally] = {}
        self._tracks = Tracks(protocol.rate) if protocol.rate is not None else None

    def add(self, predicted: Points, true: Points, names: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Go on with some samples.

        Args:
            predicted: without NaN.
            true: NaN where unknown; a mesh is known whole or not at all.
            names: of the samples, which tell the frames of a video; needed where the protocol has a rate.

        Returns:
            The figures of each sample alone, (B,) each, by the names of `PoseResult.figures`.

        Raises:
            ValueError: if shapes differ from each other or from the protocol.
        """
        if predicted.keypoints.shape[1] != len(self.protocol.keypoint_names):
            expected = len(self.protocol.keypoint_names)
            raise ValueError(f"{predicted.keypoints.shape[1]} key points of each sample; the protocol has {expected}")
        found, truth = _double(predicted), _double(true)
        self.count += len(found.keypoints)
        each: dict[str, Tensor] = {}
        for kind in self.protocol.alignments:
            moved = self._align(kind, found, truth)
            each |= self._measure(kind, moved, truth)
            if kind == self.protocol.alignments[0] and self._tracks is not None and names is not None:
                reference = self._align(kind, truth, truth)
                self._tracks.add(names, moved.keypoints, reference.keypoints)
        for name, values in each.items():
            self._means.setdefault(name, MeanTally()).add(values)
        return each

    def result(self) -> PoseResult:
        """What was found so far."""
        figures = {name: tally.mean() for name, tally in self._means.items()}
        figures |= {f"{PREFIX[kind]}auc": tally.area() for kind, tally in self._keypoints.items()}
        most = f"pck_at_{MM * self.protocol.pck[1]:g}"
        figures |= {f"{PREFIX[kind]}{most}": float(tally.curve()[-1]) for kind, tally in self._keypoints.items()}
        figures |= {f"{PREFIX[kind]}mesh_auc": tally.area() for kind, tally in self._vertices.items()}
        figures = {name: figures[name] for name in sorted(figures, key=self._rank)}
        if self._tracks is not None:
            figures |= self._tracks.figures()
        strictest = "pa" if "pa" in self.protocol.alignments else self.protocol.alignments[-1]
        per_point = (MM * self._keypoints[strictest].per_point()).tolist()
        mesh = self._vertices.get(strictest)
        thresholds = (MM * self.protocol.thresholds).tolist()
        return PoseResult(
            figures=figures,
            per_keypoint_mm=dict(zip(self.protocol.keypoint_names, per_point, strict=True)),
            per_vertex_mm=None if mesh is None else MM * mesh.per_point(),
            curves={kind: (thresholds, tally.curve().tolist()) for kind, tally in self._keypoints.items()},
            samples=self.count,
        )

    def _rank(self, name: str) -> tuple[bool, int, int]:
        """Where a figure stands: lengths before shares, and by what is measured before how it is aligned."""
        kind = _kind_of(name)
        metrics = ("mpjpe_mm", "pve_mm", "f_at", "auc", "pck_at", "mesh_auc")
        metric = next(place for place, known in enumerate(metrics) if name.removeprefix(PREFIX[kind]).startswith(known))
        return kind == "raw" and "root" in self.protocol.alignments, metric, self.protocol.alignments.index(kind)

    def _align(self, kind: Alignment, predicted: Points, true: Points) -> Points:
        """Predictions brought to the truth by one of the alignments."""
        if kind == "raw":
            return predicted
        if kind == "pa":
            return align_similarity(predicted, true, self.protocol)
        root, goal = (self._root_of(points.keypoints) for points in (predicted, true))
        if kind == "scaled":
            return Points((predicted.keypoints - root) * self._scale(predicted.keypoints, true.keypoints) + goal)
        mesh = predicted.vertices
        return Points(predicted.keypoints - root + goal, None if mesh is None else mesh - root + goal)

    def _root_of(self, keypoints: Tensor) -> Tensor:
        """(B, K, 3) to (B, 1, 3)."""
        roots = [self.protocol.keypoint_names.index(name) for name in self.protocol.root]
        return keypoints[:, roots].mean(dim=1, keepdim=True)

    def _scale(self, predicted: Tensor, true: Tensor) -> Tensor:
        """(B, 1, 1) that gives the bone of (B, K, 3) its true length; one that has no length stays as it is."""
        assert self.protocol.bone is not None
        bone = self.protocol.keypoint_names.index(self.protocol.bone)
        length, goal = ((points[:, [bone]] - self._root_of(points)).norm(dim=-1) for points in (predicted, true))
        return torch.where(length > 0, goal / length, 1.0)[..., None]

    def _measure(self, kind: Alignment, predicted: Points, true: Points) -> dict[str, Tensor]:
        prefix = PREFIX[kind]
        errors = point_errors(predicted.keypoints, true.keypoints)
        self._keypoints[kind].add(errors)
        each = {f"{prefix}mpjpe_mm": MM * errors.nanmean(dim=1)}
        if predicted.vertices is None or true.vertices is None:
            return each
        if predicted.vertices.shape == true.vertices.shape:
            errors = point_errors(predicted.vertices, true.vertices)
            if kind not in self._vertices:
                self._vertices[kind] = PointTally(errors.shape[1], self.protocol.thresholds)
            self._vertices[kind].add(errors)
            each[f"{prefix}pve_mm"] = MM * errors.nanmean(dim=1)
        if self.protocol.f_thresholds:
            scores = torch.full((len(errors), len(self.protocol.f_thresholds)), torch.nan, dtype=torch.float64)
            known = ~true.vertices.isnan().any(dim=(1, 2))
            scores[known] = f_scores(predicted.vertices[known], true.vertices[known], self.protocol.f_thresholds)
            for column, limit in enumerate(self.protocol.f_thresholds):
                each[f"{prefix}f_at_{MM * limit:g}"] = scores[:, column]
        return each


def align_similarity(predicted: Points, true: Points, protocol: PoseProtocol) -> Points:
    """Predictions after Procrustes with scale: key points by those that are known, meshes as the protocol says.

    Returns:
        The same shapes; NaN for samples with fewer than 3 known key points.
    """
    enough = enough_known(true.keypoints)[:, None, None]
    fit = fit_known(predicted.keypoints, true.keypoints, mirror=protocol.mirror)
    keypoints = torch.where(enough, fit.apply(predicted.keypoints), torch.nan)
    mesh = predicted.vertices
    if mesh is None:
        return Points(keypoints)
    if protocol.mesh_alignment == "own" and true.vertices is not None:
        vertices = fit_similarity(mesh, true.vertices.nan_to_num(), mirror=protocol.mirror)
        return Points(keypoints, vertices.apply(mesh))
    moved = fit.apply(mesh)
    if protocol.mesh_alignment == "freihand":
        shift = (true.keypoints - predicted.keypoints).nanmean(dim=1, keepdim=True)
        middle = mesh.mean(dim=1, keepdim=True)
        moved = fit.scale[:, None, None] * ((mesh - middle) @ fit.rotation.mT) + middle + shift
    return Points(keypoints, torch.where(enough, moved, torch.nan))


class Frame(NamedTuple):
    """A moment of a video."""

    number: int
    """Of the frame."""
    predicted: Tensor
    """(K, 3) metres."""
    true: Tensor
    """(K, 3)."""


class Tracks:
    """Errors of acceleration over consecutive frames of videos, which are told by the samples' names.

    Frames count where three of a track follow each other; `split_name` tells the tracks.
    """

    def __init__(self, rate: float) -> None:
        """Begin; `rate` is in frames per second."""
        self.rate = rate
        self._last: dict[str, list[Frame]] = {}
        self._mean = MeanTally()

    def add(self, names: Sequence[str], predicted: Tensor, true: Tensor) -> None:
        """Go on with the samples of these names: (B, K, 3) each, metres."""
        for name, one, other in zip(names, predicted, true, strict=True):
            track, frame = split_name(name)
            last = self._last.setdefault(track, [])
            if last and frame != last[-1].number + 1:
                last.clear()
            last.append(Frame(frame, one, other))
            if len(last) == 3:
                found, truth = (torch.stack(points) for points in zip(*[entry[1:] for entry in last], strict=True))
                self._mean.add(acceleration_errors(found, truth).nanmean(dim=1))
                del last[0]

    def figures(self) -> dict[str, float]:
        """Millimetres per frame and per second squared, by name; none where no three frames follow each other."""
        if not self._mean.count:
            return {}
        per_frame = MM * self._mean.mean()
        return {
            "acceleration_error_mm_per_frame2": per_frame,
            "acceleration_error_mm_per_s2": per_frame * self.rate**2,
        }


def split_name(name: str) -> tuple[str, int]:
    """The track and the frame that a sample's name tells, SEQUENCE/FRAME/PERSON or with the frame as its last number.

    A name without a number is a track of one frame.
    """
    found = re.fullmatch(r"(.*/)(\d+)(/\d+)", name) or re.fullmatch(r"(.*?)(\d+)(\D*)", name)
    return (found[1] + found[3], int(found[2])) if found else (name, 0)


def _double(points: Points) -> Points:
    mesh = points.vertices
    return Points(points.keypoints.detach().cpu().double(), None if mesh is None else mesh.detach().cpu().double())


def _kind_of(name: str) -> Alignment:
    return next((kind for kind, prefix in PREFIX.items() if prefix and name.startswith(prefix)), "root")
