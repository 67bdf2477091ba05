"""Which joint of a rig is which part of a person, and rotations about anatomical axes.

Poses are drawn in degrees of flexion, abduction and twist, which mean the same for every rig. This file finds the
joints of a rig by name (Anny's body and hand, SMPL, SMPL-X, MANO) and measures, in its reference pose, the axes those
angles turn about and the angles that the reference pose already has.

Letters: N poses, J joints. Axes are OpenCV's (x right, y down, z forward); a person in the reference pose faces -z, so
down is +y, forward is -z and the person's left is +x. Work is in float64: draws then agree between machines.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from humanpt.body.model import BodyModel
from humanpt.body.skinning import tree_levels
from humanpt.errors import InputError

Array = NDArray[np.float64]
Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")
FINGERS = ("thumb", "index", "middle", "ring", "little")

DOWN = np.array([0.0, 1.0, 0.0])
FORWARD = np.array([0.0, 0.0, -1.0])
LEFT = np.array([1.0, 0.0, 0.0])
EYE = np.eye(3)
CROSS = np.array([[0, 0, 0, 0, 0, -1, 0, 1, 0], [0, 0, 1, 0, 0, 0, -1, 0, 0], [0, -1, 0, 1, 0, 0, 0, 0, 0.0]])

# Part names used here, with the joints that make up each part from the root outwards, per family of rigs.
ANNY_TRUNK = {
    "root": ("root",),
    "spine": ("spine05", "spine04", "spine03", "spine02", "spine01"),
    "neck": ("neck01", "neck02", "neck03"),
    "head": ("head",),
}
ANNY_SIDE = {
    "clavicle": ("clavicle", "shoulder01"),
    "upperarm": ("upperarm01", "upperarm02"),
    "forearm": ("lowerarm01", "lowerarm02"),
    "wrist": ("wrist",),
    "pelvis": ("pelvis",),
    "thigh": ("upperleg01", "upperleg02"),
    "shin": ("lowerleg01", "lowerleg02"),
    "foot": ("foot",),
    "toes": ("toe1-1", "toe2-1", "toe3-1", "toe4-1", "toe5-1"),
    "palm": ("metacarpal3", "metacarpal4"),
    **{name: tuple(f"finger{k + 1}-{i}" for i in (1, 2, 3)) for k, name in enumerate(FINGERS)},
}
SMPL_TRUNK = {"root": ("pelvis",), "spine": ("spine1", "spine2", "spine3"), "neck": ("neck",), "head": ("head",)}
SMPL_SIDE = {
    "clavicle": ("collar",),
    "upperarm": ("shoulder",),
    "forearm": ("elbow",),
    "wrist": ("wrist",),
    "thigh": ("hip",),
    "shin": ("knee",),
    "foot": ("ankle",),
    "toes": ("foot",),
    "index": ("index1", "index2", "index3"),
    "middle": ("middle1", "middle2", "middle3"),
    "ring": ("ring1", "ring2", "ring3"),
    "little": ("little1", "little2", "little3"),
    "thumb": ("thumb1", "thumb2", "thumb3"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Skeleton:
    """The joints of a rig in its reference pose, by what they are in a person.

    `rest` is (J, 3) in metres; `trunk` maps a part of the trunk, `limbs` a (part, side), to joint numbers from the
    root outwards. Parts that a rig lacks are absent.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    rest: Array
    trunk: dict[str, tuple[int, ...]]
    limbs: dict[tuple[str, Side], tuple[int, ...]]

    def part(self, name: str, side: Side | None = None) -> tuple[int, ...]:
        """Joint numbers of a part, empty where the rig has none."""
        return self.trunk.get(name, ()) if side is None else self.limbs.get((name, side), ())

    def below(self, joint: int) -> tuple[int, ...]:
        """A joint and all that hang on it, parents first."""
        found = {joint}
        for child, parent in enumerate(self.parents):
            if parent in found:
                found.add(child)
        return tuple(sorted(found))

    def alone(self, joints: Sequence[int]) -> "Skeleton":
        """Some joints as a skeleton of their own; the first is its root and every other has its parent among them."""
        number = {joint: k for k, joint in enumerate(joints)}

        def kept(found: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(number[joint] for joint in found if joint in number)

        return Skeleton(
            names=tuple(self.names[joint] for joint in joints),
            parents=tuple(number.get(self.parents[joint], -1) for joint in joints),
            rest=self.rest[list(joints)],
            trunk={part: kept(found) for part, found in self.trunk.items() if kept(found)},
            limbs={key: kept(found) for key, found in self.limbs.items() if kept(found)},
        )

    def bone(self, start: int, end: int) -> Array:
        """Unit direction from one joint to another in the reference pose."""
        return unit(self.rest[end] - self.rest[start])


def find_skeleton(names: Sequence[str], parents: Sequence[int], rest: Array, hand: Side | None = None) -> Skeleton:
    """Name the parts of a rig by its joint names.

    Args:
        names: joint names in the rig's order.
        parents: parent of each joint, -1 for the root.
        rest: (J, 3) joints in the reference pose, metres.
        hand: which hand the rig is, for a rig that is one hand; its joint names may carry either side or none.

    Raises:
        InputError: if the names are those of no rig known here.
    """
    index = {_plain(name, hand): i for i, name in reversed(list(enumerate(names)))}
    anny = any(name.startswith(("upperarm01", "finger1-1")) for name in names)
    trunk_names, side_names = (ANNY_TRUNK, ANNY_SIDE) if anny else (SMPL_TRUNK, SMPL_SIDE)
    trunk = {part: _find(index, wanted, "") for part, wanted in trunk_names.items()}
    limbs = {(p, s): _find(index, wanted, s) for s in SIDES for p, wanted in side_names.items()}
    limbs = {key: found for key, found in limbs.items() if found}
    needed = [("wrist", hand), ("index", hand)] if hand else [(p, s) for s in SIDES for p in ("upperarm", "thigh")]
    for key in needed:
        if key not in limbs:
            raise InputError(
                f"no {key[1]} {key[0]} among the joints {', '.join(names[:6])}, ...; "
                "known rigs are Anny's body and hand, SMPL, SMPL-X and MANO"
            )
    return Skeleton(
        names=tuple(names),
        parents=tuple(parents),
        rest=np.asarray(rest, dtype=np.float64),
        trunk={part: found for part, found in trunk.items() if found},
        limbs=limbs,
    )


def _plain(name: str, hand: Side | None) -> str:
    """A joint name as `part` or `part/side`, whatever way the rig writes sides."""
    name = name.replace("pinky", "little")
    for pattern in (r"(?P<part>.+)\.(?P<side>[LR])", r"(?P<side>left|right|L|R)_(?P<part>.+)"):
        found = re.fullmatch(pattern, name)
        if found:
            side = hand or ("left" if found["side"] in ("L", "left") else "right")
            return f"{found['part']}/{side}"
    return f"{name}/{hand}" if hand and name != "root" else name


def _find(index: dict[str, int], wanted: Sequence[str], side: str) -> tuple[int, ...]:
    keys = [f"{name}/{side}" if side else name for name in wanted]
    return tuple(index[key] for key in keys if key in index)


def unit(vector: Array) -> Array:
    """The vector, or each of (..., 3) vectors, at length one."""
    result: Array = vector / np.linalg.norm(vector, axis=-1, keepdims=True)
    return result


def across(direction: Array, normal: Array) -> Array:
    """Unit part of `direction` at right angles to the unit vector `normal`."""
    return unit(direction - (direction @ normal) * normal)


def axes(first: Array, second: Array) -> Array:
    """Rotation (3, 3) whose columns are two unit directions at right angles, then the one at right angles to both."""
    return np.stack([first, second, np.cross(first, second)], axis=1)


def about(axis: Array, angle: Array | float) -> Array:
    """Rotations by angles (...) in radians about unit axes (..., 3), as (..., 3, 3); one axis serves many angles.

    Source: Rodrigues' formula, I + sin K + (1 - cos) K K with K the cross matrix of the axis.
    """
    cross = (axis @ CROSS).reshape(*axis.shape, 3)
    turn = np.asarray(angle, dtype=np.float64)[..., None, None]
    result: Array = EYE + np.sin(turn) * cross + (1.0 - np.cos(turn)) * (cross @ cross)
    return result


def swing(start: Array, end: Array) -> Array:
    """Smallest rotation from one unit direction (3,) or (N, 3) to others (N, 3), as (N, 3, 3).

    Opposite directions turn about the axis that leads through forward.
    """
    axis = np.cross(start, end)
    sine = np.linalg.norm(axis, axis=-1)
    cosine = np.sum(start * end, axis=-1)
    spare = np.cross(np.broadcast_to(start, axis.shape), FORWARD)
    spare = np.where(np.linalg.norm(spare, axis=-1, keepdims=True) > 0.1, spare, LEFT)
    axis = np.where(sine[..., None] > 1e-9, axis, spare)
    return about(unit(axis), np.arctan2(sine, cosine))


def angle_about(axis: Array, start: Array, end: Array) -> float:
    """Signed angle in radians that turns `start` to `end` about a unit axis, both seen along the axis."""
    first, second = across(start, axis), across(end, axis)
    return float(np.arctan2(np.cross(first, second) @ axis, first @ second))


def twist_angle(rotation: Array, axis: Array) -> Array:
    """Angle (N,) by which rotations (N, 3, 3) turn about a unit axis, once the smallest swing is taken off."""
    turned = rotation @ axis
    rest: Array = np.swapaxes(swing(axis, turned), -1, -2) @ rotation
    side = across(LEFT if abs(axis[0]) < 0.9 else DOWN, axis)
    moved = rest @ side
    result: Array = np.arctan2(np.cross(side, moved) @ axis, moved @ side)
    return result


@cache
def _generations(parents: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Joints and their parents, one generation after the other, without the root."""
    return [(level, [parents[joint] for joint in level]) for level, _ in tree_levels(parents)[1:]]


def absolute(parents: Sequence[int], local: Array) -> Array:
    """Absolute rotations (N, J, 3, 3), relative to the reference pose, from each joint's own (N, J, 3, 3)."""
    result = local.copy()
    for joints, above in _generations(tuple(parents)):
        result[:, joints] = result[:, above] @ local[:, joints]
    return result


def positions(skeleton: Skeleton, orientations: Array) -> Array:
    """Joints (N, J, 3) in metres, the root where it rests, of absolute rotations (N, J, 3, 3)."""
    result = np.repeat(skeleton.rest[None], len(orientations), axis=0)
    for joints, above in _generations(skeleton.parents):
        offsets = (skeleton.rest[joints] - skeleton.rest[above])[..., None]
        result[:, joints] = result[:, above] + (orientations[:, above] @ offsets)[..., 0]
    return result


def skeleton_of(model: BodyModel) -> Skeleton:
    """Joints and parts of a model of mean shape in its reference pose.

    Raises:
        InputError: if the model's joints have names of no rig known here.
    """
    shape = model.mean_shape()
    with torch.no_grad():
        joints = model(shape, model.identity_pose(), shape.new_zeros(1, 3)).joints[0]
    hand: Side | None = None
    if model.layout.subject == "hand":
        hand = "left" if model.layout.side == "left" else "right"
    layout = model.layout
    return find_skeleton(layout.joint_names, layout.parents, joints.double().cpu().numpy(), hand)
