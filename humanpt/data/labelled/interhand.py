"""InterHand2.6M: one or two hands seen by many calibrated cameras; each hand in each picture is a sample.

Layout: `annotations/SPLIT/InterHand2.6M_SPLIT_data.json` (in older releases `annotations/all/...`), with
`..._camera.json`, `..._joint_3d.json` and, where there are fitted hands, `..._MANO_NeuralAnnot.json` beside it, and
`images/SPLIT/` with the files that the first names. The short excerpts that other projects carry have all of it in one
folder. data.json is of COCO's form; a picture has its capture, camera and frame_idx, an annotation joint_valid (42, 1).
Joints are millimetres in the world, 21 of the right hand and then of the left, each finger from its tip to its base,
thumb to little finger, the wrist last; camrot and campos (millimetres) give x_cam = camrot (x - campos). MANO is told
in metres in the world, away from the mean hand. As its owners do, a hand whose wrist is not valid is left out.

Source: Moon and others, InterHand2.6M, ECCV 2020; https://github.com/facebookresearch/InterHand2.6M.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from humanpt.body.skeletons import FINGERS, HAND_21
from humanpt.data.image import Rgb
from humanpt.data.labelled import check, mano_labels
from humanpt.data.labelled.mano_labels import Hand
from humanpt.data.labelled.record import Floats, LabelLayout, Labelled
from humanpt.errors import InputError

SITE = "https://mks0601.github.io/InterHand2.6M/"
LICENCE = "CC BY-NC 4.0 (InterHand2.6M)"
SPLITS = ("train", "val", "test")
HANDS: tuple[Hand, ...] = ("right", "left")
METRES = np.float32(1e-3)

JOINTS = (*(f"{finger}{joint}" for finger in FINGERS for joint in ("_tip", "3", "2", "1")), "wrist")
"""The joints of one hand in its order."""
FROM_JOINTS = [JOINTS.index(name) for name in HAND_21]
WRIST = JOINTS.index("wrist")
FEWEST = 3
"""Valid joints of a hand, the wrist among them, below which it is left out: a crop has to be told from them."""


class Sample(NamedTuple):
    """One hand in one picture."""

    file: str
    """The picture below the folder of its split."""
    capture: str
    sequence: str
    camera: str
    frame: str
    side: Hand
    valid: bytes
    """One byte for each of the joints in its order, 1 where it is valid."""


class InterHand:
    """One split of InterHand2.6M; a `LabelledSet`.

    Its annotations are kept in memory, some gigabytes for all of the training split.

    Args:
        root: the folder with `annotations` and `images`, or with an excerpt.
        split: "train", "val" or "test".

    Raises:
        InputError: if there is no such split, or a part is missing or damaged.
    """

    layout: LabelLayout
    groups: NDArray[np.int64]
    partners: NDArray[np.int64]

    def __init__(self, root: Path, split: str = "train") -> None:
        check.need_split(split, SPLITS, root, "InterHand2.6M")
        self.listed, self.folder = _find(root, split)
        self.cameras = _load(_beside(self.listed, "camera"))
        self.joints = _load(_beside(self.listed, "joint_3d"))
        fitted = _beside(self.listed, "MANO_NeuralAnnot")
        self.fitted = _load(fitted) if fitted.exists() and mano_labels.have_mano() else None
        self.samples = list(_samples(self.listed))
        if not self.samples:
            raise InputError(f"{self.listed}: no hand in it has a valid wrist; get the file again from {SITE}")
        captures = sorted({sample.capture for sample in self.samples})
        self.groups = np.array([captures.index(sample.capture) for sample in self.samples])
        self.partners = _other_cameras(self.samples)
        self.layout = mano_labels.hand_layout("interhand", split, LICENCE, SITE, mano=self.fitted is not None)

    def __len__(self) -> int:
        return len(self.samples)

    def name(self, index: int) -> str:
        """The capture, sequence, camera, frame and hand."""
        sample = self.samples[index]
        return f"{sample.capture}/{sample.sequence}/{sample.camera}/{sample.frame}-{sample.side}"

    def labels(self, index: int) -> Labelled:
        """The labels of a hand; pose, shape and shift only where it was fitted and the user has MANO's file.

        Raises:
            InputError: if the camera or the joints are missing or damaged.
        """
        sample = self.samples[index]
        turn, position, intrinsics = self._camera(sample)
        keypoints = self._keypoints(sample, turn, position)
        check.in_metres(keypoints, "hand", self._where(sample))
        pixels = check.seen_at(keypoints, intrinsics)
        shape, label = self._parameters(sample, turn, position)
        return Labelled(
            name=self.name(index),
            group=f"capture {sample.capture}",
            side=sample.side,
            square=check.square_on(pixels, check.HAND_MARGIN, self._where(sample)),
            intrinsics=intrinsics,
            focal_from="calibration",
            keypoints=keypoints,
            pixels=pixels,
            shape=shape,
            pose=None if label is None else label.pose,
            transl=None if label is None else label.transl,
        )

    def picture(self, index: int) -> Rgb:
        """(H, W, 3) uint8.

        Raises:
            InputError: if it is missing or damaged.
        """
        return check.read_picture(self.folder / self.samples[index].file, "InterHand2.6M", SITE)

    def _where(self, sample: Sample) -> str:
        return f"{self.listed}: capture {sample.capture}, camera {sample.camera}, frame {sample.frame}"

    def _camera(self, sample: Sample) -> tuple[Floats, Floats, Floats]:
        """(3, 3) turn and (3,) place in metres of the camera in the world, (3, 3) camera matrix."""
        where = self._where(sample)
        try:
            capture = self.cameras[sample.capture]
            told = {name: capture[name][sample.camera] for name in ("camrot", "campos", "focal", "princpt")}
        except (KeyError, TypeError):
            raise InputError(f"{where}: its camera is not in {_beside(self.listed, 'camera').name}; get both") from None
        intrinsics = np.eye(3, dtype=np.float32)
        intrinsics[[0, 1], [0, 1]] = check.shaped(told["focal"], (2,), where, "focal")
        intrinsics[:2, 2] = check.shaped(told["princpt"], (2,), where, "princpt")
        turn = check.shaped(told["camrot"], (3, 3), where, "camrot")
        return turn, check.shaped(told["campos"], (3,), where, "campos") * METRES, intrinsics

    def _keypoints(self, sample: Sample, turn: Floats, position: Floats) -> Floats:
        """(K, 3) in the axes of the camera, NaN where not valid."""
        where = self._where(sample)
        try:
            told = self.joints[sample.capture][sample.frame]["world_coord"]
        except (KeyError, TypeError):
            raise InputError(f"{where}: is not in {_beside(self.listed, 'joint_3d').name}; get both again") from None
        world = check.shaped(told, (2 * len(JOINTS), 3), where, "world_coord") * METRES
        first = HANDS.index(sample.side) * len(JOINTS)
        hand = world[first : first + len(JOINTS)]
        valid = np.frombuffer(sample.valid, np.bool_)
        check.finite(hand[valid], where, "world_coord")
        hand = np.where(valid[:, None], (hand - position) @ turn.T, np.float32(np.nan))
        return hand[FROM_JOINTS]

    def _parameters(
        self, sample: Sample, turn: Floats, position: Floats
    ) -> tuple[Floats | None, mano_labels.ManoLabel | None]:
        frames = (self.fitted or {}).get(sample.capture) or {}
        fit = (frames.get(sample.frame) or {}).get(sample.side)
        if fit is None:
            return None, None
        where = self._where(sample)
        pose = check.shaped(fit["pose"], (mano_labels.POSE_NUMBERS,), where, "MANO's pose")
        shape = check.shaped(fit["shape"], (mano_labels.SHAPE_NUMBERS,), where, "MANO's shape")
        shift = check.shaped(fit["trans"], (3,), where, "MANO's trans")
        rotvecs = mano_labels.rotation_vectors(pose, sample.side, "from mean")
        label = mano_labels.in_camera(rotvecs, shape, sample.side, shift=shift, turn=turn, then=-turn @ position)
        return shape, label


def open_set(root: Path, split: str | None = None) -> InterHand:
    """Open InterHand2.6M, by default its training split, or the only one there is; as `InterHand`."""
    if split is None:
        there = [known for known in SPLITS if _candidates(root, known)]
        split = there[0] if there else "train"
    return InterHand(root, split)


def _candidates(root: Path, split: str) -> list[Path]:
    """Where data.json of a split may lie, of what is there."""
    name = f"InterHand2.6M_{split}_data.json"
    places = [root / "annotations" / split / name, root / "annotations" / "all" / name, root / "annotations" / name]
    places.append(root / f"{split}_interhand2.6m_data.json")
    return [place for place in places if place.exists()]


def _find(root: Path, split: str) -> tuple[Path, Path]:
    """data.json of a split, and the folder that the names of its pictures are below.

    Raises:
        InputError: if either is missing.
    """
    name = f"annotations/{split}/InterHand2.6M_{split}_data.json"
    listed = next(iter(_candidates(root, split)), None) or check.need(root / name, "InterHand2.6M", SITE)
    folder = root if listed.parent == root else check.need(root / "images" / split, "InterHand2.6M", SITE)
    for kind in ("camera", "joint_3d"):
        check.need(_beside(listed, kind), "InterHand2.6M", SITE)
    return listed, folder


def _beside(listed: Path, kind: str) -> Path:
    """The file of another kind for the same split."""
    return listed.with_name(listed.name.replace("_data.json", f"_{kind}.json"))


def _load(path: Path) -> dict[str, Any]:
    """The content of a JSON file.

    Raises:
        InputError: if it is damaged.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path}: is no whole JSON file ({error}); get it again from {SITE}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no table; get it again from {SITE}")
    return content


def _samples(listed: Path) -> Iterator[Sample]:
    """Each hand with a valid wrist in each picture, in the order of the annotations.

    Raises:
        InputError: if the file is damaged or has other joints.
    """
    content = _load(listed)
    try:
        pictures = {picture["id"]: picture for picture in content["images"]}
        for annotation in content["annotations"]:
            picture = pictures[annotation["image_id"]]
            where = f"{listed}: annotation {annotation['id']}"
            valid = check.shaped(np.ravel(annotation["joint_valid"]), (2 * len(JOINTS),), where, "joint_valid") > 0
            for side, of_side in zip(HANDS, np.split(valid, 2), strict=True):
                if of_side[WRIST] and of_side.sum() >= FEWEST and annotation["hand_type"] in (side, "interacting"):
                    yield Sample(
                        file=picture["file_name"],
                        capture=intern(str(picture["capture"])),
                        sequence=intern(str(picture["seq_name"])),
                        camera=intern(str(picture["camera"])),
                        frame=intern(str(picture["frame_idx"])),
                        side=side,
                        valid=of_side.tobytes(),
                    )
    except (KeyError, TypeError) as error:
        raise InputError(f"{listed}: lacks {error} somewhere, so it is no InterHand2.6M; get it from {SITE}") from None


def _other_cameras(samples: list[Sample]) -> NDArray[np.int64]:
    """(N,) for each hand, the same one seen by the next camera at that instant; -1 where no other saw it."""
    takes: dict[tuple[str, str, str, str], list[int]] = {}
    for index, sample in enumerate(samples):
        takes.setdefault((sample.capture, sample.sequence, sample.frame, sample.side), []).append(index)
    partners = np.full(len(samples), -1)
    for indices in takes.values():
        if len(indices) > 1:
            partners[indices] = np.roll(indices, -1)
    return partners
