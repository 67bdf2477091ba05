"""Classes from a trunk's tokens: their mean, normed, through one linear map.

Letters: B batch, N tokens, C classes, S side of a picture.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from humanpt.models.layers import NORM_EPS
from humanpt.models.trunk import Trunk


@dataclass(frozen=True, kw_only=True)
class ClassesHeadConfig:
    """What the head tells apart."""

    class_names: tuple[str, ...] = ()
    """The C classes, in the order of the labels; whoever opens the data fills them in."""


class ClassesNetwork(nn.Module):
    """Pictures to classes.

    Args:
        trunk: of one view, or of two.
        config: with the names of the classes.

    Raises:
        ValueError: if there are fewer than two classes.
    """

    def __init__(self, trunk: Trunk, config: ClassesHeadConfig) -> None:
        super().__init__()
        if len(config.class_names) < 2:
            raise ValueError(f"classes are {config.class_names}; there must be two or more to tell apart")
        self.trunk = trunk
        self.norm = nn.LayerNorm(trunk.width, eps=NORM_EPS)
        self.classify = nn.Linear(trunk.width, len(config.class_names))
        nn.init.zeros_(self.classify.weight)  # all classes are alike at first
        nn.init.zeros_(self.classify.bias)

    def forward(self, image1: Tensor, image2: Tensor | None = None) -> Tensor:
        """(B, 3, S, S) normalised RGB, with a second view where the trunk takes two, to (B, C) logits."""
        logits: Tensor = self.classify(self.norm(self.trunk(image1, image2).mean(dim=1)))
        return logits
