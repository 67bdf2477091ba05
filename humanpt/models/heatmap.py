"""A small network that draws where subjects are: a heat map of centres, the four sides of a box, and a mask.

Every cell of a grid of stride 8 says how much it is the centre of a subject, of which of two kinds if there are two,
how far the sides of that subject's box are, and how likely it lies on a subject. That a hand is there and which hand it
is are two questions: with a heat map for each kind, hands of doubtful side were found by neither.

The idea is CenterNet's (Zhou et al., arXiv 1904.07850), the wide centres and the distances to the sides are TTFNet's
(Liu et al., arXiv 1909.00700); the body is ours, chosen by what a CPU does fast, training included: dense 3 x 3
convolutions with few channels and no wide layer in between. Measured with bf16 on one core, they reach 200 GFLOP/s
forth and back; a 5 x 5 convolution of each channel alone, cheap to compute on paper, took longer to train than a dense
one.

Letters: B batch, K kinds of subjects (1 or 2), H and W sides of the picture, h = H / 8 and w = W / 8 of the grid, C
channels, D of the map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from humanpt.errors import ConfigError

STRIDE = 8  # of the grid, in pixels
COARSEST = 32  # stride of the deepest layers; sides of a picture are multiples of it
UNIT = 32.0  # pixels of a distance whose raw output is 0
RAREST = 0.01  # the share of centres that the untrained network expects
REACH = 4.0  # largest absolute raw distance: from UNIT / 55 to 55 UNIT


@dataclass(frozen=True, kw_only=True)
class HeatMapConfig:
    """Shape of the network."""

    kinds: int = 1
    """Kinds of subjects: 1 for bodies, 2 for left and right hands."""
    widths: tuple[int, int, int, int] = (32, 64, 112, 144)
    """Channels at strides 4, 8, 16 and 32."""
    depths: tuple[int, int, int, int] = (1, 2, 2, 2)
    """Residual blocks at these strides."""
    head_dim: int = 64
    """Channels where the strides meet and the answers are drawn."""

    def __post_init__(self) -> None:
        if self.kinds not in (1, 2) or self.head_dim < 1:
            raise ConfigError(f"heat map: kinds is {self.kinds}, which must be 1 or 2, and head_dim {self.head_dim}")
        if min(self.widths) < 1 or min(self.depths) < 1:
            raise ConfigError(f"heat map: widths {self.widths} and depths {self.depths} must be positive")


class HeatMaps(NamedTuple):
    """What the network says of every cell."""

    centre: Tensor
    """(B, 1, h, w) logits of being the middle of a subject."""
    kind: Tensor
    """(B, K - 1, h, w) logits of its being of the second kind."""
    sides: Tensor
    """(B, 4, h, w) distances in pixels from the cell's middle to the left, top, right and bottom of the box."""
    mask: Tensor
    """(B, 1, h, w) logits of lying on a subject."""


class ConvUnit(nn.Module):
    """Convolution, batch norm, and a ReLU unless it is left out."""

    def __init__(self, dim_in: int, dim: int, size: int = 3, stride: int = 1, active: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim_in, dim, size, stride, size // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(dim)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) to (B, dim, ...)."""
        x = self.norm(self.conv(x))
        return F.relu(x, inplace=True) if self.active else x

    def fuse(self) -> None:
        """Take the norm, as it is when evaluating, into the convolution."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class DenseBlock(nn.Module):
    """Two 3 x 3 convolutions and a way round them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(ConvUnit(dim, dim), ConvUnit(dim, dim, active=False))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) to the same shape."""
        return F.relu(x + self.inner(x))


class ConvPyramid(nn.Module):
    """Convolutions down to stride 32 and back up to stride 8: pictures to a map of features, for a head to read.

    Args:
        widths: channels at strides 4, 8, 16 and 32.
        depths: residual blocks at these strides.
        head_dim: channels D of the map.
    """

    def __init__(self, widths: tuple[int, int, int, int], depths: tuple[int, int, int, int], head_dim: int) -> None:
        super().__init__()
        fine, grid, coarse, coarsest = widths
        # 2 x 2 pixels become channels, so that the first convolution, 6 x 6 with stride 4 in effect, is a dense one.
        self.stem = ConvUnit(12, fine, stride=2)
        self.fine = nn.Sequential(*(DenseBlock(fine) for _ in range(depths[0])))
        self.to_grid = ConvUnit(fine, grid, stride=2)
        self.grid = nn.Sequential(*(DenseBlock(grid) for _ in range(depths[1])))
        self.to_coarse = ConvUnit(grid, coarse, stride=2)
        self.coarse = nn.Sequential(*(DenseBlock(coarse) for _ in range(depths[2])))
        self.to_coarsest = ConvUnit(coarse, coarsest, stride=2)
        self.coarsest = nn.Sequential(*(DenseBlock(coarsest) for _ in range(depths[3])))
        self.from_coarsest = ConvUnit(coarsest, head_dim, 1, active=False)
        self.from_coarse = ConvUnit(coarse, head_dim, 1, active=False)
        self.from_grid = ConvUnit(grid, head_dim, 1, active=False)
        self.meet_coarse = ConvUnit(head_dim, head_dim)
        self.meet_grid = nn.Sequential(ConvUnit(head_dim, head_dim), ConvUnit(head_dim, head_dim))

    def describe(self, pictures: Tensor) -> Tensor:
        """The map of features.

        Args:
            pictures: (B, 3, H, W) RGB from 0 to 1; sides are multiples of 32.

        Returns:
            (B, D, h, w).

        Raises:
            ValueError: if the sides are not.
        """
        if pictures.ndim != 4 or pictures.shape[-2] % COARSEST or pictures.shape[-1] % COARSEST:
            raise ValueError(f"pictures have the shape {tuple(pictures.shape)}; sides must be multiples of {COARSEST}")
        x = F.pixel_unshuffle(pictures - 0.5, 2).contiguous(memory_format=torch.channels_last)
        grid = self.grid(self.to_grid(self.fine(self.stem(x))))
        coarse = self.coarse(self.to_coarse(grid))
        coarsest = self.coarsest(self.to_coarsest(coarse))
        coarse = self.meet_coarse(F.relu(self.from_coarse(coarse) + _twice(self.from_coarsest(coarsest))))
        met: Tensor = self.meet_grid(F.relu(self.from_grid(grid) + _twice(coarse)))
        return met

    def fuse(self) -> Self:
        """Take norms into convolutions, evaluation mode, channels last: ready to look, or to train without norms."""
        self.eval()
        for unit in [module for module in self.modules() if isinstance(module, ConvUnit)]:
            unit.fuse()
        return self.to(memory_format=torch.channels_last)


class HeatMapNet(ConvPyramid):
    """The whole network; pictures in, `HeatMaps` out."""

    def __init__(self, config: HeatMapConfig) -> None:
        super().__init__(config.widths, config.depths, config.head_dim)
        self.config = config
        self.answers = nn.Conv2d(config.head_dim, config.kinds + 5, 1)  # centre, kind, sides, mask
        nn.init.normal_(self.answers.weight, std=0.01)
        first = torch.zeros(config.kinds + 5)
        first[0] = math.log(RAREST / (1 - RAREST))
        self.answers.bias = nn.Parameter(first)

    def forward(self, pictures: Tensor) -> HeatMaps:
        """Look at pictures, (B, 3, H, W) as `describe` takes them."""
        answers = self.answers(self.describe(pictures)).float()
        kinds = self.config.kinds
        sides = answers[:, kinds : kinds + 4].clamp(-REACH, REACH).exp() * UNIT
        return HeatMaps(centre=answers[:, :1], kind=answers[:, 1:kinds], sides=sides, mask=answers[:, kinds + 4 :])


def cell_middles(height: int, width: int) -> tuple[Tensor, Tensor]:
    """The middles of a grid's cells in pixels, pixel (0, 0) being the middle of the first: (1, w) across, (h, 1) down.

    Args:
        height, width: h and w of the grid.
    """
    first = (STRIDE - 1) / 2
    across = torch.arange(width, dtype=torch.float32) * STRIDE + first
    down = torch.arange(height, dtype=torch.float32) * STRIDE + first
    return across[None, :], down[:, None]


def boxes_of(sides: Tensor) -> Tensor:
    """Distances to the sides, (..., 4, h, w), as edges x1, y1, x2, y2 in pixels, of the same shape."""
    across, down = (middle.to(sides.device) for middle in cell_middles(sides.shape[-2], sides.shape[-1]))
    left, top, right, bottom = sides.unbind(-3)
    return torch.stack([across - left, down - top, across + right, down + bottom], dim=-3)


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
