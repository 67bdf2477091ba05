"""HO3D, versions 2 and 3: a right hand with an object before a camera, with MANO labels.

Layout: `train.txt` and `evaluation.txt` name the pictures as SEQUENCE/FRAME; each lies in `train/SEQUENCE/rgb/` (PNG in
version 2, JPEG in version 3) or `evaluation/...`, its labels in `SEQUENCE/meta/FRAME.pkl`: handJoints3D (21, 3) in the
order of MANO and then the five tips, handPose (48,) away from the flat hand, handBeta (10,), handTrans (3,), camMat
(3, 3). Metres, in OpenGL axes: x right, y up, z backward. For evaluation there are only the wrist and handBoundingBox,
until `evaluation_xyz.json` and `evaluation_verts.json`, which its owners published later, lie beside `evaluation.txt`.

The pickles are read as data alone; nothing in them is run.

Source: Hampali and others, HOnnotate, CVPR 2020; https://github.com/shreyashampali/ho3d.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanpt.body.skeletons import FINGERS, HAND_21, MANO_16
from humanpt.data.crops import square_around
from humanpt.data.image import Rgb
from humanpt.data.labelled import check, mano_labels
from humanpt.data.labelled.number_tables import NumberTable, read_table
from humanpt.data.labelled.record import Floats, LabelLayout, Labelled
from humanpt.data.safe_pickle import read_pickle
from humanpt.errors import InputError

SITE = "https://github.com/shreyashampali/ho3d"
LICENCE = "academic research only, not to be passed on (HO-3D's terms)"
SPLITS = ("train", "evaluation")
OPENGL = np.array([1.0, -1.0, -1.0], np.float32)
"""What turns OpenGL axes into OpenCV's, and back."""

JOINTS = (*MANO_16, *(f"{finger}_tip" for finger in FINGERS))
"""Its joints in its order."""
FROM_JOINTS = [JOINTS.index(name) for name in HAND_21]

TWO_OR_MORE = ("ABF1", "BB1", "GPMF1", "GSF1", "MDF1", "SB1", "ShSu1", "SiBF1", "SMu4", "MPM1", "AP1")
"""Recordings by several cameras at once; the number of the camera follows in the name of a sequence."""

BOX_MARGIN = 1.2
"""Side of the crop over the longer side of the box that comes with evaluation pictures. [ours]"""


class Ho3d:
    """One split of HO3D; a `LabelledSet`.

    Args:
        root: the folder with `train.txt` and `evaluation.txt`.
        split: "train" or "evaluation".

    Raises:
        InputError: if there is no such split or a part is missing.
        OutputError: if the cache folder cannot be written.
    """

    layout: LabelLayout
    groups: NDArray[np.int64]
    partners: NDArray[np.int64]

    def __init__(self, root: Path, split: str = "train") -> None:
        check.need_split(split, SPLITS, root, "HO3D")
        listed = check.need(root / f"{split}.txt", "HO3D", SITE)
        self.names = [line.strip() for line in listed.read_text().splitlines() if line.strip()]
        wrong = next((name for name in self.names if name.count("/") != 1), None)
        if wrong is not None or not self.names:
            raise InputError(f"{listed}: {wrong or 'nothing'!r} is no SEQUENCE/FRAME; get the file again from {SITE}")
        self.folder = check.need(root / split, "HO3D", SITE)
        self.ending = ".jpg" if self._picture_path(0, ".jpg").exists() else ".png"
        sequences = [name.partition("/")[0] for name in self.names]
        for sequence in dict.fromkeys(sequences):
            check.need(self.folder / sequence / "rgb", "HO3D", SITE)
            check.need(self.folder / sequence / "meta", "HO3D", SITE)
        people = list(dict.fromkeys(map(_who, sequences)))
        self.groups = np.array([people.index(_who(sequence)) for sequence in sequences])
        self.partners = _other_cameras(self.names)
        self.truth = _published(root, len(self.names)) if split == "evaluation" else None
        self.parameters = split == "train" and mano_labels.have_mano()
        dataset = "ho3d-v3" if self.ending == ".jpg" else "ho3d-v2"
        has_mano = self.parameters or self.truth is not None
        self.layout = mano_labels.hand_layout(dataset, split, LICENCE, SITE, mano=has_mano)

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """The sequence and the frame."""
        return self.names[index]

    def labels(self, index: int) -> Labelled:
        """The labels of a picture; pose, shape and shift only for training and where the user has MANO's file.

        Raises:
            InputError: if the pickle is missing, damaged or holds more than data, or labels are of another unit.
        """
        sequence, frame = self.names[index].split("/")
        path = self.folder / sequence / "meta" / f"{frame}.pkl"
        meta = read_pickle(check.need(path, "HO3D", SITE), SITE)
        if not isinstance(meta, dict) or "camMat" not in meta or "handJoints3D" not in meta:
            raise InputError(f"{path}: has no camMat and handJoints3D; get it again from {SITE}")
        intrinsics = check.finite(check.shaped(meta["camMat"], (3, 3), str(path), "camMat"), str(path), "camMat")
        keypoints = self._keypoints(index, meta, path)
        check.in_metres(keypoints, "hand", str(path))
        pixels = check.seen_at(keypoints, intrinsics)
        shape, label = self._parameters(meta, path)
        return Labelled(
            name=self.names[index],
            group=_who(sequence),
            side="right",
            square=_square(meta, pixels, path),
            intrinsics=intrinsics,
            focal_from="calibration",
            keypoints=keypoints,
            pixels=pixels,
            vertices=None if self.truth is None else self.truth[1][index] * OPENGL,
            shape=shape,
            pose=None if label is None else label.pose,
            transl=None if label is None else label.transl,
        )

    def picture(self, index: int) -> Rgb:
        """(480, 640, 3) uint8.

        Raises:
            InputError: if it is missing or damaged.
        """
        return check.read_picture(self._picture_path(index, self.ending), "HO3D", SITE)

    def _picture_path(self, index: int, ending: str) -> Path:
        sequence, frame = self.names[index].split("/")
        return self.folder / sequence / "rgb" / f"{frame}{ending}"

    def _keypoints(self, index: int, meta: dict[str, Any], path: Path) -> Floats:
        """(K, 3) in OpenCV axes; NaN where only the wrist is known, by which no error could be told."""
        if self.truth is not None:
            return self.truth[0][index][FROM_JOINTS] * OPENGL
        told = meta["handJoints3D"]
        keypoints = np.full((len(HAND_21), 3), np.nan, np.float32)
        if told is None or np.shape(told) == (3,):
            return keypoints
        joints = check.shaped(told, (len(JOINTS), 3), str(path), "handJoints3D")
        return check.finite(joints, str(path), "handJoints3D")[FROM_JOINTS] * OPENGL

    def _parameters(self, meta: dict[str, Any], path: Path) -> tuple[Floats | None, mano_labels.ManoLabel | None]:
        if not self.parameters or meta.get("handPose") is None:
            return None, None
        pose = check.shaped(meta["handPose"], (mano_labels.POSE_NUMBERS,), str(path), "handPose")
        shape = check.shaped(meta.get("handBeta"), (mano_labels.SHAPE_NUMBERS,), str(path), "handBeta")
        shift = check.shaped(meta.get("handTrans"), (3,), str(path), "handTrans")
        rotvecs = mano_labels.rotation_vectors(pose, "right", "flat")
        return shape, mano_labels.in_camera(rotvecs, shape, "right", shift=shift, turn=np.diag(OPENGL))


def open_set(root: Path, split: str | None = None) -> Ho3d:
    """Open HO3D, by default its training pictures; as `Ho3d`."""
    return Ho3d(root, split or "train")


def _who(sequence: str) -> str:
    """The person and object of a sequence: its name without the numbers of recording and camera."""
    return sequence.rstrip("0123456789")


def _other_cameras(names: list[str]) -> NDArray[np.int64]:
    """(N,) for each picture, the one by the next camera of the same recording at the same frame; -1 where none is."""
    takes: dict[tuple[str, str], list[int]] = {}
    for index, name in enumerate(names):
        sequence, frame = name.split("/")
        if sequence[:-1] in TWO_OR_MORE:
            takes.setdefault((sequence[:-1], frame), []).append(index)
    partners = np.full(len(names), -1)
    for indices in takes.values():
        if len(indices) > 1:
            partners[indices] = np.roll(indices, -1)
    return partners


def _published(root: Path, count: int) -> tuple[NumberTable, NumberTable] | None:
    """The joints and vertices for evaluation, if they are there.

    Raises:
        InputError: if they are damaged or of another count.
    """
    path = root / "evaluation_xyz.json"
    if not path.exists():
        return None
    joints = read_table(path, (len(JOINTS), 3), "key points")
    vertices = read_table(
        check.need(root / "evaluation_verts.json", "HO3D", SITE), (mano_labels.VERTICES, 3), "vertices"
    )
    for table, name in ((joints, path.name), (vertices, "evaluation_verts.json")):
        if len(table) != count:
            raise InputError(
                f"{root / name}: has {len(table)} samples, evaluation.txt {count}; get both of one version"
            )
    return joints, vertices


def _square(meta: dict[str, Any], pixels: Floats, path: Path) -> Floats:
    """The crop: around the box that came with the picture, or else around the key points."""
    box = meta.get("handBoundingBox")
    if box is None:
        return check.square_on(pixels, check.HAND_MARGIN, str(path))
    edges = check.shaped(box, (4,), str(path), "handBoundingBox")
    return square_around(check.finite(edges, str(path), "handBoundingBox"), BOX_MARGIN)
