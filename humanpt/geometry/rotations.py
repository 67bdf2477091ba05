"""Rotations: vectors, matrices, the 6D form, unit quaternions (xyzw), and what is measured between them.

Thin over roma, which tests these conversions and their gradients; here they have the field's names and one place.
What a network predicts goes through `rotations_from`: any finite numbers give a rotation, with finite gradients even
where the mapping itself has none (no direction to normalise, parallel columns, singular values that cancel).

Letters: n numbers of one rotation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import roma
import torch
from torch import Tensor

RotationKind = Literal["procrustes", "6d", "quat", "rotvec"]
"""How a network says a rotation: a free 3 x 3 matrix, two columns, a quaternion of any length, or a rotation vector."""

NUMBERS: dict[RotationKind, int] = {"procrustes": 9, "6d": 6, "quat": 4, "rotvec": 3}

TINY = 1e-4
"""Numbers shorter than this, and columns nearer to parallel, are not normalised as they stand: see `rotations_from`."""


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
    (m00, m01, m10, m11, m20, m21). They are made orthonormal by Gram-Schmidt. A first column near zero is moved along
    x, a second one near zero or parallel to the first along the axis furthest from it: the result is always a rotation.

    Source: Zhou and others, On the Continuity of Rotation Representations in Neural Networks, CVPR 2019.
    """
    first, second = rot6d.reshape(*rot6d.shape[:-1], 3, 2).unbind(-1)
    axes = torch.eye(3, dtype=rot6d.dtype, device=rot6d.device)
    first = torch.where(_is_tiny(first), first + axes[0], first)
    parallel = _is_tiny(second) | _is_tiny(torch.linalg.cross(_unit(first), _unit(second)))
    second = torch.where(parallel, second + axes[first.abs().argmin(-1)], second)
    result: Tensor = roma.special_gramschmidt(torch.stack((first, second), -1))
    return result


def _is_tiny(vectors: Tensor) -> Tensor:
    """Which vectors (..., n) are too short to have a direction: (..., 1) booleans."""
    length: Tensor = torch.linalg.vector_norm(vectors.detach(), dim=-1, keepdim=True)
    return length < TINY


def _unit(vectors: Tensor) -> Tensor:
    """Vectors (..., n) at length one, without gradient, to be compared; zeros stay zeros."""
    return torch.nn.functional.normalize(vectors.detach(), dim=-1)


def rotmat_to_rot6d(rotmat: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) to the 6D form (..., 6): two columns, row by row."""
    return rotmat[..., :2].flatten(-2)


def euler_to_rotmat(angles: Tensor) -> Tensor:
    """Angles (..., 3) in radians about the turning axes x, y and z, one after the other, to matrices (..., 3, 3)."""
    result: Tensor = roma.euler_to_rotmat("XYZ", angles)
    return result


def rotmat_to_euler(rotmat: Tensor, order: str) -> Tensor:
    """Rotation matrices (..., 3, 3) to angles (..., 3) in radians about turning axes in this order, such as "ZXY".

    Where the middle angle is a quarter turn the last one is taken as 0.
    """
    result: Tensor = roma.rotmat_to_euler(order, rotmat)
    return result


def random_rotmat(count: int, generator: torch.Generator) -> Tensor:
    """Rotations drawn evenly from all there are: (count, 3, 3) on the CPU, in float32."""
    result: Tensor = roma.random_rotmat(count, generator=generator)
    return result


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


def numbers_of(kind: RotationKind) -> int:
    """How many numbers a head gives for one rotation of this kind.

    Raises:
        ValueError: if there is no such kind.
    """
    if kind not in NUMBERS:
        raise ValueError(f"no kind of rotation called {kind!r}; there are {', '.join(get_args(RotationKind))}")
    return NUMBERS[kind]


def rotations_from(
    kind: RotationKind, numbers: Tensor, nearest: Callable[[Tensor], Tensor] = nearest_rotation
) -> Tensor:
    """Rotations out of a network's free numbers, in full precision under autocast too.

    Any finite numbers give a rotation and finite gradients. Where a mapping has no answer (zeros, parallel columns) a
    step of length about one is added first: zeros stand for no turn, and a head that starts there can leave. Where the
    nearest rotation is one of many, roma dampens the gradient.

    Args:
        kind: which mapping: the nearest rotation to a matrix (row by row), Gram-Schmidt on two columns (row by row,
            as `rot6d_to_rotmat`), a quaternion (xyzw) brought to length one, or a rotation vector in radians.
        numbers: (..., n) with n as `numbers_of` says, in any floating-point type.
        nearest: gives the rotations nearest to matrices, for "procrustes"; others are quicker without gradients.

    Returns:
        (..., 3, 3) in float32, or float64 for float64 numbers.

    Raises:
        ValueError: if there is no such kind, or another number of numbers than it has.

    Source: Bregier, Deep Regression on Manifolds: a 3D Rotation Case Study, 3DV 2021 (arXiv 2103.16317).
    """
    if numbers.shape[-1:] != (numbers_of(kind),):
        raise ValueError(f"{kind} takes {numbers_of(kind)} numbers a rotation, not {tuple(numbers.shape)}")
    with torch.autocast(numbers.device.type, enabled=False):
        full = numbers if numbers.dtype == torch.float64 else numbers.float()
        if kind == "rotvec":
            return rotvec_to_rotmat(full)
        if kind == "6d":
            return rot6d_to_rotmat(full)
        still = numbers_for(kind, torch.eye(3, dtype=full.dtype, device=full.device))
        full = torch.where(_is_tiny(full), full + still, full)
        if kind == "quat":
            unitquat: Tensor = roma.quat_normalize(full)
            return unitquat_to_rotmat(unitquat)
        return nearest(full.reshape(*full.shape[:-1], 3, 3))


def numbers_for(kind: RotationKind, rotmat: Tensor) -> Tensor:
    """Numbers that `rotations_from` turns into these rotations, so that a head can start at a mean pose.

    Args:
        kind: as in `rotations_from`.
        rotmat: (..., 3, 3).

    Returns:
        (..., n) with n as `numbers_of` says.

    Raises:
        ValueError: if there is no such kind.
    """
    numbers_of(kind)
    if kind == "procrustes":
        return rotmat.flatten(-2)
    if kind == "6d":
        return rotmat_to_rot6d(rotmat)
    return rotmat_to_unitquat(rotmat) if kind == "quat" else rotmat_to_rotvec(rotmat)
