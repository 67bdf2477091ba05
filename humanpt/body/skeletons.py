"""Joint names, the maps between joint sets, key points, and the parts of the surface.

Sources: joints of SMPL (Loper et al., 2015), MANO (Romero et al., 2017) and SMPL-X (Pavlakos et al., 2019); key points
of COCO (Lin et al., 2014) with the six foot points of OpenPose (Cao et al., 2019); the 21 points of a hand as in
FreiHAND (Zimmermann et al., 2019); the 24 surface parts of DensePose (Güler et al., 2018).
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

COCO_17 = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
FEET_6 = ("left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe", "left_heel", "right_heel")
BODY_23 = COCO_17 + FEET_6
"""Key points of a body."""

FINGERS = ("thumb", "index", "middle", "ring", "little")
HAND_21 = ("wrist", *(f"{finger}{joint}" for finger in FINGERS for joint in ("1", "2", "3", "_tip")))
"""Key points of a hand: the wrist, then each finger from its base to its tip."""

ROOTS = {"hand": ("wrist",), "body": ("left_hip", "right_hip")}
"""The key points, in every set of hands or bodies, whose mean is the origin of root-relative figures."""

MANO_16 = (
    "wrist",
    *(f"{finger}{joint}" for finger in ("index", "middle", "little", "ring", "thumb") for joint in "123"),
)
"""MANO's joints in MANO's order."""

ANNY_HAND_JOINTS = ("wrist", *(f"{finger}{joint}" for finger in FINGERS for joint in "123"))
MANO_FROM_ANNY = (1, 6, 7, 8, 10, 11, 12, 18, 19, 20, 14, 15, 16, 2, 3, 4)
"""For each of MANO's joints, the bone of Anny's hand; 0 is the root (at the wrist), 5, 9, 13, 17 are metacarpals."""

HAND_21_BONES = (1, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15, 16, 18, 19, 20)
"""Bones of Anny's hand that are key points, in the order of `HAND_21` without the tips."""

HAND_TIP_VERTICES = (782, 29, 221, 416, 605)
"""Vertices of Anny's hand at the finger tips: the farthest along each last bone."""

SMPL_24 = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
)
"""SMPL's joints in SMPL's order."""

SMPLX_55 = (
    *SMPL_24[:22],
    "jaw",
    "left_eyeball",
    "right_eyeball",
    *(
        f"{side}_{finger}{joint}"
        for side in ("left", "right")
        for finger in ("index", "middle", "little", "ring", "thumb")
        for joint in "123"
    ),
)
"""SMPL-X's joints in SMPL-X's order."""

BODY_PARTS = (
    "torso_back",
    "torso_front",
    "right_hand",
    "left_hand",
    "left_foot",
    "right_foot",
    "right_thigh_back",
    "left_thigh_back",
    "right_thigh_front",
    "left_thigh_front",
    "right_calf_back",
    "left_calf_back",
    "right_calf_front",
    "left_calf_front",
    "left_upper_arm_inner",
    "right_upper_arm_inner",
    "left_upper_arm_outer",
    "right_upper_arm_outer",
    "left_forearm_inner",
    "right_forearm_inner",
    "left_forearm_outer",
    "right_forearm_outer",
    "head_right",
    "head_left",
)
"""Parts of a body; the index plus one is the label of DensePose."""

HAND_PARTS = ("palm", *(f"{finger}{phalanx}" for finger in FINGERS for phalanx in "123"))
"""Parts of a hand: the palm with the back of the hand, then the phalanges from the base outwards."""

_LIMBS = (
    ("hand", r"wrist|hand|finger|metacarpal|index\d|middle\d|ring\d|pinky\d|little\d|thumb\d"),
    ("foot", r"foot|toe|ankle"),
    ("thigh", r"upperleg|hip$|^hip"),
    ("calf", r"lowerleg|knee"),
    ("upper_arm", r"upperarm|(left|right)_shoulder"),
    ("forearm", r"lowerarm|elbow"),
    ("head", r"head|eye|jaw|neck0[23]"),
)


def limb_of(joint: str) -> str:
    """The limb that a joint of a body moves: hand, foot, thigh, calf, upper_arm, forearm, head or torso."""
    return next((limb for limb, pattern in _LIMBS if re.search(pattern, joint.lower())), "torso")


def side_of(joint: str) -> str:
    """The side that a joint's name tells: "left", "right" or "" on the middle line."""
    lower = joint.lower()
    if lower.endswith(".l") or lower.startswith(("left", "l_")):
        return "left"
    return "right" if lower.endswith(".r") or lower.startswith(("right", "r_")) else ""


def finger_part(joint: str) -> str:
    """The part of a hand that a joint moves; a thumb's first bone is "thumb1", metacarpals and the wrist are "palm"."""
    anny = re.search(r"finger(\d)-(\d)", joint)
    if anny:
        return f"{FINGERS[int(anny[1]) - 1]}{anny[2]}"
    return joint if joint in HAND_PARTS else "palm"


def hand_parts(faces: Tensor, vertex_joint: Tensor, joint_names: tuple[str, ...]) -> Tensor:
    """(F,) int64: index into `HAND_PARTS` of each triangle, by the joint that moves most of its corners."""
    of_joint = torch.tensor([HAND_PARTS.index(finger_part(name)) for name in joint_names])
    return of_joint[_majority(vertex_joint[faces])]


def body_parts(
    vertices: Tensor,
    joints: Tensor,
    faces: Tensor,
    vertex_joint: Tensor,
    joint_names: tuple[str, ...],
    parents: tuple[int, ...],
) -> Tensor:
    """Part of the surface that each triangle belongs to.

    Thighs and calves have a back and a front, arms a side towards the body and one away from it: by the side of the
    bone on which a triangle lies in the reference pose. The trunk is parted by where it looks, the head by the middle.

    Args:
        vertices: (V, 3) vertices in the reference pose, the face towards -z and the left towards +x.
        joints: (J, 3) joint centres in that pose.
        faces: (F, 3) triangles.
        vertex_joint: (V,) dominant joint.
        joint_names: the J names.
        parents: the J parents.

    Returns:
        (F,) int64 index into `BODY_PARTS`.
    """
    joint = _majority(vertex_joint[faces])
    corners = vertices[faces]
    centre = corners.mean(dim=1)
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    parts = torch.empty(len(faces), dtype=torch.int64)
    for index in torch.unique(joint).tolist():
        mine = joint == index
        limb, side = limb_of(joint_names[index]), side_of(joint_names[index])
        if limb in ("hand", "foot"):
            parts[mine] = BODY_PARTS.index(f"{side}_{limb}")
            continue
        if limb == "head":
            first, names = centre[mine, 0] > 0, ("head_left", "head_right")
        elif limb == "torso":
            first, names = normal[mine, 2] > 0, ("torso_back", "torso_front")
        else:
            bone = joints[parents.index(index)] - joints[index]  # a limb's joint has one child
            offset = centre[mine] - joints[index]
            offset = offset - (offset @ bone)[:, None] * bone / bone.dot(bone)
            if limb in ("thigh", "calf"):
                first, names = offset[:, 2] > 0, (f"{side}_{limb}_back", f"{side}_{limb}_front")
            else:
                inwards = offset[:, 0] if side == "right" else -offset[:, 0]
                first, names = inwards + offset[:, 1] > 0, (f"{side}_{limb}_inner", f"{side}_{limb}_outer")
        parts[mine] = torch.where(first, BODY_PARTS.index(names[0]), BODY_PARTS.index(names[1]))
    return parts


def _majority(corners: Tensor) -> Tensor:
    """(F,): the value that two or three of the corners (F, 3) share, else the first's."""
    return torch.where(corners[:, 1] == corners[:, 2], corners[:, 1], corners[:, 0])
