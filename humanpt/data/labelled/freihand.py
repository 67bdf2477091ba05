"""FreiHAND: 32,560 photographs of right hands on four backgrounds each, and 3,960 for evaluation, with MANO labels.

Layout (version 2, FreiHAND_pub_v2 and FreiHAND_pub_v2_eval unpacked into one folder): `training_K.json` (3, 3),
`training_xyz.json` (21, 3), `training_verts.json` (778, 3), `training_mano.json` (1, 61) with one entry for each of the
photographs, the same with `evaluation_`, and `training/rgb/00000000.jpg` to `00130239.jpg`. Photograph k recurs as
k + 32560, k + 65120 and k + 97680: green screen (gs), then harmonised (hom), then two automatic colourings (sample,
auto). All labels are metres in OpenCV axes; the order of the key points is ours. The 61 numbers are 48 of pose, away
from MANO's mean hand, 10 of shape, then place and size in the picture; the vertices tell better where the hand is and
how it is turned.

A picture is a crop around the hand already, and is used whole, so nothing of the labels decides what is seen of it.

Source: Zimmermann and others, FreiHAND, ICCV 2019; https://github.com/lmb-freiburg/freihand.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humanpt.data.image import Rgb
from humanpt.data.labelled import check, mano_labels
from humanpt.data.labelled.number_tables import NumberTable, read_table
from humanpt.data.labelled.record import Floats, LabelLayout, Labelled
from humanpt.errors import InputError

SITE = "https://lmb.informatik.uni-freiburg.de/projects/freihand/"
LICENCE = "research purposes only, no commercial use (FreiHAND's terms)"
VERSIONS = ("gs", "hom", "sample", "auto")
SPLITS = ("training", *VERSIONS, "evaluation")
SIZE = 224
"""Side of all its pictures in pixels."""

ARCHIVES = {"training": "FreiHAND (FreiHAND_pub_v2.zip)", "evaluation": "FreiHAND (FreiHAND_pub_v2_eval.zip)"}
"""Where the labels of either part are."""

TABLES: dict[str, tuple[tuple[int, ...], str]] = {
    "K": ((3, 3), "camera matrices"),
    "xyz": ((21, 3), "key points"),
    "verts": ((mano_labels.VERTICES, 3), "vertices"),
    "mano": ((1, 61), "MANO parameters"),
}


class FreiHand:
    """One split of FreiHAND; a `LabelledSet`.

    Args:
        root: the folder with `training_xyz.json` and its like.
        split: "training" (all four versions of each photograph), one version, or "evaluation".

    Raises:
        InputError: if there is no such split, a part is missing, or tables do not belong together.
        OutputError: if the cache folder cannot be written.
    """

    layout: LabelLayout
    groups: NDArray[np.int64]
    partners: NDArray[np.int64]

    def __init__(self, root: Path, split: str = "training") -> None:
        check.need_split(split, SPLITS, root, "FreiHAND")
        self.part = "evaluation" if split == "evaluation" else "training"
        self.folder = root / self.part / "rgb"
        self._tables = _read_tables(root, self.part)
        photographs = len(self._tables["K"])
        versions = range(4) if split == "training" else [VERSIONS.index(split) if split in VERSIONS else 0]
        self.numbers = np.concatenate([np.arange(photographs) + version * photographs for version in versions])
        check.all_there(self.folder, [self._file(number) for number in self.numbers.tolist()], "FreiHAND", SITE)
        self.groups = self.numbers % photographs
        self.partners = np.full(len(self.numbers), -1)
        self.parameters = mano_labels.have_mano()
        self.layout = mano_labels.hand_layout("freihand", split, LICENCE, SITE, mano=True)

    def __len__(self) -> int:
        return len(self.numbers)

    def name(self, index: int) -> str:
        """The part and the number of the picture."""
        return f"{self.part}/{self.numbers[index]:08d}"

    def labels(self, index: int) -> Labelled:
        """The labels of a picture; pose, shape and shift only where the user has MANO's file.

        Raises:
            InputError: if they are NaN or not in metres.
        """
        row = int(self.groups[index])
        where = f"{self.folder.parents[1]}: {self.part} sample {row}"
        intrinsics = check.finite(self._tables["K"][row], where, "the camera matrix")
        keypoints = check.finite(self._tables["xyz"][row], where, "the key points")
        vertices = check.finite(self._tables["verts"][row], where, "the vertices")
        check.in_metres(keypoints, "hand", where)
        shape, label = self._parameters(row, vertices)
        return Labelled(
            name=self.name(index),
            group=f"photograph {row}",
            side="right",
            square=np.array([-0.5, -0.5, SIZE - 0.5, SIZE - 0.5], np.float32),
            intrinsics=intrinsics,
            focal_from="calibration",
            keypoints=keypoints,
            pixels=check.seen_at(keypoints, intrinsics),
            vertices=vertices,
            shape=shape,
            pose=None if label is None else label.pose,
            transl=None if label is None else label.transl,
        )

    def picture(self, index: int) -> Rgb:
        """(224, 224, 3) uint8.

        Raises:
            InputError: if it is missing or damaged.
        """
        return check.read_picture(self.folder / self._file(int(self.numbers[index])), "FreiHAND", SITE)

    def _file(self, number: int) -> str:
        return f"{number:08d}.jpg"

    def _parameters(self, row: int, vertices: Floats) -> tuple[Floats | None, mano_labels.ManoLabel | None]:
        """Shape and pose in the user's MANO, laid on the vertices as a whole."""
        if not self.parameters:
            return None, None
        numbers = self._tables["mano"][row][0]
        shape = numbers[mano_labels.POSE_NUMBERS :][: mano_labels.SHAPE_NUMBERS].copy()
        rotvecs = mano_labels.rotation_vectors(numbers[: mano_labels.POSE_NUMBERS], "right", "from mean")
        label = mano_labels.in_camera(rotvecs, shape, "right", shift=np.zeros(3))
        return shape, mano_labels.laid_on(label, shape, "right", vertices)


def open_set(root: Path, split: str | None = None) -> FreiHand:
    """Open FreiHAND, by default all of its training pictures; as `FreiHand`."""
    return FreiHand(root, split or "training")


def _read_tables(root: Path, part: str) -> dict[str, NumberTable]:
    """The tables of one part, which must have as many entries each.

    Raises:
        InputError: if one is missing, damaged, or of another length.
    """
    tables = {}
    for name, (shape, what) in TABLES.items():
        path = check.need(root / f"{part}_{name}.json", ARCHIVES[part], SITE)
        tables[name] = read_table(path, shape, what)
        if len(tables[name]) != len(tables["K"]):
            raise InputError(
                f"{path}: has {len(tables[name])} samples, {part}_K.json {len(tables['K'])}; get both from one version"
            )
    return tables
