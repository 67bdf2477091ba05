"""AGORA (Patel and others, AGORA: Avatars in Geography Optimized for Regression Analysis, CVPR 2021), as BEDLAM has it.

    ROOT/agora*.npz, or ROOT/training_labels/all_npz_12_training/agora*.npz     (agora-bfh.npz, agora-body.npz)
    ROOT/images/*.png, or ROOT/training_images/images/*.png        (1280 x 720)

AGORA's own tables are pickles of pandas, which run code when they are opened, and are not read. The authors of BEDLAM
publish the training part as plain arrays, in the form of bedlam.py but for `trans_cam`: the shift is that of `cam_ext`.
They do not say whether fingers are told about a flat hand or about the mean one, so finger joints and vertices are left
out; of children, told by an eleventh shape value and another template, only poses are given.

Source: agora_processing_code and docs in github.com/pixelite1201/agora_evaluation.
"""

from __future__ import annotations

from pathlib import Path

from humanpt.data.labelled.bedlam import NpzBodies, first_folder, read_bodies
from humanpt.errors import InputError

SITE = "bedlam.is.tue.mpg.de (labels as .npz) and agora.is.tue.mpg.de (pictures)"
LICENCE = "AGORA licence: non-commercial research; the user's own copy, not to be passed on"


def open_set(root: Path, split: str | None = None) -> NpzBodies:
    """Find and read the files; there is one split, "training".

    Raises:
        InputError: if another split is asked for, a file or folder is missing, only pandas tables are there, or labels
            have the wrong count.
    """
    if split not in (None, "training"):
        raise InputError(f"{root}: labels of AGORA's split {split!r} are not published as arrays; take training")
    found = sorted(root.glob("agora*.npz")) or sorted(root.glob("*/all_npz_12_training/agora*.npz"))
    if not found:
        tables = next((path for depth in ("", "*/", "*/*/") for path in root.glob(f"{depth}*_withjv.pkl")), None)
        if tables is not None:
            raise InputError(
                f"{tables}: a pickled table of pandas can run programs, so it stays closed; get agora-*.npz from {SITE}"
            )
        raise InputError(f"{root}: no agora*.npz; get it from {SITE}")
    places = [root / "images", root / "training_images" / "images"]
    return read_bodies(
        "agora",
        "training",
        found,
        lambda _: first_folder(places, SITE),
        licence=LICENCE,
        site=SITE,
        fingers=False,
    )
