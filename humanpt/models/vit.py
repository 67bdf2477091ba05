"""The masked picture encoder: a plain ViT without class token that computes only the patches it is shown.

Source: Dosovitskiy et al., ViT (arXiv 2010.11929); the encoding of visible patches alone is that of He et al., MAE
(arXiv 2111.06377), which CroCo (arXiv 2210.10716) took over.

Letters: B batch, N patches, V patches kept, P patch size, E width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanpt.models.layers import NORM_EPS, Blocks, EncoderBlock
from humanpt.models.positions import PositionCode, Positions, kept

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
"""Mean and spread of ImageNet's colours, red, green, blue, for values from 0 to 1."""


def normalise(pictures: Tensor) -> Tensor:
    """Bring pictures to the scale that the encoder takes.

    Args:
        pictures: (B, 3, H, W) RGB from 0 to 255, of any type.

    Returns:
        (B, 3, H, W) float32, or float64 where that was given.
    """
    mean, std = _colour_scale(pictures.device)
    image: Tensor = (pictures / 255 - mean) / std
    return image


def denormalise(image: Tensor) -> Tensor:
    """(B, 3, H, W) normalised RGB back to uint8 pictures, clipped where a prediction leaves the range."""
    return (to_unit_range(image) * 255).round().clamp(0, 255).to(torch.uint8)


def to_unit_range(image: Tensor) -> Tensor:
    """(B, 3, H, W) normalised RGB to values from 0 to 1."""
    mean, std = _colour_scale(image.device)
    pictures: Tensor = image * std + mean
    return pictures


def _colour_scale(device: torch.device) -> Tensor:
    scale = torch.tensor([IMAGE_MEAN, IMAGE_STD])[:, :, None, None]
    return scale.to(device, non_blocking=True)  # created over there it would wait for all the work queued


class PatchEmbed(nn.Module):
    """A linear map from the pixels of a patch to a token.

    The weights are those of a strided convolution, as ViT files have them, but meet only the patches kept.
    """

    def __init__(self, patch_size: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=patch_size, stride=patch_size)
        self.patch_size = patch_size

    def forward(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        """(B, 3, H, W) pixels, and (B, N) bool with V True in every row or None for all, to (B, V, E) tokens."""
        rows, columns = (side // self.patch_size for side in image.shape[2:])
        cut = image.reshape(image.shape[0], 3, rows, self.patch_size, columns, self.patch_size)
        patches = cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # (B, N, 3PP), as in the weights
        patches = patches if keep is None else kept(patches, keep)
        return functional.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


class Encoder(nn.Module):
    """Pictures to tokens."""

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int,
        depth: int,
        embed_dim: int,
        num_heads: int,
        positions: PositionCode,
        rope_base: float = 100.0,
        cosine_grid: int | None = None,
    ) -> None:
        super().__init__()
        side = image_size // patch_size
        self.image_size = image_size
        self.patch_embed = PatchEmbed(patch_size, embed_dim)
        self.positions = Positions(
            positions,
            grid=(side, side),
            width=embed_dim,
            num_heads=num_heads,
            base=rope_base,
            made_for=cosine_grid,
        )
        self.blocks = Blocks(EncoderBlock(embed_dim, num_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dim, eps=NORM_EPS)

    def forward(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        """Encode a picture, or only some of its patches.

        Args:
            image: (B, 3, image_size, image_size) normalised RGB.
            keep: (B, N) bool, True at the patches to encode, the same count V in every row; None means all. It may lie
                on the CPU while the picture is on a GPU.

        Returns:
            (B, V, E) tokens in row-major order.

        Raises:
            ValueError: if the picture has another size, or `keep` another shape or uneven rows.
        """
        tokens, turns = self._embed(image, keep)
        out: Tensor = self.norm(self.blocks.run(tokens, turns))
        return out

    def taps(self, image: Tensor, blocks: Sequence[int]) -> list[Tensor]:
        """The tokens of whole pictures after some of the blocks, for heads that read several depths.

        Args:
            image: (B, 3, image_size, image_size) normalised RGB.
            blocks: their numbers, counted from 0.

        Returns:
            (B, N, E) after each, in the order of `blocks`; after the last block they are normed, as `forward` gives
            them.

        Raises:
            ValueError: if the picture has another size, or there is no such block.
        """
        if wrong := [number for number in blocks if not 0 <= number < len(self.blocks)]:
            raise ValueError(f"there is no block {wrong[0]}; they are numbered from 0 to {len(self.blocks) - 1}")
        found = dict(enumerate(self.blocks.each(*self._embed(image, None))))
        found[len(self.blocks) - 1] = self.norm(found[len(self.blocks) - 1])
        return [found[number] for number in blocks]

    def _embed(self, image: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(B, V, E) tokens as the first block takes them, and the turns of `positions.turn` that all blocks take."""
        if image.shape[1:] != (3, self.image_size, self.image_size):
            wanted = (3, self.image_size, self.image_size)
            raise ValueError(f"the encoder takes pictures of shape {wanted}, not {tuple(image.shape[1:])}")
        # Under autocast the running sum stays in the weights' precision; only what the blocks add to it is rounded.
        tokens = self.patch_embed(image, keep).to(self.norm.weight.dtype)
        return self.positions.add(tokens, keep), self.positions.turns(keep)
