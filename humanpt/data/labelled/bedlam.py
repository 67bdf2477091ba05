"""BEDLAM (Black and others, A synthetic dataset of bodies exhibiting detailed lifelike animated motion, CVPR 2023).

    ROOT/training_labels/all_npz_12_training/SCENE.npz
    ROOT/training_images/SCENE/png/seq_000000/seq_000000_0000.png
    and the same with "validation" in the place of "training"

A file holds one row a person and picture: `imgname`, `center` (2,) and `scale` of the crop (side / 200), `pose_cam`
(165,) of SMPL-X or (72,) of SMPL as rotation vectors about the axes of the camera, `shape` of the neutral model,
`trans_cam` and `cam_ext`, whose last columns add up to the shift in the camera, `cam_int` (3, 3), `gtkps`, the joints
in the picture, and `sub`, who it is. Fields of text and numbers are read, pickled ones (motion_info) are not touched.
Joints in 3D and vertices follow from the user's neutral file; who has none gets NaN for joints, with their places in
the picture.

Shapes have 10 or 11 numbers (BEDLAM 2: 16). Vertices and joints are of all of them, which takes a file of the model
with 300; the `shape` of a label has the first ten, as humanpt's models do. Pictures of close-up scenes are stored lying
on their side, and are stood up.

AGORA in the same form is read here too; see agora.py.

Source: data_processing/ReadMe.md and train/dataset in github.com/pixelite1201/BEDLAM.

Letters: N rows, J joints, K key points, S shape values.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanpt.body.skeletons import ROOTS, SMPL_24, SMPLX_55
from humanpt.data.image import Rgb
from humanpt.data.labelled.check import finite, need_split, read_picture, shaped
from humanpt.data.labelled.record import Floats, LabelLayout, Labelled
from humanpt.data.labelled.smpl_bodies import FileBody, in_camera
from humanpt.errors import InputError

SITE = "bedlam.is.tue.mpg.de"
SPLITS = ("training", "validation")
LICENCE = "BEDLAM licence: non-commercial research; the user's own copy, not to be passed on"
NEEDED = ("imgname", "center", "scale", "pose_cam", "shape", "cam_int", "cam_ext", "gtkps")

SMPLX_66 = (
    *SMPLX_55,
    *("nose", "right_eye", "left_eye", "right_ear", "left_ear"),
    *("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel"),
)
"""The joints of SMPL-X and the points of its surface that follow them in `gtkps`, in that order."""

FINGERS = slice(25, 55)
"""Joints of the fingers in `SMPLX_55`."""

NAMES = {"smplx": SMPLX_66, "smpl": SMPL_24}


@dataclass(frozen=True, kw_only=True, eq=False)
class NpzRows:
    """The rows of one file."""

    path: Path
    kind: str
    """The model: "smplx" or "smpl"."""
    pictures: Path
    """Folder that picture names are relative to."""
    imgname: NDArray[np.str_]
    """(N,) picture names."""
    center: Floats
    """(N, 2) centres of the crops, pixels."""
    scale: Floats
    """(N,) sides of the crops, in 200 pixels."""
    pose: Floats
    """(N, J, 3) rotation vectors about the axes of the camera."""
    shape: Floats
    """(N, S)."""
    shift: NDArray[np.float64]
    """(N, 3) what is added in the camera, metres."""
    intrinsics: NDArray[np.float64]
    """(N, 3, 3) pixels."""
    pixels: Floats | None
    """(N, K, 2) joints in the picture; None if they come in another order."""
    person: NDArray[np.str_]
    """(N,) who it is, empty where nobody says."""


class NpzBodies:
    """The rows of several files; a `LabelledSet`.

    Args:
        layout: what the labels mean.
        files: at least one.
        fingers: whether the rotations of finger joints are told about a flat hand, as humanpt's are; else they, their
            key points and the vertices are left out.
    """

    groups: NDArray[np.int64]
    partners: NDArray[np.int64]

    def __init__(self, layout: LabelLayout, files: Sequence[NpzRows], *, fingers: bool) -> None:
        self.layout = layout
        self.files = tuple(files)
        self._fingers = fingers
        self._ends = np.cumsum([0, *(len(rows.imgname) for rows in self.files)])  # where each begins, and the end
        self._scenes = [_scene(rows, name) for rows in self.files for name in rows.imgname.tolist()]
        _, groups = np.unique(self._scenes, return_inverse=True)
        self.groups = groups.astype(np.int64)
        people = [name for rows in self.files for name in rows.person.tolist()]
        self.partners = _partners(list(zip(self._scenes, people, strict=True)))

    def __len__(self) -> int:
        return int(self._ends[-1])

    def _locate(self, index: int) -> tuple[NpzRows, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        number = int(np.searchsorted(self._ends, index, side="right")) - 1
        return self.files[number], index - int(self._ends[number])

    def name(self, index: int) -> str:
        """The file, the picture and the row."""
        rows, row = self._locate(index)
        return f"{rows.path.stem}/{rows.imgname[row]}/{row}"

    def labels(self, index: int) -> Labelled:
        """The labels of a sample; vertices and joints in 3D where the user has the neutral model's file.

        Raises:
            InputError: if that file is damaged.
        """
        rows, row = self._locate(index)
        cam_from_body = np.eye(4)
        cam_from_body[:3, 3] = rows.shift[row]
        adult = self._fingers or not rows.shape[row, 10:].any()  # AGORA's eleventh number makes a child
        body = in_camera(
            FileBody(
                kind=rows.kind,
                gender="neutral",
                betas=rows.shape[row] if self._fingers else rows.shape[row, :10],
                pose=rows.pose[row],
                transl=np.zeros(3, np.float32),
                cam_from_world=cam_from_body,
            )
        )
        keypoints = body.keypoints(self.layout.keypoint_names)
        if not adult:
            keypoints[:] = np.nan
        unknown = np.full((len(keypoints), 2), np.nan, np.float32)
        pixels = unknown if rows.pixels is None else rows.pixels[row].copy()
        pose, whole = body.pose, adult
        if rows.kind == "smplx" and not self._fingers:
            pose[FINGERS], keypoints[FINGERS], pixels[FINGERS], whole = np.nan, np.nan, np.nan, False
        side = 100 * rows.scale[row]
        return Labelled(
            name=self.name(index),
            group=self._scenes[index],
            side="none",
            square=np.concatenate([rows.center[row] - side, rows.center[row] + side]).astype(np.float32),
            intrinsics=rows.intrinsics[row].astype(np.float32),
            focal_from="calibration",
            keypoints=keypoints,
            pixels=pixels,
            vertices=body.vertices if whole else None,
            shape=body.shape if adult else None,
            pose=pose,
            transl=body.transl if adult else None,
        )

    def picture(self, index: int) -> Rgb:
        """(H, W, 3) uint8, upright.

        Raises:
            InputError: if it is missing or damaged.
        """
        rows, row = self._locate(index)
        path = rows.pictures / str(rows.imgname[row])
        rgb = read_picture(path, self.layout.dataset, self.layout.site)
        cx, cy = rows.intrinsics[row, :2, 2]
        lying = (rgb.shape[1] > rgb.shape[0]) != (cx > cy)
        return np.ascontiguousarray(np.rot90(rgb, -1)) if lying else rgb


def open_set(root: Path, split: str | None = None) -> NpzBodies:
    """Find and read the files of a split, "training" by default.

    Raises:
        InputError: if there is no such split, a file or folder is missing, or labels have the wrong count.
    """
    split = split or "training"
    need_split(split, SPLITS, root, "BEDLAM")
    patterns = (f"all_npz_12_{split}/*.npz", f"*/all_npz_12_{split}/*.npz")  # not deeper: there are many pictures
    every = sorted(path for pattern in patterns for path in root.glob(pattern))
    found = [path for path in every if not path.name.startswith("agora")]
    if not found:
        raise InputError(f"{root}: no files all_npz_12_{split}/*.npz of BEDLAM; get them from {SITE}")

    def pictures(path: Path) -> Path:
        places = [root / parent / path.stem / "png" for parent in (f"{split}_images", "images", ".")]
        return first_folder(places, SITE)

    return read_bodies("bedlam", split, found, pictures, licence=LICENCE, site=SITE, fingers=True)


def read_bodies(
    dataset: str,
    split: str,
    paths: Sequence[Path],
    pictures: Callable[[Path], Path],
    *,
    licence: str,
    site: str,
    fingers: bool,
) -> NpzBodies:
    """Read files of this form.

    Raises:
        InputError: if one is damaged, labels have the wrong count, or files of SMPL and SMPL-X are mixed.
    """
    files = [_read(path, pictures(path), site) for path in paths]
    kinds = {rows.kind: rows.path for rows in files}
    if len(kinds) > 1:
        raise InputError(f"{paths[0].parent}: files of SMPL and of SMPL-X are mixed ({kinds}); keep those of one model")
    kind = files[0].kind
    layout = LabelLayout(
        dataset=dataset,
        split=split,
        subject="body",
        keypoint_names=NAMES[kind],
        model=kind,
        root_names=ROOTS["body"],
        licence=licence,
        site=site,
    )
    return NpzBodies(layout, files, fingers=fingers)


def _read(path: Path, pictures: Path, site: str) -> NpzRows:
    """The rows of one file, checked."""
    arrays = _arrays(path, site)
    count = len(arrays["imgname"])
    pose, joints = arrays["pose_cam"], arrays["gtkps"]
    kind = {165: "smplx", 72: "smpl"}.get(pose.shape[-1])
    if kind is None:
        raise InputError(f"{path}: pose_cam is {pose.shape}, not (N, 165) of SMPL-X or (N, 72) of SMPL; see {site}")
    names = NAMES[kind]
    wanted: dict[str, tuple[int, ...]] = {
        "center": (count, 2),
        "scale": (count,),
        "pose_cam": (count, pose.shape[-1]),
        "shape": (count, arrays["shape"].shape[-1]),
        "cam_int": (count, 3, 3),
        "cam_ext": (count, 4, 4),
        "trans_cam": (count, 3),
    }
    for name in wanted.keys() & arrays.keys():
        finite(shaped(arrays[name], wanted[name], str(path), name), str(path), name)
    if arrays["shape"].shape[1] < 10:
        raise InputError(f"{path}: bodies have {arrays['shape'].shape[1]} shape values, not 10 or more; see {site}")
    if len(joints) != count or joints.ndim != 3 or joints.shape[1] < len(names) or joints.shape[2] < 2:
        raise InputError(f"{path}: gtkps is {joints.shape}, not ({count}, {len(names)} or more, 2); get the file again")
    shift = arrays["cam_ext"][:, :3, 3].astype(np.float64)
    if "trans_cam" in arrays:
        shift = shift + arrays["trans_cam"]
    other_order = "hand_det_conf" in arrays  # BEDLAM 2 puts OpenPose's points before SMPL-X's
    return NpzRows(
        path=path,
        kind=kind,
        pictures=pictures,
        imgname=arrays["imgname"].astype(np.str_),
        center=arrays["center"].astype(np.float32),
        scale=arrays["scale"].astype(np.float32),
        pose=pose.reshape(count, -1, 3).astype(np.float32),
        shape=arrays["shape"].astype(np.float32),
        shift=shift,
        intrinsics=arrays["cam_int"].astype(np.float64),
        pixels=None if other_order else joints[:, : len(names), :2].astype(np.float32),
        person=arrays["sub"].astype(np.str_) if "sub" in arrays else np.full(count, ""),
    )


def _arrays(path: Path, site: str) -> dict[str, NDArray[Any]]:
    """The fields of a file that are needed, and those that some files have."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            missing = [name for name in NEEDED if name not in archive.files]
            if missing:
                raise InputError(f"{path}: no {missing[0]!r}, so it is no file of BEDLAM; get it from {site}")
            names = [*NEEDED, *(name for name in ("trans_cam", "hand_det_conf", "sub") if name in archive.files)]
            return {name: archive[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as plain arrays ({error}); get it again from {site}") from None


def _partners(subjects: Sequence[tuple[str, str]]) -> NDArray[np.int64]:
    """(N,) the next row of the same person in the same scene, of the last the one before; -1 for who comes once."""
    rows_of: dict[tuple[str, str], list[int]] = {}
    for row, (scene, person) in enumerate(subjects):
        if person:
            rows_of.setdefault((scene, person), []).append(row)
    partners = np.full(len(subjects), -1, np.int64)
    for rows in rows_of.values():
        if len(rows) > 1:
            partners[rows] = [*rows[1:], rows[-2]]
    return partners


def _scene(rows: NpzRows, name: str) -> str:
    """The sequence of a picture: the file's scene, and the folder in it."""
    folder = Path(name).parent.as_posix()
    return rows.path.stem if folder == "." else f"{rows.path.stem}/{folder}"


def first_folder(places: Sequence[Path], site: str) -> Path:
    """The first of some folders that is there.

    Raises:
        InputError: if none is.
    """
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise InputError(f"{places[0]}: no such folder of pictures; get it from {site}")
    return found
