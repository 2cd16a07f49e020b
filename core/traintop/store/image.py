"""Columns in a file: how they are written there, and how they are looked at without being read.

A column is a stretch of the file that begins with a page. After it there is room for values to
come, which is a hole in the file; they are written to private copies of its pages.
"""

from __future__ import annotations

import mmap
import os
import zlib
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from traintop.store.growing import Growing
from traintop.store.storage import PAGE, BlankBuffer, Storage

PIECE = 1 << 24
"""Bytes that are written or copied at a time: many, for a thread waits before each of them while
another one computes."""
ROOM = 4
"""One part in so many is left free behind a column, for values to come."""
LEAST_ROOM = 1024
"""Values that there is room for at least."""


class ColumnImage(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the file the values of a column are."""

    dtype: list[tuple[str, str]] | str
    """As numpy describes it."""
    shape: tuple[int, ...]
    """Of a value."""
    start: int
    """The index of the first value."""
    count: int
    offset: int | None
    """None: all are NaN, and none of them is in the file."""
    room: int = 0
    """Values that there is room for, the `count` among them."""
    checksum: int = 0
    """CRC-32 of the values."""

    @property
    def kind(self) -> np.dtype[Any]:
        """The type of a value."""
        described = self.dtype
        if isinstance(described, str):
            return np.dtype(described)
        return np.dtype([(name, kind) for name, kind in described])

    @property
    def place(self) -> int:
        """Where in the file the values begin."""
        return self.offset or 0

    @property
    def size(self) -> int:
        """How many bytes of values are in the file."""
        values = 0 if self.offset is None else self.count
        return values * self.kind.itemsize * int(np.prod(self.shape, dtype=int))


class ImageWriter:
    """Writes columns behind each other.

    Args:
        fd: The file.
        offset: Where in it to begin.
    """

    def __init__(self, fd: int, offset: int) -> None:
        self._fd = fd
        self.end = offset
        """The first byte behind all columns and their room."""

    def put(self, column: Growing) -> ColumnImage:
        """Write a column.

        Raises:
            OSError: There is no room on the disk.
        """
        start, values = column.placed()
        shape, dtype, count = values.shape[1:], values.dtype, len(values)
        described: Any = msgspec.to_builtins(dtype.descr) if dtype.names else dtype.str
        if column.blank:
            return ColumnImage(dtype=described, shape=shape, start=start, count=count, offset=None)
        size = dtype.itemsize * int(np.prod(shape, dtype=int))
        offset = -(-self.end // PAGE) * PAGE
        checksum, at = 0, offset
        step = max(PIECE // size, 1)
        for first in range(0, count, step):
            piece = np.ascontiguousarray(values[first : first + step])
            data = piece.reshape(-1).view(np.uint8).data
            checksum = zlib.crc32(data, checksum)
            while data:
                written = os.pwrite(self._fd, data, at)
                at, data = at + written, data[written:]
            column.trim()
        room = count + max(count // ROOM, LEAST_ROOM)
        self.end = offset + room * size
        return ColumnImage(
            dtype=described,
            shape=shape,
            start=start,
            count=count,
            offset=offset,
            room=room,
            checksum=checksum,
        )


class ImageReader:
    """Gives columns of a file as if they had been read.

    Args:
        fd: The file, which nobody changes.
        storage: Where the columns lie when their room is used up, or all of them.
        mapped: Whether the file is looked at through a map; else the columns are copied.

    Raises:
        OSError: It cannot be mapped.
    """

    def __init__(self, fd: int, storage: Storage, *, mapped: bool = True) -> None:
        self._fd = fd
        self._storage = storage
        access = mmap.PROT_READ | mmap.PROT_WRITE
        self._map = mmap.mmap(fd, 0, mmap.MAP_PRIVATE, access) if mapped else None
        self.unchecked: list[ColumnImage] = []
        """The columns that were asked for, and may not be what was written."""

    def column(self, image: ColumnImage) -> Growing:
        """Return a column.

        Raises:
            OSError, ValueError, TypeError: It is not in the file.
        """
        if image.offset is None:
            return Growing.over(BlankBuffer(), image.start, image.count, self._storage)
        kind, place = image.kind, image.place
        if kind.hasobject or place < PAGE or place % PAGE or not 0 <= image.count <= image.room:
            raise ValueError("not a column")
        if self._map is None:
            return self._copied(image)
        self.unchecked.append(image)
        array: NDArray[Any] = np.ndarray((image.room, *image.shape), kind, self._map, place)
        buffer = PrivateBuffer(self._map, place, array, image.count)
        self._storage.trims(buffer)
        return Growing.over(buffer, image.start, image.count, self._storage)

    def _copied(self, image: ColumnImage) -> Growing:
        column = Growing(image.kind, image.shape, image.start, self._storage)
        width = image.size // max(image.count, 1)
        checksum = 0
        step = max(PIECE // max(width, 1), 1)
        for first in range(0, image.count, step):
            size = width * min(step, image.count - first)
            data = os.pread(self._fd, size, image.place + width * first)
            if len(data) < size:
                raise ValueError("too short")
            checksum = zlib.crc32(data, checksum)
            column.append(np.frombuffer(data, image.kind).reshape(-1, *image.shape))
        if checksum != image.checksum:
            raise ValueError("a column is not what was written")
        return column


class PrivateBuffer:
    """A part of a file that is mapped privately: what is written stays in memory."""

    spare = 4.0

    def __init__(self, file: mmap.mmap, offset: int, array: NDArray[Any], clean: int) -> None:
        self.array = array
        self._map = file
        self._offset = offset
        self._clean = clean
        """How many of the first values are those of the file."""

    def write(self, at: int, values: NDArray[Any]) -> None:
        """Write values from an index on."""
        self._clean = min(self._clean, at)
        self.array[at : at + len(values)] = values

    def trim(self) -> None:
        """Let go of the pages that are as they are in the file."""
        size = self._clean * self.array.strides[0] // PAGE * PAGE
        if size:
            self._map.madvise(mmap.MADV_DONTNEED, self._offset, size)
