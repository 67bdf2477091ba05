"""From angles of a hand to the rotations of a rig's joints.

Bones, hinges and the angles that the reference pose already has are measured on the rig and taken off, so that the same
row of angles (see `gestures.py`) means the same hand on every rig.

Letters: N hands, J joints, A angles of a hand.
"""

import numpy as np

from humanpt.data.poses.anatomy import FINGERS, Array, Side, Skeleton, about, across, angle_about, unit
from humanpt.data.poses.gestures import ANGLES, KNUCKLES, LONG_FINGERS, MIDDLES, SPREADS, TIPS

THUMB_REST_BEND = 0.1
"""Flexion of the thumb's last joint in the reference pose, in radians: a rig shows no bone beyond it."""


class HandRotations:
    """Turns rows of hand angles into the rotations of one hand of a rig."""

    def __init__(self, skeleton: Skeleton, side: Side) -> None:
        """Measure the hand in the reference pose; a rig without fingers yields the wrist alone."""
        self.wrist = skeleton.part("wrist", side)[0]
        self.chains = {finger: skeleton.part(finger, side) for finger in FINGERS if skeleton.part(finger, side)}
        self.palm = skeleton.part("palm", side)
        if not self.chains:
            return
        bone = skeleton.bone
        along = bone(self.wrist, self.chains["middle"][0])  # from the wrist to the middle knuckle
        row = skeleton.rest[self.chains["index"][0]] - skeleton.rest[self.chains["little"][0]]
        self.along = along
        self.thumbward = across(row, along)
        back = np.cross(along, self.thumbward)
        self.back = back if side == "right" else -back  # out of the back of the hand
        self.curl = np.cross(along, -self.back)  # turns the fingers towards the palm
        self.aside = np.cross(along, self.thumbward)  # turns the fingers towards the thumb
        self._measure_fingers(skeleton)
        self._measure_thumb(skeleton)

    def _measure_fingers(self, skeleton: Skeleton) -> None:
        """Axes about which the four fingers bend, and how far they are bent and spread in the reference pose."""
        knuckles = np.stack([skeleton.rest[self.chains[finger][0]] for finger in LONG_FINGERS])
        curls, middle_axes, tip_axes, from_rest, bends = [], [], [], [], []
        for k, finger in enumerate(LONG_FINGERS):
            # The knuckles form an arch, and each finger bends at right angles to its piece of it.
            tangent = across(knuckles[max(k - 1, 0)] - knuckles[min(k + 1, 3)], self.along)
            curl = about(self.along, 0.6 * angle_about(self.along, self.thumbward, tangent)) @ self.curl
            first, second, third = self.chains[finger]
            proximal, middle = skeleton.bone(first, second), skeleton.bone(second, third)
            flexion = np.arcsin(np.clip(-(proximal @ self.back), -1, 1))
            abduction = np.arctan2(proximal @ self.thumbward, proximal @ self.along)
            middle_axis = across(curl, proximal)
            curls.append(curl)
            middle_axes.append(middle_axis)
            tip_axes.append(across(curl, middle))
            from_rest.append((about(curl, flexion) @ about(self.aside, abduction)).T)
            bends.append(max(angle_about(middle_axis, proximal, middle), 0.0))
        self.curls, self.middle_axes, self.tip_axes = np.stack(curls), np.stack(middle_axes), np.stack(tip_axes)
        self.from_rest = np.stack(from_rest)  # (4, 3, 3) straightens the first bone of each finger
        self.rest_bend = np.array(bends)

    def _measure_thumb(self, skeleton: Skeleton) -> None:
        """Axes about which the thumb turns, and its opposition and spread in the reference pose."""
        first, second, third = self.chains["thumb"]
        base, last = skeleton.bone(first, second), skeleton.bone(second, third)
        outward = across(base, self.along)
        self.rest_opposition = float(np.arctan2(-(outward @ self.back), outward @ self.thumbward))
        self.rest_spread = float(np.arccos(np.clip(base @ self.along, -1, 1)))
        self.oppose = np.cross(self.thumbward, -self.back)  # turns the thumb's side out of the palm
        self.spread = np.cross(self.along, outward)  # turns the thumb away from the index finger
        # The thumb bends across the palm: mostly towards the little finger, a little down into the palm.
        self.thumb_curl = np.cross(last, across(unit(-self.thumbward - 0.6 * self.back), last))

    def __call__(self, local: Array, angles: Array) -> None:
        """Write the joint rotations of hands into poses.

        Args:
            local: (N, J, 3, 3) each joint's own rotation about the axes of the reference pose, changed in place; the
                wrist's is multiplied, since the forearm has its share in it.
            angles: (N, A) radians.
        """
        if not self.chains:
            return
        angle = dict(zip(ANGLES, angles.T, strict=True))
        local[:, self.wrist] = (
            local[:, self.wrist]
            @ about(self.curl, angle["wrist_flexion"])
            @ about(self.aside, -angle["wrist_deviation"])
        )
        for share, joint in zip((0.5, 1.0), self.palm, strict=False):
            local[:, joint] = about(self.curl, share * angle["cup"])
        knuckle, middle, tip = (list(joints) for joints in zip(*(self.chains[f] for f in LONG_FINGERS), strict=True))
        wanted = about(self.curls, angles[:, KNUCKLES]) @ about(self.aside, angles[:, SPREADS])  # (N, 4, 3, 3)
        local[:, knuckle] = wanted @ self.from_rest
        local[:, middle] = about(self.middle_axes, angles[:, MIDDLES] - self.rest_bend)
        local[:, tip] = about(self.tip_axes, angles[:, TIPS] - 0.3 * self.rest_bend)
        first, second, third = self.chains["thumb"]
        local[:, first] = about(self.oppose, angle["thumb_opposition"] - self.rest_opposition) @ about(
            self.spread, angle["thumb_spread"] - self.rest_spread
        )
        local[:, second] = about(self.thumb_curl, angle["thumb_knuckle"])
        local[:, third] = about(self.thumb_curl, angle["thumb_tip"] - THUMB_REST_BEND)
