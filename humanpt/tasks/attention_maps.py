"""Pictures of where withheld patches look in the second picture.

Letters: B batch, N patches, Q chosen ones, S side of a picture, n patches along a side.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.data.image import Rgb
from humanpt.data.shards import Kind
from humanpt.losses import patchify, unpatchify
from humanpt.models.attention_maps import reference_attention
from humanpt.models.croco import CroCo
from humanpt.models.vit import denormalise

FOCI = ((0.5, 0.5), (0.3, 0.5), (0.7, 0.5))
"""Places in a picture, (row, column) as shares of its side; as crops are centred on the subject, it is mostly there."""
LEAST_SIDE = 160
"""Smaller pictures are enlarged to this many pixels, by whole factors."""
OUTLINE = (255, 230, 0)
GAP = 4
PAPER = 255


class AttentionPanel(NamedTuple):
    """Where some withheld patches of one pair look."""

    caption: str
    """Kind of the pair, and how much the hottest patch gets over an even share, for each row."""
    picture: Rgb
    """(H, W, 3): for each chosen patch a row of the first picture as the network was given it, the same complete, and
    the second picture, brighter where the patch looks. The patch is outlined in the first two."""


@torch.no_grad()
def attention_panels(
    model: CroCo, image1: Tensor, image2: Tensor, mask: Tensor, kind: Tensor, *, rows: int = 2
) -> list[AttentionPanel]:
    """Draw where withheld patches look, averaged over heads and decoder blocks.

    Args:
        model: a network with cross-attention.
        image1: (B, 3, S, S) normalised RGB on the model's device.
        image2: the same.
        mask: (B, N) bool on the CPU, True at withheld patches; rows may hold different counts.
        kind: (B,) codes of `Kind`.
        rows: patches to show of each pair, 1 to 3: the withheld ones nearest to the middle, above it and below it.

    Returns:
        A panel for each pair.

    Raises:
        ValueError: if the network has no cross-attention, or rows is out of range.
    """
    if not 1 <= rows <= len(FOCI):
        raise ValueError(f"rows is {rows}, must be 1 to {len(FOCI)}")
    grid = model.config.grid
    patches = torch.from_numpy(np.stack([_nearest_withheld(row.numpy(), grid, rows) for row in mask]))
    hidden = patchify(image1, model.config.patch_size)
    hidden[mask.to(image1.device)] = 0.0  # the mean colour, a grey
    masked, whole, reference = (_pictures(image) for image in (unpatchify(hidden, grid), image1, image2))
    panels = []
    for pair in range(len(mask)):  # one by one: pairs of two kinds may withhold different numbers
        one = slice(pair, pair + 1)
        shares = reference_attention(model, image1[one], image2[one], mask[one], patches[one])[0].mean(dim=0)
        heat = shares.cpu().numpy().reshape(-1, *grid)
        lines = [
            _row(masked[pair], whole[pair], reference[pair], heat[k], int(patches[pair, k])) for k in range(len(heat))
        ]
        peaks = ", ".join(f"{peak * mask.shape[1]:.1f}" for peak in heat.max(axis=(1, 2)))
        name = Kind(int(kind[pair])).name.lower().replace("_", "-")
        panels.append(AttentionPanel(f"{name}; hottest patch {peaks} times an even share", _stack(lines, axis=0)))
    return panels


def _nearest_withheld(mask: NDArray[np.bool_], grid: tuple[int, int], count: int) -> NDArray[np.int64]:
    """(Q,) numbers of different withheld patches, each the nearest to its focus that is left; at most those there are.

    Every mask of a batch withholds at least as many, since a mask withholds most patches.
    """
    rows, columns = grid
    centres = np.stack(np.unravel_index(np.arange(mask.size), grid), axis=1) + 0.5
    free = mask.copy()
    chosen = []
    for focus in FOCI[:count]:
        distance = np.hypot(*(centres / (rows, columns) - focus).T)
        chosen.append(int(np.where(free, distance, np.inf).argmin()))
        if free.sum() > 1:  # of a single withheld patch all rows tell
            free[chosen[-1]] = False
    return np.array(chosen, np.int64)


def _pictures(image: Tensor) -> list[Rgb]:
    """(B, 3, S, S) normalised RGB to B pictures (S, S, 3), enlarged where they are small."""
    factor = max(1, -(-LEAST_SIDE // image.shape[-1]))
    arrays = denormalise(image).permute(0, 2, 3, 1).cpu().numpy()
    return [picture.repeat(factor, axis=0).repeat(factor, axis=1) for picture in arrays]


def _row(masked: Rgb, whole: Rgb, reference: Rgb, heat: NDArray[np.float32], patch: int) -> Rgb:
    """One chosen patch: what was given, what is there, and where it looks; `heat` is (n, n) shares."""
    side = len(masked) // len(heat)
    top, left = (side * place for place in divmod(patch, heat.shape[1]))
    thick = max(1, side // 12)
    inset = thick // 2  # so that the outline stays inside of its patch
    last = side - 1 - inset
    outlined = []
    for picture in (masked, whole):
        copy = picture.copy()
        cv2.rectangle(copy, (left + inset, top + inset), (left + last, top + last), OUTLINE, thick)
        outlined.append(copy)
    return _stack([*outlined, _heated(reference, heat)], axis=1)


def _heated(picture: Rgb, heat: NDArray[np.float32]) -> Rgb:
    """A picture in grey under a map of heat, which is scaled so that its hottest patch is fully coloured."""
    size = picture.shape[1], picture.shape[0]
    shown = cv2.resize(heat / heat.max(), size, interpolation=cv2.INTER_LINEAR)
    coloured = cv2.applyColorMap((shown * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, axis=2)
    weight = 0.25 + 0.6 * shown[..., None]
    mixed: Rgb = (weight * coloured + (1 - weight) * grey).astype(np.uint8)
    return mixed


def _stack(pictures: list[Rgb], axis: int) -> Rgb:
    """Pictures of one size beside or below each other, white between them."""
    parts = []
    for picture in pictures:
        shape = list(picture.shape)
        shape[axis] = GAP
        parts += [np.full(shape, PAPER, np.uint8), picture]
    return np.concatenate(parts[1:], axis=axis)
