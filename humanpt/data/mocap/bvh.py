"""BVH files with the skeleton of the CMU Graphics Lab Motion Capture Database.

The format: Meredith and Maddock, Motion Capture File Formats Explained, 2001. Axes are y up, the person faces +z in the
zero pose; rotations are degrees about the axes in the order of the channels. In the CMU database one unit of length is
0.056444 m, and in its BVH conversion the first frame is a T-pose that belongs to no motion.

Letters: T frames, J joints, C channels.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from humanpt.data.mocap.motion import Motion
from humanpt.data.poses.anatomy import Array, about
from humanpt.errors import InputError

CMU_UNIT = 0.056444
"""Metres in one unit of the CMU database."""

CMU_LICENCE = "CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu): free to use and pass on, not to be resold"

FLIP = np.diag([1.0, -1.0, -1.0])  # y up and facing +z to y down and facing -z
AXES = {"X": np.array([1.0, 0, 0]), "Y": np.array([0, 1.0, 0]), "Z": np.array([0, 0, 1.0])}

PARTNERS: dict[str, tuple[str, ...]] = {
    "root": ("Hips",),
    "spine": ("Hips", "LowerBack", "Spine", "Spine1"),
    "head": ("Spine1", "Neck", "Neck1", "Head"),
    **{
        f"{part}/{side.lower()}": tuple(side + joint for joint in joints)
        for side in ("Left", "Right")
        for part, joints in {
            "clavicle": ("Shoulder", "Arm"),
            "upperarm": ("Arm", "ForeArm"),
            "forearm": ("ForeArm", "Hand"),
            "wrist": ("Hand",),
            "thigh": ("UpLeg", "Leg"),
            "shin": ("Leg", "Foot"),
            "foot": ("Foot",),
            "toes": ("ToeBase",),
        }.items()
    },
}


@dataclass(kw_only=True)
class _Joint:
    name: str
    parent: int
    offset: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    channels: list[str] = field(default_factory=list)


class PlayedBvh(NamedTuple):
    """Any BVH file, in its own axes and units of length."""

    joint_names: tuple[str, ...]
    """The joints, parents before children."""
    parents: tuple[int, ...]
    """Index of each joint's parent; -1 for the root, which is the first."""
    offsets: Array
    """(J, 3) each joint from its parent with all rotations the identity."""
    rotations: Array
    """(T, J, 3, 3) absolute rotation of each joint."""
    root: Array
    """(T, 3) where the root is."""
    rate: float
    """Frames per second."""


def play_bvh(path: Path, text: str) -> PlayedBvh:
    """Read a BVH file with any skeleton.

    Args:
        path: where the text came from, for messages.
        text: the whole file.

    Raises:
        InputError: if the file is cut short or damaged, or holds values that are not numbers.
    """
    hierarchy, found, motion = text.partition("MOTION")
    if not found:
        raise InputError(f"{path}: no MOTION section; the BVH file is cut short, copy it again")
    joints = _read_tree(path, hierarchy)
    rate, table = _read_frames(path, motion, sum(len(joint.channels) for joint in joints))
    rotations, root = _play(joints, table)
    return PlayedBvh(
        joint_names=tuple(joint.name for joint in joints),
        parents=tuple(joint.parent for joint in joints),
        offsets=np.array([joint.offset for joint in joints]),
        rotations=rotations,
        root=root,
        rate=rate,
    )


def read_bvh(path: Path, text: str) -> Motion:
    """Read a BVH file of the CMU kind.

    Args:
        path: where the text came from, for its name and for messages.
        text: the whole file.

    Raises:
        InputError: if the file is cut short or damaged, holds values that are not numbers, or has another skeleton.
    """
    played = play_bvh(path, text)
    names, rotations, root = played.joint_names, played.rotations, played.root
    wanted = sorted({name for partners in PARTNERS.values() for name in partners})
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(
            f"{path}: no joint {', '.join(missing[:3])} among {', '.join(names[:6])}, ...; "
            "BVH files with the CMU skeleton (Hips, LowerBack, LeftUpLeg, ...) are read"
        )
    if len(root) > 1 and np.array_equal(rotations[0, 0], np.eye(3)):  # the T-pose
        rotations, root = rotations[1:], root[1:]
    return Motion(
        name=path.stem,
        joint_names=names,
        parents=played.parents,
        offsets=CMU_UNIT * played.offsets @ FLIP,
        rotations=FLIP @ rotations @ FLIP,
        root=CMU_UNIT * root @ FLIP,
        rate=played.rate,
        partners=PARTNERS,
        arms="level",
        licence=CMU_LICENCE,
    )


def _read_tree(path: Path, text: str) -> list[_Joint]:
    """Joints in the order of their channels; end sites are left out."""
    joints: list[_Joint] = []
    open_braces: list[int] = []  # the joint of each open brace, -1 for an end site
    coming = -1
    words = iter(text.split())
    try:
        for word in words:
            if word in ("ROOT", "JOINT"):
                joints.append(_Joint(name=next(words), parent=open_braces[-1] if open_braces else -1))
                coming = len(joints) - 1
            elif word == "End":
                coming = -1
            elif word == "{":
                open_braces.append(coming)
            elif word == "}":
                open_braces.pop()
            elif word == "OFFSET":
                offset = [float(next(words)) for _ in range(3)]
                if open_braces[-1] >= 0:
                    joints[open_braces[-1]].offset = offset
            elif word == "CHANNELS":
                joints[open_braces[-1]].channels = [next(words) for _ in range(int(next(words)))]
    except (StopIteration, ValueError, IndexError) as error:
        raise InputError(f"{path}: the HIERARCHY section is damaged; copy the BVH file again") from error
    if open_braces or not joints:
        raise InputError(f"{path}: the HIERARCHY section is cut short; copy the BVH file again")
    known = {f"{axis}{kind}" for axis in AXES for kind in ("position", "rotation")}
    strange = [channel for joint in joints for channel in joint.channels if channel not in known]
    if strange:
        raise InputError(f"{path}: channel {strange[0]} is not one of {', '.join(sorted(known))}")
    return joints


def _read_frames(path: Path, text: str, width: int) -> tuple[float, Array]:
    """Frames per second and the table of channels (T, C)."""
    words = text.split()
    try:
        count, seconds = int(words[words.index("Frames:") + 1]), float(words[words.index("Time:") + 1])
        values = np.array(words[words.index("Time:") + 2 :], dtype=np.float64)
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}: the MOTION section is damaged; copy the BVH file again") from error
    if count < 1 or len(values) != count * width:
        raise InputError(
            f"{path}: {len(values)} values instead of {count} frames of {width}; the file is cut short, copy it again"
        )
    if not np.isfinite(values).all() or not (np.isfinite(seconds) and seconds > 0):
        raise InputError(f"{path}: values that are not finite numbers; the recording is damaged, take another one")
    return 1.0 / seconds, values.reshape(count, width)


def _play(joints: list[_Joint], table: Array) -> tuple[Array, Array]:
    """Absolute rotations (T, J, 3, 3) and the root (T, 3), both in the file's axes and units."""
    count = len(table)
    rotations = np.empty((count, len(joints), 3, 3))
    root = np.zeros((count, 3))
    column = 0
    for number, joint in enumerate(joints):
        turned = np.broadcast_to(np.eye(3), (count, 3, 3)) if joint.parent < 0 else rotations[:, joint.parent]
        for channel in joint.channels:
            values = table[:, column]
            column += 1
            if channel.endswith("rotation"):
                turned = turned @ about(AXES[channel[0]], np.radians(values))
            elif joint.parent < 0:
                root[:, "XYZ".index(channel[0])] = values
        rotations[:, number] = turned
    return rotations, root + np.array(joints[0].offset)
