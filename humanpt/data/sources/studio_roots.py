"""Data sets whose own layout says which clips belong together: AIST++, InterHand2.6M; and what is missing from them.

AIST++: the annotations' `cameras/` (mapping.txt: a line `SEQUENCE SETTING`; settingN.json) and AIST's videos, all in
one folder at any depth, named `gBR_sBM_c01_d04_mBR0_ch01.mp4`; the sequence has `cAll` in place of the camera.
Layout: github.com/google/aistplusplus_api.

InterHand2.6M: `images/train/Capture0/ROM01_.../cam400002/image1234.jpg` and
`annotations/train/InterHand2.6M_train_camera.json` (older: `annotations/all/`). Its validation and test splits are what
hands are evaluated on, so they are refused. Layout: mks0601.github.io/InterHand2.6M.

CMU Panoptic needs no reader of its own (calibration_SEQUENCE.json beside hdVideos/, vgaVideos/ or hdImgs/), but people
often lack the calibration. Layout: github.com/CMU-Perceptual-Computing-Lab/panoptic-toolbox.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

from humanpt.data.captures.rules import CaptureRules
from humanpt.data.captures.views import Capture, calibrated_capture
from humanpt.data.clips import FoundClip, find_clips, natural_key
from humanpt.data.sources.calibration import UNITS, read_calibration
from humanpt.data.sources.camera import Calibration, in_metres
from humanpt.data.sources.studios import read_interhand
from humanpt.errors import InputError

AIST_CLIP = re.compile(r"(g[A-Z]{2}_s[A-Z]{2})_(c\d\d)_(d\d\d_m[A-Z]{2}\d_ch\d\d)")
AIST_HOME = "google.github.io/aistplusplus_dataset"
INTERHAND_HOME = "mks0601.github.io/InterHand2.6M"
PANOPTIC_FOLDERS = ("hdVideos", "vgaVideos", "hdImgs", "vgaImgs")


def studio_captures(root: Path, rules: CaptureRules) -> list[Capture] | None:
    """The captures of a data set's root folder; None if it is the root of none that is known here.

    Raises:
        InputError: if a part is missing; the line says where people get it.
    """
    if rules.calibration:
        return None
    if (root / "cameras" / "mapping.txt").is_file() or any((root / "cameras").glob("setting*.json")):
        return _aist(root, find_clips([root]), rules)
    if (root / "images").is_dir() and any((root / "images").glob("*/Capture*")):
        return _interhand(root, rules)
    if any((root / name).is_dir() for name in PANOPTIC_FOLDERS) and not any(root.glob("calibration_*.json")):
        raise InputError(
            f"{root / f'calibration_{root.resolve().name}.json'}: is missing; scripts/getData.sh of CMU's Panoptic "
            "Toolbox downloads it with the videos"
        )
    if any(AIST_CLIP.fullmatch(path.stem) for path in root.glob("*.mp4")):
        return _aist(root, find_clips([root]), rules)
    return None


def _aist(root: Path, clips: list[FoundClip], rules: CaptureRules) -> list[Capture]:
    mapping = root / "cameras" / "mapping.txt"
    if not mapping.is_file():
        raise InputError(f"{mapping}: is missing; it comes with the annotations of AIST++ ({AIST_HOME})")
    settings = dict(line.split()[:2] for line in mapping.read_text().splitlines() if len(line.split()) >= 2)
    sequences: dict[str, list[FoundClip]] = defaultdict(list)
    for clip in clips:
        named = AIST_CLIP.fullmatch(clip.path.stem)
        if named:
            sequences[f"{named[1]}_cAll_{named[3]}"].append(clip)
    captures = []
    calibrations: dict[str, Calibration] = {}
    for sequence, members in sequences.items():
        if len(members) < 2:
            continue
        setting = settings.get(sequence)
        if setting is None:
            raise InputError(f"{mapping}: has no line for {sequence}; take the mapping that came with its videos")
        if setting not in calibrations:
            file = root / "cameras" / f"{setting}.json"
            if not file.is_file():
                raise InputError(f"{file}: is missing; it comes with the annotations of AIST++ ({AIST_HOME})")
            calibrations[setting] = read_calibration(file, rules.unit)
        captures.append(calibrated_capture(root, sequence, members, calibrations[setting], rules))
    if not captures:
        raise InputError(
            f"{root}: no two videos of one AIST sequence (gXX_sXX_c01_dXX_mXXX_chXX.mp4); aistdancedb.ongaaccel.jp "
            "has them"
        )
    return captures


def _interhand(root: Path, rules: CaptureRules) -> list[Capture]:
    splits = [path for path in sorted((root / "images").iterdir()) if any(path.glob("Capture*"))]
    tests = [path.name for path in splits if path.name != "train"]
    if tests:
        raise InputError(
            f"{root / 'images' / tests[0]}: is what InterHand2.6M is evaluated on and must not be learned from; "
            "move it elsewhere"
        )
    name = "InterHand2.6M_train_camera.json"
    file = next(
        (path for path in (root / "annotations" / part / name for part in ("train", "all")) if path.is_file()), None
    )
    if file is None:
        raise InputError(
            f"{root / 'annotations' / 'train' / name}: is missing; it comes with the annotations of InterHand2.6M "
            f"({INTERHAND_HOME})"
        )
    document = json.loads(file.read_text())
    captures = []
    for folder in sorted((root / "images" / "train").glob("Capture*"), key=natural_key):
        cameras = read_interhand(document, file, folder.name.removeprefix("Capture"))
        cameras = in_metres(cameras, UNITS["InterHand2.6M"], rules.unit)
        for sequence in sorted((path for path in folder.iterdir() if path.is_dir()), key=natural_key):
            name = f"{folder.name}/{sequence.name}"
            clips = [
                FoundClip(path=path, name=f"{name}/{path.name}")
                for path in sorted(sequence.glob("cam*"), key=natural_key)
                if path.is_dir()
            ]
            if len(clips) >= 2:
                captures.append(calibrated_capture(sequence, name, clips, cameras, rules))
    return captures
