"""How far the clocks of several cameras are apart, from the motion that they all see.

Each clip is reduced to two numbers per frame: how much moves (the logarithm of the mean change of a small grey
picture) and how high up it moves (the mean row of that change). Where people move, both rise and fall together in all
views: a step, a landing and a raised arm show from every side, and cameras stand upright. Slow drifts are taken out, as
they depend on the view. The lag at which two clips correlate best, over both numbers, is the difference of their
clocks; how far that peak stands above the best one elsewhere is its confidence, below 0.2 between clips of different
scenes. Cameras are placed one after the other, each against all before it.

On the four-camera sample, clips shifted by whole frames are brought back to within one frame (docs/captures.md).

Letters: T frames of one clip, G points of the common grid, L lags.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import correlate

from humanpt.data.frame import Frame

LONGEST = 160  # side of the small picture, in pixels
NOISE = 3.0  # grey levels by which compression and the sensor change a still pixel
SMOOTH, SLOW = 0.03, 0.15  # seconds: shorter changes are noise, longer ones depend on the view
GRID = 100.0  # points per second at which clips of any rates are compared
APART = 0.1  # seconds from the best lag within which another peak is the same one

Doubles = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class MotionTrace:
    """The motion of one clip."""

    times: Doubles
    """(T,) seconds since the first frame, between each frame and the next."""
    amount: Doubles
    """(T,) logarithm of the mean change."""
    height: Doubles
    """(T,) mean row of the change, as a share of the picture's height."""


@dataclass(frozen=True, kw_only=True)
class ClockOffset:
    """One camera's clock against the first camera's."""

    seconds: float
    """What is added to the camera's own time to have the common time; 0 if nothing was known."""
    measured: float
    """What the motion says, however little it is to be trusted; NaN if it says nothing."""
    confidence: float
    """0 to 1: how far the correlation at the best lag stands above that at any other."""


def motion_trace(frames: Iterable[Frame], longest: float) -> MotionTrace:
    """Reduce a clip to its motion.

    Args:
        frames: of the clip, in order.
        longest: seconds after which no more is read.
    """
    times: list[float] = []
    amounts: list[float] = []
    heights: list[float] = []
    before: NDArray[np.float32] | None = None
    last = 0.0
    for frame in frames:
        if frame.timestamp > longest:
            break
        grey = cv2.cvtColor(frame.small(LONGEST), cv2.COLOR_RGB2GRAY)
        now = np.asarray(cv2.GaussianBlur(grey, (5, 5), 0), np.float32)
        if before is not None:
            rows = np.maximum(np.abs(now - before) - NOISE, 0).mean(axis=1)
            elapsed = frame.timestamp - last
            times.append(last + elapsed / 2)
            amounts.append(float(np.log(rows.mean() / (elapsed * GRID) + 0.02)))
            places = (np.arange(len(rows)) + 0.5) / len(rows)
            heights.append(float((rows @ places + 1e-3 * 0.5) / (rows.sum() + 1e-3)))
        before, last = now, frame.timestamp
    return MotionTrace(times=np.array(times), amount=np.array(amounts), height=np.array(heights))


def estimate_offsets(
    traces: Sequence[MotionTrace], *, longest: float, confidence: float, smallest: float
) -> list[ClockOffset]:
    """Offsets of all clips against the first one whose clock can be told.

    The pair that agrees most surely comes first; then, one by one, the clip that agrees most surely with all placed
    before it, their correlations taken together.

    Args:
        traces: one per camera.
        longest: largest offset looked for, in seconds; less where two clips would share under half of their time.
        confidence: least confidence of an offset that is used.
        smallest: offsets below this many seconds are taken for none, as views differ by as much.
    """
    count, reach = len(traces), round(longest * GRID)
    curves = {
        (first, second): _scores(traces[first], traces[second], reach)
        for first in range(count)
        for second in range(first + 1, count)
    }
    curves |= {(second, first): curve[::-1] for (first, second), curve in curves.items()}
    found = np.full(count, np.nan)
    sure = np.zeros(count)
    peaks = {pair: _peak(curve) for pair, curve in curves.items()}
    if peaks:
        start = max(peaks, key=lambda pair: peaks[pair][1])
        found[start[0]], sure[start[0]] = 0.0, peaks[start][1]
    while np.isfinite(found).any() and np.isnan(found).any():
        known = np.flatnonzero(np.isfinite(found)).tolist()
        placed = [camera for camera in known if sure[camera] >= confidence] or known[:1]
        options: dict[int, tuple[float, float]] = {}
        for camera in np.flatnonzero(np.isnan(found)).tolist():
            moved = [_moved(curves[other, camera], found[other] * GRID) for other in placed]
            options[camera] = _peak(np.mean(moved, axis=0))
        best = max(options, key=lambda camera: options[camera][1])
        found[best], sure[best] = options[best]
    trusted = sure >= confidence
    zero = found[np.flatnonzero(trusted)[0]] if trusted.any() else 0.0
    offsets = []
    for camera in range(count):
        measured = float(found[camera] - zero)
        used = measured if trusted[camera] and abs(measured) >= smallest else 0.0
        offsets.append(ClockOffset(seconds=used, measured=measured, confidence=float(sure[camera])))
    return offsets


def _scores(first: MotionTrace, second: MotionTrace, reach: int) -> Doubles:
    """(2 reach + 1,) how well the clips agree if the second's clock is behind by each number of grid steps."""
    if min(len(first.times), len(second.times)) < 3:
        return np.full(2 * reach + 1, np.nan)
    numbers = ((first.amount, second.amount), (first.height, second.height))
    curves = [_correlations(_on_grid(first.times, a), _on_grid(second.times, b), reach) for a, b in numbers]
    return np.asarray(np.mean(curves, axis=0), np.float64)


def _moved(curve: Doubles, steps: float) -> Doubles:
    """The curve moved to greater lags, NaN where nothing is known."""
    lags = np.arange(len(curve), dtype=np.float64)
    return np.asarray(np.interp(lags - steps, lags, curve, left=np.nan, right=np.nan), np.float64)


def _peak(curve: Doubles) -> tuple[float, float]:
    """The best lag of a curve in seconds, between grid steps too, and how far it stands above all others."""
    if not np.isfinite(curve).any():
        return 0.0, 0.0
    best = int(np.nanargmax(curve))
    elsewhere = curve.copy()
    elsewhere[max(0, best - round(APART * GRID)) : best + round(APART * GRID) + 1] = np.nan
    rival = float(np.nanmax(elsewhere)) if np.isfinite(elsewhere).any() else 0.0
    shift = 0.0
    if 0 < best < len(curve) - 1 and np.isfinite(curve[best - 1 : best + 2]).all():
        left, middle, right = curve[best - 1 : best + 2]
        bend = left - 2 * middle + right
        shift = float(0.5 * (left - right) / bend) if bend < 0 else 0.0
    centre = (len(curve) - 1) / 2
    return float((best - centre + shift) / GRID), float(np.clip(curve[best] - max(rival, 0.0), 0, 1))


def _on_grid(times: Doubles, values: Doubles) -> tuple[Doubles, int]:
    """(G,) values at even steps, without noise and slow drifts, and the number of steps before the first of them."""
    even = np.interp(np.arange(times[0], times[-1], 1 / GRID), times, values)
    quick = gaussian_filter1d(even, SMOOTH * GRID) - gaussian_filter1d(even, SLOW * GRID)
    return quick, round(times[0] * GRID)


def _correlations(first: tuple[Doubles, int], second: tuple[Doubles, int], reach: int) -> Doubles:
    """(2 reach + 1,) correlation of the first with the second moved on by each lag, NaN where too little is shared.

    Chance correlates short stretches better than long ones; the root of the share of time that is shared makes up.
    """
    (a, start1), (b, start2) = first, second
    a, b = a - a.mean(), b - b.mean()

    def sums(one: Doubles, two: Doubles) -> Doubles:
        """Sum over the shared time of the product, for every lag at which any is shared."""
        return np.asarray(correlate(one, two, mode="full", method="fft"), np.float64)

    ones, twos = np.ones_like(a), np.ones_like(b)
    shared = np.maximum(sums(ones, twos).round(), 1)
    mean1, mean2 = sums(a, twos) / shared, sums(ones, b) / shared
    spread = np.sqrt(
        np.maximum(sums(a * a, twos) - shared * mean1**2, 0) * np.maximum(sums(ones, b * b) - shared * mean2**2, 0)
    )
    together = sums(a, b) - shared * mean1 * mean2
    most = min(len(a), len(b))
    score = np.sqrt(shared / most) * together / np.maximum(spread, 1e-9 * (1 + np.abs(together)))
    score[shared < most / 2] = np.nan
    lags = np.arange(-(len(b) - 1), len(a)) + start1 - start2
    result = np.full(2 * reach + 1, np.nan)
    near = np.abs(lags) <= reach
    result[lags[near] + reach] = score[near]
    return result
