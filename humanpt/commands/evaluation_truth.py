"""What an evaluation compares predictions with: labels, meshes that follow from them, and how a sample is shown.

Letters: B samples, K key points, V vertices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.body.model import BodyModel, load_body_model
from humanpt.body.skeletons import FINGERS
from humanpt.data.image import Rgb
from humanpt.data.labelled.record import LabelLayout, Labelled
from humanpt.data.turned_crops import take_crop, turned_crop
from humanpt.errors import InputError
from humanpt.pages.cases import Case
from humanpt.scoring.pose import Points
from humanpt.tasks.mesh_samples import same_parameters

CROP = 224  # pixels of a picture on the page
BONES = (
    *((start, end) for finger in FINGERS for start, end in zip(
        ("wrist", f"{finger}1", f"{finger}2", f"{finger}3"),
        (f"{finger}1", f"{finger}2", f"{finger}3", f"{finger}_tip"), strict=True)),
    *((f"{side}_{start}", f"{side}_{end}") for side in ("left", "right") for start, end in (
        ("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("shoulder", "hip"),
        ("ankle", "big_toe"), ("ankle", "foot"))),
    ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
)  # fmt: skip
"""Lines of a skeleton, by the names of their ends."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """Labels of several samples."""

    points: Points
    """In the axes of the picture's camera, metres, NaN where unknown; a mesh only where one is labelled or follows."""
    left: Tensor
    """(B,) bool, whether it is a left hand."""
    hidden: Tensor
    """(B,) share of the key points that are hidden, NaN where nobody says."""


class TruthReader:
    """Turns labels into what predictions of a body model are compared with.

    Args:
        layout: of the labels.
        model: the body model of the predictions; None without one.
    """

    def __init__(self, layout: LabelLayout, model: str | None) -> None:
        self.layout = layout
        fitting = model is not None and same_parameters(layout.model, model)
        self.model = model if fitting else layout.model
        """The body model of the true meshes."""
        self.same_mesh = self.model is not None and self.model == model
        """Whether predicted and true vertices are the same points of a surface."""

    def __call__(self, labels: Sequence[Labelled]) -> Truth:
        """The truth of some samples.

        Raises:
            InputError: if a licensed body model that labels refer to is missing.
        """
        return Truth(
            points=Points(torch.from_numpy(np.stack([one.keypoints for one in labels])), self._meshes(labels)),
            left=torch.tensor([one.side == "left" for one in labels]),
            hidden=torch.tensor([float("nan") if one.visible is None else 1 - one.visible.mean() for one in labels]),
        )

    def _meshes(self, labels: Sequence[Labelled]) -> Tensor | None:
        """(B, V, 3), NaN for samples without a mesh; None where no sample has one that compares."""
        if not self.same_mesh and self.layout.subject == "body":
            return None  # bodies are measured vertex by vertex alone
        given = self.layout.model == self.model
        meshes = [one.vertices if given and one.vertices is not None else None for one in labels]
        whole = [all(value is not None for value in (one.pose, one.shape, one.transl)) for one in labels]
        rows = [row for row in range(len(labels)) if meshes[row] is None and whole[row]]
        for side in ("left", "right"):
            mine = [row for row in rows if (labels[row].side == "left") == (side == "left")]
            if mine:
                for row, mesh in zip(mine, self._posed([labels[row] for row in mine], side), strict=True):
                    meshes[row] = mesh
        known = next((mesh for mesh in meshes if mesh is not None), None)
        if known is None:
            return None
        nothing = np.full_like(known, np.nan)
        return torch.from_numpy(np.stack([nothing if mesh is None else mesh for mesh in meshes]))

    def _posed(self, labels: Sequence[Labelled], side: str) -> list[NDArray[np.float32] | None]:
        """The meshes that follow from pose, shape and shift."""
        assert self.model is not None
        model = body_of(self.model, side)
        values = [
            torch.from_numpy(np.stack([getattr(one, name) for one in labels])).float()
            for name in ("shape", "pose", "transl")
        ]
        with torch.no_grad():
            vertices = model(*values).vertices
        return list(vertices.numpy())


@lru_cache(maxsize=4)
def body_of(model: str, side: str) -> BodyModel:
    """A body model, kept; `side` says which hand."""
    return load_body_model(model, side="left" if side == "left" else "right").eval()


def drawable(model: str | None, side: str) -> BodyModel | None:
    """The body model of a mesh, None where it is not at hand."""
    try:
        return None if model is None else body_of(model, side)
    except InputError:
        return None


def part_errors(body: BodyModel, per_vertex_mm: Tensor) -> dict[str, float]:
    """Mean error of the vertices of each part of a model's surface, millimetres, by the part's name."""
    found = {}
    for number, name in enumerate(body.layout.part_names):
        vertices = torch.unique(body.faces[body.parts == number])
        if len(vertices):
            found[name] = float(per_vertex_mm[vertices].mean())
    return found


def bones_of(names: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of key points that a line joins."""
    return [(names.index(start), names.index(end)) for start, end in BONES if start in names and end in names]


def make_case(
    labelled: Labelled,
    picture: Rgb,
    truth: Points,
    predicted: Points,
    names: Sequence[str],
    model: str | None,
    errors: dict[str, float],
) -> Case:
    """A sample as a page shows it, in the camera of a crop around it.

    Args:
        labelled: its labels.
        picture: (H, W, 3) the whole picture.
        truth: (1, K, 3) and (1, V, 3) or None, in the camera of the picture, metres; under `names`.
        predicted: likewise.
        names: of the key points.
        model: the body model of the predicted mesh.
        errors: figures of the sample, that which it was ranked by first.
    """
    crop = turned_crop(labelled.intrinsics, labelled.square, CROP)
    turn = torch.from_numpy(crop.crop_from_cam).float()

    def turned(points: Tensor | None) -> NDArray[np.float32] | None:
        return None if points is None else (points[0].float() @ turn.mT).numpy()

    body = drawable(model, labelled.side) if predicted.vertices is not None else None
    faces = None if body is None else body.faces.numpy()
    mesh, true_mesh = turned(predicted.vertices), turned(truth.vertices)
    if mesh is None or true_mesh is None or true_mesh.shape != mesh.shape or not np.isfinite(true_mesh).all():
        true_mesh = None
    keypoints = turned(predicted.keypoints)
    assert keypoints is not None
    return Case(
        name=labelled.name,
        picture=take_crop(picture, crop, CROP),
        intrinsics=crop.intrinsics.astype(np.float32),
        predicted_keypoints=keypoints,
        true_keypoints=turned(truth.keypoints),
        predicted_vertices=mesh if faces is not None else None,
        true_vertices=true_mesh,
        faces=faces,
        bones=bones_of(names),
        errors=errors,
    )
