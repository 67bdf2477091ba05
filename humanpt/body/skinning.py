"""Turning the bones of a tree of joints and carrying a surface along: what all body models share.

Letters: B batch, V vertices, J joints, N sums, M entries, C numbers in a row.

Source: Magnenat-Thalmann, Laperrière, Thalmann, Joint-dependent local deformations, 1988 (linear blend skinning).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

CACHED_POINTS = 16_384
"""Points of a surface that are posed at a time; their bones' matrices fill a megabyte."""


def tree_levels(parents: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """The joints by their distance from the root.

    Returns:
        Per level, the joints and the place of each one's parent among the joints of the level before; the first
        level is the root alone, index 0.
    """
    depth: list[int] = []
    for parent in parents:
        depth.append(0 if parent < 0 else depth[parent] + 1)
    levels = [[joint for joint, at in enumerate(depth) if at == level] for level in range(max(depth) + 1)]
    above = [[0], *([before.index(parents[joint]) for joint in level] for before, level in pairwise(levels))]
    return list(zip(levels, above, strict=True))


def pose_bones(
    levels: Sequence[tuple[list[int], list[int]]],
    pose: Tensor,
    heads: Tensor,
    root: Tensor,
    reference_from_rest: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Turn the bones of a tree of joints, from the root outwards (forward kinematics).

    Args:
        levels: the tree, as `tree_levels` gives it.
        pose: (B, J, 3, 3) rotation of each joint relative to its parent.
        heads: (B, J, 3) joint centres at rest.
        root: (B, 3) where the root joint comes to lie.
        reference_from_rest: (B, J, 3, 3) rotation of each bone from the rest pose to the reference pose, in which
            `pose` is the identity; None if they are the same.

    Returns:
        (B, J, 3) joint centres, (B, J, 3, 3) rotations from the reference pose, (B, J, 3, 3) from the rest pose.
    """
    joints, turned = [root[:, None]], [pose[:, :1]]
    linear = [turned[0] if reference_from_rest is None else turned[0] @ reference_from_rest[:, :1]]
    for (before, _), (level, above) in pairwise(levels):
        offsets = heads[:, level] - heads[:, [before[at] for at in above]]
        joints.append(joints[-1][:, above] + (linear[-1][:, above] @ offsets[..., None])[..., 0])
        turned.append(turned[-1][:, above] @ pose[:, level])
        linear.append(turned[-1] if reference_from_rest is None else turned[-1] @ reference_from_rest[:, level])
    order = torch.tensor([joint for level, _ in levels for joint in level], device=pose.device).argsort()
    return torch.cat(joints, 1)[:, order], torch.cat(turned, 1)[:, order], torch.cat(linear, 1)[:, order]


class WeightedSums(nn.Module):
    """Sums of a few rows each: a matrix with few entries, applied to rows of numbers.

    Each sum runs over its own entries in their order, so a result does not depend on the number of threads.
    """

    index: Tensor
    starts: Tensor
    weights: Tensor

    def __init__(self, sums: Tensor, rows: Tensor, weights: Tensor, count: int) -> None:
        """Keep the entries that are not zero.

        Args:
            sums: (M,) which sum each entry belongs to.
            rows: (M,) which row it takes.
            weights: (M,) its weight.
            count: how many sums there are.
        """
        super().__init__()
        kept = (weights != 0).nonzero()[:, 0]
        kept = kept[sums[kept].argsort(stable=True)]
        starts = torch.bincount(sums[kept], minlength=count).cumsum(0)
        self.register_buffer("index", rows[kept].long(), persistent=False)
        self.register_buffer("starts", torch.cat((starts.new_zeros(1), starts[:-1])), persistent=False)
        self.register_buffer("weights", weights[kept], persistent=False)

    def dense(self, count: int) -> Tensor:
        """(N, J): the same as a whole matrix, for J rows."""
        sizes = torch.cat((self.starts[1:], self.starts.new_tensor([len(self.index)]))) - self.starts
        sums = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)
        whole = self.weights.new_zeros(len(sizes), count)
        return whole.index_put((sums, self.index), self.weights, accumulate=True)

    def forward(self, rows: Tensor) -> Tensor:
        """(B, N, C): the sums of rows (B, J, C)."""
        batch, _, channels = rows.shape
        summed = functional.embedding_bag(
            self.index,
            rows.transpose(0, 1).flatten(1),
            self.starts,
            mode="sum",
            per_sample_weights=self.weights,
        )  # (N, B C)
        return summed.reshape(-1, batch, channels).transpose(0, 1)


def skin(rest: Tensor, heads: Tensor, joints: Tensor, linear: Tensor, weights: WeightedSums) -> Tensor:
    """Carry a surface along with the bones (linear blend skinning).

    Args:
        rest: (B, V, 3) points at rest.
        heads: (B, J, 3) joint centres at rest.
        joints: (B, J, 3) joint centres now.
        linear: (B, J, 3, 3) rotation of each bone since rest.
        weights: share of each bone in each point, as sums over J rows; those of a point add up to one.

    Returns:
        (B, V, 3) points now.
    """
    shifts = joints - (linear @ heads[..., None])[..., 0]  # bone j sends a rest point x to linear_j x + shift_j
    bones = torch.cat((linear.mT.flatten(2), shifts), dim=2)  # (B, J, 12): three columns, then the shift
    rest = rest.expand(len(bones), -1, -1)
    people = max(1, CACHED_POINTS // rest.shape[1])  # as many at a time as stay in the processor's cache
    skinned = []
    for first in range(0, len(bones), people):
        some = slice(first, first + people)
        blend, points = weights(bones[some]), rest[some]  # (b, V, 12), (b, V, 3)
        turned = (
            blend[..., :3] * points[..., :1] + blend[..., 3:6] * points[..., 1:2] + blend[..., 6:9] * points[..., 2:]
        )
        skinned.append(turned + blend[..., 9:])
    return torch.cat(skinned)
