"""Where columns lie: in memory while they are small, beyond that in a file without a name.

A run of millions of steps does not fit into the memory that a viewer may take beside a training.
What is written to the file is read back through a map of it, page by page as it is looked at, and
`trim` lets go of the pages again: they stay in the system's cache, not in this process.
"""

from __future__ import annotations

import mmap
import os
import threading
import weakref
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

IN_MEMORY = 8 << 20
"""Bytes of columns that are kept in memory; more of them go to the file."""
LEAST_IN_FILE = 1 << 16
"""Bytes below which a column stays in memory all the same."""
ARENA = 1 << 28
"""Bytes that the file grows by. They are a hole until they are written to."""
PAGE = mmap.ALLOCATIONGRANULARITY
BLANK = 1 << 42
"""Values of a column that holds nothing but NaN and takes no memory."""


class Buffer(Protocol):
    """Room for values, written by one thread."""

    array: NDArray[Any]
    """For reading."""
    spare: float
    """How many times its size a buffer that replaces it should have: empty room in a file is
    free."""

    def write(self, at: int, values: NDArray[Any]) -> None:
        """Write values from an index on.

        Raises:
            OSError: There is no room on the disk.
        """
        ...


class Trimmed(Protocol):
    """What can let go of pages."""

    def trim(self) -> None:
        """Let go of the pages that were looked at."""
        ...


class MemoryBuffer:
    """An array."""

    spare = 2.0

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.array = np.empty(shape, dtype)

    def write(self, at: int, values: NDArray[Any]) -> None:
        """Write values from an index on."""
        self.array[at : at + len(values)] = values


class BlankBuffer:
    """Nothing but NaN, however long: one value in memory."""

    spare = 2.0

    def __init__(self) -> None:
        self.array = np.ndarray((BLANK,), np.float64, np.array([np.nan]), 0, (0,))
        self.array.flags.writeable = False

    def write(self, at: int, values: NDArray[Any]) -> None:
        """Take NaN, which is there already."""


class FileBuffer:
    """A part of a file, read through a map and written by system calls.

    A write to a map would end the process where the disk is full, and keep every page that was
    written to.
    """

    spare = 4.0

    def __init__(self, fd: int, offset: int, array: NDArray[Any]) -> None:
        self.array = array
        self._fd = fd
        self._offset = offset

    def write(self, at: int, values: NDArray[Any]) -> None:
        """Write values from an index on.

        Raises:
            OSError: There is no room on the disk.
        """
        if not len(values):
            return
        data = np.ascontiguousarray(values, self.array.dtype).reshape(-1).view(np.uint8).data
        place = self._offset + at * self.array.strides[0]
        while data:
            written = os.pwrite(self._fd, data, place)
            place += written
            data = data[written:]


class _Arena:
    """A stretch of the file, mapped whole: one map serves many columns."""

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self.offset = offset
        self.map = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset)
        self.size = size
        self.used = 0

    def take(self, size: int) -> int | None:
        """Return where in the arena a piece of this size begins; None where it does not fit."""
        if self.used + size > self.size:
            return None
        at, self.used = self.used, self.used + -(-size // PAGE) * PAGE
        return at


class Storage:
    """Gives columns room.

    Args:
        folder: Where the file is made, which never has a name there, so that nothing is left
            behind; None: everything stays in memory.
        in_memory: Bytes that are kept in memory before the file is made.
    """

    def __init__(self, folder: Path | None = None, in_memory: int = IN_MEMORY) -> None:
        self.folder = folder
        """Where the file is, or would be; None where everything stays in memory."""
        self._left = in_memory
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._arenas: list[_Arena] = []
        self._trimmed: weakref.WeakSet[Trimmed] = weakref.WeakSet()
        self.problem: str | None = None
        """Why everything stays in memory, where it was meant not to."""

    def buffer(self, shape: tuple[int, ...], dtype: DTypeLike) -> Buffer:
        """Return room for values of a shape, whose first axis is that of the values."""
        kind = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        with self._lock:
            # Room in memory that a larger buffer replaces is not given back: it doubles, so that
            # all that came before is no larger than what is there.
            if self.folder is not None and size >= LEAST_IN_FILE and size > self._left:
                found = self._in_file(shape, kind, size)
                if found is not None:
                    return found
            self._left -= size
        return MemoryBuffer(shape, kind)

    def give_up(self, error: OSError) -> None:
        """Keep everything in memory from now on."""
        self.folder = None
        why = error.strerror or str(error)
        self.problem = f"long series are kept in memory: the file for them cannot be written: {why}"

    def trim(self) -> None:
        """Let go of the pages of the file that were looked at. Any thread may be reading them."""
        for arena in self._arenas:
            arena.map.madvise(mmap.MADV_DONTNEED)
        for buffer in self._trimmed:
            buffer.trim()

    def trims(self, buffer: Trimmed) -> None:
        """Trim a buffer over another file, too."""
        self._trimmed.add(buffer)

    def _in_file(self, shape: tuple[int, ...], dtype: np.dtype[Any], size: int) -> Buffer | None:
        try:
            if self._fd is None:
                self._fd = self._open()
            arena = self._arenas[-1] if self._arenas else None
            at = None if arena is None else arena.take(size)
            if arena is None or at is None:
                arena = self._grow(self._fd, size)
                at = arena.take(size)
        except OSError as error:
            self.give_up(error)
            return None
        assert at is not None  # noqa: S101 - an arena is as large as what it was made for
        array = np.ndarray(shape, dtype, arena.map, at)
        return FileBuffer(self._fd, arena.offset + at, array)

    def _open(self) -> int:
        assert self.folder is not None  # noqa: S101 - only called where there is one
        if not hasattr(os, "pwrite"):
            raise OSError("this system cannot write to a file that is mapped")
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        import tempfile

        with tempfile.TemporaryFile(dir=self.folder) as file:
            fd = os.dup(file.fileno())
        weakref.finalize(self, os.close, fd)
        return fd

    def _grow(self, fd: int, size: int) -> _Arena:
        end = self._arenas[-1].offset + self._arenas[-1].size if self._arenas else 0
        size = max(-(-size // PAGE) * PAGE, ARENA)
        os.ftruncate(fd, end + size)
        arena = _Arena(fd, end, size)
        self._arenas.append(arena)
        return arena


MEMORY = Storage()
"""Memory alone."""
