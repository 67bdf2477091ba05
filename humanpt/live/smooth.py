"""Steady meshes: what a network says of every picture alone, made into one motion, without waiting for later pictures.

Networks tremble. Two filters take that out, each on rotations as on plain numbers, by what lies between two values (a
difference, or the rotation vector from one rotation to the other) and by moving on from a value along it:

- `one-euro`: a low-pass filter whose cutoff rises with the speed; strong at rest, quick in motion. Source: Casiez,
  Roussel and Vogel, 1 Euro Filter, CHI 2012.
- `velocity`: an alpha-beta filter, which expects every value to go on as it went and so does not lag behind steady
  motion. The gains follow from one number, the tracking index. Source: Kalata, The Tracking Index, IEEE Transactions on
  Aerospace and Electronic Systems 20(2), 1984.

Every subject has its own key; a subject that was away for long starts anew. Time steps may vary.

What is smoothed, in this order: the pose, joint by joint, and the shape, of which there is one, as a mean; from
networks without parameters the points relative to the root. Then the mesh is made again, and put where it covers the
key points as the network saw them: the root's own place trembles with its pixel, and its depth with the size of the
shape. That place is smoothed last, across in metres and along in the logarithm of the depth.

Letters: N subjects, J joints, P shape parameters, Q points of a network without parameters, K key points, V vertices;
M x d numbers that are smoothed together, d of them sharing a speed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args

import torch
from torch import Tensor

from humanpt.errors import ConfigError
from humanpt.geometry.rotations import mirror_x, rotmat_to_rotvec

Smoothing = Literal["one-euro", "velocity", "none"]

SHORTEST = 1e-3
"""Pictures are this far apart in time at least, in seconds; cameras give two the same time now and then."""
NEAREST = 1e-3
"""Metres before the camera at which key points are kept, so that there is a direction to each."""
COVERING = 1.5
"""How much nearer or farther than the network said a subject is put at most, as a factor."""


@dataclass(frozen=True, kw_only=True)
class FilterConfig:
    """How strongly one kind of numbers is smoothed."""

    min_cutoff: float
    """Cutoff of the one-euro filter at rest, Hz: lower is steadier."""
    beta: float
    """What a unit of speed adds to that cutoff, Hz: higher lags less."""
    index: float
    """Tracking index of the velocity filter over a second squared: how much the motion accelerates over how much the
    network trembles. Higher follows more quickly."""

    def __post_init__(self) -> None:
        if self.min_cutoff <= 0 or self.beta < 0 or self.index <= 0:
            raise ConfigError("min_cutoff and index of a filter must be positive, beta not negative")


@dataclass(frozen=True, kw_only=True)
class SmoothConfig:
    """How meshes are made steady; strengths were tuned by `tests/benchmarks/smoothing.py --tune`."""

    method: Smoothing = "one-euro"
    """Which filter, or "none" for what the network says."""
    pose: FilterConfig = FilterConfig(min_cutoff=1.0, beta=2.0, index=200.0)
    """Of the joints' rotations; speeds in radians a second."""
    points: FilterConfig = FilterConfig(min_cutoff=0.5, beta=20.0, index=400.0)
    """Of points relative to the root; speeds in metres a second."""
    across: FilterConfig = FilterConfig(min_cutoff=3.0, beta=40.0, index=1000.0)
    """Of the place in the picture; speeds in metres a second."""
    depth: FilterConfig = FilterConfig(min_cutoff=1.0, beta=0.0, index=10.0)
    """Of the logarithm of the depth; speeds a second."""
    speed_cutoff: float = 1.0
    """Cutoff with which the one-euro filter smooths speeds, Hz."""
    shape_memory: float = 5.0
    """Time over which shapes are averaged, in seconds."""
    max_gap: float = 0.5
    """A subject that was away for longer starts anew, in seconds."""

    def __post_init__(self) -> None:
        if self.method not in get_args(Smoothing):
            raise ConfigError(f"smooth.method is {self.method!r}; choose {', '.join(get_args(Smoothing))}")
        if min(self.speed_cutoff, self.shape_memory, self.max_gap) <= 0:
            raise ConfigError("smooth.speed_cutoff, shape_memory and max_gap must be positive")


class Space(NamedTuple):
    """A kind of values, by what lies between two of them."""

    between: Callable[[Tensor, Tensor], Tensor]
    """The step (N, M, d) from the first to the second."""
    moved: Callable[[Tensor, Tensor], Tensor]
    """A value moved on by a step (N, M, d)."""


def _between(first: Tensor, second: Tensor) -> Tensor:
    """Rotation vectors from rotations to others, in the few operations that do where none turns by nearly half."""
    turn = first.mT @ second
    doubled = turn.flatten(-2) @ _AXIS_AND_TRACE.to(turn)  # twice the axis by the sine of the angle; the trace
    if float(doubled[..., 3].min()) < _LARGE_TURN:
        return rotmat_to_rotvec(turn)
    sine = torch.linalg.vector_norm(doubled[..., :3], dim=-1, keepdim=True)
    angle = torch.atan2(sine, doubled[..., 3:] - 1)
    step: Tensor = doubled[..., :3] * (angle / sine.clamp_min(1e-12))
    return step


def _turned(rotmat: Tensor, step: Tensor) -> Tensor:
    """Rotations turned on by rotation vectors about their own axes; what rounding bent is straightened."""
    angle = torch.linalg.vector_norm(step, dim=-1)[..., None, None] / torch.pi
    cross = (step @ _CROSS.to(step)).view(*step.shape, 3)
    half = torch.sinc(angle / 2)
    moved = (
        rotmat @ cross
    )  # Rodrigues: turned by the identity, sin a / a of this, (1 - cos a) / a^2 of it crossed again
    turned = rotmat + torch.sinc(angle) * moved + 0.5 * half * half * (moved @ cross)
    straight: Tensor = 1.5 * turned - 0.5 * turned @ (turned.mT @ turned)
    return straight


_CROSS = torch.tensor(
    [
        [0.0, 0, 0, 0, 0, -1, 0, 1, 0],
        [0.0, 0, 1, 0, 0, 0, -1, 0, 0],
        [0.0, -1, 0, 1, 0, 0, 0, 0, 0],
    ]
)
"""(3, 9) from a vector to the matrix, row by row, that multiplies crosswise with it."""
_AXIS_AND_TRACE = torch.cat((_CROSS, torch.eye(3).flatten()[None])).T.contiguous()
_LARGE_TURN = -0.8  # trace of a turn by 154 degrees


NUMBERS = Space(between=lambda first, second: second - first, moved=lambda value, step: value + step)
"""Plain numbers (N, M, d)."""
ROTATIONS = Space(between=_between, moved=_turned)
"""Rotation matrices (N, M, 3, 3), whose steps are rotation vectors."""


class State(NamedTuple):
    """What a filter keeps of a subject, or of several."""

    value: Tensor
    """(N, M, ...) smoothed."""
    came: Tensor
    """(N, M, ...) as it came."""
    speed: Tensor
    """(N, M, d) steps a second."""
    seen: Tensor
    """(N, 1, 1) how many values there were."""


class Law(Protocol):
    """A filter: from the state before, `elapsed` (N, 1, 1) seconds and new values to the state now."""

    def __call__(self, before: State, elapsed: Tensor, came: Tensor) -> State:
        """Take in new values."""
        ...


def one_euro(config: FilterConfig, speed_cutoff: float, space: Space) -> Law:
    """The one-euro filter; the speed is that of the values as they came.

    Args:
        config: cutoffs.
        speed_cutoff: with which speeds are smoothed, Hz.
        space: what the values are.
    """

    def law(before: State, elapsed: Tensor, came: Tensor) -> State:
        speed = space.between(before.came, came) / elapsed
        speed = before.speed + share_of(elapsed, speed_cutoff) * (speed - before.speed)
        cutoff = config.min_cutoff + config.beta * torch.linalg.vector_norm(speed, dim=-1, keepdim=True)
        step = share_of(elapsed, cutoff) * space.between(before.value, came)
        return State(space.moved(before.value, step), came, speed, before.seen + 1)

    return law


def share_of(elapsed: Tensor, cutoff: float | Tensor) -> Tensor:
    """The share of a new value in a low-pass filter of one pole: seconds since the last one, and cutoff in Hz."""
    turns = 2 * torch.pi * cutoff * elapsed
    return turns / (turns + 1)


def velocity(config: FilterConfig, space: Space) -> Law:
    """The alpha-beta filter; while it has seen few values, with the gains of the line through all of them.

    Args:
        config: the tracking index.
        space: what the values are.
    """

    def law(before: State, elapsed: Tensor, came: Tensor) -> State:
        alpha, beta = gains(config.index * elapsed**2, before.seen)
        expected = space.moved(before.value, before.speed * elapsed)
        missing = space.between(expected, came)
        return State(
            space.moved(expected, alpha * missing), came, before.speed + beta / elapsed * missing, before.seen + 1
        )

    return law


def gains(index: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Gains alpha and beta of place and speed.

    Args:
        index: tracking index: standard deviation of the acceleration over that of the measured place, times the square
            of the time step.
        count: values seen before this one.
    """
    root = (4 + index - torch.sqrt(8 * index + index**2)) / 4
    alpha = 1 - root**2
    beta = 2 * (2 - alpha) - 4 * torch.sqrt(1 - alpha)
    whole = (count + 1) * (count + 2)
    return torch.maximum(alpha, 2 * (2 * count + 1) / whole), torch.maximum(beta, 6 / whole)


def mean_over(memory: float) -> Law:
    """A running mean of numbers: of all at first, then fading over so many seconds."""

    def law(before: State, elapsed: Tensor, came: Tensor) -> State:
        share = torch.maximum(1 / (before.seen + 1), elapsed / (elapsed + memory))
        return State(before.value + share * (came - before.value), came, before.speed, before.seen + 1)

    return law


class Filter:
    """One kind of numbers of several subjects through time.

    Args:
        law: how.
        space: what the values are.
        max_gap: a subject that was away for longer starts anew, in seconds.
    """

    def __init__(self, law: Law, space: Space, max_gap: float) -> None:
        self._law, self._space, self._max_gap = law, space, max_gap
        self._states: dict[Hashable, tuple[float, State]] = {}

    def __call__(self, timestamp: float, keys: Sequence[Hashable], came: Tensor) -> Tensor:
        """Smooth the values of a moment.

        Args:
            timestamp: seconds.
            keys: whose they are; none twice.
            came: (N, M, ...) values, one of each key.

        Returns:
            (N, M, ...) smoothed.
        """
        self._states = {key: kept for key, kept in self._states.items() if 0 <= timestamp - kept[0] <= self._max_gap}
        rows = [row for row, key in enumerate(keys) if key in self._states]
        after = self._fresh(came)
        if rows:
            kept = [self._states[keys[row]] for row in rows]
            before = State(*(torch.cat(parts) for parts in zip(*(state for _, state in kept), strict=True)))
            elapsed = came.new_tensor([max(timestamp - seen, SHORTEST) for seen, _ in kept])[:, None, None]
            new = self._law(before, elapsed, came[rows])
            after = new if len(rows) == len(keys) else State(*map(_with_rows, after, [rows] * len(after), new))
        for row, key in enumerate(keys):
            self._states[key] = timestamp, State(*(part[row : row + 1] for part in after))
        return after.value

    def forget(self) -> None:
        """Everybody starts anew."""
        self._states.clear()

    def _fresh(self, came: Tensor) -> State:
        """(N, M, ...) values that nothing came before."""
        return State(came, came, torch.zeros_like(self._space.between(came, came)), came.new_ones(len(came), 1, 1))


def _with_rows(whole: Tensor, rows: list[int], new: Tensor) -> Tensor:
    """A copy with some rows replaced."""
    copy = whole.clone()
    copy[rows] = new
    return copy


class Moment(NamedTuple):
    """How N subjects hold themselves at one moment."""

    pose: Tensor | None
    """(N, J, 3, 3) as the body model of their side takes it; None from networks without a model's parameters."""
    shape: Tensor | None
    """(N, P) None likewise."""
    points: Tensor | None
    """(N, Q, 3) key points, then vertices relative to the root, metres; None where there are parameters."""


class Smoother(Protocol):
    """Where a smoother of motions goes, such as a network over a window of poses.

    It must answer for the moment it is given, at once: the mesh is drawn over that very picture. One that looks at a
    window keeps the moments before itself, by key, and answers for the newest; all subjects come together, so that it
    can run once for all.
    """

    def __call__(self, timestamp: float, keys: Sequence[Hashable], moment: Moment) -> Moment:
        """The same moment, smoothed.

        Args:
            timestamp: seconds; may repeat or leap.
            keys: who; a key unknown so far, or away for long, starts anew.
            moment: one row for each key.
        """
        ...

    def forget(self) -> None:
        """A cut: everybody starts anew."""
        ...


class FilterSmoother:
    """Every joint by a filter of its own, the shape by its mean; meets `Smoother`."""

    def __init__(self, config: SmoothConfig) -> None:
        self._pose = make_filter(config, config.pose, ROTATIONS)
        self._points = make_filter(config, config.points, NUMBERS)
        self._shape = Filter(mean_over(config.shape_memory), NUMBERS, config.max_gap)

    def __call__(self, timestamp: float, keys: Sequence[Hashable], moment: Moment) -> Moment:  # noqa: D102 - as there
        pose, shape, points = moment
        return Moment(
            pose=None if pose is None else self._pose(timestamp, keys, pose),
            shape=None if shape is None else self._shape(timestamp, keys, shape[..., None])[..., 0],
            points=None if points is None else self._points(timestamp, keys, points),
        )

    def forget(self) -> None:  # noqa: D102 - as in Smoother
        for part in (self._pose, self._points, self._shape):
            part.forget()


def make_filter(config: SmoothConfig, strength: FilterConfig, space: Space) -> Filter:
    """The filter that a config names.

    Raises:
        ValueError: if it names none.
    """
    if config.method == "one-euro":
        return Filter(one_euro(strength, config.speed_cutoff, space), space, config.max_gap)
    if config.method == "velocity":
        return Filter(velocity(strength, space), space, config.max_gap)
    raise ValueError(f"{config.method} is no filter")


@dataclass(frozen=True, kw_only=True, eq=False)
class Meshes:
    """N hands or bodies in the axes of the picture's camera, metres; CPU tensors."""

    keypoints: Tensor
    """(N, K, 3)."""
    vertices: Tensor
    """(N, V, 3); those of left hands belong to the left hand of the body model."""
    pose: Tensor | None
    """(N, J, 3, 3) as the body model of that side takes it; None from a network without a model's parameters."""
    shape: Tensor | None
    """(N, P) None likewise."""
    transl: Tensor | None
    """(N, 3) None likewise."""

    def __len__(self) -> int:
        return len(self.keypoints)


Posed = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""Shape (N, P) and pose (N, J, 3, 3) of right hands or bodies to key points (N, K, 3) and vertices (N, V, 3) with the
root at the origin, and the shift (N, 3) that brought it there; `models.mesh_heads.ModelPoints` is one."""


class MeshSmoother:
    """Makes meshes steady; see the top of this file.

    Args:
        config: how.
        posed: the network's body model; None for a network without its parameters.
        root: numbers of the key points whose middle is the root.
        smoother: in place of the config's filters for pose, shape and points.
    """

    def __init__(
        self, config: SmoothConfig, posed: Posed | None, root: Sequence[int], smoother: Smoother | None = None
    ) -> None:
        self._posed, self._root = posed, list(root)
        self._smoother = smoother or FilterSmoother(config)
        self._across = make_filter(config, config.across, NUMBERS)
        self._depth = make_filter(config, config.depth, NUMBERS)

    @torch.inference_mode()
    def __call__(self, timestamp: float, keys: Sequence[Hashable], left: Sequence[bool], meshes: Meshes) -> Meshes:
        """Make the meshes of a moment steady.

        Args:
            timestamp: seconds.
            keys: who; a hand whose side was taken back is somebody else.
            left: which of them are left hands.
            meshes: one of each key.

        Raises:
            ValueError: if meshes have parameters and there is no body model.
        """
        if not len(meshes):
            return meshes
        place = meshes.keypoints[:, self._root].mean(dim=1, keepdim=True)
        count = meshes.keypoints.shape[1]
        if meshes.pose is None or meshes.shape is None:
            around = torch.cat((meshes.keypoints, meshes.vertices), dim=1) - place
            points = self._smoother(timestamp, keys, Moment(None, None, around)).points
            assert points is not None
            pose, shape, shift = None, None, None
            keypoints, vertices = points[:, :count], points[:, count:]
        else:
            pose, shape, _ = self._smoother(timestamp, keys, Moment(meshes.pose, meshes.shape, None))
            assert pose is not None
            assert shape is not None
            keypoints, vertices, shift = self._made(pose, shape, left)
        place = self._placed(timestamp, keys, covering(keypoints, meshes.keypoints, place[:, 0, 2]))
        return Meshes(
            keypoints=keypoints + place[:, None],
            vertices=vertices + place[:, None],
            pose=pose,
            shape=shape,
            transl=None if shift is None else shift + place,
        )

    def forget(self) -> None:
        """A cut: everybody starts anew."""
        for part in (self._smoother, self._across, self._depth):
            part.forget()

    def _made(self, pose: Tensor, shape: Tensor, left: Sequence[bool]) -> tuple[Tensor, Tensor, Tensor]:
        """Meshes as `Posed` gives them, left hands by way of the right one."""
        if self._posed is None:
            raise ValueError("poses and shapes cannot become meshes again without the body model")
        flip = torch.tensor(left, dtype=torch.bool)
        right_pose = torch.where(flip[:, None, None, None], mirror_x(pose), pose)
        signs = torch.ones(len(pose), 3)
        signs[flip, 0] = -1
        keypoints, vertices, shift = self._posed(shape, right_pose)
        return keypoints * signs[:, None], vertices * signs[:, None], shift * signs

    def _placed(self, timestamp: float, keys: Sequence[Hashable], place: Tensor) -> Tensor:
        """Roots (N, 3) smoothed: where the picture has them, in metres at their depth, and how far away they are."""
        depth = place[:, 2:].clamp_min(NEAREST)
        far = self._depth(timestamp, keys, depth.log()[:, None])[:, 0].exp()
        across = self._across(timestamp, keys, (place[:, :2] / depth * far)[:, None])[:, 0]
        return torch.cat((across, far), dim=1)


def covering(around: Tensor, seen: Tensor, depth: Tensor) -> Tensor:
    """Where points must be put to cover others in the picture, as nearly as can be.

    A point a put at a + t is seen on the ray r of another if (a + t)_xy = r (a + t)_z, which is linear in t.

    Args:
        around: (N, K, 3) points relative to the root, metres.
        seen: (N, K, 3) points in the camera's axes, of which only the directions count.
        depth: (N,) of the root of those, metres; the answer is no nearer and no farther than `COVERING` times that, as
            two poses that have little in common can cover each other best in absurd places.

    Returns:
        (N, 3) shift t, metres.
    """
    rays = (seen[..., :2] / seen[..., 2:].clamp_min(NEAREST)).double()  # (N, K, 2)
    missing = rays * around[..., 2:] - around[..., :2]  # t_xy - r t_z for every point
    spread, off = (values - values.mean(dim=1, keepdim=True) for values in (rays, missing))
    best = -(spread * off).sum(dim=(1, 2)) / spread.square().sum(dim=(1, 2)).clamp_min(1e-12)
    far = torch.minimum(torch.maximum(best, depth / COVERING), depth * COVERING)[:, None]
    return torch.cat((missing.mean(dim=1) + rays.mean(dim=1) * far, far), dim=1).to(around.dtype)
