"""Writes shards of pairs: whole, or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self, get_args

import h5py
import numpy as np

import humanpt
from humanpt.data.records import (
    BLOBS,
    COLUMNS,
    MASK_KINDS,
    MASK_SIZE,
    SCHEMA,
    SCHEMA_VERSION,
    SIDES,
    Column,
    PairRecord,
    Picture,
    Source,
    SubjectKind,
    TruthLayout,
    ledger_checksum,
    row_checksum,
    row_type,
    store_truth,
    truth_columns,
)
from humanpt.data.sparse import SparseFile
from humanpt.files import cannot_write, whole_file

SLAB = 8 << 20  # bytes copied at a time


class ShardWriter:
    """Writes one shard, which appears at `path` whole when `close` returns, or not at all.

    Rows and pictures wait in unnamed temporary files in the same folder, so memory stays flat and the folder needs room
    for twice the shard. As a context manager it closes on success and leaves nothing behind on an exception.

    Args:
        path: the file to make; its folder is made if missing, an older shard of that name is replaced.
        subject_kind: what all pairs of the shard show.
        crop_size: side of the pictures in pixels.
        config: the configuration that made the pairs; anything JSON can hold.
        sources: what pictures refer to by index.
        truth: what the truth of generated pictures is told in; then every picture must have its truth.

    Raises:
        OutputError: here, in `append` or in `close`, if the folder cannot be written or the disk is full.
        ValueError: if an argument or a record cannot be right.
    """

    def __init__(
        self,
        path: Path,
        *,
        subject_kind: SubjectKind,
        crop_size: int,
        config: Mapping[str, Any],
        sources: Sequence[Source],
        truth: TruthLayout | None = None,
    ) -> None:
        if subject_kind not in get_args(SubjectKind) or crop_size < 1:
            raise ValueError(f"{subject_kind=}, {crop_size=}: must be body or hand, and a side in pixels")
        self.path = path
        self._subject_kind = subject_kind
        self._crop_size = crop_size
        self._config = json.dumps(config, sort_keys=True, allow_nan=False)
        self._truth = truth
        self._columns = (*COLUMNS, *(truth_columns(truth) if truth else ()))
        self._row = row_type(truth)
        self._subjects: dict[str, int] = {}
        self._count = 0
        self._blobs = dict.fromkeys(BLOBS if truth else ["jpeg"], 0)  # bytes so far
        self._places: dict[tuple[str, bytes], int] = {}  # digest of each file stored to its offset
        self._sources: list[Source] = []
        self.sources = tuple(sources)
        self._open = True
        self._spills = contextlib.ExitStack()
        with self._output_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._rows, *files = (
                self._spills.enter_context(tempfile.TemporaryFile(dir=path.parent))  # noqa: SIM115 - closed by `abort`
                for _ in range(1 + len(self._blobs))
            )
            self._files = dict(zip(self._blobs, files, strict=True))

    def __len__(self) -> int:
        return self._count

    @property
    def sources(self) -> tuple[Source, ...]:
        """The ledger; may be set anew before `close`, as some facts are known only at the end."""
        return tuple(self._sources)

    @sources.setter
    def sources(self, sources: Sequence[Source]) -> None:
        changed = [_storable(source) for source in sources]
        for old, new in zip(self._sources, changed, strict=bool(self._count)):
            if self._count and old.sequence != new.sequence:
                raise ValueError(f"sequence {old.sequence!r} renamed {new.sequence!r} after pairs of it were written")
        self._sources = changed

    def append(self, record: PairRecord) -> None:
        """Add one pair."""
        if not self._open:
            raise ValueError(f"{self.path}: append after close")
        pictures = (record.image1, record.image2)
        self._check(record, pictures)
        row, blobs = np.zeros((), self._row), dict(self._blobs)
        row["kind"] = record.kind
        row["side"] = SIDES.index(record.side)
        row["subject"] = self._subjects.setdefault(_utf8(record.subject), len(self._subjects))
        row["track"] = record.track
        row["change"] = record.change
        row["pair_score"] = record.pair_score
        places: dict[tuple[str, bytes], int] = {}
        new: list[tuple[str, bytes]] = []

        def store(blob: str, content: bytes) -> int:
            """Where a file lies; one that is in several pairs is stored once."""
            key = blob, hashlib.blake2b(content, digest_size=16).digest()
            known = self._places.get(key, places.get(key))
            if known is None:
                places[key] = known = blobs[blob]
                new.append((blob, content))
                blobs[blob] += len(content)
            return known

        for k, picture in enumerate(pictures):
            for name in ("source", "frame", "timestamp", "box", "square", "image_size", "score"):
                row[name][k] = getattr(picture, name)
            for name in ("intrinsics", "cam_from_world"):
                known = getattr(picture, name)
                row[name][k] = np.nan if known is None else known
            row["mask_kind"][k] = MASK_KINDS.index(picture.mask_kind)
            row["mask"][k] = np.packbits(picture.mask)
            if picture.truth:
                store_truth(row, k, picture.truth)
            for blob, file in picture.files().items():
                row[f"{blob}_offset"][k], row[f"{blob}_size"][k] = store(blob, file), len(file)
        files = [picture.files() for picture in pictures]
        row["checksum"] = row_checksum(row, [file[blob] for blob in self._blobs for file in files])
        with self._output_errors():
            self._rows.write(row.tobytes())
            for blob, content in new:
                self._files[blob].write(content)
        self._places |= places
        self._count, self._blobs = self._count + 1, blobs

    def close(self) -> None:
        """Finish the shard and let it appear. Closing again does nothing."""
        if not self._open:
            return
        try:
            skeleton, offsets = self._skeleton()
            with whole_file(self.path) as unfinished:
                self._write(unfinished, skeleton, offsets)
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop everything written so far."""
        self._open = False
        with contextlib.suppress(OSError):  # closing tries again to write what did not fit on the disk
            self._spills.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _check(self, record: PairRecord, pictures: Sequence[Picture]) -> None:
        for picture in pictures:
            if not 0 <= picture.source < len(self._sources):
                raise ValueError(f"picture has source {picture.source} of {len(self._sources)}")
            if picture.mask.shape != (MASK_SIZE, MASK_SIZE) or picture.mask.dtype != np.bool_:
                raise ValueError(f"mask is {picture.mask.dtype} {picture.mask.shape}, must be bool (64, 64)")
            for name, shape in (("box", (4,)), ("square", (4,)), ("image_size", (2,))):
                if np.shape(getattr(picture, name)) != shape:
                    raise ValueError(f"{name} has shape {np.shape(getattr(picture, name))}, must be {shape}")
            if not picture.jpeg.startswith(b"\xff\xd8"):
                raise ValueError(f"picture of {len(picture.jpeg)} bytes is no JPEG file")
            if (picture.truth is None) != (self._truth is None):
                raise ValueError("pictures of a shard have truth all or none, and a shard with truth has its layout")
        first, second = (self._sources[picture.source].sequence for picture in pictures)
        if first != second:
            raise ValueError(f"pair of two sequences, {first!r} and {second!r}: a split could not keep them together")

    def _write(self, path: Path, skeleton: SparseFile, offsets: Mapping[str, int]) -> None:
        with path.open("r+b") as file:
            skeleton.copy_to(file)
            self._rows.seek(0)
            slab = max(1, SLAB // self._row.itemsize)
            for start in range(0, self._count, slab):
                rows = np.frombuffer(self._rows.read(min(slab, self._count - start) * self._row.itemsize), self._row)
                for column in self._columns:
                    file.seek(offsets[column.name] + start * self._row[column.name].itemsize)
                    file.write(rows[column.name].tobytes())
            for blob, content in self._files.items():
                content.seek(0)
                file.seek(offsets[blob])
                while chunk := content.read(SLAB):
                    file.write(chunk)

    def _skeleton(self) -> tuple[SparseFile, dict[str, int]]:
        """The shard without its rows and pictures, and where these belong in it."""
        subjects = list(self._subjects)
        offsets = {}
        memory = SparseFile()
        # Object headers of HDF5 1.10 carry checksums, and no times unless asked, so equal records make equal files.
        # Aligned by 8, every column is an aligned array in the mapped file.
        with h5py.File(
            memory, "w", libver=("v110", "v110"), alignment_threshold=1, alignment_interval=8, track_order=False
        ) as file:
            _annotate(
                file,
                schema=SCHEMA,
                schema_version=SCHEMA_VERSION,
                humanpt_version=humanpt.__version__,
                subject_kind=self._subject_kind,
                crop_size=self._crop_size,
                config=self._config,
                pairs=self._count,
                ledger_checksum=ledger_checksum(
                    self._subject_kind, self._crop_size, self._config, self._sources, subjects, self._truth
                ),
            )
            ledger = file.create_group("sources")
            for index, source in enumerate(self._sources):
                _annotate(ledger.create_group(str(index)), **{f.name: getattr(source, f.name) for f in fields(Source)})
            names = [subject.encode() for subject in subjects]
            file.create_dataset("subjects", data=np.array(names, _text_type(*names)))
            if self._truth:
                layout = self._truth
                _annotate(file.create_group("truth"), **{f.name: getattr(layout, f.name) for f in fields(TruthLayout)})
            for column in self._columns:
                offsets[column.name] = _reserve(file, column, self._count)
            for blob, size in self._blobs.items():
                offsets[blob] = _reserve(file, BLOBS[blob], size)
        return memory, offsets

    @contextlib.contextmanager
    def _output_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.abort()
            raise cannot_write(self.path, error) from error


def _reserve(file: Any, column: Column, length: int) -> int:
    """Make a contiguous dataset that is given its place in the file now, and return that place."""
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_layout(h5py.h5d.CONTIGUOUS)
    plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    plan.set_obj_track_times(False)
    kind = h5py.h5t.py_create(column.dtype, logical=True)
    space = h5py.h5s.create_simple((length, *column.shape))
    dataset = h5py.Dataset(h5py.h5d.create(file.id, column.name.encode(), kind, space, plan))
    _annotate(dataset, meaning=column.meaning, **({"units": column.units} if column.units else {}))
    return dataset.id.get_offset() or 0  # an empty dataset has no place


def _annotate(item: Any, **attributes: str | int | float | tuple[str, ...]) -> None:
    for name, value in attributes.items():
        if isinstance(value, str):
            item.attrs.create(name, value.encode(), dtype=_text_type(value.encode()))
        elif isinstance(value, tuple):
            texts = [text.encode() for text in value]
            item.attrs.create(name, np.array(texts, _text_type(*texts)))
        else:
            item.attrs[name] = value


def _text_type(*texts: bytes) -> Any:
    # Text of fixed length lies in headers, which carry checksums. Text of variable length lies in a heap without one,
    # and on a damaged heap HDF5 2.0 searches for ever.
    return h5py.string_dtype("utf-8", max(1, *map(len, texts)) if texts else 1)


def _utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()  # file names may hold bytes that are no text


def _storable(source: Source) -> Source:
    texts: dict[str, Any] = {name: _utf8(value) for name, value in vars(source).items() if isinstance(value, str)}
    return dataclasses.replace(source, **texts)
