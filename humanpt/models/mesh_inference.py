"""Mesh networks for inference alone: the same answers to rounding, sooner, and in operations that others know."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from humanpt.body.anny import AnnyModel
from humanpt.body.anny_quick import QuickAnny
from humanpt.geometry.nearest_rotation import nearest_by_singular_values
from humanpt.models.mesh_heads import MeshNetwork, ModelPoints
from humanpt.models.vit import PatchEmbed


def for_inference(
    network: MeshNetwork, nearest: Callable[[Tensor], Tensor] = nearest_by_singular_values
) -> MeshNetwork:
    """A copy of a mesh network that is quick with few crops at once.

    Args:
        network: any; it stays as it is.
        nearest: gives the rotations nearest to matrices (..., 3, 3).
    """
    quick = deepcopy(network).eval().requires_grad_(False)
    quick.nearest = nearest
    quick.head.pool = CellMeans(quick.head.grid, quick.head.cells).to(quick.mean_camera.device)
    quick.points = quick_points(quick.points, nearest)
    return quick


def quick_points(points: ModelPoints, nearest: Callable[[Tensor], Tensor] = nearest_by_singular_values) -> ModelPoints:
    """The same body model, quick with few people at once if there is such a form; arguments as for `for_inference`."""
    body = points.body
    if not isinstance(body, AnnyModel):
        return points
    quick = QuickAnny(deepcopy(body).cpu(), nearest).to(body.canonical.device)
    return ModelPoints(quick, body.layout.subject)


class CellMeans(nn.Module):
    """Means over cells of a grid, as `nn.AdaptiveAvgPool2d`, by one matrix product, which every format knows."""

    means: Tensor

    def __init__(self, grid: tuple[int, int], cells: int) -> None:
        super().__init__()
        tokens = grid[0] * grid[1]
        one_each = torch.eye(tokens).unflatten(1, grid)  # type: ignore[no-untyped-call]
        self.register_buffer("means", nn.AdaptiveAvgPool2d(cells)(one_each).flatten(1), persistent=False)

    def forward(self, planes: Tensor) -> Tensor:
        """(B, C, rows, columns) to (B, C, cells * cells)."""
        return planes.flatten(2) @ self.means


def round_products(network: MeshNetwork) -> None:
    """Let the trunk's linear maps and convolutions multiply in bfloat16, in place, by weights rounded once and for all.

    What they add to, norms, the first map of a picture's patches and the head stay as they are.
    """
    _round_products(network.trunk)
    network.trunk.register_forward_hook(_restored)


def _round_products(module: nn.Module) -> None:
    for child in module.children():
        if isinstance(child, nn.Linear | nn.Conv2d):
            child.to(torch.bfloat16)
            child.register_forward_pre_hook(_rounded)
        elif not isinstance(child, PatchEmbed):
            _round_products(child)


def _rounded(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.to(torch.bfloat16) for tensor in given)


def _restored(module: nn.Module, given: tuple[Any, ...], tokens: Tensor) -> Tensor:
    return tokens.float()
