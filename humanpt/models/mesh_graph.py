"""A mesh network as one function of tensors, for formats that others run: uint8 crops and cameras in, meshes out."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from humanpt.geometry.nearest_rotation import nearest_by_arithmetic
from humanpt.models.graph import IMAGE, Graph
from humanpt.models.mesh_heads import MeshNetwork, MeshPrediction, ModelPoints
from humanpt.models.mesh_inference import for_inference, quick_points
from humanpt.models.vit import normalise

INPUTS = {
    **IMAGE,
    "intrinsics": "(B, 3, 3) float32 camera matrices of the crops, pixels, (0, 0) the centre of the top-left pixel",
}
OUTPUTS = {
    "keypoints": "(B, K, 3) metres, in OpenCV axes of the crop's camera",
    "vertices": "(B, V, 3) metres, likewise",
    "pixels": "(B, K, 2) key points in pixels of the crop",
    "camera": "(B, 3) s, tx, ty: the root is tx, ty half crops from the middle, a metre takes s half crops there",
    "turn": "(B, 3, 3) rotation of the whole about the root",
    "pose": "(B, J, 3, 3) rotations as the body model takes them",
    "shape": "(B, P) shape values",
    "transl": "(B, 3) shift of the body model, metres",
    "side": "(B,) logit of the crop showing a right hand as it is",
}


PARAMETERS = ("camera", "pose", "shape", "side")
"""Those of them for which the body model is not asked."""


class MeshGraph(Graph):
    """A mesh network.

    Args:
        network: any; it stays as it is. Of two views it sees the same crop twice.
    """

    inputs = INPUTS

    def __init__(self, network: MeshNetwork) -> None:
        super().__init__()
        self.network = for_inference(network, nearest_by_arithmetic)
        config = network.config
        absent = {"pose", "shape", "transl"} if config.free else set()
        absent |= set() if config.side else {"side"}
        self.outputs = {name: text for name, text in OUTPUTS.items() if name not in absent}

    def forward(self, image: Tensor, intrinsics: Tensor) -> tuple[Tensor, ...]:
        """As `inputs` and `outputs` say."""
        crops = normalise(image)
        found: MeshPrediction = self.network(
            crops, crops if self.network.config.views == 2 else None, intrinsics=intrinsics
        )
        return tuple(getattr(found, name) for name in self.outputs)


class PointsGraph(Graph):
    """A body model alone, its root at the origin.

    Args:
        points: the model; it stays as it is.
    """

    inputs: Mapping[str, str] = {name: OUTPUTS[name] for name in ("shape", "pose")}
    outputs: Mapping[str, str] = {
        "keypoints": "(B, K, 3) metres from the root",
        "vertices": "(B, V, 3) metres from the root",
        "shift": "(B, 3) that brought the root to the origin, metres",
    }

    def __init__(self, points: ModelPoints) -> None:
        super().__init__()
        self.points = quick_points(points, nearest_by_arithmetic)

    def forward(self, shape: Tensor, pose: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `inputs` and `outputs` say."""
        keypoints, vertices, shift = self.points(shape, pose)
        return keypoints, vertices, shift


class ParameterGraph(Graph):
    """What a mesh network gives its body model, without that.

    Args:
        network: of a model's parameters; it stays as it is.
    """

    def __init__(self, network: MeshNetwork) -> None:
        super().__init__()
        self.network = for_inference(network, nearest_by_arithmetic)
        del self.network.points
        self.outputs = {name: OUTPUTS[name] for name in PARAMETERS if name != "side" or network.config.side}

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """As `inputs` and `outputs` say."""
        crops = normalise(image)
        found = self.network.parameters_seen(crops, crops if self.network.config.views == 2 else None)
        return tuple(value for value in found if value is not None)
