"""All pairs of one or more folders of shards, and their split into training and held-out pairs."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from humanpt.data.image import Rgb
from humanpt.data.records import PairRecord, SubjectKind
from humanpt.data.shard_reader import ShardReader, no_pairs
from humanpt.data.split import split_groups
from humanpt.errors import InputError, ShardError
from humanpt.files import exists

MAPPED_AT_ONCE = 256  # each mapped shard holds a file descriptor, and 1024 of them are a usual limit


def find_shards(path: Path) -> list[Path]:
    """The shards in a folder and the folders in it, sorted; or the one file given. Hidden ones are not finished.

    Raises:
        InputError: if the path does not exist, or the folder holds no shard.
    """
    if exists(path) and path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(
            f"{path}: no such folder of pairs; check the path, or make pairs with `humanpt mkpairs videos/`"
        )
    found = sorted(
        file
        for file in path.rglob("*.h5")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not found:
        raise InputError(f"{path}: no shards of pairs (*.h5) in this folder; make some with `humanpt mkpairs videos/`")
    return found


class PairSet:
    """The pairs of every shard in one or more folders, numbered through.

    `kind` (N,), `sequence` (N,) and `sequences` are in memory, everything else is read when asked for. A set may be
    forked, pickled, and used by threads.
    """

    subject_kind: SubjectKind
    kind: NDArray[np.uint8]
    """(N,) codes of `Kind`."""
    sequence: NDArray[np.int64]
    """(N,) indices into `sequences`."""
    sequences: tuple[str, ...]
    """Names of the sequences, unique over all folders."""
    folders: tuple[Path, ...]
    """The folders or shards that it was opened from, in the order given."""
    dataset: NDArray[np.int64]
    """(N,) indices into `folders`."""
    crop_size: int | None
    """Side of the stored pictures in pixels; None where shards differ in it."""

    def __init__(self, readers: Sequence[ShardReader], of_folder: Sequence[int], folders: Sequence[Path]) -> None:
        self.readers = tuple(readers)
        self.folders = tuple(folders)
        self.dataset = np.repeat(np.array(of_folder, np.int64), [len(reader) for reader in readers])
        sizes = {reader.crop_size for reader in readers}
        self.crop_size = sizes.pop() if len(sizes) == 1 else None
        self.subject_kind = readers[0].subject_kind
        self._ends = np.cumsum([len(reader) for reader in readers]).tolist()
        self._recent: deque[ShardReader] = deque()
        self.kind = np.concatenate([reader.kind for reader in readers])
        roots = [folder if folder.is_dir() else folder.parent for folder in folders]
        self.sequences, of_reader = _join_sequences(readers, [roots[number] for number in of_folder])
        self.sequence = np.concatenate([of[reader.sequence] for reader, of in zip(readers, of_reader, strict=True)])
        for reader in readers:
            reader.release()

    @classmethod
    def open(cls, paths: Sequence[Path], *, subject_kind: SubjectKind | None = None) -> Self:
        """Open every shard below the given folders.

        Args:
            paths: folders, searched through, or single shards; what is found twice counts once, for the first.
            subject_kind: take only shards of this kind; None takes all, which must then be of one kind.

        Raises:
            InputError: if a path does not exist or holds no shards, or bodies and hands are mixed.
            ShardError: if a shard is unreadable or has no pairs.
        """
        if not paths:
            raise InputError("no folder of pairs given; make one with `humanpt mkpairs videos/`")
        readers: dict[Path, tuple[ShardReader, int]] = {}
        for number, path in enumerate(paths):
            for shard in find_shards(path):
                if shard.resolve() in readers:
                    continue
                reader = ShardReader(shard)
                reader.release()
                if not len(reader):
                    raise ShardError(no_pairs(shard))
                if subject_kind in (None, reader.subject_kind):
                    readers[shard.resolve()] = reader, number
        kinds = sorted({reader.subject_kind for reader, _ in readers.values()})
        where = ", ".join(map(str, paths))
        if not kinds:
            raise InputError(
                f"{where}: no pairs of a {subject_kind}; make some with `humanpt mkpairs videos/ --{subject_kind}`"
            )
        if len(kinds) > 1:
            raise InputError(f"{where}: pairs of {' and '.join(kinds)} are mixed; give folders of one kind")
        return cls([reader for reader, _ in readers.values()], [number for _, number in readers.values()], paths)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def locate(self, index: int) -> tuple[ShardReader, int]:
        """The reader and the row of a pair.

        Raises:
            IndexError: if there is no such pair.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        shard = bisect.bisect_right(self._ends, index)
        reader = self.readers[shard]
        if not reader.is_mapped:
            self._recent.append(reader)
            if len(self._recent) > MAPPED_AT_ONCE:
                self._recent.popleft().release()
        return reader, index - (self._ends[shard - 1] if shard else 0)

    def jpegs(self, index: int) -> tuple[memoryview, memoryview]:
        """The two JPEG files of a pair; see `ShardReader.jpegs`."""
        reader, row = self.locate(index)
        return reader.jpegs(row)

    def images(self, index: int, least: int | None = None) -> tuple[Rgb, Rgb]:
        """The two pictures of a pair; see `ShardReader.images`."""
        reader, row = self.locate(index)
        return reader.images(row, least)

    def image(self, index: int, which: int, least: int | None = None) -> Rgb:
        """One of the two pictures of a pair, 0 or 1; see `ShardReader.image`."""
        reader, row = self.locate(index)
        return reader.image(row, which, least)

    def masks(self, index: int) -> tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]:
        """The two masks of a pair; see `ShardReader.masks`."""
        reader, row = self.locate(index)
        return reader.masks(row)

    def record(self, index: int) -> PairRecord:
        """Everything about a pair; see `ShardReader.record`."""
        reader, row = self.locate(index)
        return reader.record(row)

    def split(self, heldout_share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Part the pairs into those for training and those held out, by whole sequences.

        The held-out share is as near to the one wanted as whole sequences allow, but with a share above 0 and two or
        more sequences at least one is held out and at least one is not. The same set and seed give the same split.

        Args:
            heldout_share: wanted share of the pairs, from 0 to below 1.
            seed: from 0; another seed holds out others where there is a choice.

        Returns:
            Sorted indices (T,) of training and (H,) of held-out pairs.
        """
        return split_groups(self.sequence, heldout_share, seed)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_recent": deque()}


def _join_sequences(
    readers: Sequence[ShardReader], roots: Sequence[Path]
) -> tuple[tuple[str, ...], list[NDArray[np.int64]]]:
    """Number the sequences of all shards: the names, and for each shard the number of each of its sequences.

    Within a folder equal names are one sequence. Across folders equal names may be different recordings, so the folder
    becomes part of the name; but where the digest of a source recurs it is the same recording, under whatever name.
    """
    several = len({root.resolve() for root in roots}) > 1
    name_of: dict[tuple[Path, str], str] = {}
    leader: dict[str, str] = {}  # each name to one that stands for the same recording, up to one that leads itself

    def lead(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    by_digest: dict[str, str] = {}
    for reader, root in zip(readers, roots, strict=True):
        for source in reader.sources:
            name = f"{root}:{source.sequence}" if several else source.sequence
            name_of[root, source.sequence] = name
            leader.setdefault(name, name)
            if source.sha256:
                same = by_digest.setdefault(source.sha256, name)
                leader[lead(name)] = lead(same)
    numbers: dict[str, int] = {}
    of_reader = []
    for reader, root in zip(readers, roots, strict=True):
        leads = [lead(name_of[root, sequence]) for sequence in reader.sequences]
        of_reader.append(np.array([numbers.setdefault(name, len(numbers)) for name in leads], np.int64))
    return tuple(numbers), of_reader
