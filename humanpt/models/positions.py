"""How a token knows its place in the picture: fixed 2-D sine-cosine tables, learned ones, and 2-D rotary turns.

Sources: Weinzaepfel et al., CroCo (arXiv 2210.10716) for the sine-cosine table, CroCo v2 (arXiv 2211.10408) for the
rotary code, which is RoFormer's (arXiv 2104.09864) applied to the row and the column apart; Dosovitskiy et al., ViT
(arXiv 2010.11929) for the learned table and its resizing.

Letters: B batch, H heads, N tokens, Q a quarter of the width concerned.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

PositionCode = Literal["cosine", "rope", "learned"]


def patch_places(grid: tuple[int, int]) -> Tensor:
    """Row and column of every patch of a grid, in row-major order.

    Args:
        grid: rows and columns.

    Returns:
        (N, 2) float64 patch numbers (row, column), from 0.
    """
    rows, columns = grid
    return torch.cartesian_prod(
        torch.arange(rows, dtype=torch.float64), torch.arange(columns, dtype=torch.float64)
    ).reshape(-1, 2)


def cosine_table(width: int, grid: tuple[int, int]) -> Tensor:
    """A fixed code to add to the tokens: the first half of the channels tells the column, the second the row.

    Each half holds sines, then cosines, of the place times 10000^(-i/Q), i from 0 to Q - 1.

    Args:
        width: channels of a token.
        grid: rows and columns of patches.

    Returns:
        (N, width) table, tokens in row-major order.

    Raises:
        ValueError: if the width is not a multiple of 4.
    """
    if width % 4:
        raise ValueError(f"a sine-cosine table needs a width that is a multiple of 4, not {width}")
    quarter = width // 4
    frequencies = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    row, column = (patch_places(grid)[:, :, None] * frequencies).unbind(1)  # (N, Q) each
    return torch.cat([column.sin(), column.cos(), row.sin(), row.cos()], dim=1).float()


def resize_table(table: Tensor, grid: tuple[int, int]) -> Tensor:
    """Bring a table that was made for one grid to another, bicubically, as ViT files are taken to other pictures.

    Args:
        table: (N, width) of a square grid, tokens in row-major order.
        grid: rows and columns wanted.

    Returns:
        (rows * columns, width); the table itself where it has that grid already.

    Raises:
        ValueError: if the table is of no square grid.
    """
    side = math.isqrt(len(table))
    if side * side != len(table):
        raise ValueError(f"a table of {len(table)} places is of no square grid")
    if (side, side) == grid:
        return table
    planes = table.T.reshape(1, -1, side, side).float()
    resized = functional.interpolate(planes, size=grid, mode="bicubic", align_corners=False)
    return resized.flatten(2)[0].T.contiguous()


def rope_table(head_dim: int, grid: tuple[int, int], base: float = 100.0) -> Tensor:
    """Cosines and sines of the angles by which queries and keys turn.

    The first half of a head's channels turns with the row, the second with the column, both by the place times
    base^(-2i/D), D the size of a half.

    Args:
        head_dim: channels of one head.
        grid: rows and columns of patches.
        base: 100 in CroCo v2, far below the 10000 of text because a picture has few rows.

    Returns:
        (N, 2, head_dim) table: the cosine of each channel's angle; its sine, negative in the first channel of a pair.

    Raises:
        ValueError: if a head's channels are not a multiple of 4.
    """
    if head_dim % 4:
        raise ValueError(f"rotary positions need a multiple of 4 channels in a head, not {head_dim}")
    half = head_dim // 2
    frequencies = base ** (-torch.arange(0, half, 2, dtype=torch.float64) / half)
    angles = patch_places(grid)[:, :, None] * frequencies  # (N, 2, Q)
    cosine = torch.stack(
        [angles.cos(), angles.cos()], dim=2
    )  # (N, 2, 2, Q): row or column, channel of a pair, frequency
    sine = torch.stack([-angles.sin(), angles.sin()], dim=2)
    return torch.stack([cosine.flatten(1), sine.flatten(1)], dim=1).float()


def turn(heads: Tensor, turns: Tensor | None) -> Tensor:
    """Rotate queries or keys by the angles of their places, channel i of a half together with channel i + D/2.

    Args:
        heads: (..., N, head_dim) queries or keys, one head each.
        turns: (..., N, 2, head_dim) from `rope_table`, broadcast against the leading axes; None leaves all as it is.

    Returns:
        A tensor of the shape and type of `heads`; the arithmetic is done in the type of the table.
    """
    if turns is None:
        return heads
    cosine, sine = turns.unbind(-2)
    first, second, third, fourth = heads.chunk(4, dim=-1)
    partners = torch.cat([second, first, fourth, third], dim=-1)
    # This form reads each tensor once: half the time of multiplying the channels of a pair one by one.
    return torch.addcmul(heads * cosine, partners, sine).to(heads.dtype)


class Positions(nn.Module):
    """The position code of one stack of blocks: a table to add, or turns for its attentions, never both.

    A fixed table is a buffer that no checkpoint holds, since it follows from the sizes; a learned one is a parameter
    that begins as the sine-cosine table.
    """

    added: Tensor | None
    turning: Tensor | None

    def __init__(
        self,
        code: PositionCode,
        *,
        grid: tuple[int, int],
        width: int,
        num_heads: int,
        base: float = 100.0,
        made_for: int | None = None,
    ) -> None:
        """Build the table of a grid; a sine-cosine one of `made_for` patches on a side is resized to it."""
        super().__init__()
        added = None
        if code != "rope":
            added = resize_table(cosine_table(width, grid if made_for is None else (made_for, made_for)), grid)
        if code == "learned" and added is not None:
            self.added = nn.Parameter(added)
        else:
            self.register_buffer("added", added, persistent=False)
        turning = rope_table(width // num_heads, grid, base) if code == "rope" else None
        self.register_buffer("turning", turning, persistent=False)

    def add(self, tokens: Tensor, keep: Tensor | None = None) -> Tensor:
        """Mark tokens with their places, where the code is one that is added.

        Args:
            tokens: (B, N, width), or (B, V, width) where only V patches of each picture are present.
            keep: (B, N) bool, True at the patches that are present, V in every row; None means all.
        """
        if self.added is None:
            return tokens
        return tokens + (self.added if keep is None else kept(self.added.expand(len(keep), -1, -1), keep))

    def turns(self, keep: Tensor | None = None) -> Tensor | None:
        """What `turn` takes for (B, H, N, head_dim) queries and keys of the patches kept; None where nothing turns."""
        if self.turning is None or keep is None:
            return self.turning
        table = kept(self.turning.flatten(1).expand(len(keep), -1, -1), keep)
        return table.reshape(len(keep), 1, -1, 2, self.turning.shape[2])  # one for all heads


def places(keep: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where a mask is True, as an index into (B, N, ...) tensors, in row-major order.

    Args:
        keep: (B, N) bool. It may lie on the CPU while the tokens are on a GPU, and should in training: the number of
            True places shapes the tensors, and asking a GPU for it waits for all the work queued there.
        device: where the index is wanted.

    Returns:
        Row and patch numbers, (count,) each.
    """
    rows, patches = keep.nonzero().to(device, non_blocking=True).unbind(1)
    return rows, patches


def kept(tokens: Tensor, keep: Tensor) -> Tensor:
    """The tokens where `keep` is True, in row-major order.

    Args:
        tokens: (B, N, C).
        keep: (B, N) bool with the same count V in every row, on the device of the tokens or on the CPU: see `places`.

    Returns:
        (B, V, C).

    Raises:
        ValueError: if the shapes do not agree or the rows hold different counts.
    """
    if keep.shape != tokens.shape[:2]:
        raise ValueError(f"a mask of shape {tuple(keep.shape)} does not fit tokens of shape {tuple(tokens.shape)}")
    counts = keep.sum(dim=1)
    if bool((counts != counts[:1]).any()):
        raise ValueError(f"every row of a mask must keep the same count, not {counts.tolist()}")
    return tokens[places(keep, tokens.device)].view(len(tokens), int(counts[0]), tokens.shape[2])
