"""A recorded motion of one person, whatever file it came from.

Letters: T frames, J joints. Axes are OpenCV's (x right, y down, z forward); with all rotations the identity the person
stands facing -z, so that their left is +x.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from humanpt.data.poses.anatomy import Array

Arms = Literal["level", "hanging"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Motion:
    """Absolute rotations of every joint over time."""

    name: str
    """What the motion is called: its file's name without the ending."""

    joint_names: tuple[str, ...]
    """The joints, parents before children."""

    parents: tuple[int, ...]
    """Index of each joint's parent; -1 for the root, which is the first."""

    offsets: Array
    """(J, 3) metres: each joint from its parent with all rotations the identity."""

    rotations: Array
    """(T, J, 3, 3) absolute rotation of each joint from its direction when all are the identity."""

    root: Array
    """(T, 3) metres: where the root is; the floor's height is not known."""

    rate: float
    """Frames per second."""

    partners: Mapping[str, tuple[str, ...]]
    """Which joints move which part of a person; parts are those of `anatomy.py`, with a side as in "thigh/left"."""

    arms: Arms
    """Where the arms point when all rotations are the identity: sideways with the palms down, or down."""

    licence: str
    """Terms under which the motion may be used, and who made it."""

    def __post_init__(self) -> None:
        count, joints = len(self.root), len(self.joint_names)
        if self.rotations.shape != (count, joints, 3, 3) or self.offsets.shape != (joints, 3):
            raise ValueError(
                f"rotations are {self.rotations.shape} and offsets {self.offsets.shape}; "
                f"{count} frames of {joints} joints need ({count}, {joints}, 3, 3) and ({joints}, 3)"
            )
        object.__setattr__(self, "partners", MappingProxyType(dict(self.partners)))

    def __len__(self) -> int:
        return len(self.root)

    @property
    def seconds(self) -> float:
        """Length of the motion, from its first frame to its last."""
        return (len(self) - 1) / self.rate

    def cut(self, start: int, stop: int, step: int = 1) -> "Motion":
        """Frames start to stop, every step-th: a motion of a lower rate.

        Raises:
            ValueError: if no frame is left or the step is not positive.
        """
        frames = range(len(self))[start:stop:step] if step > 0 else range(0)
        if not frames:
            raise ValueError(f"frames {start} to {stop} by {step} of {len(self)} are none")
        keep = list(frames)
        return replace(self, rotations=self.rotations[keep], root=self.root[keep], rate=self.rate / step)

    def positions(self) -> Array:
        """(T, J, 3) metres: the joints."""
        result = np.repeat(self.root[:, None], len(self.joint_names), axis=1)
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                result[:, joint] = result[:, parent] + self.rotations[:, parent] @ self.offsets[joint]
        return result

    def still(self) -> Array:
        """(J, 3) metres: the joints with all rotations the identity, the root at the origin."""
        result = np.zeros_like(self.offsets)
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                result[joint] = result[parent] + self.offsets[joint]
        return result
