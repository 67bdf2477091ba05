"""CroCo: complete a masked picture with the help of a second picture.

Sources: Weinzaepfel et al., CroCo (arXiv 2210.10716) and CroCo v2 (arXiv 2211.10408); used on people by CroCo-Man
(arXiv 2311.09104). We depart from them in nothing that changes a prediction: only withheld patches are mapped to
pixels, because only they enter the loss, and position tables are not stored. The presets `tiny` and `vits16_small` are
ours, and so is predicting only a part of the withheld patches. Without cross-attention this is MAE (He et al., arXiv
2111.06377), the baseline of one picture.

Letters: B batch, N patches, V visible ones, M withheld ones that are predicted, P patch size, E encoder width,
D decoder width.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, get_args

import torch
from torch import Tensor, nn

from humanpt.errors import ConfigError
from humanpt.models.attention import AttentionKernel
from humanpt.models.layers import NORM_EPS, Blocks, CrossAttention, DecoderBlock, SelfAttention, init_weights
from humanpt.models.positions import PositionCode, Positions, kept, places
from humanpt.models.vit import Encoder


@dataclass(frozen=True, kw_only=True)
class CroCoConfig:
    """Sizes of the network; the defaults are ViT-B/16 with the small decoder."""

    image_size: int = 224
    """Height and width of both pictures, in pixels."""
    patch_size: int = 16
    """Height and width of a patch, in pixels."""
    enc_depth: int = 12
    """Blocks of the encoder."""
    enc_dim: int = 768
    """Width of the encoder's tokens."""
    enc_heads: int = 12
    """Attention heads of an encoder block."""
    dec_depth: int = 8
    """Blocks of the decoder."""
    dec_dim: int = 512
    """Width of the decoder's tokens."""
    dec_heads: int = 16
    """Attention heads of a decoder block, in self- and in cross-attention."""
    positions: PositionCode = "rope"
    """Position code: `rope` turns queries and keys (CroCo v2), `cosine` adds a table to the tokens (CroCo v1), and
    `learned` trains the encoder's table, as ViT and some MAE files have it, with the decoder's one as in `cosine`."""
    rope_base: float = 100.0
    """Base of the rotary frequencies; without effect on `cosine`."""
    cosine_grid: int | None = None
    """Patches on a side that the sine-cosine tables are made for; None means those of the pictures. Weights trained on
    pictures of another size want the tables of that size, resized, as their authors do."""
    cross_attention: bool = True
    """Whether the decoder looks at a second picture; without it this is the masked autoencoder of one picture."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in ("positions", "cross_attention") and value is not None and value <= 0:
                raise ConfigError(f"{field.name} is {value}; it must be positive")
        if self.positions not in get_args(PositionCode):
            raise ConfigError(f"positions is {self.positions!r}; choose {' or '.join(get_args(PositionCode))}")
        if self.image_size % self.patch_size:
            raise ConfigError(
                f"image_size is {self.image_size}; it must be a multiple of patch_size, {self.patch_size}"
            )
        for side, dim, heads in (("enc", self.enc_dim, self.enc_heads), ("dec", self.dec_dim, self.dec_heads)):
            if dim % (4 * heads):
                raise ConfigError(f"{side}_dim is {dim}; it must be a multiple of 4 times {side}_heads, {heads}")

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return (self.image_size // self.patch_size,) * 2

    @property
    def num_patches(self) -> int:
        """Patches of a picture."""
        return self.grid[0] * self.grid[1]


def tiny() -> CroCoConfig:
    """For tests and trials: 64 x 64 pictures, 16 patches, 210,944 parameters."""
    return CroCoConfig(image_size=64, enc_depth=2, enc_dim=64, enc_heads=4, dec_depth=2, dec_dim=32, dec_heads=2)


def vits16_small() -> CroCoConfig:
    """ViT-S/16 with the small decoder at ViT-S's proportions (8 x 256 x 8): 14.0 GFLOP forward per pair at mask 0.9."""
    return CroCoConfig(enc_dim=384, enc_heads=6, dec_dim=256, dec_heads=8)


def vitb16_small() -> CroCoConfig:
    """ViT-B/16 with CroCo's small decoder, the default of v1 and the smaller v2: 120,076,288 parameters."""
    return CroCoConfig()


def vitb16_base() -> CroCoConfig:
    """ViT-B/16 with CroCo v2's base decoder: 200,269,824 parameters."""
    return CroCoConfig(dec_depth=12, dec_dim=768, dec_heads=12)


def vitl16_base() -> CroCoConfig:
    """ViT-L/16 with CroCo v2's base decoder: 417,918,720 parameters."""
    return CroCoConfig(enc_depth=24, enc_dim=1024, enc_heads=16, dec_depth=12, dec_dim=768, dec_heads=12)


class Decoder(nn.Module):
    """Tokens of one picture, read against the tokens of another."""

    def __init__(self, config: CroCoConfig) -> None:
        super().__init__()
        width, heads = config.dec_dim, config.dec_heads
        code: PositionCode = "rope" if config.positions == "rope" else "cosine"
        self.positions = Positions(
            code, grid=config.grid, width=width, num_heads=heads, base=config.rope_base, made_for=config.cosine_grid
        )
        self.blocks = Blocks(DecoderBlock(width, heads, config.cross_attention) for _ in range(config.dec_depth))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.cross_attention = config.cross_attention

    def forward(self, queries: Tensor, memory: Tensor | None, present: Tensor | None = None) -> Tensor:
        """Decode the tokens of `image1`.

        Args:
            queries: (B, N, D), or fewer where not all patches are present.
            memory: (B, N, D) tokens of `image2`, complete; None without cross-attention.
            present: (B, N) bool, True at the patches that `queries` holds, the same count in every row; None means all.

        Returns:
            The shape of `queries`.

        Raises:
            ValueError: if there is a memory without cross-attention, or none with it.
        """
        if (memory is None) == self.cross_attention:
            raise ValueError("a second picture is needed with cross-attention, and with cross-attention alone")
        # The running sum stays in full precision, as in the encoder.
        tokens = self.positions.add(queries.to(self.norm.weight.dtype), present)
        memory = None if memory is None else self.positions.add(memory)
        tokens = self.blocks.run(tokens, memory, self.positions.turns(present), self.positions.turns())
        out: Tensor = self.norm(tokens)
        return out


class Siamese(nn.Module):
    """The encoder that both pictures go through, and how the blocks of a network around it are run."""

    def __init__(self, config: CroCoConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(
            image_size=config.image_size,
            patch_size=config.patch_size,
            depth=config.enc_depth,
            embed_dim=config.enc_dim,
            num_heads=config.enc_heads,
            positions=config.positions,
            rope_base=config.rope_base,
            cosine_grid=config.cosine_grid,
        )

    @property
    def attention(self) -> AttentionKernel | None:
        """The kernel of every attention; None, as at first, leaves the choice to `models.attention.attention`."""
        return self._attentions()[0].kernel

    @attention.setter
    def attention(self, kernel: AttentionKernel | None) -> None:
        for module in self._attentions():
            module.kernel = kernel

    @property
    def checkpoint_activations(self) -> bool:
        """Whether blocks compute what is inside them again backward: less memory, more time, equal results."""
        return self._stacks()[0].checkpoint_activations

    @checkpoint_activations.setter
    def checkpoint_activations(self, forget: bool) -> None:
        for blocks in self._stacks():
            blocks.checkpoint_activations = forget

    def compile_blocks(self, **options: Any) -> None:
        """Compile every block in place; `options` are those of `torch.compile`.

        Blocks hold nearly all the work, and one compilation serves all blocks of a kind. What lies between them takes
        its shapes from the mask and would break a graph of the whole network.
        """
        for blocks in self._stacks():
            for block in blocks:
                block.compile(**options)

    def _attentions(self) -> list[SelfAttention | CrossAttention]:
        return [module for module in self.modules() if isinstance(module, SelfAttention | CrossAttention)]

    def _stacks(self) -> list[Blocks]:
        return [module for module in self.modules() if isinstance(module, Blocks)]


class CroCo(Siamese):
    """One encoder for both pictures, a decoder with cross-attention, and a linear map to pixels."""

    def __init__(self, config: CroCoConfig) -> None:
        super().__init__(config)
        self.to_decoder = nn.Linear(config.enc_dim, config.dec_dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.dec_dim))
        self.decoder = Decoder(config)
        self.to_pixels = nn.Linear(config.dec_dim, 3 * config.patch_size**2)
        self.apply(init_weights)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, image1: Tensor, image2: Tensor | None, mask: Tensor, predicted: Tensor | None = None) -> Tensor:
        """Predict withheld patches of `image1`.

        Args:
            image1: (B, 3, image_size, image_size) normalised RGB.
            image2: the same, complete; None without cross-attention.
            mask: (B, N) bool, True at withheld patches, the same count in every row. Leave it on the CPU in training:
                see `positions.places`.
            predicted: (B, N) bool where the mask is, True at the M withheld patches of each row to predict; the decoder
                never meets the other withheld ones. None means all of them.

        Returns:
            (B, M, 3PP) pixels of the predicted patches in row-major order; within a patch row, column, channel.

        Raises:
            ValueError: if a shape does not fit, the rows of a mask hold different counts, a patch to predict is not
                withheld, or there is a second picture without cross-attention or none with it.
        """
        visible = self.encode(image1, keep=~mask)
        memory = None if image2 is None else self.encode(image2)
        return self.complete(visible, memory, mask, predicted)

    def encode(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        """(B, 3, H, W) picture, and (B, N) bool of the patches to encode or None for all, to (B, V, D) tokens."""
        tokens: Tensor = self.to_decoder(self.encoder(image, keep))
        return tokens

    def features(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) picture to (B, N, E) tokens of the encoder."""
        tokens: Tensor = self.encoder(image)
        return tokens

    def complete(self, visible: Tensor, memory: Tensor | None, mask: Tensor, predicted: Tensor | None = None) -> Tensor:
        """Predict withheld patches from pictures already encoded; several masks or memories can share one encoding.

        Args:
            visible: (B, V, D) what `encode` made of the visible patches of `image1`.
            memory: (B, N, D) what `encode` made of `image2`; None without cross-attention.
            mask, predicted: (B, N) bool as in `forward`.

        Returns:
            (B, M, 3PP) as `forward`.
        """
        queries = self.mask_token.to(visible.dtype).expand(*mask.shape, -1).clone()  # all unknown at first
        # Row-major on both sides, so each patch goes home.
        queries[places(~mask, queries.device)] = visible.flatten(0, 1)
        present, wanted = None, mask
        if predicted is not None:
            if bool((predicted & ~mask).any()):
                raise ValueError("only withheld patches can be predicted")
            present = predicted | ~mask
            queries = kept(queries, present)
            wanted = predicted[present].view(len(mask), -1)  # where they are among those present
        pixels: Tensor = self.to_pixels(kept(self.decoder(queries, memory, present), wanted))
        return pixels

    def compare(self, image1: Tensor, image2: Tensor) -> Tensor:
        """Decoder tokens of `image1` read against `image2` with nothing withheld, for tasks on two views: (B, N, D)."""
        tokens: Tensor = self.decoder(self.encode(image1), self.encode(image2))
        return tokens
