"""From anatomical angles of a body to the rotations of a rig's joints.

Bones, hinges and the angles that the reference pose already has are measured on the rig and taken off, so that the same
row of angles (see `postures.py`) means the same body on every rig.

Letters: N bodies, J joints, A angles of a body.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from humanpt.data.poses.anatomy import (
    DOWN,
    FORWARD,
    LEFT,
    SIDES,
    Array,
    Side,
    Skeleton,
    about,
    across,
    angle_about,
    axes,
    swing,
    twist_angle,
    unit,
)
from humanpt.data.poses.postures import ANGLES, SIDED, Flags


class BodyRotations:
    """Turns rows of body angles into the rotations of a rig, all but the hands' own."""

    def __init__(self, skeleton: Skeleton) -> None:
        self.skeleton = skeleton
        self.legs = {side: _Leg(skeleton, side) for side in SIDES}
        self.arms = {side: _Arm(skeleton, side) for side in SIDES}

    def __call__(self, local: Array, angles: Array, planted: Flags) -> None:
        """Write rotations into poses.

        Args:
            local: (N, J, 3, 3) each joint's own rotation about the axes of the reference pose, changed in place.
            angles: (N, A) radians.
            planted: (N, 2) whether the left and the right foot lie level.
        """
        angle = dict(zip(ANGLES, angles.T, strict=True))
        part = self.skeleton.part
        root = about(LEFT, angle["tilt"]) @ about(FORWARD, -angle["roll"])
        local[:, part("root")[0]] = root
        _spread(local, part("spine"), angle, "spine")
        _spread(local, part("neck") + part("head"), angle, "head")
        for k, side in enumerate(SIDES):
            own = {name: angle[f"{name}.{side}"] for name in SIDED}
            self.legs[side].turn(local, own, root, planted[:, k])
            self.arms[side].turn(local, own)


def _spread(local: Array, joints: tuple[int, ...], angle: dict[str, Array], name: str) -> None:
    """Share bending forwards, sideways and turning evenly among the joints of spine or neck."""
    share = 1.0 / len(joints)
    turn = (
        about(DOWN, -share * angle[f"{name}_twist"])
        @ about(LEFT, share * angle[f"{name}_flexion"])
        @ about(FORWARD, -share * angle[f"{name}_bend"])
    )
    local[:, list(joints)] = turn[:, None]


class _Leg:
    def __init__(self, skeleton: Skeleton, side: Side) -> None:
        self.sign = 1.0 if side == "left" else -1.0
        self.thigh, self.shin = skeleton.part("thigh", side), skeleton.part("shin", side)
        self.foot = skeleton.part("foot", side)[0]
        self.bone = skeleton.bone(self.thigh[0], self.shin[0])
        shin = skeleton.bone(self.shin[0], self.foot)
        self.hinge = across(LEFT, self.bone)
        self.shin_bone = shin
        self.frame = axes(self.hinge, self.bone)
        self.rest_knee = angle_about(self.hinge, self.bone, shin)

    def turn(self, local: Array, angle: dict[str, Array], root: Array, planted: Flags) -> None:
        """Rotations of one leg; a planted foot is turned level as far as the ankle goes."""
        wanted = (
            about(LEFT, -angle["hip_flexion"])
            @ about(FORWARD, self.sign * angle["hip_abduction"])
            @ about(DOWN, -self.sign * angle["hip_turn"])
            @ self.frame.T
        )
        _swing_and_twist(local, self.thigh, wanted, self.bone)
        knee = about(self.hinge, angle["knee"] - self.rest_knee)
        local[:, self.shin[0]] = knee
        shin = root @ wanted @ knee
        # Level: the smallest turn that brings what was down in the reference pose back to down.
        level = swing(unit(np.swapaxes(shin, -1, -2) @ DOWN), np.broadcast_to(DOWN, (len(shin), 3)))
        level = np.swapaxes(level, -1, -2)
        pitch = np.arctan2(level[:, 2, 1], level[:, 1, 1])
        side = np.arcsin(np.clip(-level[:, 0, 1], -1, 1))
        pitch = np.clip(np.where(planted, pitch, -angle["ankle"]), *np.radians((-25, 45)))
        side = np.clip(np.where(planted, side, 0.0), *np.radians((-18, 18)))
        local[:, self.foot] = (
            about(LEFT, pitch) @ about(np.array([0.0, 0.0, 1.0]), side) @ about(DOWN, -self.sign * angle["foot_turn"])
        )


class _Arm:
    def __init__(self, skeleton: Skeleton, side: Side) -> None:
        self.sign = 1.0 if side == "left" else -1.0
        self.side = self.sign * LEFT
        self.clavicle = skeleton.part("clavicle", side)
        self.upper, self.fore = skeleton.part("upperarm", side), skeleton.part("forearm", side)
        self.wrist = skeleton.part("wrist", side)[0]
        self.bone = skeleton.bone(self.upper[0], self.fore[0])
        self.axis = skeleton.bone(self.fore[0], self.wrist)
        bend = np.cross(self.bone, self.axis)
        # A straight arm shows no hinge: it bends forwards.
        hinge = unit(bend) if np.linalg.norm(bend) > 0.15 else unit(np.cross(self.bone, FORWARD))
        self.hinge = across(hinge, self.bone)
        self.frame = axes(-self.hinge, self.bone)
        self.rest_elbow = angle_about(self.hinge, self.bone, self.axis)
        self._measure_hand(skeleton, side)

    def _measure_hand(self, skeleton: Skeleton, side: Side) -> None:
        """Pronation and wrist angles of the reference pose; without fingers the palm is taken to face down."""
        middle, index, little = (skeleton.part(name, side) for name in ("middle", "index", "little"))
        along, back = self.axis, across(-DOWN, self.axis)
        if middle and index and little:
            along = skeleton.bone(self.wrist, middle[0])
            row = across(skeleton.rest[index[0]] - skeleton.rest[little[0]], along)
            back = -self.sign * np.cross(along, row)
        neutral = self.sign * across(self.hinge, self.axis)  # the palm faces the body when the thumb is up
        self.rest_pronation = angle_about(self.sign * self.axis, neutral, -back)
        self.hand_frame = axes(along, back)
        straight = axes(self.axis, across(back, self.axis))
        self.straighten = straight @ self.hand_frame.T  # takes the hand of the reference pose in line with the forearm

    def turn(self, local: Array, angle: dict[str, Array]) -> None:
        """Rotations of one arm down to the wrist, whose own flexion the hand adds."""
        plane = angle["arm_plane"][:, None]
        outwards = np.cos(plane) * self.side + np.sin(plane) * FORWARD
        wanted = (
            about(np.cross(DOWN, outwards), angle["arm_elevation"])
            @ about(DOWN, self.sign * angle["arm_turn"])
            @ self.frame.T
        )
        lift = swing(self.bone, wanted @ self.bone)
        collar = power(lift, 0.15)
        if self.clavicle:
            local[:, self.clavicle[0]] = collar
            wanted = np.swapaxes(collar, -1, -2) @ wanted
        _swing_and_twist(local, self.upper, wanted, self.bone)
        bend = about(self.hinge, angle["elbow"] - self.rest_elbow)
        turn = self.sign * (angle["pronation"] - self.rest_pronation)
        # The forearm twists along its length, most of it near the hand.
        shares = (0.25, 0.75, 0.0) if len(self.fore) > 1 else (0.4, 0.6)
        joints = (*self.fore, self.wrist)
        for joint, share in zip(joints, shares, strict=True):
            local[:, joint] = about(self.axis, share * turn)
        local[:, self.fore[0]] = bend @ local[:, self.fore[0]]
        local[:, self.wrist] = local[:, self.wrist] @ self.straighten


def _swing_and_twist(local: Array, joints: tuple[int, ...], wanted: Array, bone: Array) -> None:
    """Give a limb's rotation to its joints: all of the swing to the first, the twist about the bone to all evenly."""
    turned = swing(bone, wanted @ bone)
    twist = twist_angle(wanted, bone) / len(joints)
    for joint in joints:
        local[:, joint] = about(bone, twist)
    local[:, joints[0]] = turned @ local[:, joints[0]]


def power(rotation: Array, share: float) -> Array:
    """Part of rotations (N, 3, 3) that turn by less than half a turn, about the same axes."""
    part: Array = (Rotation.from_matrix(rotation) ** share).as_matrix()
    return part
