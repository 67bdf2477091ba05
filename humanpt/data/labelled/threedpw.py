"""3DPW (von Marcard and others, Recovering accurate 3D human pose in the wild, ECCV 2018).

    ROOT/sequenceFiles/{train,validation,test}/SEQUENCE.pkl
    ROOT/imageFiles/SEQUENCE/image_00000.jpg

A file is a pickle of Python 2, one clip of one or two people: for each person `poses` (T, 72) and `trans` (T, 3) in the
world, `betas`, `genders` (m or f), `jointPositions` (T, 72) in metres, `campose_valid` (T,), `poses2d` (T, 3, 18); and
for the clip `cam_poses` (T, 4, 4), from the world to the camera, and `cam_intrinsics` (3, 3). It is read without
running anything in it. Frames count whose camera is valid and in which the owners' detector saw the person.

Source: readme.txt and the files' own fields, as the owners distribute them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from humanpt.data.labelled.check import need_split
from humanpt.data.labelled.smpl_bodies import gender_of
from humanpt.data.labelled.smpl_sequences import SmplSequences, Track, smpl_layout
from humanpt.data.safe_pickle import read_pickle
from humanpt.errors import InputError

SITE = "virtualhumans.mpi-inf.mpg.de/3DPW"
SPLITS = ("train", "validation", "test")
NEEDED = ("poses", "trans", "betas", "genders", "jointPositions", "cam_poses", "cam_intrinsics")
LICENCE = "3DPW licence: non-commercial research; the user's own copy, not to be passed on"


def open_set(root: Path, split: str | None = None) -> SmplSequences:
    """Find and read the clips of a split, "train" by default.

    Raises:
        InputError: if there is no such split, a folder or field is missing, or labels have the wrong count or unit.
    """
    split = split or "train"
    need_split(split, SPLITS, root, "3DPW")
    folder = root / "sequenceFiles" / split
    found = sorted(folder.glob("*.pkl"))
    if not found:
        raise InputError(f"{folder}: no files of 3DPW (*.pkl); get sequenceFiles.zip from {SITE} and unpack it there")
    layout = smpl_layout("3dpw", split, LICENCE, SITE)
    return SmplSequences(layout, [track for path in found for track in _tracks(root, path)])


def _tracks(root: Path, path: Path) -> list[Track]:
    """The people in one file."""
    content = read_pickle(path, SITE)
    if not isinstance(content, dict):
        raise InputError(f"{path}: no file of 3DPW, which holds a dictionary; get it from {SITE}")
    if "genders" not in content and "gender" in content:
        content["genders"] = content["gender"]
    missing = [name for name in NEEDED if name not in content]
    if missing:
        raise InputError(f"{path}: no {missing[0]!r}, so it is no file of 3DPW; get it from {SITE}")
    sequence = str(content.get("sequence", path.stem))
    return [_track(root, path, sequence, content, person) for person in range(len(content["poses"]))]


def _track(root: Path, path: Path, sequence: str, content: dict[str, Any], person: int) -> Track:
    """One person of a file, in the frames that count."""
    try:
        poses, transl, joints, betas = (
            np.asarray(content[name][person], np.float32) for name in ("poses", "trans", "jointPositions", "betas")
        )
        valid = np.asarray(content["campose_valid"][person]) if "campose_valid" in content else np.ones(len(poses))
        cameras = np.asarray(content["cam_poses"], np.float64)
        intrinsics = np.asarray(content["cam_intrinsics"], np.float64)
        seen = np.asarray(content["poses2d"][person]) if "poses2d" in content else np.ones((len(poses), 1))
        gender = gender_of(content["genders"][person], str(path))
    except (IndexError, ValueError, TypeError) as error:
        raise InputError(f"{path}: person {person}: is damaged ({error}); get it again from {SITE}") from None
    counts = {len(poses), len(transl), len(joints), len(valid), len(cameras), len(seen)}
    if len(counts) > 1 or poses.shape[1:] != (72,) or joints.shape[1:] != (72,) or transl.shape[1:] != (3,):
        raise InputError(
            f"{path}: person {person}: poses {poses.shape}, trans {transl.shape}, jointPositions {joints.shape}, "
            f"campose_valid {valid.shape}, poses2d {seen.shape} and cam_poses {cameras.shape} do not fit; "
            f"get it again from {SITE}"
        )
    frames = np.flatnonzero((valid > 0) & (seen > 0).any(axis=tuple(range(1, seen.ndim))))
    return Track(
        sequence=sequence,
        person=person,
        gender=gender,
        pictures=(root / "imageFiles" / sequence, "image_{:05d}.jpg"),
        frames=frames,
        betas=betas.ravel()[:10],
        poses=poses[frames].reshape(-1, 24, 3),
        transl=transl[frames],
        joints=joints[frames].reshape(-1, 24, 3),
        cam_from_world=cameras[frames],
        intrinsics=intrinsics,
    )
