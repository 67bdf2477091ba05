"""Writing BVH files: a tree of joints and its movement, for Blender, MotionBuilder and game engines.

As `bvh.py` reads them: y up, facing +z where a body model faces -z, rotations in degrees in the order of their channels
(z, x, y: the middle one is the angle that people seldom turn by a quarter), and here one unit is a metre. A joint
without children ends as far beyond as its parent lies before it, since a tree of joints does not know how long its last
bones are.

Letters: T frames, J joints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from humanpt.data.mocap.bvh import FLIP
from humanpt.files import whole_file
from humanpt.geometry.rotations import rotmat_to_euler

ORDER = "ZXY"


def write_bvh(
    path: Path,
    joint_names: Sequence[str],
    parents: Sequence[int],
    offsets: NDArray[np.floating],
    movement: Iterable[tuple[NDArray[np.floating], NDArray[np.floating]]],
    count: int,
    rate: float,
) -> None:
    """Write a movement, whole or not at all. It comes in pieces, so that long ones do not fill the memory.

    Args:
        path: of the file.
        joint_names: J names; spaces become underlines.
        parents: index of each joint's parent, which comes before it; -1 for the first.
        offsets: (J, 3) metres in OpenCV's axes, each joint from its parent with all rotations the identity.
        movement: some frames after others: their poses, (t, J, 3, 3) rotations of each joint relative to its parent,
            and roots, (t, 3) metres in OpenCV's axes, the root joint.
        count: T, frames of all pieces together.
        rate: frames per second.

    Raises:
        OutputError: if it cannot be written.
        ValueError: if there is no frame or sizes differ.
    """
    joints = len(joint_names)
    if not count or len(offsets) != joints or len(parents) != joints:
        raise ValueError(f"{count} frames of {joints} joints with {len(offsets)} offsets and {len(parents)} parents")
    order = [joint for joint, _ in _walk(parents, 0, 0)]
    with whole_file(path) as temporary, temporary.open("w") as stream:
        stream.write("HIERARCHY\n")
        stream.writelines(_hierarchy(joint_names, parents, offsets @ FLIP))
        stream.write(f"MOTION\nFrames: {count}\nFrame Time: {1 / rate:.9g}\n")
        line = " ".join(["%.6f"] * (3 + 3 * joints)) + "\n"
        before, written = np.empty((0, joints, 3)), 0  # the last angles of the piece before
        for pose, root in movement:
            if pose.shape != (len(root), joints, 3, 3):
                raise ValueError(f"{len(root)} frames of {joints} joints with poses {pose.shape}")
            turned = FLIP @ np.asarray(pose, np.float64)[:, order] @ FLIP
            angles = np.degrees(rotmat_to_euler(torch.from_numpy(turned), ORDER).numpy())
            # so that what lies between two frames does too
            angles = np.unwrap(np.concatenate((before, angles)), axis=0, period=360)[len(before) :]
            for place, values in zip((root @ FLIP).tolist(), angles.reshape(len(root), -1).tolist(), strict=True):
                stream.write(line % (*place, *values))
            before, written = angles[-1:], written + len(root)
        if written != count:
            raise ValueError(f"{written} frames where {count} were told")


def _walk(parents: Sequence[int], joint: int, depth: int) -> Iterator[tuple[int, int]]:
    """Joints with their depths, each followed by all that hangs on it, as the file has them."""
    yield joint, depth
    for child, parent in enumerate(parents):
        if parent == joint:
            yield from _walk(parents, child, depth + 1)


def _hierarchy(names: Sequence[str], parents: Sequence[int], offsets: NDArray[np.floating]) -> Iterator[str]:
    """The lines of the tree; offsets in the file's axes."""
    open_depth = -1
    for joint, depth in _walk(parents, 0, 0):
        yield from ("  " * level + "}\n" for level in range(open_depth, depth - 1, -1))
        pad, inner, open_depth = "  " * depth, "  " * (depth + 1), depth
        yield f"{pad}{'JOINT' if depth else 'ROOT'} {names[joint].replace(' ', '_')}\n{pad}{{\n"
        here = (0.0, 0.0, 0.0) if not depth else offsets[joint]
        yield inner + "OFFSET {:.6f} {:.6f} {:.6f}\n".format(*here)
        places = "" if depth else "Xposition Yposition Zposition "
        turns = " ".join(f"{axis}rotation" for axis in ORDER)
        yield f"{inner}CHANNELS {3 if depth else 6} {places}{turns}\n"
        if joint not in parents:
            end = "OFFSET {:.6f} {:.6f} {:.6f}".format(*offsets[joint])
            yield f"{inner}End Site\n{inner}{{\n{inner}  {end}\n{inner}}}\n"
    yield from ("  " * level + "}\n" for level in range(open_depth, -1, -1))
