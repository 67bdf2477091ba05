"""Natural poses of bodies and hands: drawn from postures and gestures, within joint limits, never through themselves.

Letters: N poses, J joints.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from humanpt.body.model import BodyModel
from humanpt.data.poses import gestures, postures
from humanpt.data.poses.anatomy import SIDES, Array, Side, Skeleton, absolute, positions, skeleton_of
from humanpt.data.poses.body_rotations import BodyRotations
from humanpt.data.poses.contact import Flags, Spheres, colliding
from humanpt.data.poses.hand_rotations import HandRotations
from humanpt.errors import ConfigError

__all__ = ["BodyPoses", "HandPoses", "PoseConfig", "colliding"]

MOST_ROUNDS = 200
"""Rounds of drawing after which a body is taken to collide in every pose, which no rig known does."""

MOST_ENDS = 20
"""Poses tried as the next one on a path of hand poses."""


@dataclass(frozen=True, kw_only=True)
class PoseConfig:
    """How poses are drawn."""

    spread: float = 0.35
    """Deviation of each body angle, as a share of the range that its posture allows."""

    finger_noise: float = 1.0
    """Spread of fingers and wrists about the gestures: 1 is natural, 0 gives the gestures alone."""

    blend: float = 0.35
    """Share of hands on their way from one gesture to another."""

    give: float = 0.25
    """How deep parts that do not meet at a joint may sink into each other, as a share of the thinner one's radius."""

    key_frames: int = 12
    """Poses per step from one natural pose to the next along a path of hand poses."""

    def __post_init__(self) -> None:
        if not 0 < self.spread <= 1:
            raise ConfigError(f"spread is {self.spread}; it is a share of a range, above 0 and at most 1")
        if not 0 <= self.finger_noise <= 2:
            raise ConfigError(f"finger_noise is {self.finger_noise}; it lies between 0 and 2")
        if not 0 <= self.blend <= 1:
            raise ConfigError(f"blend is {self.blend}; it is a share, between 0 and 1")
        if not 0 <= self.give < 2:
            raise ConfigError(f"give is {self.give}; it is a share of a radius, from 0 to below 2")
        if self.key_frames < 1:
            raise ConfigError(f"key_frames is {self.key_frames}; at least one pose per step is needed")


class _Hand:
    """One hand of a rig, on its own: draws shapes that do not go through themselves."""

    def __init__(self, skeleton: Skeleton, spheres: Spheres, side: Side, config: PoseConfig) -> None:
        self.config = config
        self.joints = skeleton.below(skeleton.part("wrist", side)[0])
        self.skeleton = skeleton.alone(self.joints)
        self.spheres = spheres.of(self.joints)
        self.rotations = HandRotations(self.skeleton, side)

    def rows(self, rng: np.random.Generator, count: int) -> Array:
        """Angles (count, A) of hands that are free of themselves."""
        kept: list[Array] = []
        missing = count
        for _ in range(MOST_ROUNDS):
            wanted = missing + missing // 2 + 4
            rows = gestures.draw_hands(rng, wanted, noise=self.config.finger_noise, blend=self.config.blend)
            kept.append(rows[~self.collides(rows)][:missing])
            missing -= len(kept[-1])
            if not missing:
                return np.concatenate(kept)
        raise ValueError("every shape of the hand that was drawn goes through itself; this rig is no hand")

    def local(self, rows: Array) -> Array:
        """Each joint's own rotation (N, the hand's joints, 3, 3) of hands (N, A)."""
        local = np.tile(np.eye(3), (len(rows), len(self.joints), 1, 1))
        self.rotations(local, rows)
        return local

    def collides(self, rows: Array) -> Flags:
        """Whether hands (N, A) go through themselves."""
        turned = absolute(self.skeleton.parents, self.local(rows))
        return self.spheres.overlapping(positions(self.skeleton, turned), turned)


def as_pose(model: BodyModel, orientations: Array) -> Tensor:
    """Absolute rotations in the model's own convention (N, J, 3, 3) float32, on its device."""
    shape = model.mean_shape()
    rotations = torch.from_numpy(orientations).to(shape.device)
    return model.pose_from_orientations(rotations, shape.double()).float()


class BodyPoses:
    """Draws natural poses of a whole body: standing, walking, sitting, reaching, bending, lying and more.

    The root's rotation leans or lays the body down; who stands faces -z. Hands hold natural gestures.
    """

    def __init__(self, model: BodyModel, config: PoseConfig | None = None) -> None:
        """Measure the body; takes a fraction of a second.

        Raises:
            ValueError: if the model is a hand.
            InputError: if its joints have names of no rig known here.
        """
        if model.layout.subject != "body":
            raise ValueError(f"{model.layout.name} is a hand; HandPoses draws its poses")
        self.model = model
        self.config = config or PoseConfig()
        self.skeleton = skeleton_of(model)
        self.spheres = Spheres(model, self.skeleton, give=self.config.give)
        self.body = BodyRotations(self.skeleton)
        self.hands = [_Hand(self.skeleton, self.spheres, side, self.config) for side in SIDES]
        for hand in self.hands:
            self.spheres.forgive(hand.joints)  # a hand is drawn free of itself

    def sample(self, rng: np.random.Generator, count: int) -> Tensor:
        """Draw poses (count, J, 3, 3)."""
        return self.draw(rng, count)[0]

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, list[str]]:
        """Draw poses (count, J, 3, 3) and the name of the stance of each, such as "seated"."""
        kept: list[Array] = []
        names: list[str] = []
        for _ in range(MOST_ROUNDS):
            missing = count - len(names)
            turned, stances, free = self.propose(rng, missing + missing // 2 + 3)
            good = np.flatnonzero(free)[:missing]
            kept.append(turned[good])
            names += [stances[k] for k in good]
            if len(names) == count:
                return as_pose(self.model, np.concatenate(kept)), names
        raise ValueError(f"{self.model.layout.name}: every pose drawn goes through itself; this rig is no body")

    def propose(self, rng: np.random.Generator, count: int) -> tuple[Array, list[str], Flags]:
        """Absolute rotations (N, J, 3, 3), their stances, and which do not go through themselves."""
        angles, stances, planted = postures.draw_angles(rng, count, self.config.spread)
        local = np.tile(np.eye(3), (count, len(self.skeleton.names), 1, 1))
        self.body(local, angles, planted)
        for hand in self.hands:
            own = hand.local(hand.rows(rng, count))
            wrist, *others = hand.joints
            local[:, wrist] = local[:, wrist] @ own[:, 0]
            local[:, others] = own[:, 1:]
        turned = absolute(self.skeleton.parents, local)
        free = ~self.spheres.overlapping(positions(self.skeleton, turned), turned)
        return turned, stances, free


class HandPoses:
    """Draws natural poses of one hand, and smooth paths from one to the next. The root's rotation is the identity."""

    def __init__(self, model: BodyModel, config: PoseConfig | None = None) -> None:
        """Measure the hand.

        Raises:
            ValueError: if the model is a body.
            InputError: if its joints have names of no rig known here.
        """
        if model.layout.subject != "hand":
            raise ValueError(f"{model.layout.name} is a body; BodyPoses draws its poses")
        self.model = model
        self.config = config or PoseConfig()
        self.skeleton = skeleton_of(model)
        spheres = Spheres(model, self.skeleton, give=self.config.give)
        self.hand = _Hand(self.skeleton, spheres, "left" if model.layout.side == "left" else "right", self.config)

    def sample(self, rng: np.random.Generator, count: int) -> Tensor:
        """Draw poses (count, J, 3, 3)."""
        return self.pose_of(self.hand.rows(rng, count))

    def path(self, rng: np.random.Generator, count: int) -> Tensor:
        """Draw a smooth sequence of poses (count, J, 3, 3) through natural ones, the hand moving as hands do.

        Each step eases from one natural pose to the next in `PoseConfig.key_frames` poses; steps during which fingers
        would go through each other are drawn again.
        """
        # Minimum jerk: Flash and Hogan, The coordination of arm movements, 1985.
        share = np.arange(self.config.key_frames) / self.config.key_frames
        ease = (10 * share**3 - 15 * share**4 + 6 * share**5)[:, None]
        start = self.hand.rows(rng, 1)[0]
        pieces: list[Array] = []
        for _ in range(0, count - 1, self.config.key_frames):
            piece, start = self._step(rng, start, ease)
            pieces.append(piece)
        return self.pose_of(np.concatenate([*pieces, start[None]])[:count])

    def _step(self, rng: np.random.Generator, start: Array, ease: Array) -> tuple[Array, Array]:
        """Angles along a way (K, A) to a new natural pose that meets nothing, and that pose (A,)."""
        for end in self.hand.rows(rng, MOST_ENDS):
            way = start + ease * (end - start)
            if not self.hand.collides(way).any():
                return way, end
        return np.repeat(start[None], len(ease), axis=0), start  # closed in: the hand rests for one step

    def pose_of(self, rows: Array) -> Tensor:
        """Poses (N, J, 3, 3) of rows of hand angles (N, A), such as `gestures.TABLE`."""
        local = np.tile(np.eye(3), (len(rows), len(self.skeleton.names), 1, 1))
        local[:, list(self.hand.joints)] = self.hand.local(rows)
        return as_pose(self.model, absolute(self.skeleton.parents, local))
