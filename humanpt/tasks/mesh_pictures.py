"""From a whole picture and boxes in it to meshes in its camera, with a fine-tuned network.

A box becomes the crop that training would show: the square around it with the room that pairs leave, then
`MeshConfig.margin`, cut by `MeshSamples` itself. So this file only dresses the picture and its boxes up as a labelled
set whose labels are all unknown.

Where nobody knows the camera, its focal length is assumed to be the longer side of the picture, in pixels, with the
principal point in the middle: 53 degrees from edge to edge, between the wide and the usual lens of a phone. How far
away every mesh is scales with it.

Letters: N boxes, K key points, V vertices, F triangles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from humanpt.body.skeletons import ROOTS
from humanpt.data.crops import square_around
from humanpt.data.image import Rgb
from humanpt.data.labelled.record import Floats, FocalFrom, LabelLayout, Labelled
from humanpt.data.pairs import PairConfig
from humanpt.data.records import Side
from humanpt.models.mesh_heads import MeshNetwork
from humanpt.tasks.mesh_config import MeshConfig
from humanpt.tasks.mesh_recovery import predict
from humanpt.tasks.mesh_samples import MeshSamples, collate

ROOM = PairConfig().margin
"""Side of the square around a box over the longer side of the box, as in pairs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureMesh:
    """One hand or body in the axes of the picture's camera, metres; CPU tensors."""

    keypoints: Tensor
    """(K, 3), named by `MeshNetwork.keypoint_names`."""
    vertices: Tensor
    """(V, 3); those of a left hand belong to the left hand of the body model."""
    faces: Tensor
    """(F, 3) int64, counter-clockwise seen from outside."""
    pixels: Tensor
    """(K, 2) the key points in pixels of the picture."""
    intrinsics: Tensor
    """(3, 3) of the picture, pixels, by which depths were told."""
    focal_from: FocalFrom
    """Whether these were given or assumed."""

    @property
    def focal(self) -> tuple[float, float]:
        """Focal lengths fx and fy, pixels."""
        return float(self.intrinsics[0, 0]), float(self.intrinsics[1, 1])


def recover(
    network: MeshNetwork,
    config: MeshConfig,
    picture: Rgb,
    boxes: NDArray[np.floating],
    sides: Sequence[Side] | None = None,
    intrinsics: NDArray[np.floating] | None = None,
) -> list[PictureMesh]:
    """Recover the mesh in every box of a picture, all boxes at once.

    A network of two views sees the same crop twice.

    Args:
        network: in evaluation mode, on any device; `load_finetuned` gives it.
        config: of its task.
        picture: (H, W, 3) uint8, whole.
        boxes: (N, 4) edges x0, y0, x1, y1 of hands or bodies in pixels of the picture, as detectors give them.
        sides: which hand is in each box; what is not "left" counts as right. None knows nothing of any, and bodies have
            no sides.
        intrinsics: (3, 3) camera matrix of the picture, pixels, without distortion; None assumes one.

    Returns:
        A mesh for each box, in their order.

    Raises:
        ValueError: if boxes are not (N, 4), one is empty or not finite, or there are more or fewer sides.
    """
    boxes = np.asarray(boxes, np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all() or (boxes[:, 2:] <= boxes[:, :2]).any():
        raise ValueError(f"boxes are {boxes.tolist()}, must be (N, 4) finite edges x0, y0, x1, y1")
    known: Sequence[Side] = ["unknown"] * len(boxes) if sides is None else sides
    if len(known) != len(boxes):
        raise ValueError(f"{len(boxes)} boxes with {len(known)} sides")
    if not len(boxes):
        return []
    boxed = _BoxedPicture(network, config, picture, boxes, known, intrinsics)
    size = network.trunk.config.image_size
    samples = MeshSamples(boxed, np.arange(len(boxes)), config, size, 0, training=False)
    batch = collate([samples[place] for place in range(len(boxes))])
    found, faces = predict(network, batch.to(network.mean_camera.device)), network.body.faces.cpu()
    return [
        PictureMesh(
            keypoints=found.keypoints[row],
            vertices=found.vertices[row],
            faces=faces.flip(1) if batch.mirrored[row] else faces,  # a mirror turns triangles inside out
            pixels=found.pixels[row],
            intrinsics=batch.picture_intrinsics[row],
            focal_from=boxed.focal_from,
        )
        for row in range(len(boxes))
    ]


def assumed_intrinsics(width: int, height: int) -> Floats:
    """(3, 3) camera matrix of a picture of which nothing is known: see the top of this file."""
    focal = max(width, height)
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]], np.float32)


class _BoxedPicture:
    """A picture with boxes, as a `LabelledSet` of which nothing but crops and camera is known."""

    def __init__(
        self,
        network: MeshNetwork,
        config: MeshConfig,
        picture: Rgb,
        boxes: Floats,
        sides: Sequence[Side],
        intrinsics: NDArray[np.floating] | None,
    ) -> None:
        self.layout = LabelLayout(
            dataset="picture",
            split="all",
            subject=config.subject,
            keypoint_names=tuple(network.keypoint_names),
            model=None,
            root_names=ROOTS[config.subject],
            licence="of the user's own pictures, unknown",
            site="",
        )
        self.groups = np.zeros(len(boxes), np.int64)
        self.partners = np.full(len(boxes), -1)
        self.focal_from: FocalFrom = "assumed" if intrinsics is None else "calibration"
        self._picture, self._boxes, self._sides = picture, boxes, sides
        known = assumed_intrinsics(picture.shape[1], picture.shape[0]) if intrinsics is None else intrinsics
        self._intrinsics = np.asarray(known, np.float32)

    def __len__(self) -> int:
        return len(self._boxes)

    def name(self, index: int) -> str:
        """The number of the box."""
        return str(index)

    def labels(self, index: int) -> Labelled:
        """The crop and the camera."""
        count = len(self.layout.keypoint_names)
        return Labelled(
            name=self.name(index),
            group="picture",
            side=self._sides[index] if self.layout.subject == "hand" else "none",
            square=square_around(self._boxes[index], ROOM),
            intrinsics=self._intrinsics,
            focal_from=self.focal_from,
            keypoints=np.full((count, 3), np.nan, np.float32),
            pixels=np.full((count, 2), np.nan, np.float32),
        )

    def picture(self, index: int) -> Rgb:
        """The whole picture, the same for every box."""
        return self._picture
