"""From the cameras of crops, in which networks speak of right hands, to the picture's camera and the hand as it is.

Exact both ways: a crop camera has the picture camera's centre, and a left hand is a right one in a mirror.

Letters: B batch, K key points, V vertices, J joints, P shape parameters.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from humanpt.body.model import BodyModel
from humanpt.geometry.rotations import mirror_x
from humanpt.models.mesh_heads import MeshPrediction
from humanpt.tasks.mesh_samples import turn_pose


class Placed(NamedTuple):
    """Meshes of hands and bodies as they are, in the axes of the picture's camera, metres."""

    keypoints: Tensor
    """(B, K, 3)."""
    vertices: Tensor
    """(B, V, 3); those of left hands belong to the left hand of the body model."""
    pose: Tensor | None
    """(B, J, 3, 3) as the body model of that side takes it; None without a model's parameters."""
    shape: Tensor | None
    """(B, P) None likewise."""
    transl: Tensor | None
    """(B, 3) None likewise."""


def placed(body: BodyModel, predicted: MeshPrediction, crop_from_cam: Tensor, mirrored: Tensor) -> Placed:
    """Bring predictions out of the crops' cameras, and left hands back through the mirror.

    Args:
        body: the network's body model, of a right hand.
        predicted: in the axes of the crops' cameras.
        crop_from_cam: (B, 3, 3) rotations from the axes of the picture's camera, mirrored where the picture was.
        mirrored: (B,) bool, whether the picture was mirrored.
    """
    cam_from_crop = crop_from_cam.mT
    keypoints, vertices = predicted.keypoints @ crop_from_cam, predicted.vertices @ crop_from_cam
    pose, shape, transl = predicted.pose, predicted.shape, predicted.transl
    if pose is not None and shape is not None and transl is not None:
        pose, pivot = turn_pose(body, pose, cam_from_crop), body.pivot(shape)
        transl = ((pivot + transl)[:, None] @ crop_from_cam)[:, 0] - pivot  # the whole turns about the root joint
    flip = mirrored[:, None]
    keypoints, vertices = (_mirror_some(points, flip[:, None]) for points in (keypoints, vertices))
    if pose is not None and transl is not None:
        pose = torch.where(flip[..., None, None], mirror_x(pose), pose)
        transl = _mirror_some(transl, flip)
    return Placed(keypoints, vertices, pose, shape, transl)


def _mirror_some(points: Tensor, flip: Tensor) -> Tensor:
    """Points (..., 3) with x negated where `flip`, which broadcasts, is True."""
    return torch.where(flip, points * points.new_tensor([-1.0, 1.0, 1.0]), points)
