"""Natural postures of the body: what legs, trunk and arms do, and how they vary.

A body is a row of anatomical angles. Zero is a person standing straight, arms hanging, palms to the thighs. A posture
says in which range each angle lies; legs and trunk come from one table, each arm from another, so that they combine.

Arms: `arm_elevation` is the angle of the upper arm from hanging down, `arm_plane` the vertical plane it is lifted in (0
sideways, 90 forwards), `arm_turn` its inward turn about itself. Legs: flexion lifts the thigh forwards.

Letters: N bodies, A angles of a body.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from humanpt.data.poses.anatomy import SIDES, Array

# Range of every angle, in degrees: passive ranges of Norkin and White, Measurement of Joint Motion, 5th edition, taken
# in where clothes and flesh stop most people. `tilt`, `roll` and `hang` place the whole body and have no joint.
TRUNK_LIMITS: dict[str, tuple[float, float]] = {
    "tilt": (-100, 100),
    "roll": (-100, 100),
    "spine_flexion": (-20, 70),
    "spine_bend": (-25, 25),
    "spine_twist": (-40, 40),
    "head_flexion": (-35, 40),
    "head_bend": (-25, 25),
    "head_twist": (-65, 65),
}
LEG_LIMITS: dict[str, tuple[float, float]] = {
    "hip_flexion": (-22, 118),
    "hip_abduction": (-12, 45),
    "hip_turn": (-30, 40),
    "knee": (0, 140),
    "ankle": (-45, 25),
    "foot_turn": (-12, 20),
}
ARM_LIMITS: dict[str, tuple[float, float]] = {
    "arm_elevation": (3, 168),
    "arm_plane": (-40, 125),
    "arm_turn": (-55, 75),
    "elbow": (0, 142),
    "pronation": (-80, 80),
}
SIDED = (*LEG_LIMITS, *ARM_LIMITS)
LIMITS = {**TRUNK_LIMITS, **{f"{name}.{side}": (LEG_LIMITS | ARM_LIMITS)[name] for side in SIDES for name in SIDED}}
ANGLES = tuple(LIMITS)
LOWER = np.radians([low for low, _ in LIMITS.values()])
UPPER = np.radians([high for _, high in LIMITS.values()])
AT = {name: i for i, name in enumerate(ANGLES)}

Ranges = dict[str, tuple[float, float]]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Stance:
    """What trunk and legs do: ranges in degrees of every angle that is not about zero.

    `near` and `far` are the two legs, either of which may be the left. An angle given for the near leg alone holds for
    both. `alike` is how often an angle of one leg follows the other's. Planted feet lie level whatever the leg does,
    and the hip flexion of planted legs counts from the vertical, not from the leaning trunk.
    """

    trunk: Ranges = field(default_factory=dict)
    near: Ranges = field(default_factory=dict)
    far: Ranges = field(default_factory=dict)
    alike: float = 0.5
    planted: tuple[bool, bool] = (True, True)
    weight: float = 1


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What an arm does: ranges in degrees; `both` is how often the other arm does the same."""

    ranges: Ranges
    both: float = 0.5
    weight: float = 1


STANCES: dict[str, Stance] = {
    "standing": Stance(
        near={"hip_flexion": (-4, 12), "hip_abduction": (-1, 9), "hip_turn": (-4, 16), "knee": (0, 16)},
        alike=0.7,
        weight=7,
    ),
    "wide": Stance(
        near={"hip_flexion": (0, 25), "hip_abduction": (10, 30), "hip_turn": (0, 25), "knee": (2, 30)},
        alike=0.7,
        weight=2,
    ),
    "one leg": Stance(
        trunk={"spine_bend": (-14, 14)},
        near={"hip_flexion": (-4, 8), "hip_abduction": (-2, 6), "knee": (0, 10)},
        far={"hip_flexion": (5, 30), "hip_abduction": (2, 14), "hip_turn": (0, 25), "knee": (12, 50)},
        planted=(True, False),
        weight=3,
    ),
    "walking": Stance(
        trunk={"spine_flexion": (-2, 14), "spine_twist": (-14, 14)},
        near={"hip_flexion": (12, 36), "hip_abduction": (-3, 6), "knee": (0, 24)},
        far={"hip_flexion": (-20, 4), "hip_abduction": (-3, 6), "knee": (6, 52), "ankle": (-25, 8)},
        alike=0,
        planted=(True, False),
        weight=5,
    ),
    "running": Stance(
        trunk={"tilt": (2, 14), "spine_flexion": (0, 18), "spine_twist": (-22, 22)},
        near={"hip_flexion": (35, 80), "hip_abduction": (-3, 6), "knee": (35, 105), "ankle": (-15, 12)},
        far={"hip_flexion": (-20, 6), "hip_abduction": (-3, 6), "knee": (8, 100), "ankle": (-40, 0)},
        alike=0,
        planted=(False, False),
        weight=2,
    ),
    "lunge": Stance(
        trunk={"spine_flexion": (-8, 25)},
        near={"hip_flexion": (55, 100), "hip_abduction": (-2, 14), "knee": (65, 112)},
        far={"hip_flexion": (-20, 5), "hip_abduction": (-2, 10), "knee": (10, 75), "ankle": (-20, 22)},
        alike=0,
        planted=(True, False),
        weight=2,
    ),
    "squat": Stance(
        trunk={"tilt": (5, 35), "spine_flexion": (0, 30)},
        near={"hip_flexion": (45, 95), "hip_abduction": (4, 30), "hip_turn": (-4, 22), "knee": (75, 138)},
        alike=0.9,
        weight=2,
    ),
    "half squat": Stance(
        trunk={"tilt": (4, 25), "spine_flexion": (0, 30)},
        near={"hip_flexion": (18, 48), "hip_abduction": (2, 24), "hip_turn": (-4, 20), "knee": (30, 80)},
        alike=0.85,
        weight=2,
    ),
    "seated": Stance(
        trunk={"tilt": (-12, 8), "spine_flexion": (-4, 32)},
        near={"hip_flexion": (75, 102), "hip_abduction": (0, 22), "hip_turn": (-8, 18), "knee": (65, 105)},
        alike=0.6,
        weight=4,
    ),
    "seated, one leg out": Stance(
        trunk={"tilt": (-16, 4), "spine_flexion": (-4, 28)},
        near={"hip_flexion": (75, 100), "hip_abduction": (0, 18), "knee": (70, 110)},
        far={"hip_flexion": (62, 92), "hip_abduction": (0, 18), "knee": (10, 55), "ankle": (-25, 10)},
        planted=(True, False),
        weight=2,
    ),
    "on the floor": Stance(
        trunk={"tilt": (-22, 6), "spine_flexion": (5, 42)},
        near={
            "hip_flexion": (70, 105),
            "hip_abduction": (2, 28),
            "hip_turn": (-5, 25),
            "knee": (5, 125),
            "ankle": (-35, 5),
        },
        alike=0.3,
        planted=(False, False),
        weight=1.5,
    ),
    "kneeling": Stance(
        trunk={"spine_flexion": (-6, 20)},
        near={"hip_flexion": (-6, 22), "hip_abduction": (0, 14), "knee": (88, 128), "ankle": (-45, -10)},
        alike=0.85,
        planted=(False, False),
        weight=0.8,
    ),
    "one knee": Stance(
        trunk={"spine_flexion": (-6, 25)},
        near={"hip_flexion": (75, 100), "hip_abduction": (-2, 20), "knee": (75, 110)},
        far={"hip_flexion": (-12, 10), "hip_abduction": (-2, 12), "knee": (80, 115), "ankle": (-30, 20)},
        alike=0,
        planted=(True, False),
        weight=0.8,
    ),
    "bending": Stance(
        trunk={"tilt": (15, 70), "spine_flexion": (10, 55), "head_flexion": (-30, 20)},
        near={"hip_flexion": (-12, 14), "hip_abduction": (0, 14), "knee": (0, 30)},
        alike=0.85,
        weight=2,
    ),
    "kicking": Stance(
        trunk={"tilt": (-14, 6), "spine_bend": (-12, 12)},
        near={"hip_flexion": (-4, 14), "hip_abduction": (-2, 10), "knee": (0, 25)},
        far={"hip_flexion": (35, 95), "hip_abduction": (0, 35), "knee": (0, 70), "ankle": (-40, 10)},
        alike=0,
        planted=(True, False),
        weight=1,
    ),
    "jumping": Stance(
        trunk={"spine_flexion": (-12, 20)},
        near={"hip_flexion": (-10, 60), "hip_abduction": (0, 30), "knee": (5, 100), "ankle": (-42, -5)},
        alike=0.6,
        planted=(False, False),
        weight=1,
    ),
    "on the back": Stance(
        trunk={"tilt": (-96, -80), "roll": (-12, 12)},
        near={
            "hip_flexion": (-6, 55),
            "hip_abduction": (0, 20),
            "hip_turn": (-5, 25),
            "knee": (0, 80),
            "ankle": (-40, 0),
        },
        alike=0.4,
        planted=(False, False),
        weight=0.6,
    ),
    "on the front": Stance(
        trunk={"tilt": (82, 96), "head_flexion": (-35, -5), "spine_flexion": (-18, 4), "head_twist": (-60, 60)},
        near={"hip_flexion": (-10, 10), "hip_abduction": (0, 20), "knee": (0, 45), "ankle": (-45, -25)},
        alike=0.4,
        planted=(False, False),
        weight=0.4,
    ),
    "on the side": Stance(
        trunk={"roll": (78, 98), "spine_flexion": (0, 30)},
        near={"hip_flexion": (5, 70), "hip_abduction": (-4, 10), "knee": (5, 95), "ankle": (-40, 0)},
        alike=0.6,
        planted=(False, False),
        weight=0.4,
    ),
}
NEUTRAL: Ranges = {
    "tilt": (-4, 5),
    "roll": (-3, 3),
    "spine_flexion": (-6, 16),
    "spine_bend": (-9, 9),
    "spine_twist": (-14, 14),
    "head_flexion": (-18, 26),
    "head_bend": (-12, 12),
    "head_twist": (-45, 45),
    "hip_flexion": (-4, 12),
    "hip_abduction": (-2, 8),
    "hip_turn": (-6, 14),
    "knee": (0, 15),
    "ankle": (-8, 8),
    "foot_turn": (-4, 10),
}


def _reach(
    elevation: tuple[float, float],
    plane: tuple[float, float],
    turn: tuple[float, float],
    elbow: tuple[float, float],
    pronation: tuple[float, float],
) -> Ranges:
    names = ("arm_elevation", "arm_plane", "arm_turn", "elbow", "pronation")
    return dict(zip(names, (elevation, plane, turn, elbow, pronation), strict=True))


REACHES: dict[str, Reach] = {
    "hanging": Reach(ranges=_reach((4, 18), (-30, 60), (-5, 35), (4, 32), (-5, 45)), both=0.75, weight=6),
    "swung forwards": Reach(ranges=_reach((15, 45), (70, 100), (0, 35), (15, 85), (-10, 45)), both=0.1, weight=3),
    "swung backwards": Reach(ranges=_reach((15, 40), (-40, -25), (-5, 20), (10, 75), (-10, 40)), both=0.1, weight=2),
    "forearm up front": Reach(ranges=_reach((8, 40), (20, 100), (5, 50), (60, 125), (-30, 70)), both=0.5, weight=4),
    "out forwards": Reach(ranges=_reach((50, 105), (65, 105), (0, 45), (2, 55), (-40, 70)), both=0.5, weight=3),
    "out sideways": Reach(ranges=_reach((55, 105), (-15, 45), (-25, 40), (2, 60), (-45, 75)), both=0.5, weight=3),
    "up": Reach(ranges=_reach((120, 166), (0, 95), (-35, 20), (2, 60), (-50, 50)), both=0.5, weight=2.5),
    "waving": Reach(ranges=_reach((50, 100), (-10, 45), (-55, -25), (75, 125), (-30, 60)), both=0.25, weight=1.5),
    "hand on hip": Reach(ranges=_reach((35, 52), (-20, 5), (35, 65), (85, 112), (10, 60)), both=0.45, weight=1.5),
    "hand at the face": Reach(ranges=_reach((25, 65), (55, 95), (0, 35), (115, 140), (-60, 20)), both=0.15, weight=1.5),
    "behind the head": Reach(
        ranges=_reach((95, 135), (5, 45), (-50, -20), (110, 138), (-20, 50)), both=0.6, weight=0.6
    ),
    "across the belly": Reach(ranges=_reach((12, 35), (60, 115), (35, 70), (70, 105), (10, 60)), both=0.5, weight=1.5),
    "down and forwards": Reach(ranges=_reach((25, 60), (60, 105), (-5, 30), (2, 45), (-20, 70)), both=0.7, weight=2.5),
    "carrying": Reach(ranges=_reach((5, 30), (30, 95), (-15, 20), (75, 105), (-78, -20)), both=0.8, weight=1),
    "anyhow": Reach(ranges=_reach((5, 130), (-25, 110), (-35, 55), (2, 125), (-60, 75)), both=0, weight=3),
}


def draw_angles(rng: np.random.Generator, count: int, spread: float = 0.35) -> tuple[Array, list[str], Flags]:
    """Draw bodies.

    Args:
        rng: source of all draws.
        count: N.
        spread: deviation of the truncated Gaussian of each angle, as a share of its range.

    Returns:
        (N, A) radians within LOWER and UPPER; the name of each stance; (N, 2) whether the left and the right foot lie
        level on the floor.
    """
    names = list(STANCES)
    chosen = rng.choice(len(names), size=count, p=_WEIGHTS)
    reach = _draw_reaches(rng, chosen)  # (N, 2) near and far
    draws = _truncated(rng, (count, len(ANGLES)), 0.5 / spread)  # each in [-1, 1], by the place in its range
    again = _truncated(rng, (count, len(ANGLES)), 0.5 / spread)
    low, high = _LOW[chosen], _HIGH[chosen]  # (N, A), the arms' columns still empty
    arms = slice(len(LEG_LIMITS), len(SIDED))
    for place, first in enumerate((_NEAR, _FAR)):
        columns = np.arange(first, first + len(SIDED))[arms]
        low[:, columns] = _REACH_LOW[reach[:, place]]
        high[:, columns] = _REACH_HIGH[reach[:, place]]
    alike = np.repeat(_ALIKE[chosen][:, None], len(SIDED), axis=1)
    alike[:, arms] = np.where(reach[:, :1] == reach[:, 1:], 0.6, 0.0)
    near, far = draws[:, _NEAR : _NEAR + len(SIDED)], draws[:, _FAR : _FAR + len(SIDED)]
    copied = rng.random(far.shape) < alike
    small = 0.25 * again[:, _FAR : _FAR + len(SIDED)]
    draws[:, _FAR : _FAR + len(SIDED)] = np.where(copied, np.clip(near + small, -1, 1), far)
    angles = 0.5 * (low + high) + 0.5 * (high - low) * draws
    planted = _PLANTED[chosen]
    # A leg that bears weight keeps its place in the room when the trunk leans.
    for place, side in enumerate(SIDES):
        angles[:, AT[f"hip_flexion.{side}"]] += np.where(planted[:, place], angles[:, AT["tilt"]], 0.0)
    swapped = rng.random(count) < 0.5
    angles[swapped] = mirrored(angles[swapped])
    planted = np.where(swapped[:, None], planted[:, ::-1], planted)
    return np.clip(angles, LOWER, UPPER), [names[i] for i in chosen], planted


def mirrored(angles: Array) -> Array:
    """The same bodies with left and right exchanged, (N, A)."""
    result = angles.copy()
    for name in ("roll", "spine_bend", "spine_twist", "head_bend", "head_twist"):
        result[:, AT[name]] *= -1
    near, far = slice(_NEAR, _NEAR + len(SIDED)), slice(_FAR, _FAR + len(SIDED))
    result[:, near], result[:, far] = angles[:, far], angles[:, near]
    return result


def _truncated(rng: np.random.Generator, size: tuple[int, int], bound: float) -> Array:
    """Standard Gaussian draws folded into [-bound, bound], over bound: no draw is ever repeated."""
    draws = rng.standard_normal(size)
    folded = np.abs(np.mod(draws + bound, 4 * bound) - 2 * bound) - bound
    result: Array = -folded / bound
    return result


def _draw_reaches(rng: np.random.Generator, stance: Integers) -> Integers:
    count = len(stance)
    first, second = rng.choice(len(REACHES), size=(2, count), p=_REACH_WEIGHTS)
    same = rng.random(count) < _REACH_BOTH[first]
    reach = np.stack([first, np.where(same, first, second)], axis=1)
    # Who walks or runs swings an arm against each leg, unless the hands are busy.
    striding = np.isin(stance, _STRIDING) & (rng.random(count) < 0.6)
    order = list(REACHES)
    reach[striding] = [order.index("swung backwards"), order.index("swung forwards")]
    # Who bends reaches for something below.
    low = (stance == list(STANCES).index("bending")) & (rng.random(count) < 0.6)
    reach[low] = order.index("down and forwards")
    return reach


_NEAR, _FAR = len(TRUNK_LIMITS), len(TRUNK_LIMITS) + len(SIDED)  # the near side is drawn as the left, then exchanged
_WEIGHTS = np.array([s.weight for s in STANCES.values()]) / sum(s.weight for s in STANCES.values())
_ALIKE = np.array([s.alike for s in STANCES.values()])
_PLANTED = np.array([s.planted for s in STANCES.values()])
_STRIDING = [list(STANCES).index(name) for name in ("walking", "running", "lunge")]


def _bounds(end: int) -> Array:
    rows = []
    for stance in STANCES.values():
        trunk = [(stance.trunk.get(name) or NEUTRAL[name])[end] for name in TRUNK_LIMITS]
        near = [(stance.near.get(name) or NEUTRAL[name])[end] for name in LEG_LIMITS]
        far = [(stance.far.get(name) or stance.near.get(name) or NEUTRAL[name])[end] for name in LEG_LIMITS]
        arm = [0.0] * len(ARM_LIMITS)
        rows.append([*trunk, *near, *arm, *far, *arm])
    result: Array = np.radians(rows)
    return result


_LOW, _HIGH = _bounds(0), _bounds(1)
_REACH_LOW, _REACH_HIGH = (
    np.radians([[reach.ranges[name][end] for name in ARM_LIMITS] for reach in REACHES.values()]) for end in (0, 1)
)
_REACH_WEIGHTS = np.array([r.weight for r in REACHES.values()]) / sum(r.weight for r in REACHES.values())
_REACH_BOTH = np.array([r.both for r in REACHES.values()])
