"""DexYCB: ten people grasp objects before eight calibrated cameras, with MANO labels.

Layout: `20200709-subject-01/` and nine more hold a hundred sequences each, named by their time; each has `meta.yml`,
`pose.npz` and a folder a camera with `color_000000.jpg` and `labels_000000.npz`; `calibration/` holds
`intrinsics/SERIAL_640x480.yml` and `mano_.../mano.yml`. Labels: joint_3d (1, 21, 3) in the axes of the camera (OpenCV),
metres, -1 where there is no hand, in our order; pose_m (1, 51), the turn of the hand, 45 coefficients of MANO's
principal poses away from its mean hand, the shift; zeros where there is no hand. The shape is in mano.yml. A sequence
shows one hand; frames before it comes in, by `pose.npz`, are left out, as its owners do.

Splits are named SETUP-PART: s0 (all seen), s1 (unseen subjects), s2 (unseen cameras), s3 (unseen objects) with train,
val and test; they count through sequences, so s0 and s3 need all hundred of a subject. "all" takes whatever is there.

Source: Chao and others, DexYCB, CVPR 2021; https://dex-ycb.github.io.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from humanpt.body.skeletons import HAND_21
from humanpt.data.image import Rgb
from humanpt.data.labelled import check, mano_labels
from humanpt.data.labelled.mano_labels import Hand
from humanpt.data.labelled.record import Floats, LabelLayout, Labelled
from humanpt.errors import InputError

SITE = "https://dex-ycb.github.io"
LICENCE = "CC BY-NC 4.0 (DexYCB)"
SEQUENCES = 100
"""Sequences of each subject."""
SIZE = (640, 480)
SERIALS = (
    "836212060125",
    "839512060362",
    "840412060917",
    "841412060263",
    "932122060857",
    "932122060861",
    "932122061900",
    "932122062010",
)
"""The cameras, in the order that splits count them in."""


class Part(NamedTuple):
    """What a split takes."""

    subjects: tuple[int, ...] = tuple(range(10))
    cameras: tuple[int, ...] = tuple(range(8))
    sequence: Callable[[int], bool] | None = None
    """Whether it takes the sequence of this number of a subject; None takes all."""


SPLITS = {
    "s0-train": Part(sequence=lambda number: number % 5 != 4),
    "s0-val": Part(subjects=(0, 1), sequence=lambda number: number % 5 == 4),
    "s0-test": Part(subjects=tuple(range(2, 10)), sequence=lambda number: number % 5 == 4),
    "s1-train": Part(subjects=(0, 1, 2, 3, 4, 5, 9)),
    "s1-val": Part(subjects=(6,)),
    "s1-test": Part(subjects=(7, 8)),
    "s2-train": Part(cameras=(0, 1, 2, 3, 4, 5)),
    "s2-val": Part(cameras=(6,)),
    "s2-test": Part(cameras=(7,)),
    "s3-train": Part(sequence=lambda number: number // 5 not in (3, 7, 11, 15, 19)),
    "s3-val": Part(sequence=lambda number: number // 5 in (3, 19)),
    "s3-test": Part(sequence=lambda number: number // 5 in (7, 11, 15)),
}
"""The splits of its owners."""


class Sequence(NamedTuple):
    """One grasp, seen by all cameras."""

    folder: Path
    subject: int
    side: Hand
    shape: Floats
    frames: NDArray[np.int64]
    """Those with a hand."""


class DexYcb:
    """One split of DexYCB; a `LabelledSet`.

    Args:
        root: the folder with the subjects and `calibration`.
        split: one of `SPLITS`, or "all".

    Raises:
        InputError: if there is no such split, or a part is missing or damaged.
    """

    layout: LabelLayout
    groups: NDArray[np.int64]
    partners: NDArray[np.int64]

    def __init__(self, root: Path, split: str = "s0-train") -> None:
        check.need_split(split, ("all", *SPLITS), root, "DexYCB")
        part = SPLITS.get(split, Part())
        calibration = check.need(root / "calibration", "DexYCB", SITE)
        self.serials = [SERIALS[number] for number in part.cameras]
        self.intrinsics = [_intrinsics(calibration, serial) for serial in self.serials]
        self.sequences = [_sequence(folder, subject, calibration) for folder, subject in _folders(root, split, part)]
        if not self.sequences:
            raise InputError(f"{root}: has none of the sequences of {split}; get them from {SITE}")
        counts = [len(sequence.frames) for sequence in self.sequences]
        cameras = len(self.serials)
        self._of_sample = np.repeat(np.arange(len(self.sequences)), np.array(counts) * cameras)
        # within a sequence frame after frame, and the cameras of a frame one after the other
        self._within = np.concatenate([np.arange(count * cameras) for count in counts])
        self.groups = np.array([sequence.subject for sequence in self.sequences])[self._of_sample]
        start = np.arange(len(self._within)) - self._within % cameras
        self.partners = start + (self._within % cameras + 1) % cameras if cameras > 1 else np.full(len(start), -1)
        self.parameters = mano_labels.have_mano()
        self.layout = mano_labels.hand_layout("dexycb", split, LICENCE, SITE, mano=self.parameters)

    def __len__(self) -> int:
        return len(self._within)

    def name(self, index: int) -> str:
        """The subject, sequence, camera and frame."""
        sequence, camera, frame = self._locate(index)
        folder = sequence.folder
        return f"{folder.parent.name}/{folder.name}/{self.serials[camera]}/{frame:06d}"

    def labels(self, index: int) -> Labelled:
        """The labels of a picture; pose, shape and shift only where the user has MANO's file.

        Raises:
            InputError: if the file is missing, damaged, or of another unit.
        """
        sequence, camera, frame = self._locate(index)
        path = sequence.folder / self.serials[camera] / f"labels_{frame:06d}.npz"
        told = _arrays(path, ("joint_3d", "pose_m"))
        joints = check.shaped(told["joint_3d"], (1, len(HAND_21), 3), str(path), "joint_3d")[0]
        there = not (joints == -1).all()
        keypoints = check.finite(joints, str(path), "joint_3d") if there else np.full_like(joints, np.nan)
        check.in_metres(keypoints, "hand", str(path))
        pixels = check.seen_at(keypoints, self.intrinsics[camera])
        label = None
        if self.parameters and there:
            numbers = check.shaped(told["pose_m"], (1, mano_labels.POSE_NUMBERS + 3), str(path), "pose_m")[0]
            rotvecs = mano_labels.rotation_vectors(numbers[: mano_labels.POSE_NUMBERS], sequence.side, "principal")
            shift = numbers[mano_labels.POSE_NUMBERS :]
            label = mano_labels.in_camera(rotvecs, sequence.shape, sequence.side, shift=shift)
        return Labelled(
            name=self.name(index),
            group=sequence.folder.parent.name,
            side=sequence.side,
            square=check.square_on(pixels, check.HAND_MARGIN, str(path)) if there else _middle(),
            intrinsics=self.intrinsics[camera],
            focal_from="calibration",
            keypoints=keypoints,
            pixels=pixels,
            shape=None if label is None else sequence.shape,
            pose=None if label is None else label.pose,
            transl=None if label is None else label.transl,
        )

    def picture(self, index: int) -> Rgb:
        """(480, 640, 3) uint8.

        Raises:
            InputError: if it is missing or damaged.
        """
        sequence, camera, frame = self._locate(index)
        return check.read_picture(sequence.folder / self.serials[camera] / f"color_{frame:06d}.jpg", "DexYCB", SITE)

    def _locate(self, index: int) -> tuple[Sequence, int, int]:
        """The sequence, the number of the camera among `serials`, and the frame of a sample."""
        sequence = self.sequences[self._of_sample[index]]
        frame, camera = divmod(int(self._within[index]), len(self.serials))
        return sequence, camera, int(sequence.frames[frame])


def open_set(root: Path, split: str | None = None) -> DexYcb:
    """Open DexYCB, by default the training part of its first setup; as `DexYcb`."""
    return DexYcb(root, split or "s0-train")


def _folders(root: Path, split: str, part: Part) -> list[tuple[Path, int]]:
    """The sequences that a split takes, each with the number of its subject.

    Raises:
        InputError: if a subject is missing, or has too few sequences for the split to be told.
    """
    subjects = sorted(path for path in root.iterdir() if path.is_dir() and path.name[:8].isdigit())
    if split != "all" and len(subjects) != 10:
        raise InputError(
            f"{root}: has {len(subjects)} of 10 subjects, from which {split} cannot be told; "
            f"get the others from {SITE}, or take the split all"
        )
    chosen = []
    for number, subject in enumerate(subjects):
        if split != "all" and number not in part.subjects:
            continue
        sequences = sorted(path for path in subject.iterdir() if path.is_dir())
        if part.sequence is not None and len(sequences) != SEQUENCES:
            raise InputError(
                f"{subject}: has {len(sequences)} of {SEQUENCES} sequences, from which {split} cannot be told; "
                f"get the others from {SITE}, or take the split all"
            )
        taken = [k for k in range(len(sequences)) if part.sequence is None or part.sequence(k)]
        chosen += [(sequences[k], number) for k in taken]
    return chosen


def _sequence(folder: Path, subject: int, calibration: Path) -> Sequence:
    """What the files of one sequence say of its hand.

    Raises:
        InputError: if one is missing or damaged.
    """
    path = folder / "meta.yml"
    meta = _read_yaml(path, ("mano_sides", "mano_calib"))
    try:
        side, calibrated = meta["mano_sides"][0], meta["mano_calib"][0]
    except (IndexError, KeyError, TypeError):
        raise InputError(f"{path}: names no hand; get it again from {SITE}") from None
    if side not in ("left", "right"):
        raise InputError(f"{path}: {side!r} is no side of a hand; get it again from {SITE}")
    mano = calibration / f"mano_{calibrated}" / "mano.yml"
    betas = _read_yaml(mano, ("betas",))["betas"]
    poses = check.shaped(_arrays(folder / "pose.npz", ("pose_m",))["pose_m"], (-1, -1, 51), str(folder), "pose_m")
    return Sequence(
        folder=folder,
        subject=subject,
        side=cast("Hand", side),
        shape=check.shaped(betas, (mano_labels.SHAPE_NUMBERS,), str(mano), "betas"),
        frames=np.flatnonzero((poses[:, 0] != 0).any(axis=1)),
    )


def _intrinsics(calibration: Path, serial: str) -> Floats:
    """(3, 3) camera matrix.

    Raises:
        InputError: if its file is missing or damaged.
    """
    path = calibration / "intrinsics" / f"{serial}_{SIZE[0]}x{SIZE[1]}.yml"
    colour = _read_yaml(path, ("color",))["color"]
    try:
        focal, centre = [colour["fx"], colour["fy"]], [colour["ppx"], colour["ppy"]]
    except (KeyError, TypeError):
        raise InputError(f"{path}: lacks fx, fy, ppx or ppy of the colour camera; get it again from {SITE}") from None
    matrix = np.eye(3, dtype=np.float32)
    matrix[[0, 1], [0, 1]] = check.shaped(focal, (2,), str(path), "fx and fy")
    matrix[:2, 2] = check.shaped(centre, (2,), str(path), "ppx and ppy")
    return matrix


def _read_yaml(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """A YAML file with the fields `names`, in plain values alone.

    Raises:
        InputError: if it is missing or damaged.
    """
    import yaml  # type: ignore[import-untyped]

    try:
        content = yaml.load(
            check.need(path, "DexYCB", SITE).read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        )
    except yaml.YAMLError:
        raise InputError(f"{path}: is no whole YAML file; get it again from {SITE}") from None
    missing = [name for name in names if not isinstance(content, dict) or name not in content]
    if missing:
        raise InputError(f"{path}: has no {missing[0]}; get it again from {SITE}")
    return cast("dict[str, Any]", content)


def _arrays(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Arrays of an .npz file.

    Raises:
        InputError: if it is missing or damaged, or lacks one.
    """
    try:
        with check.need(path, "DexYCB", SITE).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in names}
    except KeyError as error:
        raise InputError(f"{path}: has no array {error}; get it again from {SITE}") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is no whole .npz file ({error}); get it again from {SITE}") from None


def _middle() -> Floats:
    """The crop of a picture without a hand: the largest square in its middle."""
    width, height = SIZE
    left = (width - height) / 2
    return np.array([left - 0.5, -0.5, left + height - 0.5, height - 0.5], np.float32)
