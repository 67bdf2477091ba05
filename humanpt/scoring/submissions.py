"""What the benchmarks' servers take, made from `predictions.h5`, and read again before it appears.

- FreiHAND: `pred.zip` with `pred.json`, a list of key points (N, 21, 3) and one of MANO's vertices (N, 778, 3) for the
  samples of the evaluation set in order; metres, OpenCV axes (github.com/lmb-freiburg/freihand, pred.py).
- HO-3D, versions 2 and 3: the same form, key points in MANO's order and then the five tips, OpenGL axes, so that all
  depths are negative (github.com/shreyashampali/ho3d, pred.py and README).
- 3DPW: a zip of SPLIT/SEQUENCE.pkl, each a dictionary with `jointPositions` (people, frames, 24, 3), metres, camera
  axes; frames that do not count are zero (github.com/aymenmir1/3dpw-eval, readme). Orientations are left out, which the
  server takes as a wish not to be measured on them.
- AGORA: a zip of predictions/IMAGE_personId_K.pkl, each a dictionary of `joints` (24, 2) in pixels of the 3840 x 2160
  picture, `verts` (6890, 3) and `allSmplJoints3d` (24, 3) in metres and camera axes
  (github.com/pixelite1201/agora_evaluation, docs/prediction_format.md); SMPL alone.

Letters: N samples, K key points, V vertices.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from humanpt.body.skeletons import HAND_21, SMPL_24
from humanpt.data.labelled.ho3d import JOINTS as HO3D_JOINTS
from humanpt.data.labelled.ho3d import OPENGL
from humanpt.data.labelled.threedpw import SITE
from humanpt.data.safe_pickle import read_pickle, unpickle
from humanpt.errors import InputError
from humanpt.files import whole_file
from humanpt.scoring.freihand import MANO_VERTICES
from humanpt.scoring.predictions import PredictionLayout, Predictions

Numbers = NDArray[np.floating[Any]]

BATCH = 64
DIGITS = 6  # of metres: micrometres
SMPL_VERTICES = 6890
AGORA_SCALE = 3.0  # the server measures pixels of 3840 x 2160, the data set's small pictures are 1280 x 720
LARGEST = {"hand": 1.0, "body": 5.0}
"""Metres between the farthest points of a subject, beyond which a submission is refused."""
SERVERS = ("freihand", "ho3d-v2", "ho3d-v3", "3dpw", "agora")


def refuse_unfit(benchmark: str, layout: PredictionLayout) -> None:
    """Refuse predictions of which a server's file cannot be made.

    Raises:
        InputError: if the server's benchmark is not known, or the predictions lack joints or vertices that it wants.
    """
    if benchmark not in SERVERS:
        raise InputError(f"{benchmark}: has no server that takes predictions; those of {', '.join(SERVERS)} do")
    wanted = {"freihand": "mano", "ho3d-v2": "mano", "ho3d-v3": "mano", "agora": "smpl"}.get(benchmark)
    if wanted is not None and layout.model != wanted:
        raise InputError(
            f"{benchmark}: the server wants {wanted}'s vertices, not {layout.model}'s; predict with {wanted}"
        )
    names = HAND_21 if wanted == "mano" else SMPL_24
    missing = [name for name in names if name not in layout.keypoint_names]
    if missing:
        raise InputError(f"{benchmark}: the server wants {missing[0]}, which {layout.model} has not; predict with smpl")


def write_submission(
    benchmark: str, predictions: Predictions, path: Path, *, split: str = "", frames: Mapping[str, int] | None = None
) -> None:
    """Write a zip file for a benchmark's server, and check it by reading it again.

    Args:
        benchmark: one of `SERVERS`.
        predictions: of every sample that the server asks for, in order.
        path: the zip file; it appears whole and checked, or not at all.
        split: for 3DPW the folder that the sequences lie in, by the owners' name.
        frames: for 3DPW how many frames each sequence has.

    Raises:
        InputError: if the server's benchmark is not known, or the predictions lack joints or vertices that it wants.
        OutputError: if the file cannot be written.
    """
    refuse_unfit(benchmark, predictions.layout)
    with whole_file(path) as temporary:
        if benchmark in ("freihand", "ho3d-v2", "ho3d-v3"):
            _hands(predictions, temporary, opengl=benchmark != "freihand")
            check_hands(temporary, len(predictions), opengl=benchmark != "freihand")
        elif benchmark == "3dpw":
            _sequences(predictions, temporary, split, frames or {})
            check_sequences(temporary, frames or {})
        else:
            _people(predictions, temporary)
            check_people(temporary, len(predictions))


def _hands(predictions: Predictions, path: Path, *, opengl: bool) -> None:
    """`pred.json`, sample after sample."""
    names = HO3D_JOINTS if opengl else HAND_21
    order = [predictions.layout.keypoint_names.index(name) for name in names]
    if "vertices" not in predictions.parts:
        raise InputError(f"{predictions.path}: has no vertices, which the server wants; predict with model mano")
    signs = OPENGL if opengl else np.ones(3, np.float32)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle, bundle.open("pred.json", "w") as file:
        file.write(b"[")
        _write_list(file, (batch.keypoints[:, order] * signs for batch in predictions.batches(BATCH, ())))
        file.write(b", ")
        vertices = (batch.vertices for batch in predictions.batches(BATCH, ("vertices",)))
        _write_list(file, (mesh * signs for mesh in vertices if mesh is not None))
        file.write(b"]")


def _write_list(file: IO[bytes], parts: Iterator[Numbers]) -> None:
    """Batches (B, ...) as one JSON list."""
    file.write(b"[")
    begun = False
    for part in parts:
        text = json.dumps(np.round(part.astype(np.float64), DIGITS).tolist())[1:-1]
        file.write((", " if begun else "").encode() + text.encode())
        begun = True
    file.write(b"]")


def check_hands(path: Path, count: int, *, opengl: bool) -> None:
    """Read a submission of hands again.

    Raises:
        InputError: if it is not what the server takes.
    """
    with zipfile.ZipFile(path) as bundle:
        content = json.loads(bundle.read("pred.json"))
    keypoints, vertices = (np.asarray(part, np.float64) for part in content)
    for what, points, each in (("key points", keypoints, len(HAND_21)), ("vertices", vertices, MANO_VERTICES)):
        if points.shape != (count, each, 3):
            raise InputError(f"{path.name}: {what} are {points.shape}, the server takes {(count, each, 3)}")
        _check_points(path, what, points, "hand")
    if opengl and (keypoints[..., 2] > 0).all(axis=1).any():
        raise InputError(f"{path.name}: depths are positive, the server takes OpenGL axes, where they are negative")


def _sequences(predictions: Predictions, path: Path, split: str, frames: Mapping[str, int]) -> None:
    """One pickle for each sequence of 3DPW."""
    order = [predictions.layout.keypoint_names.index(name) for name in SMPL_24]
    places: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for place, name in enumerate(predictions.names):
        sequence, frame, person = name.rsplit("/", 2)
        places[sequence].append((int(person), int(frame), place))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for sequence, rows in places.items():
            if sequence not in frames:
                raise InputError(f"{predictions.path}: {sequence} is no sequence of {split}; predict that split")
            people = 1 + max(person for person, _, _ in rows)
            joints = np.zeros((people, frames[sequence], len(SMPL_24), 3), np.float32)
            rows.sort(key=lambda row: row[2])
            found = predictions.at([place for _, _, place in rows]).keypoints[:, order]
            for (number, at, _), points in zip(rows, found, strict=True):
                joints[number, at] = points
            bundle.writestr(f"{split}/{sequence}.pkl", pickle.dumps({"jointPositions": joints}, protocol=2))


def sequence_frames(root: Path, split: str) -> dict[str, int]:
    """How many frames each sequence of a split of 3DPW has, by its name.

    Raises:
        InputError: if the files are missing or damaged.
    """
    found = {}
    for path in sorted((root / "sequenceFiles" / split).glob("*.pkl")):
        found[path.stem] = len(read_pickle(path, SITE)["poses"][0])
    if not found:
        raise InputError(f"{root}: no sequenceFiles/{split}/*.pkl; get them from {SITE}")
    return found


def check_sequences(path: Path, frames: Mapping[str, int]) -> None:
    """Read a submission of sequences again.

    Raises:
        InputError: if it is not what the server takes.
    """
    with zipfile.ZipFile(path) as bundle:
        missing = set(frames) - {Path(name).stem for name in bundle.namelist()}
        if missing:
            raise InputError(
                f"{path.name}: nothing is predicted of {sorted(missing)[0]}; the server wants all sequences"
            )
        for name in bundle.namelist():
            joints = unpickle(bundle.read(name), f"{path.name}: {name}", "humanpt eval")["jointPositions"]
            wanted = (frames[Path(name).stem], len(SMPL_24), 3)
            if joints.ndim != 4 or joints.shape[1:] != wanted:
                raise InputError(f"{path.name}: {name}: jointPositions must be (people, {wanted[0]}, 24, 3)")
            _check_points(path, name, joints.reshape(-1, *wanted[1:]), "body")


def _people(predictions: Predictions, path: Path) -> None:
    """One pickle for each person of AGORA."""
    order = [predictions.layout.keypoint_names.index(name) for name in SMPL_24]
    if not {"vertices", "pixels"} <= set(predictions.parts):
        raise InputError(f"{predictions.path}: has no vertices or pixels, which the server wants; predict it again")
    people: dict[str, int] = defaultdict(int)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for batch in predictions.batches(BATCH, ("vertices", "pixels")):
            assert batch.vertices is not None
            assert batch.pixels is not None
            for row, name in enumerate(batch.names):
                image = Path(name.rsplit("/", 1)[0]).stem
                person = {
                    "joints": batch.pixels[row][order] * np.float32(AGORA_SCALE),
                    "verts": batch.vertices[row],
                    "allSmplJoints3d": batch.keypoints[row][order],
                }
                file = f"predictions/{image}_personId_{people[image]}.pkl"
                bundle.writestr(file, pickle.dumps(person, protocol=2))
                people[image] += 1


def check_people(path: Path, count: int) -> None:
    """Read a submission of people again.

    Raises:
        InputError: if it is not what the server takes.
    """
    wanted = {"joints": (24, 2), "verts": (SMPL_VERTICES, 3), "allSmplJoints3d": (24, 3)}
    with zipfile.ZipFile(path) as bundle:
        if len(bundle.namelist()) != count:
            raise InputError(f"{path.name}: {len(bundle.namelist())} people, {count} were predicted")
        for name in bundle.namelist():
            person = unpickle(bundle.read(name), f"{path.name}: {name}", "humanpt eval")
            for key, shape in wanted.items():
                if person[key].shape != shape:
                    raise InputError(f"{path.name}: {name}: {key} must be {shape}")
            _check_points(path, name, person["verts"][None], "body")
            _check_points(path, name, person["allSmplJoints3d"][None], "body")


def _check_points(path: Path, what: str, points: Numbers, subject: str) -> None:
    """Whether points (N, K, 3) are finite, and of a size that is metres."""
    if not np.isfinite(points).all():
        raise InputError(f"{path.name}: {what} has numbers that are not finite; predict again")
    largest = float(np.ptp(points, axis=1).max(initial=0.0))
    if largest > LARGEST[subject]:
        raise InputError(f"{path.name}: {what} is up to {largest:.3g} m large, so it is not in metres; predict again")
