"""A head that reads dense maps from a trunk's tokens, and the network of dense pose: body parts and where on them.

Source: Ranftl et al., DPT (arXiv 2103.13413): tokens of four depths become maps of four sizes, which are fused from
the coarsest to the finest; 256 channels give that paper's widths of 96, 192, 384 and 768. Parts and surface
coordinates are DensePose's (Güler et al., arXiv 1802.00434). We depart from DPT in that there is no token to read out,
as our encoders have none, and no batch norm, which is of no use to small batches; that tokens are normed where they are
read, as what an encoder's blocks add up to grows with the depth; and in the first weights, with which few steps go
farther.

Letters: B batch, N patches, S side of a picture, h = w patches on a side, E encoder width, C channels, P parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Size, Tensor, nn
from torch.nn import functional

from humanpt.body.skeletons import BODY_PARTS
from humanpt.errors import ConfigError
from humanpt.models.layers import NORM_EPS
from humanpt.models.trunk import Trunk

LEVELS = 4


@dataclass(frozen=True, kw_only=True)
class DenseHeadConfig:
    """Shape of the head, and what it names."""

    part_names: tuple[str, ...] = BODY_PARTS
    """The P parts of the surface, in the order of the data's labels."""
    channels: int = 128
    """Channels in which the four levels are fused, a multiple of 8; 256 in the paper, and 64 suits the tiny encoder."""

    def __post_init__(self) -> None:
        if self.channels < 8 or self.channels % 8:
            raise ConfigError(f"channels is {self.channels}; it must be a multiple of 8")
        if not self.part_names:
            raise ConfigError("part_names is empty; dense pose needs the names of the parts of a surface")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the levels before they are fused, from the finest to the coarsest."""
        return tuple(3 * self.channels // 8 * 2**level for level in range(LEVELS))


def tap_blocks(depth: int) -> tuple[int, ...]:
    """The encoder blocks that the four levels read, counted from 0, evenly spread and ending with the last.

    For 12 blocks 2, 5, 8, 11 and for 24 blocks 5, 11, 17, 23; an encoder of fewer than four is read twice at a block.
    """
    return tuple(-(-depth * (level + 1) // LEVELS) - 1 for level in range(LEVELS))


class Residual(nn.Module):
    """Two 3 x 3 convolutions added to what comes in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) to the same."""
        inner = functional.relu(self.first(functional.relu(maps)))
        out: Tensor = maps + self.second(inner)
        return out


class Fusion(nn.Module):
    """A level added to what the coarser ones say."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.level = Residual(channels)
        self.both = Residual(channels)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, level: Tensor, coarser: Tensor | None) -> Tensor:
        """(B, C, h, w) level and (B, C, about h/2, w/2) of the coarser ones, None at the coarsest, to (B, C, h, w)."""
        maps = self.level(level)
        if coarser is not None:
            maps = maps + resized(coarser, level.shape[2:])
        out: Tensor = self.out(self.both(maps))
        return out


class DptHead(nn.Module):
    """Tokens of four depths to maps of the size of the picture.

    Args:
        width: E of the tokens.
        grid: rows and columns of patches.
        out_channels: C of the result.
        config: its shape.
    """

    def __init__(self, width: int, grid: tuple[int, int], out_channels: int, config: DenseHeadConfig) -> None:
        super().__init__()
        self.grid = grid
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=NORM_EPS) for _ in range(LEVELS))
        widths, channels = config.widths, config.channels
        # At 4, 2, 1 and 1/2 times the sides of the grid of patches: strides 4, 8, 16 and 32 for patches of 16 pixels.
        resample = (
            nn.ConvTranspose2d(widths[0], widths[0], 4, stride=4),
            nn.ConvTranspose2d(widths[1], widths[1], 2, stride=2),
            nn.Identity(),
            nn.Conv2d(widths[3], widths[3], 3, stride=2, padding=1),
        )
        self.levels = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, level, 1), change, nn.Conv2d(level, channels, 3, padding=1, bias=False))
            for level, change in zip(widths, resample, strict=True)
        )
        self.fusions = nn.ModuleList(Fusion(channels) for _ in widths)
        self.narrow = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.smooth = nn.Conv2d(channels // 2, channels // 2, 3, padding=1)
        self.answer = nn.Conv2d(channels // 2, out_channels, 1)
        self.apply(_init)
        nn.init.normal_(self.answer.weight, std=0.02)  # all answers are nearly alike at first

    def forward(self, taps: list[Tensor], size: int) -> Tensor:
        """Turn tokens into maps.

        Args:
            taps: four of (B, N, E), from the shallowest to the deepest, row-major.
            size: side S of the result in pixels.

        Returns:
            (B, C, S, S).

        Raises:
            ValueError: if there are not four.
        """
        if len(taps) != LEVELS:
            raise ValueError(f"the head reads {LEVELS} depths, not {len(taps)}")
        normed = [norm(tokens) for norm, tokens in zip(self.norms, taps, strict=True)]
        planes = [tokens.mT.reshape(tokens.shape[0], -1, *self.grid) for tokens in normed]  # (B, E, h, w)
        levels = [level(plane) for level, plane in zip(self.levels, planes, strict=True)]  # 4h, 2h, h and h/2 high
        maps: Tensor | None = None
        for level, fusion in zip(reversed(levels), reversed(self.fusions), strict=True):
            maps = fusion(level, maps)
        assert maps is not None
        maps = self.narrow(maps)
        maps = resized(maps, [2 * side for side in maps.shape[2:]])
        # The last, linear map commutes with the interpolation: made first, it meets a quarter of the pixels or fewer.
        return resized(self.answer(functional.relu(self.smooth(maps))), (size, size))


class DensePoseMaps(NamedTuple):
    """What the network says of every pixel."""

    parts: Tensor
    """(B, 1 + P, S, S) logits: of no body, then of each part in the order of `part_names`."""
    uv: Tensor
    """(B, 2, P, S, S) surface coordinates u and v that the pixel has if it lies on that part."""

    def best(self) -> tuple[Tensor, Tensor]:
        """The answer for every pixel.

        Returns:
            (B, S, S) int64 part, 0 for none and from 1 in the order of `part_names`; and (B, 2, S, S) u and v on it,
            from 0 to 1, zero where there is no part.
        """
        part = self.parts.argmax(dim=1)
        of_part = (part - 1).clamp_min(0)[:, None, None].expand(-1, 2, -1, -1, -1)
        uv = self.uv.gather(2, of_part)[:, :, 0].float().clamp(0, 1)
        return part, uv * (part > 0)[:, None]


class DensePoseNetwork(nn.Module):
    """Pictures to parts and surface coordinates.

    Args:
        trunk: of one view, as the head reads the encoder at several depths.
        config: shape of the head.

    Raises:
        ValueError: if the trunk is of two views.
    """

    def __init__(self, trunk: Trunk, config: DenseHeadConfig) -> None:
        super().__init__()
        if trunk.views != 1:
            raise ValueError("dense pose reads the encoder of one picture; give a trunk of one view")
        self.trunk = trunk
        self.parts = len(config.part_names)
        self.blocks = tap_blocks(trunk.config.enc_depth)
        self.head = DptHead(trunk.config.enc_dim, trunk.grid, 1 + 3 * self.parts, config)

    def forward(self, image: Tensor) -> DensePoseMaps:
        """(B, 3, S, S) normalised RGB to maps of the same size."""
        answers = self.head(self.trunk.taps(image, self.blocks), image.shape[-1])
        parts, uv = answers.split((1 + self.parts, 2 * self.parts), dim=1)
        # Read from the middle of a part, from which nothing is far.
        return DensePoseMaps(parts=parts, uv=uv.reshape(uv.shape[0], 2, self.parts, *uv.shape[2:]) + 0.5)


def _init(module: nn.Module) -> None:
    """For `Module.apply`: linear maps keep the size of what they are given, and residuals add nothing at first."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        # The enlarging maps step as far as they are wide: each of their results comes of one place of all channels.
        terms = module.weight.shape[0] if isinstance(module, nn.ConvTranspose2d) else module.weight[0].numel()
        nn.init.normal_(module.weight, std=terms**-0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, Residual):
        nn.init.zeros_(module.second.weight)


def resized(maps: Tensor, size: tuple[int, int] | list[int] | Size) -> Tensor:
    """(B, C, ., .) maps to (B, C, *size), linearly, pixel centres where they belong."""
    if tuple(maps.shape[2:]) == tuple(size):
        return maps
    return functional.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
