"""A calibrated camera: its matrix, its lens, where it stands; and what every calibration reader hands over.

Letters: N points. Pixels as everywhere: (0, 0) is the centre of the top-left pixel. World axes are those of the file,
in metres; the camera looks along +z, x right, y down.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanpt.errors import InputError

Doubles = NDArray[np.float64]
Unit = Literal["m", "cm", "mm"]

METRES: dict[Unit, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001}
FURTHEST = 100.0
"""Metres between two cameras of one room beyond which the file must be in another unit."""
PADDING = 16
"""Pixels by which codecs may cut or fill a side: a block."""
LENSES = (0, 4, 5, 8, 12, 14)
"""How many distortion coefficients OpenCV's pinhole model takes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraModel:
    """One calibrated camera."""

    name: str
    """What the calibration calls it."""
    intrinsics: Doubles
    """(3, 3) camera matrix in pixels."""
    distortion: Doubles
    """OpenCV's distortion coefficients (k1, k2, p1, p2, k3, ...); none for a perfect lens; 4 if `fisheye`."""
    fisheye: bool = False
    """Whether the coefficients are those of OpenCV's fisheye model."""
    cam_from_world: Doubles | None
    """(4, 4) pose in metres; None where the file gives the lens alone."""
    size: tuple[int, int] | None
    """Width and height of the pictures it was calibrated with; None where the file does not say."""

    @property
    def straight(self) -> bool:
        """Whether its pictures follow the pinhole model as they are."""
        return not self.fisheye and not self.distortion.any()

    @property
    def centre(self) -> Doubles:
        """(3,) where it stands in the world, in metres; only with a pose."""
        assert self.cam_from_world is not None
        return -self.cam_from_world[:3, :3].T @ self.cam_from_world[:3, 3]

    @property
    def projection(self) -> Doubles:
        """(3, 4) from world points to undistorted pixels; only with a pose."""
        assert self.cam_from_world is not None
        return self.intrinsics @ self.cam_from_world[:3]

    def undistort(self, pixels: ArrayLike) -> Doubles:
        """(N, 2) pixels of the picture as filmed to the pixels of a pinhole camera with the same matrix."""
        points = np.asarray(pixels, np.float64).reshape(-1, 1, 2)
        if self.straight or not len(points):
            return points[:, 0].copy()
        if self.fisheye:
            moved = cv2.fisheye.undistortPoints(points, self.intrinsics, self.distortion, P=self.intrinsics)
        else:
            exact = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-9)
            moved = cv2.undistortPoints(points, self.intrinsics, self.distortion, P=self.intrinsics, criteria=exact)
        return np.asarray(moved, np.float64)[:, 0]

    def distort(self, pixels: ArrayLike) -> Doubles:
        """(N, 2) pixels of the pinhole camera to the picture as filmed; NaN beyond what the lens can see."""
        points = np.asarray(pixels, np.float64).reshape(-1, 2)
        if self.straight or not len(points):
            return points.copy()
        rays = (np.column_stack([points, np.ones(len(points))]) @ np.linalg.inv(self.intrinsics).T)[:, None]
        if self.fisheye:
            filmed = cv2.fisheye.distortPoints(rays[..., :2].copy(), self.intrinsics, self.distortion)
        else:
            filmed = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), self.intrinsics, self.distortion)[0]
        filmed = np.asarray(filmed, np.float64).reshape(-1, 2)
        filmed[np.hypot(rays[:, 0, 0], rays[:, 0, 1]) > self.widest] = np.nan
        return filmed

    @cached_property
    def widest(self) -> float:
        """Tangent of the widest angle that the radial polynomial is good for; beyond it the picture would fold back."""
        if self.fisheye:
            return np.inf
        k1, k2, _, _, k3, k4, k5, k6 = np.pad(self.distortion, (0, 14))[:8]
        r = np.linspace(0, 5, 2001)
        r2 = r * r
        radius = r * (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
        folds = np.flatnonzero(np.diff(radius) <= 0)
        return float(r[folds[0]]) if len(folds) else np.inf

    def fitted(self, width: int, height: int) -> tuple[CameraModel, str | None]:
        """The camera for frames of this size, and a note if they differ from what it was calibrated with.

        Frames of the same proportions are taken for scaled ones; up to a codec's block of missing or added pixels for
        a picture cut or filled at its right and lower edge.

        Raises:
            InputError: if the frames differ in any other way.
        """
        if self.size is None or self.size == (width, height):
            return dataclasses.replace(self, size=(width, height)), None
        w, h = self.size
        said = f"calibrated at {w} x {h}, filmed at {width} x {height}"
        if abs(width - w) <= PADDING and abs(height - h) <= PADDING:
            return dataclasses.replace(self, size=(width, height)), f"{said}: taken for cut at the right or lower edge"
        if abs(width / w - height / h) > 0.01 * width / w:
            turned = " (turned by a quarter?)" if abs(height / w - width / h) <= 0.01 * height / w else ""
            raise InputError(f"camera {self.name}: {said}{turned}; give the calibration of these pictures")
        scale = np.array([width / w, height / h])
        intrinsics = self.intrinsics.copy()
        intrinsics[:2, :2] *= scale[:, None]
        intrinsics[:2, 2] = (intrinsics[:2, 2] + 0.5) * scale - 0.5
        return dataclasses.replace(self, size=(width, height), intrinsics=intrinsics), f"{said}: matrix scaled"


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """The cameras of one file or folder."""

    path: Path
    """Where they were read."""
    form: str
    """Its format, as a person would call it."""
    cameras: Mapping[str, CameraModel]
    """By name, in the order of the file."""
    studio: bool = False
    """Whether the file is about a whole studio, of whose cameras people have some: then nobody misses the others."""
    notes: Sequence[str] = field(default_factory=tuple)
    """What was left out."""


def pose(rotation: ArrayLike, translation: ArrayLike, where: str) -> Doubles:
    """(4, 4) pose from a rotation, a (3, 3) matrix or a (3,) rotation vector, and the translation of x = R X + t.

    Raises:
        InputError: if it is not a rotation; the text begins with `where`.
    """
    turn, shift = numbers(rotation, where, "rotation"), numbers(translation, where, "translation").ravel()
    if turn.size == 3:
        turn = np.asarray(cv2.Rodrigues(turn.reshape(3, 1))[0], np.float64)
    if turn.shape != (3, 3) or shift.shape != (3,):
        raise InputError(f"{where}: the rotation has {turn.size} numbers and the translation {shift.size}, not 9 and 3")
    return _rigid(turn, shift, where)


def _rigid(turn: Doubles, shift: Doubles, where: str) -> Doubles:
    off = float(np.abs(turn @ turn.T - np.eye(3)).max())
    if off > 0.01 or np.linalg.det(turn) < 0:
        why = f"rows off a right angle or unit length by {off:.2g}" if off > 0.01 else "it mirrors"
        raise InputError(f"{where}: the matrix R is no rotation ({why}); export the calibration again")
    left, _, right = np.linalg.svd(turn)  # digits lost in printing
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = left @ right, shift
    return matrix


def numbers(value: Any, where: str, what: str) -> Doubles:
    """An array of finite numbers from whatever a file had.

    Raises:
        InputError: if it is none.
    """
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        array = np.array([np.nan])
    if not array.size or not np.isfinite(array).all():
        raise InputError(f"{where}: {what} is {str(value)[:60]}; it must be finite numbers")
    return array


def build(
    name: str,
    where: str,
    *,
    matrix: Any,
    distortion: Any = (),
    fisheye: bool = False,
    cam_from_world: Doubles | None = None,
    size: Any = None,
) -> CameraModel:
    """Make a camera of what a file says, checked.

    Args:
        where: file and camera, for error lines.
        matrix: camera matrix, 3 x 3.
        size: width and height, or None.

    Raises:
        InputError: if the matrix is singular or no camera matrix, or a number is missing.
    """
    intrinsics = numbers(matrix, where, "the camera matrix")
    if intrinsics.size != 9:
        raise InputError(f"{where}: the camera matrix has {intrinsics.size} numbers, not 9")
    intrinsics = intrinsics.reshape(3, 3)
    focal = intrinsics[[0, 1], [0, 1]]
    bottom = np.abs(intrinsics[2] - (0, 0, 1)).max()
    if (focal <= 0).any() or bottom > 1e-6 or abs(intrinsics[1, 0]) > 1e-3 * focal[0]:
        raise InputError(
            f"{where}: the camera matrix is singular or none at all ({intrinsics.round(3).tolist()}); "
            "focal lengths must be positive and the last row 0 0 1"
        )
    lens = numbers(distortion, where, "the distortion").ravel() if np.size(distortion) else np.zeros(0)
    if fisheye and lens.size != 4:
        raise InputError(f"{where}: {lens.size} distortion coefficients; a fisheye lens has 4")
    if not fisheye and lens.size not in LENSES:
        lens = np.pad(lens, (0, next((n for n in LENSES if n > lens.size), lens.size) - lens.size))
        if lens.size not in LENSES:
            raise InputError(f"{where}: {lens.size} distortion coefficients; OpenCV's model has up to 14")
    shape = None
    if size is not None:
        values = numbers(size, where, "the picture size").ravel()
        if values.size != 2 or (values < 1).any():
            raise InputError(f"{where}: the picture size is {values.tolist()}; it is a width and a height in pixels")
        shape = (round(values[0]), round(values[1]))
    return CameraModel(
        name=name, intrinsics=intrinsics, distortion=lens, fisheye=fisheye, cam_from_world=cam_from_world, size=shape
    )


def in_metres(calibration: Calibration, documented: Unit | None, wanted: Unit | Literal["auto"]) -> Calibration:
    """The calibration with its distances in metres.

    Args:
        documented: the unit that the format fixes; None if it fixes none.
        wanted: the unit that the user named; "auto" takes the documented one, and metres where there is none.

    Raises:
        InputError: if cameras would then stand further apart than any room is long.
    """
    unit = wanted if wanted != "auto" else documented or "m"
    scaled = {}
    for name, camera in calibration.cameras.items():
        if camera.cam_from_world is not None:
            matrix = camera.cam_from_world.copy()
            matrix[:3, 3] *= METRES[unit]
            camera = dataclasses.replace(camera, cam_from_world=matrix)
        scaled[name] = camera
    centres = np.array([camera.centre for camera in scaled.values() if camera.cam_from_world is not None])
    span = max((float(np.linalg.norm(centres - centre, axis=1).max()) for centre in centres), default=0.0)
    if span > FURTHEST:
        advice = {"m": "say --set capture.unit=mm (or cm)", "cm": "say --set capture.unit=mm", "mm": "export it again"}
        raise InputError(
            f"{calibration.path}: its cameras would stand {span:.4g} metres apart if it were in {unit}; {advice[unit]}"
        )
    return dataclasses.replace(calibration, cameras=scaled)
