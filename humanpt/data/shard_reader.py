"""Reads shards of pairs by mapping them into memory.

All rows lie in plain contiguous datasets, so any HDF5 tool reads them; here the file is mapped and each field taken at
its offset: nothing to lock, to share between workers, or to keep in memory.
"""

from __future__ import annotations

import json
import mmap
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from humanpt.data.image import Rgb, decode_jpeg, largest_shrink
from humanpt.data.records import (
    BLOBS,
    COLUMNS,
    KINDS,
    MASK_KINDS,
    MASK_SIZE,
    SCHEMA,
    SCHEMA_VERSION,
    SIDES,
    Array,
    Column,
    Kind,
    MaskKind,
    PairRecord,
    Picture,
    Side,
    Source,
    SubjectKind,
    TruthLayout,
    ledger_checksum,
    restore_truth,
    row_checksum,
    row_type,
    truth_columns,
)
from humanpt.errors import InputError, ShardError

REMAKE = "make it again with `humanpt mkpairs`"


class _Mapping(NamedTuple):
    """A shard in memory."""

    columns: dict[str, Array]
    """Read-only views of the fields of all pairs, by name."""
    blobs: dict[str, memoryview]
    """Views of the datasets of files, by name."""
    data: mmap.mmap
    """The whole file."""


class ShardReader:
    """Reads one shard by mapping it into memory.

    Opening reads the layout alone. The mapping is made at the first look at a row, in each process for itself: a reader
    may be forked, pickled, and used by threads. Columns are read-only arrays that look into the file: `kind`, `side`,
    `change`, `tracks`, `frames`, `timestamps`, and any other by `column`.

    Args:
        path: the shard.

    Raises:
        InputError: if there is no such file, or it may not be read.
        ShardError: if it is cut short, damaged, of a newer schema, or no shard.
    """

    path: Path
    subject_kind: SubjectKind
    crop_size: int
    config: dict[str, Any]
    sources: tuple[Source, ...]
    subjects: tuple[str, ...]
    sequences: tuple[str, ...]
    """Names of the sequences, which `sequence` refers to."""
    truth: TruthLayout | None
    """What the truth of its generated pictures is told in; None if it has none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mapping: _Mapping | None = None
        _check_signature(path)
        try:
            # Given a Python file, HDF5 takes no lock, and does not mind who else has the shard open and how.
            with path.open("rb") as raw, h5py.File(raw, "r") as file:
                self._identity = _identity(os.fstat(raw.fileno()))
                self._read_header(file)
            self._check_rows()
        except ShardError:
            raise
        except OSError as error:
            if "truncated" in str(error):
                raise self._error("is cut short; copy it again, or make it again with `humanpt mkpairs`") from None
            raise self._error(f"is damaged; {REMAKE}") from error
        except (ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
            raise self._error(f"is damaged; {REMAKE}") from error

    def _error(self, text: str) -> ShardError:
        return ShardError(f"{self.path}: {text}")

    def _read_header(self, file: Any) -> None:
        if _text(file.attrs.get("schema")) != SCHEMA:
            raise self._error("is an HDF5 file but no shard of pairs; give a folder written by `humanpt mkpairs`")
        version = int(file.attrs["schema_version"])
        if version > SCHEMA_VERSION:
            raise self._error(f"has schema {version}, this humanpt reads up to {SCHEMA_VERSION}; update humanpt")
        self.subject_kind = cast("SubjectKind", _text(file.attrs["subject_kind"]))
        self.crop_size = int(file.attrs["crop_size"])
        config = _text(file.attrs["config"])
        self.config = json.loads(config)
        self._count = int(file.attrs["pairs"])
        self.truth = _read_layout(file["truth"].attrs) if "truth" in file else None
        self._columns = (*COLUMNS, *(truth_columns(self.truth) if self.truth else ()))
        self._row = row_type(self.truth)
        self._offsets = {c.name: self._offset(file, c) for c in self._columns}
        self._spans = [(self._offsets[c.name], self._row[c.name].itemsize) for c in self._columns]
        self._blobs = {}
        for blob in BLOBS if self.truth else ["jpeg"]:
            self._blobs[blob] = len(file[blob]) if blob in file else 0
            self._offsets[blob] = self._offset(file, BLOBS[blob], self._blobs[blob])
        self.subjects = tuple(file["subjects"].asstr()[()])
        ledger = file["sources"]
        self.sources = tuple(_read_source(ledger[str(index)].attrs) for index in range(len(ledger)))
        found = ledger_checksum(self.subject_kind, self.crop_size, config, self.sources, self.subjects, self.truth)
        if found != int(file.attrs["ledger_checksum"]):
            raise self._error(f"is damaged (the checksum of its ledger does not match); {REMAKE}")
        self.sequences = tuple(dict.fromkeys(source.sequence for source in self.sources))

    def _offset(self, file: Any, column: Column, length: int | None = None) -> int:
        name, dtype, shape = column.name, column.dtype, (self._count if length is None else length, *column.shape)
        if name not in file:
            raise self._error(f"no dataset {name!r}; {REMAKE}")
        dataset = file[name]
        names = (h5py.check_enum_dtype(dataset.dtype) or {}).items()
        known = (h5py.check_enum_dtype(dtype) or {}).items()
        # Codes may be added to an enumeration, never changed: an older shard knows some of ours.
        if dataset.shape != shape or dataset.dtype != dtype or bool(names) != bool(known) or not names <= known:
            raise self._error(f"dataset {name!r} is {dataset.dtype} {dataset.shape}, not {dtype} {shape}; {REMAKE}")
        offset = dataset.id.get_offset()
        if offset is None and dataset.size:
            raise self._error(f"dataset {name!r} was rewritten in pieces; undo it with `h5repack -l CONTI -f NONE`")
        return offset or 0

    def _check_rows(self) -> None:
        columns = self._mapped().columns
        sound = True
        for blob, size in self._blobs.items():
            sound &= bool((columns[f"{blob}_offset"] + columns[f"{blob}_size"] <= size).all())
        for name, count in (("source", len(self.sources)), ("subject", len(self.subjects)), ("kind", len(KINDS))):
            sound &= bool(((columns[name] >= 0) & (columns[name] < count)).all())
        if not sound:
            raise self._error(f"is damaged (a row points to nothing); {REMAKE}")

    def __len__(self) -> int:
        return self._count

    def column(self, name: str) -> Array:
        """A field of all pairs, (N, ...), as a read-only view of the file, by the name of its dataset."""
        return self._mapped().columns[name]

    @property
    def kind(self) -> NDArray[np.uint8]:
        """(N,) codes of `Kind`."""
        return self.column("kind")

    @property
    def side(self) -> NDArray[np.uint8]:
        """(N,) indices into `SIDES`."""
        return self.column("side")

    @property
    def change(self) -> NDArray[np.float32]:
        """(N,) change between the two pictures."""
        return self.column("change")

    @property
    def tracks(self) -> NDArray[np.int32]:
        """(N,) track within the source."""
        return self.column("track")

    @property
    def frames(self) -> NDArray[np.int64]:
        """(N, 2) frame numbers."""
        return self.column("frame")

    @property
    def timestamps(self) -> NDArray[np.float64]:
        """(N, 2) seconds since the first frame of the source."""
        return self.column("timestamp")

    @property
    def sequence(self) -> NDArray[np.int64]:
        """(N,) indices into `sequences`."""
        number = {name: k for k, name in enumerate(self.sequences)}
        of_source = np.array([number[source.sequence] for source in self.sources], np.int64)
        return of_source[self.column("source")[:, 0]]

    def jpegs(self, row: int) -> tuple[memoryview, memoryview]:
        """The two JPEG files of a pair, as views of the mapped file; their checksum is not looked at."""
        return self._files("jpeg", row)

    def _files(self, blob: str, row: int) -> tuple[memoryview, memoryview]:
        """The two files of a pair in a dataset of files."""
        columns, blobs, _ = self._mapped()
        self._check_row(row)
        start1, start2 = columns[f"{blob}_offset"][row].tolist()
        size1, size2 = columns[f"{blob}_size"][row].tolist()
        return blobs[blob][start1 : start1 + size1], blobs[blob][start2 : start2 + size2]

    def _check_row(self, row: int) -> None:
        if not 0 <= row < self._count:
            raise IndexError(f"{self.path}: pair {row} of {self._count}")

    def images(self, row: int, least: int | None = None) -> tuple[Rgb, Rgb]:
        """The two pictures of a pair, their checksum verified.

        Args:
            row: number of the pair.
            least: side in pixels that is enough; a picture may then come at a half, a quarter or an eighth of its size.

        Returns:
            Two (S, S, 3) RGB uint8 pictures, S = crop_size or what is left of it.

        Raises:
            ShardError: if the checksum does not match, or a picture cannot be decoded or has another size.
            IndexError: if there is no such row.
        """
        _, files = self._verified(row)
        shrink = largest_shrink(self.crop_size, least)
        return self._decode(row, files[0], shrink), self._decode(row, files[1], shrink)

    def image(self, row: int, which: int, least: int | None = None) -> Rgb:
        """One of the two pictures of a pair, 0 or 1; otherwise as `images`, the other is not decoded."""
        _, files = self._verified(row)
        return self._decode(row, files[which], largest_shrink(self.crop_size, least))

    def _decode(self, row: int, jpeg: bytes, shrink: int) -> Rgb:
        try:
            rgb = decode_jpeg(jpeg, shrink)
        except ValueError:
            raise self._error(f"pair {row} is damaged (no picture); {REMAKE}") from None
        side = self.crop_size // shrink
        if rgb.shape != (side, side, 3):
            raise self._error(f"pair {row} has a picture of {rgb.shape[1]} x {rgb.shape[0]} px, not {side}")
        return rgb

    def _verified(self, row: int) -> tuple[NDArray[np.void], list[bytes]]:
        """Copies of all fields of a pair and its files, two of each dataset of files, if its checksum matches."""
        self._check_row(row)
        _, blobs, data = self._mapped()
        fields = bytearray().join([data[start + row * size : start + (row + 1) * size] for start, size in self._spans])
        values = np.frombuffer(fields, self._row).reshape(())
        files = []
        for blob, content in blobs.items():
            starts, sizes = values[f"{blob}_offset"].tolist(), values[f"{blob}_size"].tolist()
            files += [bytes(content[start : start + size]) for start, size in zip(starts, sizes, strict=True)]
        if row_checksum(values, files) != values["checksum"]:
            raise self._error(f"pair {row} is damaged (its checksum does not match); {REMAKE}")
        return values, files

    def masks(self, row: int) -> tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]:
        """The two masks of a pair, each (64, 64), True on the subject, or None where there is none."""
        columns = self._mapped().columns
        first, second = (
            _unpack(bits) if kind else None
            for bits, kind in zip(columns["mask"][row], columns["mask_kind"][row].tolist(), strict=True)
        )
        return first, second

    def record(self, row: int) -> PairRecord:
        """Everything about a pair, its checksum verified.

        Raises:
            ShardError: if the checksum does not match.
            IndexError: if there is no such row.
        """
        values, files = self._verified(row)
        image1, image2 = (_picture(values, k, *files[k::2]) for k in range(2))
        return PairRecord(
            image1=image1,
            image2=image2,
            kind=Kind(int(values["kind"])),
            subject=self.subjects[int(values["subject"])],
            track=int(values["track"]),
            side=cast("Side", SIDES[int(values["side"])]),
            change=float(values["change"]),
            pair_score=float(values["pair_score"]),
        )

    @property
    def is_mapped(self) -> bool:
        """Whether the file is mapped in this process now."""
        return self._mapping is not None

    def release(self) -> None:
        """Let go of the mapping; the next look at a row makes it again. Views handed out stay good."""
        self._mapping = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapping": None}

    def _mapped(self) -> _Mapping:
        mapping = self._mapping  # once, as another thread may release it
        if mapping is None:
            try:
                with self.path.open("rb") as file:
                    if _identity(os.fstat(file.fileno())) != self._identity:
                        raise self._error("was changed while in use; bring it back, then go on with --resume")
                    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except OSError as error:
                raise self._error(
                    f"cannot be read any more ({error.strerror}); bring it back, then go on with --resume"
                ) from None
            columns: dict[str, Array] = {}
            for column in self._columns:
                shape = (self._count, *column.shape)
                values = np.frombuffer(data, column.dtype, int(np.prod(shape)), self._offsets[column.name])
                columns[column.name] = values.reshape(shape)
            view, places = memoryview(data), self._offsets
            blobs = {blob: view[places[blob] : places[blob] + size] for blob, size in self._blobs.items()}
            mapping = self._mapping = _Mapping(columns, blobs, data)
        # To touch what was cut off the mapped file would end the process (SIGBUS). What is left of that risk is a cut
        # between this look, half a microsecond, and the copying of a pair, ten.
        if mapping.data.size() < len(mapping.data):
            raise self._error("was cut short while in use; bring it back whole, then go on with --resume")
        return mapping


def _check_signature(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if not head:
        raise ShardError(f"{path}: is empty; {REMAKE}")
    if head != b"\x89HDF\r\n\x1a\n":
        raise ShardError(f"{path}: is not an HDF5 file; give a folder written by `humanpt mkpairs`")


def _identity(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _read_source(attributes: Any) -> Source:
    kinds: dict[str, Callable[[Any], Any]] = {"int": int, "float": float, "str": _text}
    return Source(**{field.name: kinds[str(field.type)](attributes[field.name]) for field in fields(Source)})


def _unpack(bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.unpackbits(bits).reshape(MASK_SIZE, MASK_SIZE).astype(np.bool_)


def _read_layout(attributes: Any) -> TruthLayout:
    kinds: dict[str, Callable[[Any], Any]] = {
        "int": int,
        "str": _text,
        "tuple[str, ...]": lambda t: tuple(map(_text, t)),
    }
    return TruthLayout(**{field.name: kinds[str(field.type)](attributes[field.name]) for field in fields(TruthLayout)})


def _picture(row: NDArray[np.void], k: int, jpeg: bytes, *truth: bytes) -> Picture:
    width, height = row["image_size"][k].tolist()
    cameras = {name: row[name][k].copy() for name in ("intrinsics", "cam_from_world")}
    return Picture(
        jpeg=jpeg,
        mask=_unpack(row["mask"][k]),
        mask_kind=cast("MaskKind", MASK_KINDS[int(row["mask_kind"][k])]),
        source=int(row["source"][k]),
        frame=int(row["frame"][k]),
        timestamp=float(row["timestamp"][k]),
        box=row["box"][k].copy(),
        square=row["square"][k].copy(),
        image_size=(width, height),
        score=float(row["score"][k]),
        truth=restore_truth(row, k, *truth) if truth else None,
        **{name: None if np.isnan(values).all() else values for name, values in cameras.items()},
    )


@dataclass(frozen=True, kw_only=True)
class ShardCheck:
    """What `verify` found in one shard."""

    path: Path
    pairs: int
    """Pairs in the shard; 0 if it cannot be opened."""
    subject_kind: str
    """body or hand; empty if it cannot be opened."""
    kinds: Mapping[str, int]
    """Pairs of each kind."""
    size: int
    """Bytes of the file."""
    problems: tuple[str, ...]
    """One line for each thing wrong; empty if all is well."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(path: Path) -> ShardCheck:
    """Read every record of a shard, check its sums, and decode its pictures; faults are in the result, never raised."""
    problems = []
    try:
        reader = ShardReader(path)
    except (ShardError, InputError) as error:
        size = path.stat().st_size if path.is_file() else 0
        return ShardCheck(path=path, pairs=0, subject_kind="", kinds={}, size=size, problems=(str(error),))
    for row in range(len(reader)):
        try:
            reader.images(row)
        except ShardError as error:
            problems.append(str(error))
    if not len(reader):
        problems.append(no_pairs(path))
    return ShardCheck(
        path=path,
        pairs=len(reader),
        subject_kind=reader.subject_kind,
        kinds=dict(Counter(KINDS[code] for code in reader.kind.tolist())),
        size=path.stat().st_size,
        problems=tuple(problems),
    )


def no_pairs(path: Path) -> str:
    """The line about a shard without pairs."""
    return f"{path}: no pairs in it; delete it, or run `humanpt mkpairs` again with looser limits"
