"""A file in memory with holes, where HDF5 lays out a shard before it goes to disk."""

from __future__ import annotations

import io
import os
from typing import IO, Any


class SparseFile(io.RawIOBase):
    """A file in memory that keeps only the pages written to.

    HDF5 makes the skeleton of a shard here and never meets the disk: when a write fails, HDF5 2.0 first prints and then
    ends the process with a segmentation fault. The raw data follow by ordinary writes, whose errors are exceptions.
    """

    PAGE = 1 << 14

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self._size = 0
        self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; see io.IOBase."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """The place; see io.IOBase."""
        return self._at

    def truncate(self, size: int | None = None) -> int:
        """Set the length; see io.IOBase."""
        self._size = self._at if size is None else size
        return self._size

    def write(self, data: Any) -> int:
        """Write at the place; see io.RawIOBase."""
        view = memoryview(data).cast("B")
        for page, start, done, length in self._pieces(len(view)):
            self._pages.setdefault(page, bytearray(self.PAGE))[start : start + length] = view[done : done + length]
        self._at += len(view)
        self._size = max(self._size, self._at)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Read from the place; see io.RawIOBase."""
        view = memoryview(buffer).cast("B")
        view = view[: max(0, self._size - self._at)]
        for page, start, done, length in self._pieces(len(view)):
            piece = self._pages.get(page, bytes(self.PAGE))
            view[done : done + length] = piece[start : start + length]
        self._at += len(view)
        return len(view)

    def copy_to(self, file: IO[bytes]) -> None:
        """Write the pages to a new file of the same length; what was never written stays a hole."""
        for page, data in sorted(self._pages.items()):
            file.seek(page * self.PAGE)
            file.write(data[: max(0, self._size - page * self.PAGE)])
        file.truncate(self._size)

    def _pieces(self, length: int) -> list[tuple[int, int, int, int]]:
        pieces, done = [], 0
        while done < length:
            page, start = divmod(self._at + done, self.PAGE)
            piece = min(self.PAGE - start, length - done)
            pieces.append((page, start, done, piece))
            done += piece
        return pieces
