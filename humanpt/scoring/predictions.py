"""`predictions.h5`: what a network said of every sample, so that it can be scored, looked at and handed in again.

Written sample after sample and read the same way, so memory stays flat; the file appears whole or not at all. All
points are in metres, in the axes of the picture's camera. Datasets: `names` (N,), `keypoints` (N, K, 3) float32, and
where there are any `vertices` (N, V, 3), `pixels` (N, K, 2), `pose` (N, J, 3, 3), `shape` (N, P), `transl` (N, 3),
`focal` (N, 2) in pixels with `focal_assumed` (N,), and the group `errors` of figures (N,) each. The attributes name the
key points and the body model, and where predictions, crops and focal lengths come from; `sha256` is the digest of
names, key points and vertices in order.

Letters: N samples, B samples of a batch, K key points, V vertices, J joints, P shape parameters.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from humanpt.errors import InputError
from humanpt.files import whole_file

FORMAT = "humanpt predictions 1"
OPTIONAL = ("vertices", "pixels", "pose", "shape", "transl", "focal", "focal_assumed")
CHUNK_BYTES = 1 << 18
UNKNOWN = "unknown, predictions come from a file"


@dataclass(frozen=True, kw_only=True)
class PredictionLayout:
    """What predictions are told in."""

    subject: str
    """Hands or people."""
    keypoint_names: tuple[str, ...]
    """Names of the K key points."""
    model: str | None = None
    """The body model of vertices, pose and shape, by the name that `load_body_model` knows."""
    predictor: str = ""
    """Whose predictions."""
    crops: str = UNKNOWN
    """What decides which part of a picture was seen."""
    focal: str = UNKNOWN
    """Where the focal lengths come from, by which depths were told."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictionBatch:
    """Predictions of consecutive samples; see the module for units."""

    names: tuple[str, ...]
    """B names of samples."""
    keypoints: NDArray[np.float32]
    """(B, K, 3)."""
    vertices: NDArray[np.float32] | None = None
    """(B, V, 3)."""
    pixels: NDArray[np.float32] | None = None
    """(B, K, 2) in the picture."""
    pose: NDArray[np.float32] | None = None
    """(B, J, 3, 3) as the body model takes it."""
    shape: NDArray[np.float32] | None = None
    """(B, P)."""
    transl: NDArray[np.float32] | None = None
    """(B, 3)."""
    focal: NDArray[np.float32] | None = None
    """(B, 2) by which depths were told, pixels of the picture."""
    focal_assumed: NDArray[np.bool_] | None = None
    """(B,) whether that is a guess."""
    errors: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Figures of each sample, (B,)."""


class PredictionWriter:
    """Appends batches to an open file; made by `write_predictions`."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._names = hashlib.sha256()
        self.count = 0

    def add(self, batch: PredictionBatch) -> None:
        """Append a batch; every one must hold the same parts as the first.

        Raises:
            ValueError: if a prediction is not finite, or parts are missing that came before.
        """
        columns = {name: getattr(batch, name) for name in ("keypoints", *OPTIONAL) if getattr(batch, name) is not None}
        for name in ("keypoints", "vertices"):
            if name in columns and not np.isfinite(columns[name]).all():
                bad = int(np.flatnonzero(~np.isfinite(columns[name]).all(axis=(1, 2)))[0])
                raise ValueError(f"{batch.names[bad]}: the predicted {name} are not finite")
        if self.count and {"names", *columns} != set(self._file) - {"errors"}:
            raise ValueError(f"a batch of {sorted(columns)}, the file has {sorted(set(self._file) - {'errors'})}")
        self._append("names", np.array(batch.names, dtype=h5py.string_dtype()))
        for name, values in columns.items():
            self._append(name, values if values.dtype == bool else values.astype(np.float32))
        for name, values in batch.errors.items():
            self._append(f"errors/{name}", values.astype(np.float32))
        for row, name in enumerate(batch.names):
            self._names.update(name.encode() + b"\0")
            self._digest.update(name.encode() + b"\0")
            for part in ("keypoints", "vertices"):
                if part in columns:
                    self._digest.update(np.ascontiguousarray(columns[part][row], np.float32).tobytes())
        self.count += len(batch.names)

    @property
    def sha256(self) -> str:
        """Digest of what was written so far."""
        return self._digest.hexdigest()

    @property
    def names_sha256(self) -> str:
        """Digest of the names so far, in order."""
        return self._names.hexdigest()

    def _append(self, name: str, values: NDArray[Any]) -> None:
        if name not in self._file:
            row_bytes = max(1, values[:1].nbytes)
            chunk = (max(1, CHUNK_BYTES // row_bytes), *values.shape[1:])
            self._file.create_dataset(
                name, shape=(0, *values.shape[1:]), maxshape=(None, *values.shape[1:]), dtype=values.dtype, chunks=chunk
            )
        dataset = self._file[name]
        dataset.resize(self.count + len(values), axis=0)
        dataset[self.count :] = values


@contextlib.contextmanager
def write_predictions(path: Path, layout: PredictionLayout) -> Iterator[PredictionWriter]:
    """Write a file batch by batch; it appears when the block ends well.

    Raises:
        OutputError: if it cannot be written.
    """
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        writer = PredictionWriter(file)
        yield writer
        file.attrs.update(
            format=FORMAT,
            subject=layout.subject,
            keypoint_names=json.dumps(layout.keypoint_names),
            model=layout.model or "",
            predictor=layout.predictor,
            crops=layout.crops,
            focal=layout.focal,
            sha256=writer.sha256,
        )


class Predictions:
    """A file of predictions, read when asked.

    Args:
        path: what `write_predictions` made.

    Raises:
        InputError: if it is missing, no such file, or cut short.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with h5py.File(path) as file:
                if file.attrs.get("format") != FORMAT:
                    raise InputError(f"{path}: is no file of predictions of this version; run humanpt eval again")
                self.layout = PredictionLayout(
                    subject=str(file.attrs["subject"]),
                    keypoint_names=tuple(json.loads(file.attrs["keypoint_names"])),
                    model=str(file.attrs["model"]) or None,
                    predictor=str(file.attrs["predictor"]),
                    crops=str(file.attrs.get("crops", UNKNOWN)),  # files of before do not tell
                    focal=str(file.attrs.get("focal", UNKNOWN)),
                )
                self.sha256 = str(file.attrs["sha256"])
                self.names: tuple[str, ...] = tuple(file["names"].asstr()[:]) if "names" in file else ()
                self.parts = tuple(name for name in OPTIONAL if name in file)
                self.error_names: tuple[str, ...] = tuple(file["errors"]) if "errors" in file else ()
                self._refuse_odd_shapes({name: file[name].shape for name in ("keypoints", *self.parts)})
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f"{path}: cannot be read as predictions ({error}); run humanpt eval again") from None

    def _refuse_odd_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        count, points = len(self.names), len(self.layout.keypoint_names)
        if shapes["keypoints"] != (count, points, 3):
            found = " x ".join(map(str, shapes["keypoints"]))
            raise InputError(f"{self.path}: key points are {found}, must be {count} x {points} x 3; predict again")
        for name, shape in shapes.items():
            if shape[:1] != (count,):
                raise InputError(f"{self.path}: {name} are of {shape[0]} samples, not of {count}; predict again")

    def __len__(self) -> int:
        return len(self.names)

    def batches(self, size: int, parts: Sequence[str] | None = None) -> Iterator[PredictionBatch]:
        """All predictions in order.

        Args:
            size: B.
            parts: of `parts`, which to read besides key points; None reads all.
        """
        with h5py.File(self.path) as file:
            for start in range(0, len(self), size):
                yield self._read(file, slice(start, start + size), parts)

    def at(self, indices: Sequence[int]) -> PredictionBatch:
        """The predictions at these places, in increasing order without repeats."""
        with h5py.File(self.path) as file:
            return self._read(file, np.asarray(indices, np.int64), None)

    def errors(self, name: str) -> NDArray[np.float32]:
        """(N,) a figure of each sample."""
        with h5py.File(self.path) as file:
            return np.asarray(file["errors"][name][:], np.float32)

    def _read(self, file: Any, rows: slice | NDArray[np.int64], parts: Sequence[str] | None) -> PredictionBatch:
        chosen = self.parts if parts is None else [name for name in self.parts if name in parts]
        names = self.names[rows] if isinstance(rows, slice) else tuple(self.names[row] for row in rows.tolist())
        return PredictionBatch(
            names=names,
            keypoints=file["keypoints"][rows],
            **{name: file[name][rows] for name in chosen},
            errors={name: file["errors"][name][rows].astype(np.float64) for name in self.error_names},
        )
