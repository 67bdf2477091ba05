"""What a shard of pairs holds: the records, and the columns that they become in the file.

docs/shards.md describes the file field by field.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Literal, NamedTuple, cast, get_args

import h5py
import numpy as np
from numpy.typing import NDArray

from humanpt.body.layout import ParameterLayout

SCHEMA = "humanpt.pairs"
SCHEMA_VERSION = 2
MASK_SIZE = 64

SubjectKind = Literal["body", "hand"]
Side = Literal["none", "unknown", "left", "right"]
MaskKind = Literal["none", "detector", "motion", "box", "rendered"]
Array = NDArray[Any]


class Kind(IntEnum):
    """What the two pictures of a pair differ in."""

    CROSS_VIEW = 0
    CROSS_POSE = 1


@dataclass(frozen=True, kw_only=True)
class Source:
    """One clip or folder of frames that pictures were cut from."""

    path: str
    """Where it was, relative to the input given, with forward slashes."""
    sha256: str
    """Digest of its bytes, in hexadecimal; empty if it was not taken."""
    licence: str
    """Terms under which it may be used, as the user stated them."""
    sequence: str
    """The recording that it belongs to; cameras of one recording share it. Sequences are never split."""
    camera: str
    """The camera within the sequence."""
    reader: str
    """What decoded it."""
    width: int
    """Width of its frames in pixels, after rotation."""
    height: int
    """Height of its frames in pixels, after rotation."""
    frames: int
    """Frames read."""
    duration: float
    """Length in seconds."""
    notes: str
    """What went wrong or was left out while reading."""


@dataclass(frozen=True, kw_only=True)
class TruthLayout(ParameterLayout):
    """What the truth of a shard's generated pictures is told in; names of hands without their side."""

    model: str
    """The body model, by the name that `load_body_model` knows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """What a generated picture shows, in numbers from which data/people/truth.py draws it again, to the bit.

    Letters: S shape parameters, J joints, K key points.
    """

    shape: NDArray[np.float32]
    """(S,) shape parameters of the subject."""
    pose: NDArray[np.float32]
    """(J, 3, 3) rotations of its joints, in the parameterisation of the layout."""
    transl: NDArray[np.float32]
    """(3,) its place in the world, in metres."""
    keypoints: NDArray[np.float32]
    """(K, 3) its key points in the world, in metres."""
    visible: NDArray[np.bool_]
    """(K,) whether the crop shows the key point: inside of it, and hidden by no other thing and no other limb."""
    cover: bytes
    """A grey PNG file of the size of the crop: 0 where anything else is seen, 1 the model's surface, 2 what it wears
    loosely (skirts, long hair, hats), which is the subject as well but no part of the model."""
    worn: bytes
    """What stands off the model's surface, clothes and hair: (2, V) uint8 compressed by zlib. For each of V vertices it
    holds the distance in quarters of a millimetre, and how much of the shape below is smoothed away, in 255ths."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """One picture of a pair: a square crop of a frame."""

    jpeg: bytes
    """The crop as a JPEG file, crop_size x crop_size."""
    mask: NDArray[np.bool_]
    """(64, 64) over the whole crop, True on the subject."""
    mask_kind: MaskKind
    """Where the mask comes from; "none" if there is none, and then the mask is all False."""
    source: int
    """Index of the source."""
    frame: int
    """Number of the frame in presentation order, from 0."""
    timestamp: float
    """Seconds since the first frame."""
    box: Array
    """(4,) box of the subject in pixels of the source: edges x0, y0, x1, y1."""
    square: Array
    """(4,) edges of the crop in pixels of the source; may leave the frame."""
    image_size: tuple[int, int]
    """Width and height of the frame in pixels."""
    score: float
    """The detector's score of the box."""
    intrinsics: Array | None = None
    """(3, 3) camera matrix of the frame in pixels, None if unknown."""
    cam_from_world: Array | None = None
    """(4, 4) pose of the camera, metres, OpenCV axes, None if unknown."""
    truth: Truth | None = None
    """What is shown, exactly; None unless the picture was generated."""

    def files(self) -> dict[str, bytes]:
        """The files that belong to it, by the dataset that holds them."""
        truth = {"truth/cover": self.truth.cover, "truth/worn": self.truth.worn} if self.truth else {}
        return {"jpeg": self.jpeg} | truth


@dataclass(frozen=True, kw_only=True, eq=False)
class PairRecord:
    """A pair: image1 is completed with the help of image2."""

    image1: Picture
    image2: Picture
    kind: Kind
    subject: str
    """Who is shown, unique within the shard."""
    track: int
    """Number of the track within its source, from 0."""
    side: Side
    """Which hand is shown; "none" for bodies."""
    change: float
    """How much the subject changed between the two, as the chooser measured it."""
    pair_score: float
    """Score of the pair from the points that both pictures see, NaN if unknown."""

    def moved(self, by: int) -> PairRecord:
        """The same pair in a shard where its sources have indices greater by `by`."""
        image1, image2 = (
            dataclasses.replace(picture, source=picture.source + by) for picture in (self.image1, self.image2)
        )
        return dataclasses.replace(self, image1=image1, image2=image2)


class Column(NamedTuple):
    """One dataset of a shard: a field of every pair, first axis the pairs."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    units: str
    meaning: str


def _enum(names: Sequence[str]) -> np.dtype[Any]:
    return cast("np.dtype[Any]", h5py.enum_dtype({name: code for code, name in enumerate(names)}, basetype="u1"))


KINDS = tuple(kind.name.lower() for kind in Kind)
SIDES: tuple[str, ...] = get_args(Side)
MASK_KINDS: tuple[str, ...] = get_args(MaskKind)

# The checksum runs over the fields in this order, then over the two JPEG files, then over the truth if there is one.
COLUMNS = tuple(
    Column(name, np.dtype(dtype), shape, units, meaning)
    for name, dtype, shape, units, meaning in (
        ("kind", _enum(KINDS), (), "", "two cameras at one instant, or one subject at two moments"),
        ("side", _enum(SIDES), (), "", "which hand is shown; none for bodies"),
        ("subject", "<i4", (), "index", "row of /subjects"),
        ("track", "<i4", (), "index", "track of the subject within its source"),
        ("change", "<f4", (), "", "change between the two pictures, as the chooser measured it"),
        ("pair_score", "<f4", (), "", "score of the pair, NaN if unknown"),
        ("source", "<i4", (2,), "index", "group /sources/<index> that the picture was cut from"),
        ("frame", "<i8", (2,), "frames", "number of the frame in presentation order, from 0"),
        ("timestamp", "<f8", (2,), "s", "time since the first frame of the source"),
        ("box", "<f4", (2, 4), "px", "box of the subject in the source, edges x0 y0 x1 y1"),
        ("square", "<f4", (2, 4), "px", "crop in the source, edges x0 y0 x1 y1; may leave the frame"),
        ("image_size", "<i4", (2, 2), "px", "width and height of the frame"),
        ("score", "<f4", (2,), "", "score of the detector for the box"),
        ("intrinsics", "<f8", (2, 3, 3), "px", "camera matrix of the frame, NaN if unknown"),
        ("cam_from_world", "<f8", (2, 4, 4), "m", "pose of the camera, OpenCV axes, NaN if unknown"),
        ("mask_kind", _enum(MASK_KINDS), (2,), "", "where the mask comes from"),
        ("mask", "u1", (2, MASK_SIZE * MASK_SIZE // 8), "bits", "64 x 64 over the crop, rows first, highest bit first"),
        ("jpeg_offset", "<u8", (2,), "bytes", "where the JPEG file begins in /jpeg"),
        ("jpeg_size", "<u4", (2,), "bytes", "length of the JPEG file"),
        ("checksum", "<u4", (), "", "CRC-32 of the fields above in this order, the JPEG files, the truth"),
    )
)
ROW = np.dtype([(c.name, c.dtype, c.shape) for c in COLUMNS])
BLOBS = {
    "jpeg": Column("jpeg", np.dtype("u1"), (), "bytes", "all JPEG files, one after the other"),
    "truth/cover": Column("truth/cover", np.dtype("u1"), (), "bytes", "all PNG files of covers, one after the other"),
    "truth/worn": Column("truth/worn", np.dtype("u1"), (), "bytes", "what subjects wear, one after the other"),
}


def truth_columns(layout: TruthLayout) -> tuple[Column, ...]:
    """The datasets in the group `truth`; an axis of 2 is the picture."""
    joints, shapes, keypoints = len(layout.joint_names), len(layout.shape_names), len(layout.keypoint_names)
    return tuple(
        Column(f"truth/{name}", np.dtype(dtype), (2, *shape), units, meaning)
        for name, dtype, shape, units, meaning in (
            ("shape", "<f4", (shapes,), "", "shape parameters of the subject"),
            ("pose", "<f4", (joints, 3, 3), "", "rotations of its joints"),
            ("transl", "<f4", (3,), "m", "its place in the world"),
            ("keypoints", "<f4", (keypoints, 3), "m", "its key points in the world"),
            ("visible", "u1", (keypoints,), "", "1 where the crop shows the key point"),
            ("cover_offset", "<u8", (), "bytes", "where the PNG file of the cover begins in /truth/cover"),
            ("cover_size", "<u4", (), "bytes", "length of that PNG file"),
            ("worn_offset", "<u8", (), "bytes", "where what the subject wears begins in /truth/worn"),
            ("worn_size", "<u4", (), "bytes", "its length"),
        )
    )


def row_type(layout: TruthLayout | None) -> np.dtype[Any]:
    """A pair's fields one after the other: those of `ROW`, then those of its truth."""
    columns = truth_columns(layout) if layout else ()
    return np.dtype([(c.name, c.dtype, c.shape) for c in (*COLUMNS, *columns)])


def store_truth(row: NDArray[np.void], k: int, truth: Truth) -> None:
    """Fill in the truth of picture `k` of a row, but for the places of its files.

    Raises:
        ValueError: if the truth does not fit the layout of the row.
    """
    for name in ("shape", "pose", "transl", "keypoints", "visible"):
        values, place = getattr(truth, name), row[f"truth/{name}"]
        if values.shape != place[k].shape:
            raise ValueError(f"truth: {name} has shape {values.shape}, layout {place[k].shape}")
        place[k] = values


def restore_truth(row: NDArray[np.void], k: int, cover: bytes, worn: bytes) -> Truth:
    """The truth of picture `k` of a row, given its files."""
    return Truth(
        visible=row["truth/visible"][k].astype(np.bool_),
        cover=cover,
        worn=worn,
        **{name: row[f"truth/{name}"][k].copy() for name in ("shape", "pose", "transl", "keypoints")},
    )


def row_checksum(row: NDArray[np.void], files: Sequence[bytes | memoryview]) -> int:
    """CRC-32 of a row without its own checksum, then of its two JPEG files, its truth, and the files of that."""
    data = row.tobytes()
    crc = zlib.crc32(data[: ROW.itemsize - ROW["checksum"].itemsize])
    for part in (*files[:2], data[ROW.itemsize :], *files[2:]):
        crc = zlib.crc32(part, crc)
    return crc


def ledger_checksum(
    subject_kind: str,
    crop_size: int,
    config: str,
    sources: Sequence[Source],
    subjects: Sequence[str],
    truth: TruthLayout | None = None,
) -> int:
    """CRC-32 of what the rows point to, as JSON; the rows guard themselves."""
    ledger = [[getattr(source, field.name) for field in fields(Source)] for source in sources]
    whole = [subject_kind, crop_size, config, ledger, list(subjects)]
    if truth is not None:
        whole.append([truth.model, *(getattr(truth, field.name) for field in fields(ParameterLayout))])
    return zlib.crc32(json.dumps(whole).encode())
