"""People and hands with labels in 3D: one form for every data set, whatever its files look like.

Labels are told in the axes of the picture's camera (OpenCV: x right, y down, z forward), in metres, pixels as
everywhere in humanpt. A reader converts where it reads; nothing after it knows of millimetres, other axes or other
names.

Letters: K key points, V vertices, J joints, S shape parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from humanpt.data.image import Rgb
from humanpt.data.records import Side, SubjectKind
from humanpt.geometry.rotations import mirror_x

Floats = NDArray[np.float32]
FocalFrom = Literal["calibration", "assumed"]
"""Where a focal length comes from: measured with the data set's cameras, or guessed from the picture's size."""


@dataclass(frozen=True, kw_only=True)
class LabelLayout:
    """What the labels of a data set are told in."""

    dataset: str
    """Name of the data set, as `--data` and `--benchmark` take it."""
    split: str
    """Which part of it, by the name that its owners use."""
    subject: SubjectKind
    """Whether people or hands are labelled."""
    keypoint_names: tuple[str, ...]
    """Names of the K key points; the same point has the same name in every data set (body/skeletons.py)."""
    model: str | None
    """The body model of vertices, pose and shape, by the name that `load_body_model` knows; None without any."""
    root_names: tuple[str, ...]
    """The key points whose mean is the origin of root-relative figures."""
    licence: str
    """Terms of the data set, in its owners' words."""
    site: str
    """Where its owners publish it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelled:
    """One person or hand in one picture, and what is known of them; unknown numbers are NaN, unknown arrays None."""

    name: str
    """Unique in the data set, and the same at every reading."""
    group: str
    """The recording, identity or scene that a split never parts."""
    side: Side
    """Which hand; "none" for a body."""
    square: Floats
    """(4,) edges x0, y0, x1, y1 of the crop in pixels of the picture; may leave it."""
    intrinsics: Floats
    """(3, 3) camera matrix of the picture, pixels."""
    focal_from: FocalFrom
    """Where its focal length comes from."""
    keypoints: Floats
    """(K, 3) in the axes of the camera, metres; NaN where unknown."""
    pixels: Floats
    """(K, 2) where they are in the picture; NaN where unknown."""
    visible: NDArray[np.bool_] | None = None
    """(K,) whether they are seen."""
    vertices: Floats | None = None
    """(V, 3) of the layout's model, in the axes of the camera, metres; may be None although shape and pose are known,
    from which they follow."""
    shape: Floats | None = None
    """(S,) shape parameters of the layout's model."""
    pose: Floats | None = None
    """(J, 3, 3) rotations of its joints; the first turns everything into the axes of the camera."""
    transl: Floats | None = None
    """(3,) its shift, metres, so that model(shape, pose, transl) lies in the axes of the camera."""


class LabelledSet(Protocol):
    """A data set that has been found and checked; pickles, so that loader processes can read it."""

    @property
    def layout(self) -> LabelLayout:
        """What its labels mean."""
        ...

    @property
    def groups(self) -> NDArray[np.int64]:
        """(N,) the group of each sample, numbered from 0."""
        ...

    @property
    def partners(self) -> NDArray[np.int64]:
        """(N,) another picture of the same subject at the same instant or in the same scene; -1 where there is none."""
        ...

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """The name of a sample, without reading more than an index."""
        ...

    def labels(self, index: int) -> Labelled:
        """The labels of a sample, without its picture.

        Raises:
            InputError: if they cannot be read, have the wrong count or unit, or are NaN where they must not be.
        """
        ...

    def picture(self, index: int) -> Rgb:
        """(H, W, 3) uint8, the whole picture.

        Raises:
            InputError: if it is missing or damaged.
        """
        ...


def mirrored(labelled: Labelled, width: int) -> Labelled:
    """What the picture shows in a mirror: a left hand becomes a right one and a right hand a left one, exactly.

    Twice is once nothing. The picture goes with it: `picture[:, ::-1]`.

    Args:
        labelled: of a hand; a body's key points would have to swap names.
        width: of the picture, in pixels.

    Raises:
        ValueError: if it is of a body.
    """
    if labelled.side == "none":
        raise ValueError(f"{labelled.name}: bodies are not mirrored")
    swapped: dict[Side, Side] = {"left": "right", "right": "left"}
    square = labelled.square.copy()
    square[[0, 2]] = width - 1 - labelled.square[[2, 0]]
    pixels = labelled.pixels.copy()
    pixels[:, 0] = width - 1 - pixels[:, 0]
    changed: dict[str, Any] = {name: _turned(getattr(labelled, name)) for name in ("keypoints", "vertices", "transl")}
    if labelled.pose is not None:
        changed["pose"] = mirror_x(torch.from_numpy(labelled.pose)).numpy()
    side = swapped.get(labelled.side, labelled.side)
    intrinsics = mirrored_camera(labelled.intrinsics, width)
    return replace(labelled, side=side, intrinsics=intrinsics, square=square, pixels=pixels, **changed)


def mirrored_camera(intrinsics: Floats, width: int) -> Floats:
    """(3, 3) the camera matrix of a picture in a mirror, whose points have x negated; twice is once nothing."""
    turned = intrinsics.copy()
    turned[0, 1] = -intrinsics[0, 1]
    turned[0, 2] = width - 1 - intrinsics[0, 2]
    return turned


def _turned(points: Floats | None) -> Floats | None:
    """Points (..., 3) with x negated."""
    return None if points is None else points * np.array([-1, 1, 1], np.float32)
