"""EMDB (Kaufmann and others, The Electromagnetic Database of Global 3D Human Pose and Shape in the Wild, ICCV 2023).

    ROOT/P0/SEQUENCE/P0_SEQUENCE_data.pkl
    ROOT/P0/SEQUENCE/images/00000.jpg

A file is a pickle of one clip of one person: `smpl` with `poses_root` (T, 3), `poses_body` (T, 69), `trans` (T, 3) and
`betas` (10,); `camera` with `intrinsics` (3, 3) and `extrinsics` (T, 4, 4), from the world to the camera; `gender`,
`good_frames_mask` (T,), `kp2d` (T, 24, 2) and `bboxes`. It is read without running anything in it. Joints in 3D follow
from the SMPL file of the person's gender; who has none gets them as NaN, with their places in the picture.

Source: the owners' description of the layout, github.com/eth-ait/emdb, dataset.md.
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

SITE = "eth-ait.github.io/emdb"
SPLITS = ("all", "emdb1", "emdb2")
LICENCE = "EMDB licence: non-commercial research; the user's own copy, not to be passed on"


def open_set(root: Path, split: str | None = None) -> SmplSequences:
    """Find and read the clips of EMDB 1, of EMDB 2, or by default all.

    Raises:
        InputError: if there is no such split, a folder or field is missing, or labels have the wrong count.
    """
    split = split or "all"
    need_split(split, SPLITS, root, "EMDB")
    found = sorted(root.glob("P*/*/*_data.pkl"))
    if not found:
        raise InputError(f"{root}: no files of EMDB (P0/SEQUENCE/P0_SEQUENCE_data.pkl); get them from {SITE}")
    layout = smpl_layout("emdb", split, LICENCE, SITE)
    tracks = [_track(path, split) for path in found]
    return SmplSequences(layout, [track for track in tracks if track is not None])


def _track(path: Path, split: str) -> Track | None:
    """The person of one file, in the frames that count; None if it belongs to another split."""
    content = read_pickle(path, SITE)
    try:
        if split != "all" and not content[split]:
            return None
        return _read(path, content)
    except KeyError as error:
        raise InputError(f"{path}: no {error}, so it is no file of EMDB; get it from {SITE}") from None
    except (IndexError, ValueError, TypeError) as error:
        raise InputError(f"{path}: is damaged ({error}); get it again from {SITE}") from None


def _read(path: Path, content: dict[str, Any]) -> Track:
    smpl, camera = content["smpl"], content["camera"]
    kept = np.asarray(content["good_frames_mask"], np.bool_)
    boxes = np.asarray(content["bboxes"]["bboxes"], np.float32)
    kept &= (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    frames = np.flatnonzero(kept)
    poses = np.concatenate([np.asarray(smpl["poses_root"]), np.asarray(smpl["poses_body"])], axis=1)
    return Track(
        sequence=str(content["name"]),
        person=0,
        gender=gender_of(content["gender"], str(path)),
        pictures=(path.parent / "images", "{:05d}.jpg"),
        frames=frames,
        betas=np.asarray(smpl["betas"], np.float32).ravel()[:10],
        poses=poses[frames].reshape(-1, 24, 3).astype(np.float32),
        transl=np.asarray(smpl["trans"], np.float32)[frames],
        cam_from_world=np.asarray(camera["extrinsics"], np.float64)[frames],
        intrinsics=np.asarray(camera["intrinsics"], np.float64),
        pixels=np.asarray(content["kp2d"], np.float32)[frames],
        boxes=boxes[frames],
    )
