"""From a whole picture and boxes in it to meshes in its camera.

A box becomes the crop that training would show, to the bit: the square around it with the room that pairs leave, then
`MeshConfig.margin`. The crops go to a `Recoverer`, which is a fine-tuned network here, or one made fast, or an exported
file (`humanpt.live.recoverer`), and its answers come back to the picture's camera and to the hand as it is.

Where nobody knows the camera, its focal length is assumed to be the longer side of the picture, in pixels, with the
principal point in the middle: 53 degrees from edge to edge, between the wide and the usual lens of a phone. How far
away every mesh is scales with it.

Letters: N boxes, B crops, S side of a crop, K key points, V vertices, F triangles, J joints, P shape parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.body.model import BodyModel, Subject
from humanpt.data.crops import square_around
from humanpt.data.image import Rgb
from humanpt.data.labelled.record import Floats, FocalFrom, mirrored_camera
from humanpt.data.pairs import PairConfig
from humanpt.data.records import Side
from humanpt.data.turned_crops import TurnedCrop, take_crop, turned_crop
from humanpt.geometry.cameras import project
from humanpt.models.mesh_heads import MeshNetwork, MeshPrediction, ModelPoints
from humanpt.models.mesh_inference import quick_points
from humanpt.models.vit import normalise
from humanpt.tasks.mesh_config import MeshConfig
from humanpt.tasks.mesh_placing import placed

ROOM = PairConfig().margin
"""Side of the square around a box over the longer side of the box, as in pairs."""


class Recoverer(Protocol):
    """Crops to meshes in the crops' cameras, of right hands or bodies; a batch may have any size."""

    @property
    def name(self) -> str:
        """What it was made from, for a person."""
        ...

    @property
    def config(self) -> MeshConfig:
        """What is predicted, and how crops are cut."""
        ...

    @property
    def image_size(self) -> int:
        """S, side of a crop in pixels."""
        ...

    @property
    def body(self) -> BodyModel:
        """The body model, on the CPU; that of a right hand."""
        ...

    @property
    def keypoint_names(self) -> tuple[str, ...]:
        """Names of the key points."""
        ...

    @property
    def points(self) -> ModelPoints | None:
        """The body model on the CPU, quick with few at once, for who changes poses; None without its parameters."""
        ...

    @property
    def ledger(self) -> Mapping[str, Any]:
        """What the weights were made from, and under which licences."""
        ...

    @property
    def subject(self) -> Subject:
        """Whether hands or bodies."""
        ...

    def __call__(self, crops: NDArray[np.uint8], intrinsics: Floats) -> MeshPrediction:
        """Predict the meshes in crops.

        Args:
            crops: (B, S, S, 3) RGB.
            intrinsics: (B, 3, 3) of the crops, pixels.

        Returns:
            CPU float32 tensors in the axes of the crops' cameras.
        """
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureMesh:
    """One hand or body in the axes of the picture's camera, metres; CPU tensors."""

    keypoints: Tensor
    """(K, 3), named by `Recoverer.keypoint_names`."""
    vertices: Tensor
    """(V, 3); those of a left hand belong to the left hand of the body model."""
    faces: Tensor
    """(F, 3) int64, counter-clockwise seen from outside."""
    pixels: Tensor
    """(K, 2) the key points in pixels of the picture."""
    pose: Tensor | None
    """(J, 3, 3) as the body model of that side takes it; None from a network without a model's parameters."""
    shape: Tensor | None
    """(P,) None likewise."""
    transl: Tensor | None
    """(3,) shift of the body model, None likewise."""
    right: float | None
    """Probability that this is a right hand, whatever side it was taken for; None from a network that does not say."""
    intrinsics: Tensor
    """(3, 3) of the picture, pixels, by which depths were told."""
    focal_from: FocalFrom
    """Whether these were given or assumed."""

    @property
    def focal(self) -> tuple[float, float]:
        """Focal lengths fx and fy, pixels."""
        return float(self.intrinsics[0, 0]), float(self.intrinsics[1, 1])


class NetworkRecoverer:
    """A fine-tuned network as it is; meets `Recoverer`. A network of two views sees the same crop twice.

    Args:
        network: in evaluation mode, on any device; `load_finetuned` gives it.
        config: of its task.
        name: what it was made from.
        ledger: of its weights.
    """

    def __init__(
        self, network: MeshNetwork, config: MeshConfig, name: str = "network", ledger: Mapping[str, Any] | None = None
    ) -> None:
        self.network, self.config, self.name, self.ledger = network, config, name, ledger or {}
        self.subject: Subject = config.subject
        self.image_size = network.trunk.config.image_size
        self.keypoint_names = tuple(network.keypoint_names)
        self.body = network.body if _is_on_cpu(network) else deepcopy(network.body).cpu()

    @cached_property
    def points(self) -> ModelPoints | None:
        """See `Recoverer`."""
        return None if self.config.free else quick_points(ModelPoints(self.body, self.subject))

    @torch.inference_mode()
    def __call__(self, crops: NDArray[np.uint8], intrinsics: Floats) -> MeshPrediction:
        """Predict; see `Recoverer`."""
        device = self.network.mean_camera.device
        image = normalise(torch.from_numpy(crops).to(device).permute(0, 3, 1, 2))
        other = image if self.config.views == 2 else None
        found = self.network(image, other, intrinsics=torch.from_numpy(intrinsics).to(device))
        return on_cpu(found)


def on_cpu(found: MeshPrediction) -> MeshPrediction:
    """A prediction in float32 on the CPU, without its heat, which nobody draws."""
    values: list[Any] = [value if value is None else value.float().cpu() for value in found._replace(heat=None)]
    return MeshPrediction(*values)


def recover(
    network: MeshNetwork,
    config: MeshConfig,
    picture: Rgb,
    boxes: NDArray[np.floating],
    sides: Sequence[Side] | None = None,
    intrinsics: NDArray[np.floating] | None = None,
) -> list[PictureMesh]:
    """Recover the mesh in every box of a picture with a network as it is, all boxes at once.

    Args:
        network, config: as for `NetworkRecoverer`.
        picture, boxes: as for `recover_boxes`.
        sides: which hand is in each box; None knows nothing of any, and bodies have no sides.
        intrinsics: (3, 3) camera matrix of the picture, pixels, without distortion; None assumes one.

    Returns:
        A mesh for each box, in their order.

    Raises:
        ValueError: as `recover_boxes`.
    """
    recoverer = NetworkRecoverer(network, config)
    known: Sequence[Side] = ["unknown"] * len(boxes) if sides is None else sides
    camera = assumed_intrinsics(picture.shape[1], picture.shape[0]) if intrinsics is None else intrinsics
    focal_from: FocalFrom = "assumed" if intrinsics is None else "calibration"
    return recover_boxes(recoverer, picture, camera, boxes, known, focal_from)


def recover_boxes(
    recoverer: Recoverer,
    picture: Rgb,
    intrinsics: NDArray[np.floating],
    boxes: NDArray[np.floating],
    sides: Sequence[Side],
    focal_from: FocalFrom = "calibration",
) -> list[PictureMesh]:
    """Recover the mesh in every box of a picture, all boxes at once.

    Args:
        recoverer: what reads crops.
        picture: (H, W, 3) uint8, whole.
        intrinsics: (3, 3) camera matrix of the picture, pixels, without distortion.
        boxes: (N, 4) edges x0, y0, x1, y1 of hands or bodies in pixels of the picture, as detectors give them.
        sides: which hand is in each box; what is not "left" counts as right. Of bodies it does not matter.
        focal_from: where the camera matrix comes from, to be told on.

    Returns:
        A mesh for each box, in their order.

    Raises:
        ValueError: if boxes are not (N, 4), one is empty or not finite, or there are more or fewer sides.
    """
    boxes, camera = np.asarray(boxes, np.float32), np.asarray(intrinsics, np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all() or (boxes[:, 2:] <= boxes[:, :2]).any():
        raise ValueError(f"boxes are {boxes.tolist()}, must be (N, 4) finite edges x0, y0, x1, y1")
    if len(sides) != len(boxes):
        raise ValueError(f"{len(boxes)} boxes with {len(sides)} sides")
    if not len(boxes):
        return []
    mirrored = [recoverer.subject == "hand" and side == "left" for side in sides]
    crops, pictures = _cut(recoverer, picture, camera, boxes, mirrored)
    predicted = recoverer(pictures, np.stack([crop.intrinsics for crop in crops]).astype(np.float32))
    crop_from_cam = torch.from_numpy(np.stack([crop.crop_from_cam for crop in crops]).astype(np.float32))
    found = placed(recoverer.body, predicted, crop_from_cam, torch.tensor(mirrored))
    whole, faces = torch.from_numpy(camera), recoverer.body.faces.cpu()
    rights = None if predicted.side is None else _rights(predicted.side, mirrored)
    pixels = project(found.keypoints, whole.expand(len(boxes), 3, 3))
    rows: list[dict[str, Any]] = [
        {name: None if value is None else value[row] for name, value in found._asdict().items()}
        for row in range(len(boxes))
    ]
    return [
        PictureMesh(
            **rows[row],
            faces=faces.flip(1) if mirrored[row] else faces,  # a mirror turns triangles inside out
            pixels=pixels[row],
            right=None if rights is None else rights[row],
            intrinsics=whole,
            focal_from=focal_from,
        )
        for row in range(len(boxes))
    ]


def _is_on_cpu(network: MeshNetwork) -> bool:
    return network.mean_camera.device.type == "cpu"


def assumed_intrinsics(width: int, height: int) -> Floats:
    """(3, 3) camera matrix of a picture of which nothing is known: see the top of this file."""
    focal = max(width, height)
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]], np.float32)


def _rights(side: Tensor, mirrored: Sequence[bool]) -> list[float]:
    """Of logits (B,) that crops show right hands, and whether they were mirrored, what is true of the picture."""
    return [1 - right if flip else right for right, flip in zip(side.sigmoid().tolist(), mirrored, strict=True)]


def _cut(
    recoverer: Recoverer, picture: Rgb, camera: Floats, boxes: Floats, mirrored: Sequence[bool]
) -> tuple[list[TurnedCrop], NDArray[np.uint8]]:
    """The crop cameras of boxes, in the mirrored picture where that is said, and their pictures (N, S, S, 3)."""
    width, size = picture.shape[1], recoverer.image_size
    flipped, flipped_camera = picture, camera
    if any(mirrored):
        flipped, flipped_camera = cv2.flip(picture, 1).astype(np.uint8, copy=False), mirrored_camera(camera, width)
    crops, pictures = [], np.empty((len(boxes), size, size, 3), np.uint8)
    for row, (box, flip) in enumerate(zip(boxes, mirrored, strict=True)):
        square = square_around(box, ROOM)
        if flip:
            square[[0, 2]] = width - 1 - square[[2, 0]]
        edges = square.astype(np.float64)
        middle, side = (edges[:2] + edges[2:]) / 2, float((edges[2:] - edges[:2]).mean()) * recoverer.config.margin
        edges = np.concatenate([middle - side / 2, middle + side / 2])
        crop = turned_crop(flipped_camera if flip else camera, edges, size)
        crops.append(crop)
        pictures[row] = take_crop(flipped if flip else picture, crop, size)
    return crops, pictures
