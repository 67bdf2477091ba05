"""Scaled dot-product attention, and which of its two kernels is the faster one on a device.

Fused attention never writes the scores down. That wins on GPUs and in float32 on CPUs; in bfloat16 on a CPU its
backward pass is slow enough for plain matrix products to win. So the choice is measured, not assumed.

Letters: B batch, H heads, N tokens, K tokens attended to, d channels of a head.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from humanpt.models.croco import CroCoConfig

AttentionKernel = Literal["fused", "plain"]
ROUNDS = 3


def attention(queries: Tensor, keys: Tensor, values: Tensor, kernel: AttentionKernel | None = None) -> Tensor:
    """Average the values by the softmax of the scaled products of queries and keys.

    Args:
        queries: (B, H, N, d).
        keys: (B, H, K, d).
        values: (B, H, K, d).
        kernel: `fused` is torch's own attention, `plain` two matrix products with the scores between them in memory.
            None means plain in bfloat16 on a CPU, fused elsewhere.

    Returns:
        (B, H, N, d).
    """
    if kernel is None:
        kernel = "plain" if queries.device.type == "cpu" and queries.dtype == torch.bfloat16 else "fused"
    if kernel == "fused":
        out: Tensor = functional.scaled_dot_product_attention(queries, keys, values)
        return out
    scores = (queries / math.sqrt(queries.shape[-1])) @ keys.transpose(-2, -1)
    mixed: Tensor = scores.softmax(dim=-1).to(values.dtype) @ values
    return mixed


def fastest_attention(config: CroCoConfig, device: torch.device, dtype: torch.dtype) -> AttentionKernel:
    """Measure both kernels forward and backward at the sizes of a network, and name the faster one.

    Takes some tenths of a second, and draws no random number. Close calls can go either way from one time to the next,
    and the kernels round differently: who wants equal runs keeps the answer.

    Args:
        config: the network; its complete picture and its decoder are what is measured.
        device: where it will train.
        dtype: of queries, keys and values there: bfloat16 under autocast, else that of the weights.
    """
    pictures = 2 if device.type == "cpu" else 64
    sizes = [(config.enc_heads, config.enc_dim, config.enc_depth), (config.dec_heads, config.dec_dim, config.dec_depth)]
    spent: dict[AttentionKernel, float] = {"fused": 0.0, "plain": 0.0}
    for heads, width, depth in sizes:
        shape = (pictures, config.num_patches, 3, heads, width // heads)
        # Of any values; laid out as the blocks lay them out, because the kernels care.
        stacked = torch.linspace(-1, 1, math.prod(shape), device=device, dtype=dtype).view(shape).requires_grad_()
        for kernel in spent:
            times = [_seconds(stacked, kernel) for _ in range(1 + ROUNDS)]
            spent[kernel] += depth * min(times[1:])
    return min(spent, key=lambda kernel: spent[kernel])


def _seconds(stacked: Tensor, kernel: AttentionKernel) -> float:
    """Of one attention of (B, N, 3, H, d), forward and backward, with the device's queue empty before and after."""
    queries, keys, values = stacked.permute(2, 0, 3, 1, 4).unbind()  # (B, H, N, d) each
    _wait(stacked.device)
    start = time.perf_counter()
    out = attention(queries, keys, values, kernel)
    torch.autograd.grad(out, stacked, torch.ones_like(out))
    _wait(stacked.device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
