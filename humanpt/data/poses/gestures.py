"""Natural shapes of the hand: a table of gestures, how they are mixed, and the rotations they stand for.

A hand shape is a row of angles: flexion of the three joints of each finger and its abduction towards the thumb; for
the thumb its opposition, spread and two flexions; flexion and deviation of the wrist; the cupping of the palm. Zero is
a flat hand with parallel fingers in line with the forearm. Angles of the reference pose are measured on the rig and
taken off, so that the same row means the same hand on every rig.

Letters: N hands, A angles of a hand.
"""

from dataclasses import dataclass

import numpy as np

from humanpt.data.poses.anatomy import FINGERS, Array

LONG_FINGERS = FINGERS[1:]

# Range of every angle, in degrees. Finger flexion and abduction: Norkin and White, Measurement of Joint Motion, 5th
# edition; little extension beyond straight is left out because it is rare at rest.
LIMITS: dict[str, tuple[float, float]] = {
    "thumb_opposition": (-5, 95),
    "thumb_spread": (22, 75),
    "thumb_knuckle": (-10, 60),
    "thumb_tip": (-20, 80),
    **{
        f"{finger}_{angle}": limits
        for finger in LONG_FINGERS
        for angle, limits in {"knuckle": (-20, 90), "spread": (-32, 25), "middle": (0, 108), "tip": (-8, 75)}.items()
    },
    "cup": (0, 18),
    "wrist_flexion": (-60, 65),
    "wrist_deviation": (-20, 32),
}
ANGLES = tuple(LIMITS)
LOWER = np.radians([low for low, _ in LIMITS.values()])
UPPER = np.radians([high for _, high in LIMITS.values()])


@dataclass(frozen=True, kw_only=True)
class Gesture:
    """One hand shape, in degrees: (knuckle, middle, tip) flexion of each finger; thumb opposition, spread, flexions."""

    thumb: tuple[float, float, float, float]
    index: tuple[float, float, float]
    middle: tuple[float, float, float]
    ring: tuple[float, float, float]
    little: tuple[float, float, float]
    spread: tuple[float, float, float, float] = (0, -5, -9, -12)
    cup: float = 3
    weight: float = 1


GESTURES: dict[str, Gesture] = {
    "relaxed": Gesture(
        thumb=(45, 48, 12, 15),
        index=(18, 25, 12),
        middle=(24, 30, 16),
        ring=(28, 34, 18),
        little=(28, 34, 18),
        weight=4,
    ),
    "hanging": Gesture(
        thumb=(50, 42, 15, 15),
        index=(28, 38, 20),
        middle=(34, 44, 24),
        ring=(38, 48, 26),
        little=(38, 48, 26),
        weight=3,
    ),
    "flat": Gesture(
        thumb=(25, 38, 5, 0), index=(0, 4, 2), middle=(0, 4, 2), ring=(0, 4, 2), little=(0, 4, 2), weight=2
    ),
    "open": Gesture(
        thumb=(20, 62, 0, -5),
        index=(2, 5, 2),
        middle=(2, 5, 2),
        ring=(2, 5, 2),
        little=(2, 5, 2),
        spread=(14, -4, -18, -30),
        weight=3,
    ),
    "fist": Gesture(
        thumb=(72, 64, 34, 46),
        index=(68, 90, 46),
        middle=(72, 93, 46),
        ring=(69, 88, 48),
        little=(70, 84, 46),
        spread=(-4, -5, -10, -7),
        cup=6,
        weight=2,
    ),
    "loose fist": Gesture(
        thumb=(62, 50, 30, 24),
        index=(48, 58, 41),
        middle=(58, 76, 48),
        ring=(59, 76, 40),
        little=(70, 76, 36),
        spread=(6, -6, -8, -8),
        weight=2,
    ),
    "point": Gesture(
        thumb=(68, 56, 29, 31),
        index=(0, 9, 4),
        middle=(72, 94, 46),
        ring=(67, 88, 57),
        little=(74, 79, 52),
        spread=(0, -2, -7, -12),
        weight=2,
    ),
    "pinch": Gesture(
        thumb=(72, 46, 20, 30),
        index=(52, 52, 30),
        middle=(34, 34, 18),
        ring=(28, 28, 14),
        little=(22, 24, 12),
        weight=2,
    ),
    "pinch, fist": Gesture(
        thumb=(70, 48, 19, 26),
        index=(48, 54, 34),
        middle=(62, 75, 47),
        ring=(75, 84, 44),
        little=(72, 81, 45),
        spread=(5, -6, -11, -10),
    ),
    "tripod": Gesture(
        thumb=(73, 47, 20, 28),
        index=(45, 47, 23),
        middle=(52, 56, 26),
        ring=(61, 67, 40),
        little=(62, 68, 41),
        spread=(0, -8, -9, -14),
        weight=2,
    ),
    "key": Gesture(
        thumb=(26, 39, 15, 14),
        index=(45, 73, 42),
        middle=(58, 82, 50),
        ring=(64, 90, 45),
        little=(48, 84, 48),
        spread=(0, -4, -13, -10),
    ),
    "round grasp": Gesture(
        thumb=(66, 60, 12, 22),
        index=(36, 40, 24),
        middle=(38, 42, 26),
        ring=(38, 42, 26),
        little=(36, 42, 26),
        spread=(10, -4, -14, -22),
        cup=8,
        weight=2,
    ),
    "handle": Gesture(
        thumb=(57, 54, 13, 27),
        index=(59, 64, 37),
        middle=(66, 67, 42),
        ring=(71, 70, 38),
        little=(69, 68, 36),
        spread=(-9, -6, -12, -12),
        weight=2,
    ),
    "flat grasp": Gesture(
        thumb=(76, 52, 18, 14), index=(58, 14, 6), middle=(60, 14, 6), ring=(60, 14, 6), little=(56, 14, 6), weight=2
    ),
    "V sign": Gesture(
        thumb=(67, 52, 34, 48),
        index=(2, 2, 2),
        middle=(2, 4, 1),
        ring=(70, 89, 48),
        little=(71, 81, 48),
        spread=(12, -12, -6, -8),
    ),
    "three": Gesture(
        thumb=(74, 47, 35, 39),
        index=(1, 4, 0),
        middle=(2, 5, 2),
        ring=(5, 5, 4),
        little=(70, 83, 47),
        spread=(10, -5, -16, -10),
    ),
    "four": Gesture(
        thumb=(78, 46, 34, 40),
        index=(2, 4, 2),
        middle=(2, 4, 2),
        ring=(2, 4, 2),
        little=(3, 5, 2),
        spread=(10, -4, -15, -26),
    ),
    "thumb up": Gesture(
        thumb=(9, 64, -4, -15),
        index=(71, 81, 47),
        middle=(74, 91, 46),
        ring=(70, 89, 48),
        little=(72, 84, 44),
        spread=(-4, -4, -8, -9),
        weight=2,
    ),
    "gun": Gesture(
        thumb=(10, 63, 1, -4),
        index=(1, 7, -1),
        middle=(69, 91, 54),
        ring=(73, 84, 54),
        little=(77, 72, 58),
        spread=(0, -8, -8, -8),
    ),
    "call": Gesture(
        thumb=(12, 64, -1, -10),
        index=(68, 88, 43),
        middle=(79, 89, 51),
        ring=(74, 85, 48),
        little=(8, 7, 4),
        spread=(-3, -6, -9, -26),
    ),
    "horns": Gesture(
        thumb=(65, 49, 29, 42),
        index=(2, 6, 1),
        middle=(76, 94, 51),
        ring=(73, 88, 47),
        little=(5, 6, 4),
        spread=(6, -5, -8, -22),
    ),
    "OK": Gesture(
        thumb=(70, 48, 23, 32),
        index=(54, 56, 33),
        middle=(16, 13, 6),
        ring=(8, 11, 2),
        little=(3, 7, 3),
        spread=(2, -4, -14, -27),
    ),
    "claw": Gesture(
        thumb=(45, 62, 15, 35),
        index=(4, 62, 40),
        middle=(6, 66, 42),
        ring=(8, 66, 42),
        little=(8, 62, 40),
        spread=(12, -4, -16, -26),
    ),
    "hook": Gesture(
        thumb=(38, 42, 15, 20), index=(12, 84, 48), middle=(14, 88, 50), ring=(16, 88, 50), little=(16, 86, 50)
    ),
    "cup": Gesture(
        thumb=(40, 37, 12, 8),
        index=(24, 18, 8),
        middle=(28, 18, 8),
        ring=(28, 19, 8),
        little=(27, 18, 9),
        spread=(-1, -5, -9, -12),
        cup=14,
    ),
}


def gesture_row(gesture: Gesture) -> Array:
    """Angles (A,) of a gesture in radians, the wrist straight."""
    row: list[float] = list(gesture.thumb)
    for finger, spread in zip(LONG_FINGERS, gesture.spread, strict=True):
        knuckle, middle, tip = getattr(gesture, finger)
        row += [knuckle, spread, middle, tip]
    result: Array = np.radians([*row, gesture.cup, 0.0, 0.0])
    return result


TABLE = np.stack([gesture_row(gesture) for gesture in GESTURES.values()])
WEIGHTS = np.array([gesture.weight for gesture in GESTURES.values()], dtype=np.float64)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
KNUCKLES, SPREADS, MIDDLES, TIPS = (
    np.array([ANGLES.index(f"{finger}_{angle}") for finger in LONG_FINGERS])
    for angle in ("knuckle", "spread", "middle", "tip")
)


def draw_hands(rng: np.random.Generator, count: int, *, noise: float = 1.0, blend: float = 0.35) -> Array:
    """Draw hand shapes: a gesture, often on its way to another, with noise shared along each finger.

    Args:
        rng: source of all draws.
        count: N.
        noise: 1 for a natural spread about the gestures, 0 for the gestures themselves.
        blend: share of hands between two gestures.

    Returns:
        (N, A) radians within LOWER and UPPER.
    """
    first, second = rng.choice(len(TABLE), size=(2, count), p=WEIGHTS)
    amount = np.where(rng.random(count) < blend, rng.random(count), 0.0)[:, None]
    shape = (1 - amount) * TABLE[first] + amount * TABLE[second]
    # How far the whole hand closes, each finger on its own, and each joint: from coarse to fine.
    whole = 0.10 * rng.standard_normal((count, 1))
    finger = 0.09 * rng.standard_normal((count, 4)) + whole
    for joints, spread in ((KNUCKLES, 0.09), (MIDDLES, 0.09), (TIPS, 0.05)):
        share = 1.2 if joints is MIDDLES else 0.7
        shape[:, joints] += noise * (share * finger + spread * rng.standard_normal((count, 4)))
    fan = 0.10 * rng.standard_normal((count, 1)) * np.array([1.0, 0.1, -0.5, -1.0])
    shape[:, SPREADS] += noise * (fan + 0.035 * rng.standard_normal((count, 4)))
    shape[:, :4] += noise * np.array([0.14, 0.09, 0.12, 0.16]) * rng.standard_normal((count, 4))
    shape[:, -3] += noise * 0.05 * rng.standard_normal(count)
    shape[:, -2] += noise * 0.33 * rng.standard_normal(count)
    shape[:, -1] += noise * 0.14 * rng.standard_normal(count)
    # The last two joints of a finger share a tendon: the tip follows the middle joint unless something presses it.
    follow = 0.55 * shape[:, MIDDLES]
    shape[:, TIPS] = np.clip(shape[:, TIPS], follow - 0.35, follow + 0.30)
    # Spread fingers close as they bend: the knuckle's side ligaments tighten.
    parallel = TABLE[0, SPREADS]
    loose = np.clip(1.0 - shape[:, KNUCKLES] / np.radians(80), 0.15, 1.0)
    shape[:, SPREADS] = parallel + loose * (shape[:, SPREADS] - parallel)
    result: Array = np.clip(shape, LOWER, UPPER)
    return result
