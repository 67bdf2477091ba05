"""Puts a recorded motion on a body: every bone points where the recorded bone points, the feet stand on the floor.

Each bone's rotation is the recorded joint's times the rotation that lays the body's bone, in the reference pose, on the
recorded bone when all its rotations are the identity, so that bones agree exactly however the two skeletons differ at
rest. What has no partner moves with its parent; fingers hold a natural shape.

Letters: T frames, J joints, P points.
"""

from functools import lru_cache

import numpy as np
import torch
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from torch import Tensor

from humanpt.body.model import BodyModel
from humanpt.data.mocap.motion import Motion
from humanpt.data.poses import gestures
from humanpt.data.poses.anatomy import (
    DOWN,
    FORWARD,
    LEFT,
    SIDES,
    Array,
    Side,
    Skeleton,
    about,
    absolute,
    across,
    axes,
    positions,
    skeleton_of,
    swing,
    twist_angle,
    unit,
)
from humanpt.data.poses.body_rotations import BodyRotations, power
from humanpt.data.poses.hand_rotations import HandRotations

FLOOR_WINDOW = 1.0
"""Within this many seconds the feet touch the floor at least once; a jump is shorter."""

HANGING_PRONATION = 0.35
"""How far, in radians, forearms are turned in where a recording does not say: about the middle of their range."""


def retarget(
    motion: Motion, model: BodyModel, shape: Tensor | None = None, *, rng: np.random.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Put a motion on a body.

    Args:
        motion: T frames.
        model: a body model.
        shape: (1, S) who moves; the mean shape if None. Steps grow with the legs.
        rng: draws the shape of each hand, which is kept through the motion; relaxed hands if None.

    Returns:
        (T, J, 3, 3) poses and (T, 3) metres of translation, float32. Nothing sinks more than a few millimetres into the
        floor at y = 0, and the first frame stands over the origin.

    Raises:
        ValueError: if the model is a hand, or the shape is of more than one person.
    """
    if model.layout.subject != "body":
        raise ValueError(f"{model.layout.name} is a hand; motions are those of whole bodies")
    shape = model.mean_shape() if shape is None else shape
    if shape.ndim != 2 or len(shape) != 1:
        raise ValueError(f"shape is {tuple(shape.shape)}; a motion is put on one person, (1, S)")
    skeleton, body, hands = _measure(model)
    local = _local(motion, skeleton, body)
    for hand in hands:
        rows = gestures.TABLE[:1].copy() if rng is None else gestures.draw_hands(rng, 1)
        rows[:, -2:] = 0  # the recording turns the wrist
        hand(local, np.repeat(rows, len(motion), axis=0))
    orientations = absolute(skeleton.parents, local)
    pose = model.pose_from_orientations(torch.from_numpy(orientations).to(shape.device), shape.double()).float()
    transl = _on_the_floor(motion, model, shape, skeleton, orientations)
    return pose, torch.from_numpy(transl).float().to(shape.device)


@lru_cache(maxsize=2)
def _measure(model: BodyModel) -> tuple[Skeleton, BodyRotations, list[HandRotations]]:
    """The model's reference pose, which stays what it is."""
    skeleton = skeleton_of(model)
    return skeleton, BodyRotations(skeleton), [HandRotations(skeleton, side) for side in SIDES]


def _local(motion: Motion, skeleton: Skeleton, body: BodyRotations) -> Array:
    """Each joint's own rotation (T, J, 3, 3), fingers still straight."""
    count = len(motion)
    index = {name: i for i, name in enumerate(motion.joint_names)}
    still = motion.still()
    turned: dict[int, Array] = {}
    partners = {part: [index[name] for name in names] for part, names in motion.partners.items()}
    turned[0] = motion.rotations[:, partners["root"][0]]
    _bend(turned, skeleton.part("spine"), motion.rotations[:, partners["spine"]])
    _bend(turned, skeleton.part("neck") + skeleton.part("head"), motion.rotations[:, partners["head"]])
    for side in SIDES:
        zero = _zero_limbs(motion, skeleton, body, side, still, partners)
        for part, lay in zero.items():
            if f"{part}/{side}" in partners:
                rotation = motion.rotations[:, partners[f"{part}/{side}"][0]] @ lay
                turned |= dict.fromkeys(skeleton.part(part, side), rotation)
    result = np.empty((count, len(skeleton.names), 3, 3))
    full = np.empty_like(result)
    for joint, parent in enumerate(skeleton.parents):
        full[:, joint] = turned.get(joint, full[:, parent])
    for side in SIDES:
        _share_twists(full, skeleton, body, side, lift=f"clavicle/{side}" not in partners)
    for joint, parent in enumerate(skeleton.parents):
        result[:, joint] = full[:, joint] if parent < 0 else np.swapaxes(full[:, parent], -1, -2) @ full[:, joint]
    return result


def _bend(turned: dict[int, Array], joints: tuple[int, ...], keys: Array) -> None:
    """Spread the rotations along a recorded chain (T, K, 3, 3), its root first, evenly over the joints of another."""
    last = keys.shape[1] - 1
    for k, joint in enumerate(joints):
        place = last * (k + 1) / len(joints)
        first = min(int(place), last - 1)
        between = np.swapaxes(keys[:, first], -1, -2) @ keys[:, first + 1]
        turned[joint] = keys[:, first] @ power(between, place - first)


def _zero_limbs(
    motion: Motion, skeleton: Skeleton, body: BodyRotations, side: Side, still: Array, partners: dict[str, list[int]]
) -> dict[str, Array]:
    """For each part of one side, the rotation that lays its bone of the reference pose on the recorded bone at rest."""

    def recorded(part: str) -> Array:
        start, end = partners[f"{part}/{side}"]
        return unit(still[end] - still[start])

    leg, arm = body.legs[side], body.arms[side]
    thigh = axes(across(LEFT, recorded("thigh")), recorded("thigh")) @ leg.frame.T
    shin = _laid(thigh @ about(leg.hinge, -leg.rest_knee), leg.shin_bone, recorded("shin"))
    upper_bone = recorded("upperarm")
    hanging = motion.arms == "hanging"
    hinge = across(-LEFT, upper_bone) if hanging else unit(np.cross(upper_bone, FORWARD))
    upper = axes(-hinge, upper_bone) @ arm.frame.T
    fore = _laid(upper @ about(arm.hinge, -arm.rest_elbow), arm.axis, recorded("forearm"))
    # The hand in line with the forearm, its palm turned to the body, or down where the arms are level.
    axis = recorded("forearm")
    palm = arm.sign * -LEFT if hanging else DOWN
    turn = HANGING_PRONATION * arm.sign if hanging else 0.0
    back = about(axis, turn) @ across(-palm, axis)
    hand = axes(axis, back) @ arm.hand_frame.T
    return {
        "clavicle": np.eye(3),
        "upperarm": upper,
        "forearm": fore,
        "wrist": hand,
        "palm": hand,
        "thigh": thigh,
        "shin": shin,
        "foot": np.eye(3),  # soles are level in both
        "toes": np.eye(3),
    }


def _laid(rotation: Array, bone: Array, wanted: Array) -> Array:
    """The rotation, corrected by the smallest turn that brings a bone exactly where it is wanted."""
    result: Array = swing((rotation @ bone)[None], wanted[None])[0] @ rotation
    return result


def _share_twists(full: Array, skeleton: Skeleton, body: BodyRotations, side: Side, *, lift: bool) -> None:
    """Spread each limb's turn about itself along its length, and lift the collar bone with the arm.

    Args:
        full: (T, J, 3, 3) absolute rotations, changed in place.
        skeleton: the joints.
        body: bones of arms and legs in the reference pose.
        side: left or right.
        lift: whether the collar bone follows the arm because the recording has none.
    """
    arm, leg = body.arms[side], body.legs[side]
    clavicle = skeleton.part("clavicle", side)
    if clavicle and lift:
        chest = full[:, skeleton.parents[clavicle[0]]]
        relative = np.swapaxes(chest, -1, -2) @ full[:, arm.upper[0]]
        full[:, list(clavicle)] = (chest @ power(swing(arm.bone, relative @ arm.bone), 0.15))[:, None]
    for joints, bone in ((arm.upper, arm.bone), (leg.thigh, leg.bone)):
        if len(joints) > 1:
            above = full[:, skeleton.parents[joints[0]]]
            twist = twist_angle(np.swapaxes(above, -1, -2) @ full[:, joints[0]], bone)
            full[:, joints[0]] = full[:, joints[0]] @ about(bone, -0.5 * twist)
    if len(arm.fore) > 1:
        straight = np.swapaxes(full[:, arm.fore[0]], -1, -2) @ full[:, arm.wrist] @ arm.straighten.T
        twist = twist_angle(straight, arm.axis)
        for joint, share in zip(arm.fore, (0.25, 0.8), strict=True):
            full[:, joint] = full[:, joint] @ about(arm.axis, share * twist)


def _on_the_floor(motion: Motion, model: BodyModel, shape: Tensor, skeleton: Skeleton, orientations: Array) -> Array:
    """Translations (T, 3): steps scaled to the legs, the lowest point at y = 0 at least once in FLOOR_WINDOW."""
    with torch.no_grad():
        mesh = model(shape, model.identity_pose(), shape.new_zeros(1, 3))
    vertices, joints = mesh.vertices[0].double().cpu().numpy(), mesh.joints[0].double().cpu().numpy()
    points, owner = _outermost(vertices, model.vertex_joint.cpu().numpy())
    still = motion.still()
    index = {name: i for i, name in enumerate(motion.joint_names)}
    recorded = sum(
        _length(still, [index[name] for name in motion.partners[f"{part}/left"]]) for part in ("thigh", "shin")
    )
    leg = _length(joints, [skeleton.part("thigh", "left")[0], skeleton.part("shin", "left")[0]]) + _length(
        joints, [skeleton.part("shin", "left")[0], skeleton.part("foot", "left")[0]]
    )
    transl: Array = (motion.root - motion.root[0]) * (leg / recorded)
    own = Skeleton(
        names=skeleton.names, parents=skeleton.parents, rest=joints, trunk=skeleton.trunk, limbs=skeleton.limbs
    )
    offset = vertices[points] - joints[owner]
    low = np.empty(len(motion))
    for first in range(0, len(motion), 64):
        here = slice(first, first + 64)
        places = positions(own, orientations[here])
        lowest = places[:, owner, 1] + (orientations[here][:, owner, 1] * offset).sum(-1)
        low[here] = lowest.max(axis=1)
    lowest = low + transl[:, 1]
    width = 2 * round(0.5 * FLOOR_WINDOW * motion.rate) + 1
    # The mean of maxima taken over the same window is nowhere below the value itself.
    ground = uniform_filter1d(maximum_filter1d(lowest, width, mode="nearest"), width, mode="nearest")
    transl[:, 1] -= ground
    return transl


def _outermost(vertices: Array, owner: np.ndarray) -> tuple[Array, Array]:
    """Vertices that may touch the floor first: the farthest of each joint's own in 26 directions, and their joints."""
    steps = np.array([[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if x or y or z])
    directions = unit(steps.astype(np.float64))
    chosen: set[int] = set()
    for joint in np.unique(owner):
        mine = np.flatnonzero(owner == joint)
        chosen |= {int(mine[k]) for k in np.argmax(vertices[mine] @ directions.T, axis=0)}
    points = np.array(sorted(chosen))
    return points, owner[points]


def _length(joints: Array, chain: list[int]) -> float:
    return float(np.linalg.norm(joints[chain[1]] - joints[chain[0]]))
