"""Moments of recorded motions, put on a body model: poses for single pictures, and two moments of one motion for pairs.

Letters: T moments, J joints, N frames of a clip.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humanpt.body.model import BodyModel
from humanpt.data.mocap.read import find_motions, read_motion, retarget
from humanpt.errors import ConfigError

KEPT = 24  # clips in memory; at 30 poses per second a minute of them is 7 MB
RATE = 30.0  # recordings of more poses per second are thinned to about this


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """One or more moments of a motion."""

    poses: NDArray[np.float32]
    """(T, J, 3, 3) rotations of the joints."""
    transl: NDArray[np.float64]
    """(T, 3) metres, of a body of mean shape whose feet stand on the floor at y = 0."""
    times: tuple[float, ...]
    """Seconds since the clip began."""
    frames: tuple[int, ...]
    """Numbers of the poses in the clip."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Clip:
    poses: NDArray[np.float32]  # (N, J, 3, 3)
    transl: NDArray[np.float64]  # (N, 3)
    rate: float


class MotionLibrary:
    """Clips of motion capture, each read and put on the model when it is first drawn.

    Args:
        folder: files of motions; None takes those that come with humanpt.
        model: a body model.

    Raises:
        InputError: if there is no such folder or no motion in it; in `draw`, if a file cannot be read.
    """

    def __init__(self, folder: Path | None, model: BodyModel) -> None:
        self.folder = folder or Path(str(resources.files("humanpt.data.mocap") / "motions"))
        self.paths = find_motions(self.folder)
        self.model = model
        self._clips: OrderedDict[Path, _Clip] = OrderedDict()

    def draw(self, rng: np.random.Generator, moments: int, min_gap: float, max_gap: float) -> Moments:
        """Draw moments of one motion.

        Args:
            rng: source of randomness.
            moments: 1, or 2 in any order.
            min_gap: least time between the two, in seconds.
            max_gap: most time between the two, in seconds; shorter clips give less.

        Raises:
            ConfigError: if no motion drawn lasts for `min_gap`.
        """
        for _ in range(100):
            clip = self._clip(self.paths[int(rng.integers(len(self.paths)))])
            last = len(clip.poses) - 1
            if moments == 1:
                return _moments(clip, (int(rng.integers(last + 1)),))
            least = max(1, math.ceil(min_gap * clip.rate - 1e-6))
            if least > last:
                continue
            step = int(rng.integers(least, max(least, min(math.floor(max_gap * clip.rate + 1e-6), last)) + 1))
            first = int(rng.integers(last - step + 1))
            return _moments(clip, (first, first + step) if rng.random() < 0.5 else (first + step, first))
        raise ConfigError(f"{self.folder}: no motion drawn lasts {min_gap:g} s; set pairs.min_gap lower")

    def _clip(self, path: Path) -> _Clip:
        clip = self._clips.pop(path, None)
        if clip is None:
            motion = read_motion(path)
            motion = motion.cut(0, len(motion), max(1, round(motion.rate / RATE)))
            poses, transl = retarget(motion, self.model)
            clip = _Clip(poses=poses.numpy(), transl=transl.double().numpy(), rate=motion.rate)
            if len(self._clips) >= KEPT:
                self._clips.popitem(last=False)
        self._clips[path] = clip
        return clip


def _moments(clip: _Clip, frames: tuple[int, ...]) -> Moments:
    return Moments(
        poses=clip.poses[list(frames)],
        transl=clip.transl[list(frames)],
        times=tuple(frame / clip.rate for frame in frames),
        frames=frames,
    )
