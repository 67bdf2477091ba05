"""Two and more views of the same points: relative pose, epipolar lines, triangulation, shared sight.

Everything is computed from known cameras (`geometry/cameras.py` has the conventions), in the dtype of what is given;
float64 is worth its time for triangulation.

V views, N points
"""

from __future__ import annotations

import torch
from torch import Tensor

from humanpt.geometry.cameras import invert_pose


def relative_pose(cam1_from_world: Tensor, cam2_from_world: Tensor) -> Tensor:
    """The transform from camera 1 to camera 2: two (..., 4, 4) poses to a (..., 4, 4) cam2_from_cam1."""
    return cam2_from_world @ invert_pose(cam1_from_world)


def projection_matrix(intrinsics: Tensor, cam_from_world: Tensor) -> Tensor:
    """World points to homogeneous pixels: (..., 3, 3) intrinsics and (..., 4, 4) poses to (..., 3, 4)."""
    return intrinsics @ cam_from_world[..., :3, :]


def essential_matrix(cam2_from_cam1: Tensor) -> Tensor:
    """The matrix E with x2^T E x1 = 0 for matching rays x1, x2.

    Args:
        cam2_from_cam1: (..., 4, 4) relative pose.

    Returns:
        (..., 3, 3); its scale is the distance of the cameras in metres.

    Source: Hartley and Zisserman, Multiple View Geometry, 2nd edition, section 9.6.
    """
    x, y, z = cam2_from_cam1[..., :3, 3].unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1)
    essential: Tensor = cross.view(*cross.shape[:-1], 3, 3) @ cam2_from_cam1[..., :3, :3]
    return essential


def fundamental_matrix(
    intrinsics1: Tensor, cam1_from_world: Tensor, intrinsics2: Tensor, cam2_from_world: Tensor
) -> Tensor:
    """The matrix F with p2^T F p1 = 0 for matching homogeneous pixels p1, p2.

    Args:
        intrinsics1: (..., 3, 3) of camera 1, pixels.
        cam1_from_world: (..., 4, 4) pose of camera 1.
        intrinsics2: of camera 2.
        cam2_from_world: of camera 2, which must stand elsewhere.

    Returns:
        (..., 3, 3), of unit Frobenius norm.

    Source: Hartley and Zisserman, Multiple View Geometry, 2nd edition, section 9.2.
    """
    essential = essential_matrix(relative_pose(cam1_from_world, cam2_from_world))
    matrix: Tensor = torch.linalg.inv(intrinsics2).mT @ essential @ torch.linalg.inv(intrinsics1)
    size: Tensor = torch.linalg.vector_norm(matrix, dim=(-2, -1), keepdim=True)
    return matrix / size


def homogeneous(points: Tensor) -> Tensor:
    """Append a one: (..., C) to (..., C + 1)."""
    return torch.cat([points, torch.ones_like(points[..., :1])], dim=-1)


def epipolar_lines(fundamental: Tensor, pixels1: Tensor) -> Tensor:
    """Where view 2 may have what view 1 has at given pixels.

    Args:
        fundamental: (..., 3, 3) with p2^T F p1 = 0. Its transpose gives the lines in view 1 of pixels of view 2.
        pixels1: (..., N, 2) in view 1.

    Returns:
        (..., N, 3) lines (a, b, c) of a x + b y + c = 0 with a unit normal: a x + b y + c is a distance in pixels.
    """
    lines = homogeneous(pixels1) @ fundamental.mT
    normal: Tensor = torch.linalg.vector_norm(lines[..., :2], dim=-1, keepdim=True)
    return lines / normal


def epipolar_distance(fundamental: Tensor, pixels1: Tensor, pixels2: Tensor) -> Tensor:
    """How far two pixels are from showing the same point, whatever its depth.

    Args:
        fundamental: (..., 3, 3) with p2^T F p1 = 0.
        pixels1: (..., N, 2) in view 1.
        pixels2: (..., N, 2) in view 2.

    Returns:
        (..., N) the larger of the two distances to the other's epipolar line, in pixels of the view it is measured in.
        To compare every pixel of one view with every pixel of the other, give (N, 1, 2) and (1, M, 2).
    """
    in2 = (homogeneous(pixels2) * epipolar_lines(fundamental, pixels1)).sum(dim=-1)
    in1 = (homogeneous(pixels1) * epipolar_lines(fundamental.mT, pixels2)).sum(dim=-1)
    return torch.maximum(in1.abs(), in2.abs())


def triangulate(pixels: Tensor, projections: Tensor, seen: Tensor | None = None) -> Tensor:
    """The points whose projections agree best with what several views measured, by linear least squares.

    Args:
        pixels: (V, N, 2) measured in each view.
        projections: (V, 3, 4) world points to homogeneous pixels, of `projection_matrix`.
        seen: (V, N) bool, False where a view did not see a point; None if all did.

    Returns:
        (N, 3) world points in metres, nan where fewer than two views saw the point. A point between parallel rays is
        far away rather than nan: look at `reprojection_error`.

    Raises:
        ValueError: if the shapes do not fit together.

    Source: Hartley and Zisserman, Multiple View Geometry, 2nd edition, section 12.2.
    """
    views, count = pixels.shape[:2]
    if pixels.shape[2:] != (2,) or projections.shape != (views, 3, 4):
        raise ValueError(
            f"expected (V, N, 2) pixels and (V, 3, 4) projections, "
            f"got {tuple(pixels.shape)} and {tuple(projections.shape)}"
        )
    # Two equations a view, x (p3 X) = p1 X and y (p3 X) = p2 X, each scaled to the length of its row's normal, so that
    # no view weighs more because its focal length does.
    rows = pixels[..., None] * projections[:, None, 2:] - projections[:, None, :2]  # (V, N, 2, 4)
    rows = rows / rows[..., :3].norm(dim=-1, keepdim=True)
    if seen is not None:
        rows = torch.where(seen[..., None, None], rows, 0.0)
    rows = rows.transpose(0, 1).reshape(count, 2 * views, 4)
    points: Tensor = torch.linalg.lstsq(rows[..., :3], -rows[..., 3:]).solution[..., 0]
    if seen is not None:
        points = torch.where((seen.sum(dim=0) >= 2)[:, None], points, torch.nan)
    return points


def reprojection_error(points: Tensor, pixels: Tensor, projections: Tensor) -> Tensor:
    """How far points project from what was measured.

    Args:
        points: (N, 3) world points in metres.
        pixels: (V, N, 2) measured in each view.
        projections: (V, 3, 4) world points to homogeneous pixels.

    Returns:
        (V, N) pixels, infinite where the point is not in front of the camera.
    """
    projected = homogeneous(points) @ projections.mT  # (V, N, 3)
    error = (projected[..., :2] / projected[..., 2:] - pixels).norm(dim=-1)
    return torch.where(projected[..., 2] > 0, error, torch.inf)


def shared_sight(seen1: Tensor, seen2: Tensor) -> Tensor:
    """The share of the surface seen by either view that both see.

    Args:
        seen1: (..., N) bool, the surface points that view 1 sees.
        seen2: (..., N) bool, the same of view 2.

    Returns:
        (...) float32 intersection over union in [0, 1]; 0 if neither sees anything.
    """
    both, either = (seen1 & seen2).sum(dim=-1), (seen1 | seen2).sum(dim=-1)
    return both / either.clamp(min=1)


def pair_score(overlap: Tensor, angle: Tensor) -> Tensor:
    """How much one view can teach about another: they must share what they see, and see it from elsewhere.

    Args:
        overlap: (...) share of the surface seen by both, in [0, 1].
        angle: (...) between the viewing directions, radians.

    Returns:
        (...) overlap times 4 cos(angle) (1 - cos(angle)), in [-8, 1]; best at 60 degrees, negative beyond 90.

    Source: Weinzaepfel and others, CroCo v2, ICCV 2023, section 3.1.
    """
    cosine = torch.cos(angle)
    return overlap * 4 * cosine * (1 - cosine)
