"""Where the cameras of a generated scene stand: all around, high and low, near and far, never inside of a wall.

Pictures are square frames of a pinhole camera, the subject somewhere in them, wholly inside together with its crop.
World axes are those of generated scenes: x right, y down, z forward, floor at y = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from humanpt.data.crops import share_inside, square_around
from humanpt.data.people.staging import rotation
from humanpt.errors import ConfigError
from humanpt.geometry.cameras import intrinsics_from_fov, look_at, rotation_angle

TRIES = 200  # draws before a scene is given up; most succeed with the defaults
PLACES = 8  # places tried with one lens
COARSE = 300  # points that stand for the subject while a place is looked for
Points = NDArray[np.float64]
Box = NDArray[np.float32]
Free = Callable[[Points], bool]


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """How the cameras of a generated scene are drawn."""

    min_rotation: float = math.radians(10)
    """Smallest relative rotation of the two cameras of a cross-view pair, in radians."""
    max_rotation: float = math.radians(75)
    """Largest relative rotation of the two cameras of a cross-view pair, in radians."""
    min_fov: float = math.radians(25)
    """Narrowest field of view, in radians."""
    max_fov: float = math.radians(80)
    """Widest field of view, in radians."""
    min_elevation: float = math.radians(-20)
    """Lowest direction from which the subject is seen, in radians above the horizon."""
    max_elevation: float = math.radians(65)
    """Highest direction from which the subject is seen, in radians above the horizon."""
    max_roll: float = math.radians(12)
    """Most that a camera is tilted sideways, in radians."""
    min_fill: float = 0.4
    """Smallest longer side of the subject's box over the side of the frame."""
    max_fill: float = 0.8
    """Largest longer side of the subject's box over the side of the frame."""
    min_distance: float = 0.15
    """Nearest that anything of the subject comes to the plane of a camera, in metres."""
    shake: float = math.radians(1.5)
    """Mean turn of the camera between the two moments of a cross-pose pair, in radians; it also follows the subject."""
    frame_size: int = 1024
    """Side of the frames that crops are cut from, in pixels."""

    def __post_init__(self) -> None:
        if not 0 < self.min_rotation < self.max_rotation <= math.pi:
            raise ConfigError(
                f"views: rotations must satisfy 0 < min < max <= pi, got {self.min_rotation} and {self.max_rotation}"
            )
        if not 0.02 < self.min_fov <= self.max_fov < 2.8:
            raise ConfigError(
                f"views: fields of view must satisfy 0.02 < min <= max < 2.8, got {self.min_fov} and {self.max_fov} rad"
            )
        if not -math.pi / 2 < self.min_elevation <= self.max_elevation < math.pi / 2:
            raise ConfigError(
                "views: elevations must satisfy -pi/2 < min <= max < pi/2, "
                f"got {self.min_elevation} and {self.max_elevation} rad"
            )
        if not 0 < self.min_fill <= self.max_fill <= 1:
            raise ConfigError(f"views: fills must satisfy 0 < min <= max <= 1, got {self.min_fill} and {self.max_fill}")
        if self.min_distance < 0.01 or self.max_roll < 0 or self.shake < 0 or self.frame_size < 64:
            raise ConfigError(
                "views: min_distance must be at least 0.01 m, max_roll and shake not negative, frame_size at least 64"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """One camera at one moment, and where it sees the subject."""

    intrinsics: torch.Tensor
    """(3, 3) float32, of the whole frame."""
    cam_from_world: torch.Tensor
    """(4, 4) float32, metres."""
    box: NDArray[np.float32]
    """(4,) edges of the subject's body or hand without clothes, hidden or not, in pixels of the frame."""
    square: NDArray[np.float32]
    """(4,) edges of the crop in pixels of the frame."""


def draw_views(
    rng: np.random.Generator,
    subjects: tuple[Points, Points],
    free: Free,
    config: ViewConfig,
    margin: float,
    *,
    cross_view: bool,
) -> tuple[View, View]:
    """Draw the two cameras of a pair.

    Args:
        rng: source of randomness.
        subjects: two (V, 3) sets of points on the subject in the world, metres: as each of the cameras sees it.
        free: whether a camera may stand at a point (3,).
        config: how.
        margin: side of the crop over the longer side of the box.
        cross_view: two cameras as far apart as the config says, or one that is hardly moved.

    Raises:
        ConfigError: if no camera was found that meets the config.
    """
    columns = [np.ascontiguousarray(points.T) for points in subjects]
    for _ in range(TRIES):
        first = _draw(rng, columns[0], free, config, margin, None)
        if first is None:
            continue
        if cross_view:
            second = _draw(rng, columns[1], free, config, margin, first)
        else:
            second = _moved(rng, columns[1], config, margin, first)
        if second is not None:
            return first, second
    raise ConfigError(
        f"views: no camera found in {TRIES} tries; widen views.min_fov to max_fov, the fills, elevations or rotations"
    )


def _draw(
    rng: np.random.Generator, columns: Points, free: Free, config: ViewConfig, margin: float, first: View | None
) -> View | None:
    """A camera anywhere, or one turned away from `first`; None if none of a few draws of its place is any good.

    The subject is given as (3, V).
    """
    coarse = columns[:, :: max(1, columns.shape[1] // COARSE)]
    low, high = coarse.min(1), coarse.max(1)
    centre = (low + high) / 2
    fill = rng.uniform(config.min_fill, config.max_fill)
    intrinsics = intrinsics_from_fov(float(rng.uniform(config.min_fov, config.max_fov)), config.frame_size)
    focal = float(intrinsics[0, 0])
    rough = float(np.linalg.norm(high - low)) * focal / (config.frame_size * fill)  # too far rather than near
    for _ in range(PLACES):  # with the same lens, or narrow ones, which need the most room, would hardly ever be taken
        direction = _direction(rng, config) if first is None else _turned(rng, config, _centre(first) - centre)
        if direction is None or not free(centre + 0.7 * rough * direction):
            continue
        roll = config.max_roll * float(rng.uniform(-1, 1)) ** 3  # most people hold their camera level
        axes = _axes(direction, roll)
        x, y, z = axes @ (coarse - centre[:, None])  # from a camera at the centre that looks at it from `direction`
        distance = rough
        for _ in range(2):  # the size of the box is nearly as one over the distance, so two steps come near enough
            depth = np.maximum(z + distance, 0.05)
            extent = max(np.ptp(x / depth), np.ptp(y / depth)) * focal
            distance *= float(extent) / (fill * config.frame_size)
        eye = centre + distance * direction
        if not free(eye):
            continue
        slack = max(0.0, 1 - margin * fill) * config.frame_size / 2 / focal * distance  # metres beside the subject
        target = centre + slack * rng.uniform(-0.9, 0.9, 2) @ axes[:2]
        view = _view(columns, intrinsics, _pose(eye, target, roll), config, margin)
        if view is None:
            continue
        if first is None:
            return view
        angle = float(rotation_angle(first.cam_from_world.double(), view.cam_from_world.double()))
        if config.min_rotation <= angle <= config.max_rotation:
            return view
    return None


def _moved(rng: np.random.Generator, columns: Points, config: ViewConfig, margin: float, first: View) -> View | None:
    """The same camera a moment later, in a hand that shakes, and follows who would leave the frame."""
    turn = rng.normal(0, config.shake / math.sqrt(3), 3)
    step = rng.normal(0, 0.3 * config.shake, 3)  # metres: the arm that holds the camera turns as well
    pose = first.cam_from_world.double().numpy().copy()
    pose[:3] = rotation(turn) @ pose[:3]
    pose[:3, 3] += step
    view = _view(columns, first.intrinsics, torch.from_numpy(pose).float(), config, margin)
    if view is None:
        ahead = pose[:3, :3] @ (columns.min(1) + columns.max(1)) / 2 + pose[:3, 3]
        ahead = ahead / np.linalg.norm(ahead) + rng.normal(0, 0.02, 3)
        axis = np.cross(ahead, (0.0, 0.0, 1.0))
        sine = float(np.linalg.norm(axis))
        follow = rotation(axis / max(sine, 1e-9) * math.atan2(sine, float(ahead[2])))
        pose[:3] = follow @ pose[:3]
        view = _view(columns, first.intrinsics, torch.from_numpy(pose).float(), config, margin)
    return view


def _view(
    columns: Points, intrinsics: torch.Tensor, pose: torch.Tensor, config: ViewConfig, margin: float
) -> View | None:
    box = _box(columns, intrinsics.double().numpy(), pose.double().numpy(), config.min_distance)
    if box is None:
        return None
    square = square_around(box, margin)
    fill = float((box[2:] - box[:2]).max()) / config.frame_size
    size = config.frame_size
    if not 0.6 * config.min_fill <= fill <= 1 or share_inside(square, size, size) < 1 - 1e-6:
        return None
    return View(intrinsics=intrinsics, cam_from_world=pose, box=box, square=square)


def box_of(points: Points, intrinsics: torch.Tensor, pose: torch.Tensor, nearest: float) -> Box | None:
    """(4,) edges of the smallest box around (V, 3) world points in a picture; None if one is within `nearest` m."""
    return _box(points.T, intrinsics.double().numpy(), pose.double().numpy(), nearest)


def _box(columns: Points, k: Points, pose: Points, nearest: float) -> Box | None:
    """`box_of` for points given as (3, V): rows are quick to go through."""
    x, y, z = (
        pose[i, 0] * columns[0] + pose[i, 1] * columns[1] + pose[i, 2] * columns[2] + pose[i, 3] for i in range(3)
    )
    if z.min() < nearest:
        return None
    u, v = x / z, y / z
    edges = (
        u.min() * k[0, 0] + k[0, 2],
        v.min() * k[1, 1] + k[1, 2],
        u.max() * k[0, 0] + k[0, 2],
        v.max() * k[1, 1] + k[1, 2],
    )
    return np.array(edges, np.float32)


def _direction(rng: np.random.Generator, config: ViewConfig) -> Points:
    """From the subject to a camera: any azimuth, and an elevation that is seldom extreme."""
    azimuth = rng.uniform(-math.pi, math.pi)
    middle = float(np.clip(math.radians(8), config.min_elevation, config.max_elevation))
    if config.min_elevation < config.max_elevation:
        elevation = rng.triangular(config.min_elevation, middle, config.max_elevation)
    else:
        elevation = config.min_elevation
    flat = math.cos(elevation)
    return np.array([flat * math.sin(azimuth), -math.sin(elevation), -flat * math.cos(azimuth)])


def _turned(rng: np.random.Generator, config: ViewConfig, away: Points) -> Points | None:
    """A direction turned from that of the first camera by an angle that the config allows; None if too high or low."""
    away = away / np.linalg.norm(away)
    across = np.cross(away, _unit(rng))
    across /= np.linalg.norm(across)
    angle = rng.uniform(config.min_rotation, config.max_rotation)
    direction: Points = away * math.cos(angle) + across * math.sin(angle)
    return direction if config.min_elevation <= math.asin(-direction[1]) <= config.max_elevation else None


def _unit(rng: np.random.Generator) -> Points:
    vector = rng.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector))


def _axes(direction: Points, roll: float) -> Points:
    """(3, 3) world to camera, of a camera that looks along -direction, as `look_at` has it."""
    right = np.array([-direction[2], 0.0, direction[0]])  # down x forward
    right /= np.linalg.norm(right)
    lower = np.cross(-direction, right)
    cos, sin = math.cos(roll), math.sin(roll)
    return np.stack([cos * right + sin * lower, cos * lower - sin * right, -direction])


def _pose(eye: Points, target: Points, roll: float) -> torch.Tensor:
    return look_at(torch.from_numpy(eye), torch.from_numpy(target), roll).float()


def _centre(view: View) -> Points:
    matrix = view.cam_from_world.double().numpy()
    return np.asarray(-matrix[:3, :3].T @ matrix[:3, 3])
