"""A small convolutional trunk for networks that must be fast on a CPU: that of our own detector, with its weights.

It stands where `trunk.Trunk` would, for tasks on one picture. Its weights begin as those of the shipped detector, which
has seen some hundred thousand generated hands or people; norms are inside the convolutions there, and it is trained on
without them.

Letters: B batch, S side of a picture, N = (S / 8) ** 2 cells, D channels of a cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from humanpt.errors import ConfigError
from humanpt.models.heatmap import COARSEST, STRIDE, ConvPyramid, HeatMapConfig
from humanpt.models.vit import to_unit_range


@dataclass(frozen=True, kw_only=True)
class ConvTrunkConfig:
    """Sizes; all but that of the pictures are the detector's."""

    image_size: int = 96
    """Side of the pictures in pixels, a multiple of 32."""

    def __post_init__(self) -> None:
        if self.image_size < COARSEST or self.image_size % COARSEST:
            raise ConfigError(f"conv.image_size is {self.image_size}; it must be a multiple of {COARSEST}")


class ConvTrunk(nn.Module):
    """Pictures to cells, called as `trunk.Trunk` is."""

    views: Literal[1] = 1

    def __init__(self, config: ConvTrunkConfig) -> None:
        super().__init__()
        sizes = HeatMapConfig()
        pyramid = ConvPyramid(sizes.widths, sizes.depths, sizes.head_dim).fuse().train()
        # Optimisers read weights and their own moments side by side in memory, and files keep no memory format.
        self.pyramid = pyramid.to(memory_format=torch.contiguous_format)
        self.config = config
        self.width = sizes.head_dim
        self.grid = (config.image_size // STRIDE, config.image_size // STRIDE)

    def forward(self, image1: Tensor, image2: Tensor | None = None) -> Tensor:
        """Describe pictures, (B, 3, S, S) normalised RGB, by (B, N, D) cells in row-major order.

        Raises:
            ValueError: if there is a second picture.
        """
        if image2 is not None:
            raise ValueError("this network takes 1 picture of each sample")
        tokens: Tensor = self.pyramid.describe(to_unit_range(image1)).flatten(2).mT
        return tokens
