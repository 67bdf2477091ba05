"""What training lowers: pure functions on tensors.

Source of the completion loss: He et al., MAE (arXiv 2111.06377), and Weinzaepfel et al., CroCo (arXiv 2210.10716); one
term for each kind of pair as in CroCo-Man (arXiv 2311.09104). That each averages over its own kind's patches is ours.

The errors of meshes count labels that are known alone, so that data sets with fewer labels train beside others; ours.

Letters: B batch, N patches, M withheld ones, P patch size, K kinds of pairs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

PATCH_EPS = 1e-6


def patchify(image: Tensor, patch_size: int) -> Tensor:
    """Cut pictures into patches.

    Args:
        image: (B, 3, H, W), H and W multiples of the patch size.
        patch_size: height and width of a patch in pixels.

    Returns:
        (B, N, 3PP) patches in row-major order; within a patch row, column, channel.

    Raises:
        ValueError: if the picture does not divide into patches.
    """
    if image.ndim != 4 or image.shape[2] % patch_size or image.shape[3] % patch_size:
        raise ValueError(f"pictures of shape {tuple(image.shape)} do not divide into patches of {patch_size} pixels")
    rows, columns = (side // patch_size for side in image.shape[2:])
    cut = image.reshape(len(image), 3, rows, patch_size, columns, patch_size)
    return cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def unpatchify(patches: Tensor, grid: tuple[int, int]) -> Tensor:
    """Lay patches back to pictures: what `patchify` does, undone.

    Args:
        patches: (B, N, 3PP).
        grid: rows and columns of patches, N in all.

    Returns:
        (B, 3, H, W).
    """
    side = round((patches.shape[2] / 3) ** 0.5)
    cut = patches.reshape(len(patches), *grid, side, side, 3)
    return cut.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)


def patch_scale(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of every patch, by which a target is normalised and a prediction brought back to colours.

    Args:
        patches: (..., 3PP).

    Returns:
        Mean and spread, (..., 1) each; the spread is the root of the unbiased variance plus 1e-6.
    """
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return mean, (variance + PATCH_EPS).sqrt()


def normalise_patches(patches: Tensor) -> Tensor:
    """(..., 3PP) patches, each shifted and scaled to mean 0 and variance 1; flat patches become 0."""
    mean, spread = patch_scale(patches)
    return (patches - mean) / spread


def pair_errors(predictions: Tensor, targets: Tensor) -> Tensor:
    """Squared error of each pair, averaged over the pixels of a patch and over the withheld patches.

    Args:
        predictions: (B, M, 3PP) of the withheld patches; a lower precision than that of the targets is raised to it.
        targets: (B, M, 3PP).

    Returns:
        (B,) errors in the precision of the targets.

    Raises:
        ValueError: if the shapes differ.
    """
    if predictions.shape != targets.shape:
        raise ValueError(f"predictions {tuple(predictions.shape)} and targets {tuple(targets.shape)} differ in shape")
    return (predictions.to(targets.dtype) - targets).square().mean(dim=(1, 2))


def completion_loss(errors: Tensor, kind: Tensor, balance: Tensor, weights: tuple[float, ...]) -> Tensor:
    """One part of L = L_view + L_pose, each term the mean over its own kind's withheld patches in the whole step.

    Pairs of one kind withhold the same number of patches, so a kind's mean is the mean over its pairs. `balance` turns
    the mean over pairs into the sum of those means, also where a step is divided over batches and processes: the mean
    of what the parts give is what the whole gives.

    Args:
        errors: (B,) from `pair_errors`.
        kind: (B,) integers that index the weights.
        balance: (B,) pairs in the step over pairs of the same kind in the step.
        weights: one for each of K kinds.

    Returns:
        A scalar, to which an absent kind adds 0.
    """
    of_kind = sum(weight * (kind == code) for code, weight in enumerate(weights))
    return (errors * balance * of_kind).mean()


def kind_means(errors: Tensor, kind: Tensor, kinds: int) -> Tensor:
    """The mean error of each kind of pair, for the log.

    Args:
        errors: (B,) from `pair_errors`.
        kind: (B,) integers from 0 to kinds - 1.
        kinds: how many there are.

    Returns:
        (kinds,) means without gradient, NaN for an absent kind.
    """
    members = kind == torch.arange(kinds, device=kind.device)[:, None]  # (K, B)
    counts = members.sum(dim=1)
    means = torch.where(members, errors.detach(), 0).sum(dim=1) / counts.clamp(min=1)
    return means.masked_fill(counts == 0, torch.nan)


def known_l1(predicted: Tensor, true: Tensor) -> Tensor:
    """The mean absolute difference over the labels that are known, 0 where none is.

    Args:
        predicted: of any shape.
        true: the same shape; what is not finite is not known, and moves nothing.

    Raises:
        ValueError: if the shapes differ.
    """
    return _known_mean(predicted, true, torch.abs)


def known_square(predicted: Tensor, true: Tensor) -> Tensor:
    """The mean squared difference over the labels that are known; as `known_l1`."""
    return _known_mean(predicted, true, torch.square)


def _known_mean(predicted: Tensor, true: Tensor, error: Callable[[Tensor], Tensor]) -> Tensor:
    if predicted.shape != true.shape:
        raise ValueError(f"predictions {tuple(predicted.shape)} and labels {tuple(true.shape)} differ in shape")
    known = true.isfinite()
    off = torch.where(known, predicted - true.masked_fill(~known, 0), 0)
    return error(off).sum() / known.sum().clamp_min(1)
