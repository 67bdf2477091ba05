"""Where the decoder looks in the second picture, for every patch that it completes.

The kernels that are fast keep no attention weights. So while the network runs, every cross-attention computes them a
second time from the inputs that it is given: uncompiled, since compiled blocks pass over hooks, and at that moment,
when its own weights are gathered if several processes share them.

Letters: B batch, N patches, Q chosen ones, L decoder blocks, H heads, d channels of a head.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from humanpt.models.croco import CroCo
from humanpt.models.layers import CrossAttention, split_heads
from humanpt.models.positions import turn


@torch.no_grad()
def reference_attention(model: CroCo, image1: Tensor, image2: Tensor, mask: Tensor, patches: Tensor) -> Tensor:
    """Where patches of `image1` look in `image2`.

    Args:
        model: a network with cross-attention, in any precision.
        image1: (B, 3, S, S) normalised RGB.
        image2: the same.
        mask: (B, N) bool, True at withheld patches, the same count in every row.
        patches: (B, Q) int64 numbers of the patches to ask about, row-major; withheld ones, as a rule.

    Returns:
        (B, L, Q, N) float32 shares of attention, the mean over heads; those of one patch in one block sum to 1.

    Raises:
        ValueError: if the network has no cross-attention, or a shape does not fit.
    """
    if not model.config.cross_attention:
        raise ValueError("this network has no cross-attention: it never looks at a second picture")
    if patches.ndim != 2 or len(patches) != len(mask):
        raise ValueError(f"patches of shape {tuple(patches.shape)} do not fit a mask of {tuple(mask.shape)}")
    visible, memory = model.encode(image1, keep=~mask), model.encode(image2)
    with _caught_shares(model, patches) as shares, torch.compiler.set_stance("force_eager"):
        model.complete(visible, memory, mask)
    return torch.stack(shares, dim=1)


@contextlib.contextmanager
def _caught_shares(model: CroCo, patches: Tensor) -> Iterator[list[Tensor]]:
    """(B, Q, N) shares of each cross-attention that runs inside the block, in the order in which they run."""
    caught: list[Tensor] = []

    def catch(block: CrossAttention, _: nn.Module, given: tuple[Any, ...]) -> None:
        caught.append(_shares(block, patches, *given))

    blocks = [module for module in model.decoder.modules() if isinstance(module, CrossAttention)]
    hooks = [block.register_forward_pre_hook(partial(catch, block)) for block in blocks]
    try:
        yield caught
    finally:
        for hook in hooks:
            hook.remove()


def _shares(
    block: CrossAttention,
    patches: Tensor,
    tokens: Tensor,
    memory: Tensor,
    turns: Tensor | None = None,
    memory_turns: Tensor | None = None,
) -> Tensor:
    """(B, Q, N) shares of attention of the chosen tokens in one block, the mean over heads."""
    queries = turn(split_heads(block.projq(tokens), block.num_heads), turns)  # (B, H, N, d)
    keys = turn(split_heads(block.projk(memory), block.num_heads), memory_turns)
    index = patches.to(queries.device)[:, None, :, None].expand(-1, queries.shape[1], -1, queries.shape[3])
    chosen = queries.gather(2, index).float() / math.sqrt(queries.shape[3])  # (B, H, Q, d)
    return (chosen @ keys.float().mT).softmax(dim=-1, dtype=torch.float32).mean(dim=1)
