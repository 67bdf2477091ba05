"""`people.npz`: the people and hands of a clip or a set of pictures, in numbers; what everything downstream reads.

An .npz file of plain arrays, without pickles. Two tables: pictures in the order of time, and rows, one for each person
or hand in a picture, which name their picture by its place in the first table. A picture with nobody in it has its
place and no row. `COLUMNS` is the whole list; beside them are `format`, one word and a version, and `about`, a JSON
text of what the numbers mean (`About`). Points and shifts are metres in the axes of the picture's camera (x right, y
down, z forward); pixel (0, 0) is the centre of the top-left pixel, of the picture as it was taken; rotations are 3 x 3
matrices, column vectors. The numbers of a left hand belong to the left hand of the body model: it has the same joints
in the same order with ".R" read as ".L", and `faces` with the last two corners of every triangle exchanged.

Letters: T pictures, N rows, K key points, V vertices, F triangles, J joints, P shape values.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

import humanpt
from humanpt.body.layout import ParameterLayout
from humanpt.body.model import BodyLayout
from humanpt.errors import InputError
from humanpt.files import whole_file
from humanpt.live.shot import Floats

PEOPLE = "people.npz"
FORMAT = "humanpt people 1"
UNITS = "metres, seconds, pixels; camera axes x right, y down, z forward; rotations are 3 x 3 matrices"


class Column(NamedTuple):
    """One array of the file."""

    dtype: str
    """As NumPy writes it, little-endian."""
    axes: str
    """Letters or sizes of its axes, the first being T or N."""
    told: str
    """What it is."""


COLUMNS: dict[str, Column] = {
    "frame_number": Column(
        "<i8", "T", "place of the picture among all that the source gave, from 0; gaps were dropped"
    ),
    "timestamp": Column("<f8", "T", "seconds since the source's first picture, rising"),
    "image_size": Column("<i4", "T 2", "width and height of the picture, pixels"),
    "intrinsics": Column("<f4", "T 3 3", "camera matrix of the picture, pixels, without distortion"),
    "focal_from": Column("<U16", "T", "whether the focal length was `given`, read from `EXIF` or `assumed`"),
    "picture": Column("<U", "T", "file name of a picture of a folder, else empty"),
    "frame": Column("<i8", "N", "which picture the row is of: its place in the arrays above"),
    "identity": Column("<i8", "N", "the same number for the same person or hand through time"),
    "kind": Column("<U16", "N", "`body`, `hand_left`, `hand_right`, or `hand` of unknown side, treated as right"),
    "score": Column("<f4", "N", "how sure it is that somebody is there, 0 to 1"),
    "box": Column("<f4", "N 4", "edges x1, y1, x2, y2, pixels"),
    "keypoints": Column("<f4", "N K 3", "key points, metres"),
    "pixels": Column("<f4", "N K 2", "key points in the picture, pixels"),
    "mask": Column("|b1", "N", "true where the row was not seen in its picture but filled in; recordings have none"),
    "rotations": Column("<f4", "N J 3 3", "pose: each joint's rotation as the body model takes it"),
    "shape": Column("<f4", "N P", "shape values of the body model"),
    "transl": Column("<f4", "N 3", "shift of the body model, metres"),
    "vertices": Column("<f4", "N V 3", "points of the surface, metres; on request"),
    "faces": Column("<i4", "F 3", "vertices of each triangle, counter-clockwise seen from outside; with `vertices`"),
}
"""Every array of the file, in its order. `rotations`, `shape` and `transl` are absent where the network predicts points
without a body model's parameters, `vertices` and `faces` where nobody asked for them."""

FRAME_COLUMNS = tuple(name for name, column in COLUMNS.items() if column.axes[0] == "T")
ROW_COLUMNS = tuple(name for name, column in COLUMNS.items() if column.axes[0] == "N")
PARAMETERS = ("rotations", "shape", "transl")
OPTIONAL = (*PARAMETERS, "vertices", "faces")


@dataclass(frozen=True, kw_only=True)
class About(ParameterLayout):
    """What the numbers mean and where they come from; names of joints are those of the right hand for hands."""

    model: str
    """Body model, by the name that `load_body_model` knows."""
    subject: str
    """"body" or "hand"."""
    parents: tuple[int, ...]
    """Index of each joint's parent, -1 for the root."""
    licence: str
    """Terms of the body model's data."""
    credit: str
    """Who made the body model."""
    network: str = "unknown"
    """Whose predictions these are."""
    source: str = "unknown"
    """What the pictures came from."""
    smoothing: str = "unknown"
    """What was done to the numbers over time, with its settings."""
    ledger: Mapping[str, Any] = field(default_factory=dict)
    """What the network was trained on, with licences."""
    rotation_form: str = "3x3"
    """How rotations are written."""
    units: str = UNITS
    """Of all arrays."""
    humanpt: str = humanpt.__version__
    """Version that wrote the file."""

    @property
    def sizes(self) -> dict[str, int]:
        """The letters that names decide."""
        return {"K": len(self.keypoint_names), "J": len(self.joint_names), "P": len(self.shape_names)}


def about_model(layout: BodyLayout, **told: Any) -> About:
    """What numbers of a body model mean.

    Args:
        layout: of the model; of its right hand for hands.
        told: other fields of `About`; `keypoint_names` are the model's unless told here.
    """
    shared = {field.name for field in fields(About)} & {field.name for field in fields(layout)}
    known: dict[str, Any] = {name: getattr(layout, name) for name in shared}
    return About(model=layout.name, **(known | told))


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """One person or hand through time."""

    identity: int
    """Who."""
    kind: str
    """What it was called in most pictures."""
    rows: NDArray[np.int64]
    """(T,) its row of the file in every picture, -1 where it has none."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(T,) True where it was not seen."""
        return self.rows < 0

    @property
    def seen(self) -> NDArray[np.int64]:
        """Its rows in the order of time."""
        return self.rows[self.rows >= 0]

    @property
    def side(self) -> Literal["right", "left"]:
        """Which side's body model its numbers belong to; bodies have the one that is not of a left hand."""
        return "left" if self.kind == "hand_left" else "right"

    @property
    def name(self) -> str:
        """What it is called in files."""
        return f"{self.kind}_{self.identity}"


@dataclass(frozen=True, kw_only=True, eq=False)
class People:
    """What a `people.npz` holds; arrays as `COLUMNS` tells, possibly lying on the disk."""

    about: About
    frame_number: NDArray[np.int64]
    timestamp: NDArray[np.float64]
    image_size: NDArray[np.int32]
    intrinsics: Floats
    focal_from: NDArray[np.str_]
    picture: NDArray[np.str_]
    frame: NDArray[np.int64]
    identity: NDArray[np.int64]
    kind: NDArray[np.str_]
    score: Floats
    box: Floats
    keypoints: Floats
    pixels: Floats
    mask: NDArray[np.bool_]
    rotations: Floats | None = None
    shape: Floats | None = None
    transl: Floats | None = None
    vertices: Floats | None = None
    faces: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        wrong = self._wrong()
        if wrong:
            raise ValueError(wrong)

    def _wrong(self) -> str | None:
        """What does not fit, if anything."""
        known = {"T": len(self.frame_number), "N": len(self.frame), **self.about.sizes}
        for name, column in COLUMNS.items():
            array = getattr(self, name)
            if array is None:
                continue
            axes = column.axes.split()
            wanted = [known.get(letter, int(letter) if letter.isdigit() else None) for letter in axes]
            fits = len(wanted) == array.ndim and all(
                size in (None, found) for size, found in zip(wanted, array.shape, strict=True)
            )
            if not fits or array.dtype.kind != np.dtype(column.dtype).kind:
                return f"{name} is {array.dtype} of {array.shape}; it is {column.dtype} of ({', '.join(axes)})"
        if len(self.frame) and not 0 <= self.frame.min() <= self.frame.max() < len(self.frame_number):
            return f"rows are of pictures {self.frame.min()} to {self.frame.max()} of {len(self.frame_number)}"
        if len({getattr(self, name) is None for name in PARAMETERS}) > 1:
            return f"of {', '.join(PARAMETERS)} some are there and some are not"
        return None

    @property
    def parameters(self) -> tuple[Floats, Floats, Floats]:
        """Rotations, shape and transl.

        Raises:
            ValueError: if the file has none.
        """
        if self.rotations is None or self.shape is None or self.transl is None:
            raise ValueError("these people are told in points, without a body model's parameters")
        return self.rotations, self.shape, self.transl

    def tracks(self) -> list[Track]:
        """Everybody through time, in the order of identities.

        An identity whose hand turned out to be the other one has two tracks, as left and right differ in their numbers.
        """
        found = []
        left = self.kind == "hand_left"
        for identity, is_left in sorted(set(zip(self.identity.tolist(), left.tolist(), strict=True))):
            rows = np.flatnonzero((self.identity == identity) & (left == is_left))
            kinds, counts = np.unique(self.kind[rows], return_counts=True)
            places = np.full(len(self.frame_number), -1, np.int64)
            places[self.frame[rows]] = rows
            found.append(Track(identity=identity, kind=str(kinds[counts.argmax()]), rows=places))
        return found


def write_people(path: Path, people: People) -> None:
    """Write a file, whole or not at all; arrays that lie on the disk are copied in pieces.

    Raises:
        OutputError: if it cannot be written.
    """
    arrays = {name: getattr(people, name) for name in COLUMNS if getattr(people, name) is not None}
    about = json.dumps(asdict(people.about))
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, format=np.array(FORMAT), about=np.array(about), **arrays)


def read_file(path: Path) -> People:
    """Read a `people.npz`; `people_spool.read_people` also reads recordings that are not finished.

    Raises:
        InputError: if it is missing, damaged, of another kind or of a newer version.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            if "format" not in archive or str(archive["format"]) != FORMAT:
                raise InputError(f"{path}: is no {FORMAT} file; give a people.npz that this version of humanpt wrote")
            about = read_about(str(archive["about"]))
            arrays = {name: archive[name] for name in COLUMNS if name in archive}
        missing = [name for name in COLUMNS if name not in arrays and name not in OPTIONAL]
        if missing:
            raise InputError(f"{path}: has no {', '.join(missing)}; record again")
        return People(about=about, **arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as people.npz ({error}); record again") from None


def read_about(text: str) -> About:
    """What `write_people` wrote of an `About`; fields that this version does not know are left out.

    Raises:
        ValueError, TypeError: if it is none.
    """
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("`about` is no table")
    known: dict[str, Any] = {field.name: document[field.name] for field in fields(About) if field.name in document}
    known |= {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
    return About(**known)
