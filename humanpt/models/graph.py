"""Networks as functions of uint8 crops, their answers a plain tuple, in operations that exchange formats know."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from humanpt.models.classes import ClassesNetwork
from humanpt.models.croco import Siamese
from humanpt.models.dense import DensePoseNetwork
from humanpt.models.vit import normalise

IMAGE = {"image": "(B, 3, S, S) uint8 RGB of crops, values 0 to 255"}


class Graph(nn.Module):
    """A network as one function of tensors, its answers a plain tuple."""

    inputs: Mapping[str, str] = IMAGE
    """The meaning of what it takes, by name in their order: `image` and, where it is asked for, `intrinsics`."""
    outputs: Mapping[str, str]
    """The meaning of its answers, likewise."""


class DensePoseGraph(Graph):
    """Parts and surface coordinates."""

    outputs: Mapping[str, str] = {
        "parts": "(B, 1 + P, S, S) logits: of no body, then of each of part_names",
        "uv": "(B, 2, P, S, S) surface coordinates u and v that a pixel has if it lies on that part",
    }

    def __init__(self, network: DensePoseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """As `inputs` and `outputs` say."""
        parts, uv = self.network(normalise(image))
        return parts, uv


class ClassesGraph(Graph):
    """Gestures or grasps."""

    outputs: Mapping[str, str] = {"logits": "(B, C) of class_names"}

    def __init__(self, network: ClassesNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """As `inputs` and `outputs` say."""
        return (self.network(normalise(image)),)


class EncoderGraph(Graph):
    """The encoder of a pre-trained network, of whole pictures."""

    outputs: Mapping[str, str] = {"tokens": "(B, N, C) normed, of patches in row-major order"}

    def __init__(self, network: Siamese) -> None:
        super().__init__()
        self.encoder = network.encoder

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """As `inputs` and `outputs` say."""
        return (self.encoder(normalise(image)),)
