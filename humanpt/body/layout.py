"""What the numbers of a body model mean, as it is written beside them wherever they are stored."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, eq=False)
class ParameterLayout:
    """The order and the meaning of a body model's poses, shapes and key points.

    Letters: J joints, S shape values, K key points.
    """

    rig: str
    """Name of the tree of joints."""

    topology: str
    """Name of the mesh."""

    pose_parameterization: str
    """How a pose is written down: "local-ref" or "local-joint"."""

    joint_names: tuple[str, ...]
    """The J joints in the order of a pose, parents first."""

    shape_names: tuple[str, ...]
    """The S shape values in their order."""

    keypoint_names: tuple[str, ...]
    """The K key points: 17 of COCO, then six on the feet; or the 21 of a hand."""
