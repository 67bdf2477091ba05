"""Attention, MLP, and the blocks of the encoder and the decoder, all pre-normed and residual.

Sources: Dosovitskiy et al., ViT (arXiv 2010.11929) for the encoder block; Weinzaepfel et al., CroCo (arXiv 2210.10716)
for the decoder block with cross-attention.

Letters: B batch, N tokens, K tokens attended to, C width, H heads, d channels of a head.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from humanpt.models.attention import AttentionKernel, attention
from humanpt.models.positions import turn

NORM_EPS = 1e-6
MLP_RATIO = 4


def split_heads(tokens: Tensor, num_heads: int) -> Tensor:
    """(B, N, C) tokens to (B, H, N, d) heads."""
    return tokens.reshape(*tokens.shape[:2], num_heads, -1).transpose(1, 2)


def join_heads(heads: Tensor) -> Tensor:
    """(B, H, N, d) heads to (B, N, C) tokens."""
    return heads.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Multi-head attention of tokens to one another; one map gives queries, keys and values, stacked in that order."""

    kernel: AttentionKernel | None = None

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, turns: Tensor | None = None) -> Tensor:
        """(B, N, C) to (B, N, C); `turns` as in `positions.turn`."""
        queries, keys, values = (split_heads(part, self.num_heads) for part in self.qkv(tokens).chunk(3, dim=-1))
        heads = attention(turn(queries, turns), turn(keys, turns), values, self.kernel)
        out: Tensor = self.proj(join_heads(heads))
        return out


class CrossAttention(nn.Module):
    """Multi-head attention of tokens to the tokens of another picture."""

    kernel: AttentionKernel | None = None

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.projq = nn.Linear(width, width)
        self.projk = nn.Linear(width, width)
        self.projv = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def forward(
        self, tokens: Tensor, memory: Tensor, turns: Tensor | None = None, memory_turns: Tensor | None = None
    ) -> Tensor:
        """(B, N, C) tokens and (B, K, C) memory to (B, N, C); `turns` are the tokens', `memory_turns` the memory's."""
        queries = split_heads(self.projq(tokens), self.num_heads)
        keys = split_heads(self.projk(memory), self.num_heads)
        values = split_heads(self.projv(memory), self.num_heads)
        heads = attention(turn(queries, turns), turn(keys, memory_turns), values, self.kernel)
        out: Tensor = self.proj(join_heads(heads))
        return out


class Mlp(nn.Module):
    """Two linear maps with a GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, MLP_RATIO * width)
        self.fc2 = nn.Linear(MLP_RATIO * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., C) to (..., C)."""
        out: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return out


class EncoderBlock(nn.Module):
    """Self-attention, then MLP."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = SelfAttention(width, num_heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = Mlp(width)

    def forward(self, tokens: Tensor, turns: Tensor | None = None) -> Tensor:
        """(B, N, C) to (B, N, C)."""
        tokens = tokens + self.attn(self.norm1(tokens), turns)
        tokens = tokens + self.mlp(self.norm2(tokens))
        return tokens


class DecoderBlock(nn.Module):
    """Self-attention, cross-attention to the other picture, then MLP.

    The memory gets a norm of its own in every block and is never updated: all blocks look at the same encoding. Without
    cross-attention nothing looks at another picture, and what is left is MAE's decoder.
    """

    def __init__(self, width: int, num_heads: int, cross_attention: bool = True) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = SelfAttention(width, num_heads)
        self.cross_attn: CrossAttention | None = None
        if cross_attention:
            self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
            self.norm_y = nn.LayerNorm(width, eps=NORM_EPS)
            self.cross_attn = CrossAttention(width, num_heads)
        self.norm3 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = Mlp(width)

    def forward(
        self,
        tokens: Tensor,
        memory: Tensor | None = None,
        turns: Tensor | None = None,
        memory_turns: Tensor | None = None,
    ) -> Tensor:
        """(B, N, C) tokens and (B, K, C) memory, None without cross-attention, to (B, N, C) tokens."""
        tokens = tokens + self.attn(self.norm1(tokens), turns)
        if self.cross_attn is not None:
            assert memory is not None
            tokens = tokens + self.cross_attn(self.norm2(tokens), self.norm_y(memory), turns, memory_turns)
        tokens = tokens + self.mlp(self.norm3(tokens))
        return tokens


class Blocks(nn.ModuleList):
    """Blocks one after the other; where asked, none keeps its inner activations and each is computed again backward."""

    checkpoint_activations = False

    def run(self, tokens: Tensor, *rest: Tensor | None) -> Tensor:
        """(B, N, C) tokens through all blocks; `rest` is what every block takes besides."""
        after = tokens
        for after in self.each(tokens, *rest):  # noqa: B007 - only those after the last block are wanted
            pass
        return after

    def each(self, tokens: Tensor, *rest: Tensor | None) -> Iterator[Tensor]:
        """The (B, N, C) tokens after every block in turn."""
        for block in self:
            if self.checkpoint_activations and torch.is_grad_enabled():
                # Nothing inside is drawn at random, so no generator's state needs to be kept.
                tokens = checkpoint(block, tokens, *rest, use_reentrant=False, preserve_rng_state=False)
            else:
                tokens = block(tokens, *rest)
            yield tokens


def init_weights(module: nn.Module) -> None:
    """For `Module.apply`: Xavier-uniform weights and zero biases of linear and patch maps; norms stay at 1 and 0."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.xavier_uniform_(module.weight.view(len(module.weight), -1))  # a patch map is a linear map of its pixels
        if module.bias is not None:
            nn.init.zeros_(module.bias)
