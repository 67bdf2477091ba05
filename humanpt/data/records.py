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

SCHEMA = "humanpt.pairs"
SCHEMA_VERSION = 1
MASK_SIZE = 64

SubjectKind = Literal["body", "hand"]
Side = Literal["none", "unknown", "left", "right"]
MaskKind = Literal["none", "detector", "motion", "box"]
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

# The checksum runs over the fields in this order, then over the two JPEG files.
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
        ("checksum", "<u4", (), "", "CRC-32 of all fields above, in this order, and both JPEG files"),
    )
)
ROW = np.dtype([(c.name, c.dtype, c.shape) for c in COLUMNS])


def row_checksum(row: NDArray[np.void], jpegs: Sequence[bytes | memoryview]) -> int:
    """CRC-32 of a row without its own checksum, and then of its two JPEG files."""
    crc = zlib.crc32(row.tobytes()[: -ROW["checksum"].itemsize])
    for jpeg in jpegs:
        crc = zlib.crc32(jpeg, crc)
    return crc


def ledger_checksum(
    subject_kind: str, crop_size: int, config: str, sources: Sequence[Source], subjects: Sequence[str]
) -> int:
    """CRC-32 of what the rows point to, as JSON; the rows guard themselves."""
    ledger = [[getattr(source, field.name) for field in fields(Source)] for source in sources]
    return zlib.crc32(json.dumps([subject_kind, crop_size, config, ledger, list(subjects)]).encode())
