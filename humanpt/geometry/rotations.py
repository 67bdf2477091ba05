"""Rotations: vectors, matrices, the 6D form, unit quaternions (xyzw), and what is measured between them.

Thin over roma, which tests these conversions and their gradients; here they have the field's names and one place.
"""

from __future__ import annotations

import roma
import torch
from torch import Tensor


def rotvec_to_rotmat(rotvec: Tensor) -> Tensor:
    """Rotation vectors (..., 3), radians times axis, to matrices (..., 3, 3)."""
    result: Tensor = roma.rotvec_to_rotmat(rotvec)
    return result


def rotmat_to_rotvec(rotmat: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) to vectors (..., 3), radians times axis, of at most pi."""
    result: Tensor = roma.rotmat_to_rotvec(rotmat)
    return result


def unitquat_to_rotmat(quat: Tensor) -> Tensor:
    """Unit quaternions (..., 4), xyzw, to matrices (..., 3, 3)."""
    result: Tensor = roma.unitquat_to_rotmat(quat)
    return result


def rotmat_to_unitquat(rotmat: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) to unit quaternions (..., 4), xyzw."""
    result: Tensor = roma.rotmat_to_unitquat(rotmat)
    return result


def rot6d_to_rotmat(rot6d: Tensor) -> Tensor:
    """The 6D form (..., 6) to rotation matrices (..., 3, 3).

    The six numbers are the first two columns of the matrix, row by row, as in the code of Multi-HMR and SPIN:
    (m00, m01, m10, m11, m20, m21). They are made orthonormal by Gram-Schmidt.

    Source: Zhou and others, On the Continuity of Rotation Representations in Neural Networks, CVPR 2019.
    """
    result: Tensor = roma.special_gramschmidt(rot6d.reshape(*rot6d.shape[:-1], 3, 2))
    return result


def rotmat_to_rot6d(rotmat: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) to the 6D form (..., 6): two columns, row by row."""
    return rotmat[..., :2].flatten(-2)


def geodesic_distance(rotmat1: Tensor, rotmat2: Tensor) -> Tensor:
    """The angle between rotations (..., 3, 3), (...) radians in [0, pi]."""
    result: Tensor = roma.rotmat_geodesic_distance(rotmat1, rotmat2)
    return result


def nearest_rotation(matrix: Tensor) -> Tensor:
    """The rotation nearest to any matrix (..., 3, 3) in the least-squares sense (orthogonal Procrustes, det = +1)."""
    result: Tensor = roma.special_procrustes(matrix)
    return result


def slerp(rotmat1: Tensor, rotmat2: Tensor, share: Tensor) -> Tensor:
    """Between two rotations, along the shortest turn.

    Args:
        rotmat1: (..., 3, 3), the result at share 0.
        rotmat2: (..., 3, 3), the result at share 1.
        share: (...) that broadcasts over the leading axes.

    Returns:
        (..., 3, 3).
    """
    turn = rotmat_to_rotvec(rotmat1.mT @ rotmat2)
    return rotmat1 @ rotvec_to_rotmat(turn * share[..., None])


def mirror_x(rotmat: Tensor) -> Tensor:
    """The rotation seen in a mirror that swaps left and right (x to -x): (..., 3, 3) to (..., 3, 3)."""
    sign = torch.tensor([-1.0, 1.0, 1.0], dtype=rotmat.dtype, device=rotmat.device)
    return sign[:, None] * rotmat * sign
