"""A network and the running mean of its weights, which is what evaluates and what a user keeps.

Source: the exponential mean of weights of Polyak and Juditsky's averaging as Tarvainen and Valpola (arXiv 1703.01780)
use it, its decay growing in the first steps so that the mean soon forgets where the network began.
"""

from __future__ import annotations

import copy
from typing import Any, Generic, Self, TypeVar

import torch
from torch import nn

NetworkT = TypeVar("NetworkT", bound=nn.Module)


class Averaged(nn.Module, Generic[NetworkT]):
    """A network and the running mean of its weights, saved together; training moves the one, the loop the other.

    Args:
        network: what is trained; the mean begins as a copy of it.
    """

    def __init__(self, network: NetworkT) -> None:
        super().__init__()
        self.network = network
        self.average = copy.deepcopy(network).requires_grad_(False)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """The network's answers in training, the mean's when evaluating."""
        return (self.network if self.training else self.average)(*inputs, **named)

    def train(self, mode: bool = True) -> Self:
        """As ever, but the mean always evaluates."""
        super().train(mode)
        self.average.eval()
        return self

    @torch.no_grad()
    def restart(self) -> None:
        """Put the mean where the network is, whose weights were replaced."""
        self.average.load_state_dict(self.network.state_dict())

    @torch.no_grad()
    def follow(self, decay: float, step: int) -> None:
        """Move the mean towards the network; at first it is nearly the network.

        Args:
            decay: what stays of the mean in a step, once it has seen many.
            step: steps made, at least 1.
        """
        share = 1 - min(decay, (1 + step) / (10 + step))
        for mean, value in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, share)
            else:
                mean.copy_(value)
