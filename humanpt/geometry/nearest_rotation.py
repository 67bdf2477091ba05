"""The rotation nearest to a matrix, for inference: two forms beside `rotations.nearest_rotation`, without gradients.

By singular values it is the quickest for a few matrices on a processor. By arithmetic it is known to every format that
networks go into: it is the unit quaternion that maximises a quadratic form (Horn): the eigenvector of the largest
eigenvalue of a symmetric 4 x 4 matrix whose entries are sums of those of the 3 x 3 one. Its characteristic polynomial
has no cubic term and known coefficients; Newton's steps come down from above to the largest root, and the adjugate
there is the outer product of the eigenvector with itself.

Source: Horn, Closed-form solution of absolute orientation using unit quaternions, JOSA A 4, 1987.
"""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor

STEPS = 16
"""Newton's steps: roots that lie a thousandth apart are told from each other."""
SMALLEST = 1e-30
"""Squared length under which a matrix counts as zeros."""


def nearest_by_singular_values(matrix: Tensor) -> Tensor:
    """The rotation nearest to any matrix in the least-squares sense, (..., 3, 3) in its type; computed in float64."""
    left, _, right = torch.linalg.svd(matrix.detach().double())
    sign = torch.linalg.det(left @ right)[..., None, None]
    turned: Tensor = torch.cat((left[..., :2], left[..., 2:] * sign), dim=-1) @ right
    return turned.to(matrix.dtype)


def nearest_by_arithmetic(matrix: Tensor) -> Tensor:
    """The rotation nearest to any matrix in the least-squares sense, in sums, products, quotients and roots alone.

    Where several rotations are equally near it is one of them; of zeros it is the identity.

    Args:
        matrix: (..., 3, 3), computed with in float64.

    Returns:
        (..., 3, 3) in the type of the matrix.
    """
    full = matrix.detach().double()
    square = (full * full).sum((-2, -1), keepdim=True)
    identity = torch.eye(3, dtype=full.dtype, device=full.device)
    full = torch.where(square < SMALLEST, identity / 3**0.5, full / square.clamp_min(SMALLEST).sqrt())
    form = torch.unflatten(full.flatten(-2) @ _FORM.to(full.device), -1, (4, 4))
    shifted = form - _largest_root(full)[..., None, None] * torch.eye(4, dtype=full.dtype, device=full.device)
    adjugate = _adjugate(shifted)
    longest = (adjugate * adjugate).sum(-1).argmax(-1, keepdim=True)
    chosen = (torch.arange(4, device=full.device) == longest)[..., None]  # a gather would fix the batch in some formats
    quat = torch.where(chosen, adjugate, 0.0).sum(-2)
    quat = quat / (quat * quat).sum(-1, keepdim=True).clamp_min(SMALLEST).sqrt()
    outer = (quat[..., :, None] * quat[..., None, :]).flatten(-2)  # (..., 16)
    return torch.unflatten(outer @ _ROTATION.to(full.device), -1, (3, 3)).to(matrix.dtype)


def _largest_root(matrix: Tensor) -> Tensor:
    """(...): the largest eigenvalue of the quadratic form of matrices (..., 3, 3) of length one."""
    gram = matrix.mT @ matrix
    constant = 2 * (gram * gram).sum((-2, -1)) - 1  # of x^4 - 2 x^2 - 8 det x + constant
    linear = -8 * (torch.linalg.cross(matrix[..., 0, :], matrix[..., 1, :]) * matrix[..., 2, :]).sum(-1)
    root = 0 * linear + 3**0.5  # no larger one is possible; a batch of any size in exported files
    for _ in range(STEPS):
        value = ((root * root - 2) * root + linear) * root + constant
        slope = (4 * root * root - 4) * root + linear
        root = root - value.clamp_min(0) / slope.clamp_min(1e-12)
    largest: Tensor = root
    return largest


def _adjugate(matrix: Tensor) -> Tensor:
    """The adjugate of symmetric matrices (..., 4, 4), each entry a sum of six products of three."""
    products = matrix.flatten(-2)[..., _MINORS.to(matrix.device)].prod(-1)  # (..., 16, 6)
    return torch.unflatten((products * _SIGNS.to(matrix.device)).sum(-1), -1, (4, 4))


def _form() -> Tensor:
    """(9, 16): entries of a matrix, row by row, to those of its quadratic form of quaternions xyzw."""
    form = torch.zeros(3, 3, 4, 4, dtype=torch.float64)
    for axis in range(3):
        form[axis, axis] = -torch.eye(4, dtype=torch.float64)
        form[axis, axis, axis, axis] = form[axis, axis, 3, 3] = 1
        after, last = (axis + 1) % 3, (axis + 2) % 3
        for row, column in ((after, last), (last, after)):
            form[row, column, after, last] += 1
            form[row, column, last, after] += 1
            sign = 1 if row == last else -1
            form[row, column, axis, 3] += sign
            form[row, column, 3, axis] += sign
    return form.reshape(9, 16)


def _minors() -> tuple[Tensor, Tensor]:
    """(16, 6, 3) places in a flat 4 x 4 matrix whose products make its cofactors, and (16, 6) their signs."""
    places, signs = [], []
    for row in range(4):
        for column in range(4):
            rows = [at for at in range(4) if at != row]
            columns = [at for at in range(4) if at != column]
            orders = list(permutations(range(3)))
            places.append([[4 * rows[at] + columns[order[at]] for at in range(3)] for order in orders])
            swaps = [sum(a > b for at, a in enumerate(order) for b in order[at + 1 :]) for order in orders]
            signs.append([(-1.0) ** (row + column + swap) for swap in swaps])
    return torch.tensor(places), torch.tensor(signs, dtype=torch.float64)


_FORM = _form()
_ROTATION = _FORM.T.contiguous()
"""(16, 9): products of the components of a unit quaternion to its rotation; the form is tr(M^T R) as they are."""
_MINORS, _SIGNS = _minors()
