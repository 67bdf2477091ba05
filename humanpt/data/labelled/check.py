"""What may be wrong with the files of a labelled data set, in one line each: what, where and what next.

Letters: K key points.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanpt.data.crops import square_around
from humanpt.data.image import Rgb, read_image
from humanpt.data.labelled.record import Floats
from humanpt.data.records import SubjectKind
from humanpt.errors import InputError

EXTENTS: dict[SubjectKind, tuple[float, float]] = {"hand": (0.03, 0.5), "body": (0.3, 4.0)}
"""Diagonal of the box around all key points of one subject, metres; what lies far outside is told in another unit."""

HAND_MARGIN = 1.5
"""Side of a crop over the longer side of the box around the key points of a hand, which flesh reaches out of. [ours]"""

UNITS = {1e-3: "millimetres", 1e-2: "centimetres"}
"""What a unit other than the metre is called."""


def need(path: Path, dataset: str, site: str) -> Path:
    """A file or folder that a data set cannot be read without.

    Raises:
        InputError: if it is not there.
    """
    if not path.exists():
        kind = "file" if path.suffix else "folder"
        raise InputError(f"{path}: no such {kind}, which is a part of {dataset}; get it from {site}")
    return path


def need_split(split: str, splits: Collection[str], root: Path, dataset: str) -> None:
    """Make sure that a split is one of those that the data set has.

    Raises:
        InputError: if it is none of them.
    """
    if split not in splits:
        raise InputError(f"{root}: {dataset} has no split {split!r}; take one of {', '.join(splits)}")


def shaped(values: Any, shape: Sequence[int], where: str, what: str) -> Floats:
    """Labels as float32 of the shape that they must have.

    Args:
        values: array or nested lists of numbers.
        shape: the sizes; -1 takes any.
        where: file and sample, for the message.
        what: of what there are so many.

    Raises:
        InputError: if there are more or fewer, or they are no numbers.
    """
    try:
        array = np.asarray(values, np.float32)
    except (TypeError, ValueError):
        raise InputError(f"{where}: {what} are no table of numbers; get the file again") from None
    if array.ndim != len(shape) or any(want not in (-1, got) for want, got in zip(shape, array.shape, strict=True)):
        wanted = " x ".join(str(size) if size >= 0 else "N" for size in shape)
        found = " x ".join(map(str, array.shape)) or "one number"
        raise InputError(f"{where}: {what} are {found}, must be {wanted}; get the file again, or name its data set")
    return array


def finite(values: Floats, where: str, what: str) -> Floats:
    """Labels that must be known.

    Raises:
        InputError: if some are NaN or infinite.
    """
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise InputError(
            f"{where}: {bad} of {values.size} numbers of {what} are NaN or infinite; "
            "leave the sample out, or get the file again"
        )
    return values


def in_metres(keypoints: NDArray[np.floating], subject: SubjectKind, where: str) -> None:
    """Make sure that key points are told in metres, by how far those of one subject lie apart.

    Args:
        keypoints: (K, 3) of one subject, NaN where unknown; fewer than half of them known say nothing.
        subject: what they are of.
        where: file and sample, for the message.

    Raises:
        InputError: if they span what only a subject measured in another unit does, with the unit's name.
    """
    known = keypoints[np.isfinite(keypoints).all(axis=1)]
    if 2 * len(known) < len(keypoints) or len(known) < 3:
        return
    extent = float(np.linalg.norm(known.max(axis=0) - known.min(axis=0)))
    least, most = EXTENTS[subject]
    if least <= extent <= most:
        return
    scale = other_unit(extent, subject)
    if scale is not None:
        raise InputError(
            f"{where}: the {subject} is {extent:.4g} units across, so its labels are in {UNITS[scale]}, not in metres; "
            f"multiply them by {scale:g}"
        )
    raise InputError(
        f"{where}: the {subject} is {extent:.4g} metres across, which none is; get the labels again, or convert them"
    )


def other_unit(extent: float, subject: SubjectKind) -> float | None:
    """Of `UNITS` the first in which a subject may be so far across, in metres; None if it is no size in any."""
    least, most = EXTENTS[subject]
    return next((scale for scale in UNITS if least <= extent * scale <= most), None)


def read_picture(path: Path, dataset: str, site: str) -> Rgb:
    """(H, W, 3) uint8 picture of a data set.

    Raises:
        InputError: if it is missing, with where to get it, or damaged.
    """
    return read_image(need(path, dataset, site))


def all_there(folder: Path, names: Sequence[str], dataset: str, site: str) -> None:
    """Make sure that a folder has all files of these names.

    Raises:
        InputError: with the first that is missing and how many are.
    """
    there = {path.name for path in need(folder, dataset, site).iterdir()}
    missing = [name for name in names if name not in there]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"{folder / missing[0]}{others}: missing from {dataset}; get the pictures from {site}")


def seen_at(keypoints: Floats, intrinsics: Floats) -> Floats:
    """(K, 2) where a camera sees key points (K, 3) in its axes, pixels; NaN where unknown or behind the camera."""
    depth = keypoints[:, 2:]
    homogeneous = keypoints.astype(np.float64) @ intrinsics.T.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = np.where(depth > 0, homogeneous[:, :2] / homogeneous[:, 2:], np.nan)
    return pixels.astype(np.float32)


def square_on(pixels: Floats, margin: float, where: str) -> Floats:
    """(4,) edges of a square around the key points (K, 2) that are known, `margin` times as long as they reach.

    Raises:
        InputError: if fewer than two are known.
    """
    known = pixels[np.isfinite(pixels).all(axis=1)]
    if len(known) < 2:
        raise InputError(f"{where}: no two key points are in front of the camera; leave the sample out")
    return square_around(np.concatenate((known.min(axis=0), known.max(axis=0))), margin)
