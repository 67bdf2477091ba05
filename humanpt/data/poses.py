"""Natural poses of bodies and hands: drawn from postures and gestures, within joint limits, never through themselves.

Letters: N poses, J joints.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from humanpt.body.model import BodyModel
from humanpt.data import gestures, postures
from humanpt.data.anatomy import SIDES, Array, Side, Skeleton, absolute, find_skeleton, positions
from humanpt.data.contact import Flags, Spheres
from humanpt.errors import ConfigError

MOST_ROUNDS = 200
"""Rounds of drawing after which a body is taken to collide in every pose, which no rig known does."""


@dataclass(frozen=True, kw_only=True)
class PoseConfig:
    """How poses are drawn."""

    spread: float = 0.35
    """Deviation of each body angle, as a share of the range that its posture allows."""

    finger_noise: float = 1.0
    """Spread of fingers and wrists about the gestures: 1 is natural, 0 gives the gestures alone."""

    blend: float = 0.35
    """Share of hands on their way from one gesture to another."""

    body_slack: float = 0.012
    """How deep two parts of a body may sink into each other, in metres."""

    hand_slack: float = 0.003
    """How deep two parts of a hand may sink into each other, in metres."""

    key_frames: int = 12
    """Poses per step from one natural pose to the next along a path of hand poses."""

    def __post_init__(self) -> None:
        if not 0 < self.spread <= 1:
            raise ConfigError(f"spread is {self.spread}; it is a share of a range, above 0 and at most 1")
        if not 0 <= self.finger_noise <= 2:
            raise ConfigError(f"finger_noise is {self.finger_noise}; it lies between 0 and 2")
        if not 0 <= self.blend <= 1:
            raise ConfigError(f"blend is {self.blend}; it is a share, between 0 and 1")
        if min(self.body_slack, self.hand_slack) < 0:
            raise ConfigError("body_slack and hand_slack are depths in metres and cannot be negative")
        if self.key_frames < 1:
            raise ConfigError(f"key_frames is {self.key_frames}; at least one pose per step is needed")


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


class _Poses:
    """What bodies and hands have in common: draw angles, drop what collides, write the rest as poses."""

    def __init__(self, model: BodyModel, config: PoseConfig | None, *, spheres: int, slack: float) -> None:
        self.model = model
        self.config = config or PoseConfig()
        self.skeleton = skeleton_of(model)
        self.spheres = Spheres(model, self.skeleton, per_part=spheres, slack=slack)

    def _orientations(self, local: Array) -> tuple[Array, Flags]:
        """Absolute rotations (N, J, 3, 3), and which poses (N,) go through themselves."""
        turned = absolute(self.skeleton.parents, local)
        collides = self.spheres.overlapping(positions(self.skeleton, turned), turned) > 0
        return turned, collides

    def _pose(self, orientations: Array) -> Tensor:
        """Rotations of this model's own convention (N, J, 3, 3) float32, on the model's device."""
        shape = self.model.mean_shape()
        absolute_rotations = torch.from_numpy(orientations).to(shape.device)
        return self.model.pose_from_orientations(absolute_rotations, shape.double()).float()

    def _identity(self, count: int) -> Array:
        return np.tile(np.eye(3), (count, len(self.skeleton.names), 1, 1))


class BodyPoses(_Poses):
    """Draws natural poses of a whole body: standing, walking, sitting, reaching, bending, lying and more.

    The root's rotation leans or lays the body down; it keeps facing -z. Hands hold natural gestures.
    """

    def __init__(self, model: BodyModel, config: PoseConfig | None = None) -> None:
        if model.layout.subject != "body":
            raise ValueError(f"{model.layout.name} is a hand; HandPoses draws its poses")
        config = config or PoseConfig()
        super().__init__(model, config, spheres=14, slack=config.body_slack)
        self.body = postures.BodyRotations(self.skeleton)
        self.hands = {side: gestures.HandRotations(self.skeleton, side) for side in SIDES}

    def sample(self, rng: np.random.Generator, count: int) -> Tensor:
        """Draw poses (count, J, 3, 3)."""
        return self.draw(rng, count)[0]

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, list[str]]:
        """Draw poses (count, J, 3, 3) and the name of the stance of each, such as "seated"."""
        kept: list[Array] = []
        names: list[str] = []
        for _ in range(MOST_ROUNDS):
            turned, stances, free = self._propose(rng, 2 * (count - len(names)) + 2)
            kept.append(turned[free])
            names += [name for name, good in zip(stances, free, strict=True) if good]
            if len(names) >= count:
                return self._pose(np.concatenate(kept)[:count]), names[:count]
        raise ValueError(f"{self.model.layout.name}: every pose drawn goes through itself; body_slack is too small")

    def _propose(self, rng: np.random.Generator, count: int) -> tuple[Array, list[str], Flags]:
        angles, stances, planted = postures.draw_angles(rng, count, self.config.spread)
        local = self._identity(count)
        self.body(local, angles, planted)
        for side in SIDES:
            rows = gestures.draw_hands(rng, count, noise=self.config.finger_noise, blend=self.config.blend)
            self.hands[side](local, rows)
        turned, collides = self._orientations(local)
        return turned, stances, ~collides


class HandPoses(_Poses):
    """Draws natural poses of one hand, and smooth paths from one to the next. The root's rotation is the identity."""

    def __init__(self, model: BodyModel, config: PoseConfig | None = None) -> None:
        if model.layout.subject != "hand":
            raise ValueError(f"{model.layout.name} is a body; BodyPoses draws its poses")
        config = config or PoseConfig()
        super().__init__(model, config, spheres=10, slack=config.hand_slack)
        side: Side = "left" if model.layout.side == "left" else "right"
        self.hand = gestures.HandRotations(self.skeleton, side)

    def sample(self, rng: np.random.Generator, count: int) -> Tensor:
        """Draw poses (count, J, 3, 3)."""
        return self._pose(self._turned(self._rows(rng, count))[0])

    def path(self, rng: np.random.Generator, count: int) -> Tensor:
        """Draw a smooth sequence of poses (count, J, 3, 3) through natural ones, the hand moving as hands do.

        Each step eases from one natural pose to the next in `PoseConfig.key_frames` poses; steps during which fingers
        would go through each other are drawn again.
        """
        steps = -(-max(count - 1, 1) // self.config.key_frames)
        start = self._rows(rng, 1)[0]
        pieces: list[Array] = []
        share = np.arange(self.config.key_frames) / self.config.key_frames
        # Minimum jerk: Flash and Hogan, The coordination of arm movements, 1985.
        ease = (10 * share**3 - 15 * share**4 + 6 * share**5)[:, None]
        for _ in range(steps):
            piece, start = self._step(rng, start, ease)
            pieces.append(piece)
        rows = np.concatenate([*pieces, start[None]])[:count]
        return self._pose(self._turned(rows)[0])

    def _step(self, rng: np.random.Generator, start: Array, ease: Array) -> tuple[Array, Array]:
        """Angles along a way (K, A) to a new natural pose that meets nothing, and that pose (A,)."""
        for end in self._rows(rng, MOST_ROUNDS // 10):
            way = start + ease * (end - start)
            if not self._turned(way)[1].any():
                return way, end
        return np.repeat(start[None], len(ease), axis=0), start  # closed in: the hand rests for one step

    def _turned(self, rows: Array) -> tuple[Array, Flags]:
        local = self._identity(len(rows))
        self.hand(local, rows)
        return self._orientations(local)

    def _rows(self, rng: np.random.Generator, count: int) -> Array:
        """Angles (count, A) of hands that do not go through themselves."""
        kept: list[Array] = []
        found = 0
        for _ in range(MOST_ROUNDS):
            wanted = 2 * (count - found) + 2
            rows = gestures.draw_hands(rng, wanted, noise=self.config.finger_noise, blend=self.config.blend)
            kept.append(rows[~self._turned(rows)[1]])
            found += len(kept[-1])
            if found >= count:
                return np.concatenate(kept)[:count]
        raise ValueError(f"{self.model.layout.name}: every pose drawn goes through itself; hand_slack is too small")
