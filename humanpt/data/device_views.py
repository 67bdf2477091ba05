"""The views of `augment`, made of a whole batch at once on the device where it lies.

They differ from those only in rounding: nothing is rounded between the stored picture and the result, where the host
rounds to whole levels after resizing and after colouring.

Letters: B batch, S side of a stored picture, T that of the picture which is cropped, C that of the crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from humanpt.data.augment import LUMA, AugmentConfig, Draw, area_shares


def stack_draws(draws: Sequence[Draw]) -> Tensor:
    """(B, 5) float32, the numbers of each draw in their order."""
    return torch.tensor(draws, dtype=torch.float32)


def device_views(stored: Tensor, draws: Tensor, config: AugmentConfig) -> Tensor:
    """Cut and colour views as `augment.view` does.

    Args:
        stored: (B, 3, S, S) uint8 stored pictures.
        draws: (B, 5) from `stack_draws`, on the same device.
        config: sizes.

    Returns:
        (B, 3, C, C) float32 from 0 to 255, channels last in memory.
    """
    with torch.autocast(stored.device.type, enabled=False):  # its half precision has fewer levels than a picture
        pictures = _resize(stored, config.stored_size)
        left, top = draws[:, :2].long().unbind(1)
        return _jitter(_crop(pictures, left, top, config.crop_size), draws[:, 2:])


def _resize(pictures: Tensor, size: int) -> Tensor:
    """(B, 3, S, S) to (B, 3, size, size): averaged over areas when it shrinks, linear when it grows."""
    side = pictures.shape[-1]
    if side == size:
        return pictures
    if side < size:
        return functional.interpolate(pictures.float(), size=(size, size), mode="bilinear", align_corners=False)
    shares = _area_matrix(size, side, pictures.device)
    return shares @ pictures.float() @ shares.T


@lru_cache(maxsize=8)
def _area_matrix(size: int, side: int, device: torch.device) -> Tensor:
    """(size, side) share of each new pixel that lies in each old one."""
    return torch.from_numpy(area_shares(0.0, 1.0, size, side).copy()).to(device)


def _crop(pictures: Tensor, left: Tensor, top: Tensor, size: int) -> Tensor:
    """Cut (B, 3, size, size) out of (B, 3, T, T) at (B,) columns and rows of their own."""
    steps = torch.arange(size, device=pictures.device)
    rows, columns = (top[:, None] + steps)[:, :, None], (left[:, None] + steps)[:, None, :]
    every = torch.arange(len(pictures), device=pictures.device)[:, None, None]
    return pictures[every, :, rows, columns].permute(0, 3, 1, 2)


def _jitter(crops: Tensor, factors: Tensor) -> Tensor:
    """Colour (B, 3, C, C) crops by (B, 3) brightness, contrast and saturation, clipped as bytes would be."""
    colours = crops.float()
    brightness, contrast, saturation = factors[:, :, None, None, None].unbind(1)  # (B, 1, 1, 1) each
    luma = _luma(crops.device)[:, None, None]
    grey = (colours * luma).sum(dim=1, keepdim=True)  # (B, 1, C, C)
    mean = grey.mean(dim=(2, 3), keepdim=True)
    coloured = torch.lerp(grey, colours, saturation)
    return (torch.lerp(mean, coloured, contrast) * brightness).clamp(0, 255)


@lru_cache(maxsize=8)
def _luma(device: torch.device) -> Tensor:
    return torch.from_numpy(LUMA).float().to(device)
