"""Pinhole cameras: transforms, projection, poses that look at something, crops.

Axes are OpenCV's (x right, y down, z forward), pixel (0, 0) is the centre of the top-left pixel. A transform names both
frames, destination first: `cam_from_world @ world_from_body`. Functions keep the dtype and device of what they get and
broadcast over leading axes.

N points
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def transform(dst_from_src: Tensor, points: Tensor) -> Tensor:
    """Take points from one frame to another.

    Args:
        dst_from_src: (..., 4, 4) or (..., 3, 4) rigid transform, metres.
        points: (..., N, 3) points in the source frame.

    Returns:
        (..., N, 3) the same points in the destination frame.

    Raises:
        ValueError: if the trailing sizes are others.
    """
    if dst_from_src.shape[-2:] not in ((4, 4), (3, 4)) or points.shape[-1] != 3:
        raise ValueError(
            f"expected a (..., 4, 4) or (..., 3, 4) transform and (..., N, 3) points, "
            f"got {tuple(dst_from_src.shape)} and {tuple(points.shape)}"
        )
    return points @ dst_from_src[..., :3, :3].mT + dst_from_src[..., None, :3, 3]


def project(points_cam: Tensor, intrinsics: Tensor) -> Tensor:
    """Project camera-frame points to pixels with a pinhole camera.

    Args:
        points_cam: (..., N, 3) points in metres; z > 0 is in front of the camera.
        intrinsics: (..., 3, 3) camera matrix in pixels, last row (0, 0, 1).

    Returns:
        (..., N, 2) pixel coordinates (x, y), meaningless behind the camera and infinite or nan at z = 0.

    Raises:
        ValueError: if the trailing sizes are not 3 and (3, 3).

    Source: Hartley and Zisserman, Multiple View Geometry, 2nd edition, section 6.1.
    """
    if points_cam.shape[-1] != 3 or intrinsics.shape[-2:] != (3, 3):
        raise ValueError(
            f"expected (..., N, 3) points and (..., 3, 3) intrinsics, "
            f"got {tuple(points_cam.shape)} and {tuple(intrinsics.shape)}"
        )
    ratio = points_cam[..., :2] / points_cam[..., 2:]  # (..., N, 2)
    return ratio @ intrinsics[..., :2, :2].mT + intrinsics[..., None, :2, 2]


def unproject(pixels: Tensor, depth: Tensor, intrinsics: Tensor) -> Tensor:
    """The camera-frame points at given pixels and depths, the inverse of `project`.

    Args:
        pixels: (..., N, 2) pixel coordinates (x, y).
        depth: (..., N) z in metres; a tensor of ones gives the rays.
        intrinsics: (..., 3, 3) camera matrix in pixels, last row (0, 0, 1).

    Returns:
        (..., N, 3) points in metres.

    Raises:
        ValueError: if the trailing sizes are not 2 and (3, 3).
    """
    if pixels.shape[-1] != 2 or intrinsics.shape[-2:] != (3, 3):
        raise ValueError(
            f"expected (..., N, 2) pixels and (..., 3, 3) intrinsics, "
            f"got {tuple(pixels.shape)} and {tuple(intrinsics.shape)}"
        )
    fx, skew, cx = (intrinsics[..., 0, i, None] for i in range(3))
    fy, cy = (intrinsics[..., 1, i, None] for i in (1, 2))
    y = (pixels[..., 1] - cy) / fy
    x = (pixels[..., 0] - cx - skew * y) / fx
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1)
    return points * depth[..., None]


def invert_pose(cam_from_world: Tensor) -> Tensor:
    """The inverse of a rigid transform, without a general matrix inverse.

    Args:
        cam_from_world: (..., 4, 4) rotation and translation.

    Returns:
        (..., 4, 4) world_from_cam.

    Raises:
        ValueError: if the trailing sizes are not (4, 4).
    """
    if cam_from_world.shape[-2:] != (4, 4):
        raise ValueError(f"expected (..., 4, 4) transforms, got {tuple(cam_from_world.shape)}")
    turned = cam_from_world[..., :3, :3].mT
    return pose(turned, -(turned @ cam_from_world[..., :3, 3, None])[..., 0])


def pose(rotation: Tensor, translation: Tensor) -> Tensor:
    """Put rotations (..., 3, 3) and translations (..., 3) in metres together into (..., 4, 4) transforms.

    The leading axes of the translations are those of the result; the rotations expand to them.
    """
    top = torch.cat([rotation.expand(*translation.shape[:-1], 3, 3), translation[..., None]], dim=-1)
    last = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=top.dtype, device=top.device)
    return torch.cat([top, last.expand(*top.shape[:-2], 1, 4)], dim=-2)


def look_at(eye: Tensor, target: Tensor, roll: float | Tensor = 0.0) -> Tensor:
    """The pose of a camera at `eye` with `target` in the middle of its picture, upright in a y-down world.

    Args:
        eye: (..., 3) camera centre in metres, world axes.
        target: (..., 3) point looked at, not the eye itself.
        roll: radians, a number or (...): the camera turned clockwise about its line of sight, as its holder sees it, so
            that the picture turns counter-clockwise.

    Returns:
        (..., 4, 4) cam_from_world. Looking straight up or down, the picture's right is the world's +x.
    """
    forward = normalize(target - eye, dim=-1)
    down = torch.zeros_like(forward)
    down[..., 1] = 1
    right = torch.linalg.cross(down, forward, dim=-1)
    length = right.norm(dim=-1, keepdim=True)
    along_x = torch.zeros_like(forward)
    along_x[..., 0] = 1
    right = torch.where(length > 1e-6, right / length.clamp(min=1e-12), along_x)
    lower = torch.linalg.cross(forward, right, dim=-1)
    upright = torch.stack([right, lower, forward], dim=-2)  # rows are the camera's axes in the world
    angle = torch.as_tensor(roll, dtype=eye.dtype, device=eye.device) + torch.zeros_like(forward[..., 0])
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    turn = torch.stack([cos, sin, zero, -sin, cos, zero, zero, zero, one], dim=-1)
    rotation = turn.view(*turn.shape[:-1], 3, 3) @ upright
    return pose(rotation, -(rotation @ eye[..., None])[..., 0])


def camera_centres(cam_from_world: Tensor) -> Tensor:
    """Where cameras stand: (..., 4, 4) poses to (..., 3) centres in metres, world axes."""
    return -(cam_from_world[..., :3, :3].mT @ cam_from_world[..., :3, 3, None])[..., 0]


def rotation_angle(cam1_from_world: Tensor, cam2_from_world: Tensor) -> Tensor:
    """The angle between the orientations of two cameras.

    Args:
        cam1_from_world: (..., 4, 4) or (..., 3, 3), the pose of one camera.
        cam2_from_world: the same of the other.

    Returns:
        (...) radians in [0, pi].
    """
    relative = cam1_from_world[..., :3, :3] @ cam2_from_world[..., :3, :3].mT
    # The sine keeps small angles exact, the cosine large ones: acos alone loses half of the digits near zero.
    twice_sine = torch.stack(
        [
            relative[..., 2, 1] - relative[..., 1, 2],
            relative[..., 0, 2] - relative[..., 2, 0],
            relative[..., 1, 0] - relative[..., 0, 1],
        ],
        dim=-1,
    ).norm(dim=-1)
    twice_cosine = relative.diagonal(dim1=-2, dim2=-1).sum(dim=-1) - 1
    return torch.atan2(twice_sine, twice_cosine)


def crop_intrinsics(intrinsics: Tensor, square: Tensor, size: int) -> Tensor:
    """The intrinsics of a square crop resampled to size x size pixels.

    Args:
        intrinsics: (..., 3, 3) of the whole picture, in its pixels.
        square: (..., 4) edges x0, y0, x1, y1 of the crop in the picture's pixels; the whole of a W-pixel wide picture
            is from -0.5 to W - 0.5. It may reach out of the picture.
        size: side of the crop in its own pixels.

    Returns:
        (..., 3, 3) of the crop.

    Raises:
        ValueError: if the trailing sizes are not (3, 3) and 4.
    """
    if intrinsics.shape[-2:] != (3, 3) or square.shape[-1] != 4:
        raise ValueError(
            f"expected (..., 3, 3) intrinsics and (..., 4) squares, "
            f"got {tuple(intrinsics.shape)} and {tuple(square.shape)}"
        )
    scale = size / (square[..., 2:] - square[..., :2])  # (..., 2) pixels of the crop per pixel of the picture
    to_crop = torch.zeros(*scale.shape[:-1], 3, 3, dtype=intrinsics.dtype, device=intrinsics.device)
    to_crop[..., 0, 0], to_crop[..., 1, 1] = scale[..., 0], scale[..., 1]
    to_crop[..., :2, 2] = -square[..., :2] * scale - 0.5
    to_crop[..., 2, 2] = 1
    return to_crop @ intrinsics


def intrinsics_from_fov(fov: float | Tensor, size: int) -> Tensor:
    """Intrinsics of a size x size picture with the principal point in its middle.

    Args:
        fov: radians between the left and right edges, a number or (...).
        size: side of the picture in pixels.

    Returns:
        (..., 3, 3) float32, or of the dtype of `fov`.
    """
    angle = torch.as_tensor(fov, dtype=None if isinstance(fov, Tensor) else torch.float32)
    focal = size / 2 / torch.tan(angle / 2)
    matrix = torch.zeros(*angle.shape, 3, 3, dtype=angle.dtype, device=angle.device)
    matrix[..., 0, 0] = matrix[..., 1, 1] = focal
    matrix[..., :2, 2] = (size - 1) / 2
    matrix[..., 2, 2] = 1
    return matrix
