"""An array that grows at both ends, written by one thread and read by others without a lock."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from traintop.store.storage import BLANK, MEMORY, BlankBuffer, Buffer, MemoryBuffer, Storage

LEAST = 64
"""Values that there is room for at first."""
PIECE = 1 << 22
"""Bytes copied at a time."""


class _Held(NamedTuple):
    buffer: Buffer
    origin: int
    """Where in the buffer the value with the index 0 is, or would be."""
    start: int
    end: int


class Growing:
    """An array with amortised appends at its end and its beginning.

    A value keeps its index: what is put before the first one has the indices below its index,
    which may be negative. A reader's `view` stays what it was while values come: they are written
    before the bounds that admit them, and a larger buffer replaces the old one whole. Buffer and
    bounds are exchanged together, so that no reader sees the one without the other.

    Args:
        dtype: Of the values.
        shape: Of each value.
        start: Index of the first value.
        storage: Where it may lie.
        blank: Whether it may well hold nothing but NaN, and then needs no room.
    """

    __slots__ = ("_held", "_storage")

    def __init__(
        self,
        dtype: DTypeLike = np.float64,
        shape: tuple[int, ...] = (),
        start: int = 0,
        storage: Storage = MEMORY,
        *,
        blank: bool = False,
    ) -> None:
        self._storage = storage
        if blank:
            self._held = _Held(BlankBuffer(), BLANK // 2, start, start)
        else:
            # The least that a series may hold: there may be thousands of them.
            self._held = _Held(MemoryBuffer((LEAST, *shape), dtype), -start, start, start)

    @classmethod
    def over(cls, buffer: Buffer, start: int, count: int, storage: Storage) -> Growing:
        """Return an array whose values are the first of a buffer."""
        column = cls.__new__(cls)
        column._storage = storage
        origin = BLANK // 2 if isinstance(buffer, BlankBuffer) else -start
        column._held = _Held(buffer, origin, start, start + count)
        return column

    @property
    def blank(self) -> bool:
        """Whether it holds nothing but NaN, and takes no room."""
        return isinstance(self._held.buffer, BlankBuffer)

    def trim(self) -> None:
        """Let go of the pages of the file that were looked at."""
        self._storage.trim()

    def __len__(self) -> int:
        held = self._held
        return held.end - held.start

    @property
    def start(self) -> int:
        """The index of the first value."""
        return self._held.start

    @property
    def end(self) -> int:
        """The index after that of the last value."""
        return self._held.end

    @property
    def bounds(self) -> tuple[int, int]:
        """Start and end at one moment."""
        held = self._held
        return held.start, held.end

    def append(self, values: ArrayLike) -> None:
        """Append values of shape (n, ...)."""
        array = np.asarray(values, self._held.buffer.array.dtype)
        self._write(self._held.end, array)

    def prepend(self, values: ArrayLike) -> None:
        """Put values of shape (n, ...) before those that are there."""
        array = np.asarray(values, self._held.buffer.array.dtype)
        self._write(self._held.start - len(array), array)

    def truncate(self, end: int) -> None:
        """Forget the values from an index on.

        Later appends overwrite what was cut off, also in views that reach there: for one picture a
        reader may see new values where it knew of old ones. To copy would cost the whole length at
        each of what may be thousands of late lines.
        """
        held = self._held
        if end < held.end:
            self._held = held._replace(end=max(end, held.start))

    def before(self, end: int) -> Growing:
        """Return the values before an index as an array of their own, without a copy.

        It is for reading: what is appended to it would overwrite what follows here.
        """
        past = Growing.__new__(Growing)
        held = self._held
        past._storage = self._storage
        past._held = held._replace(end=max(min(end, held.end), held.start))
        return past

    def view(self) -> NDArray[Any]:
        """Return the values so far, shape (len, ...), not to be written to."""
        buffer, origin, start, end = self._held
        return buffer.array[origin + start : origin + end]

    def placed(self) -> tuple[int, NDArray[Any]]:
        """Return the index of the first value, and the values."""
        buffer, origin, start, end = self._held
        return start, buffer.array[origin + start : origin + end]

    def between(self, first: int, last: int) -> NDArray[Any]:
        """Return the values with indices [first, last), as many of them as there are."""
        buffer, origin, start, end = self._held
        first = min(max(first, start), end)
        return buffer.array[origin + first : origin + max(min(last, end), first)]

    def at(self, index: int) -> Any:
        """Return one value. A reader whose value was cut off a moment ago gets what stood there."""
        buffer, origin, _, _ = self._held
        return buffer.array[origin + index]

    def _write(self, at: int, values: NDArray[Any]) -> None:
        """Write values that touch those that are there."""
        if not len(values):
            return
        held = self._held
        if isinstance(held.buffer, BlankBuffer) and not np.isnan(values).all():
            held = self._moved(held, 0, 0)
        first, last = at + held.origin, at + held.origin + len(values)
        if first < 0 or last > len(held.buffer.array):
            held = self._moved(held, max(-first, 0), max(last - len(held.buffer.array), 0))
        try:
            held.buffer.write(at + held.origin, values)
        except OSError as error:
            self._storage.give_up(error)
            held = self._moved(held, 0, 0)
            held.buffer.write(at + held.origin, values)
        start, end = min(at, held.start), max(at + len(values), held.end)
        self._held = held._replace(start=start, end=end)

    def _moved(self, held: _Held, before: int, after: int) -> _Held:
        """Copy to a larger buffer, with room for so many more values before or after.

        The side that grows gets more room by the buffer's size, the other keeps what it has, so
        that growing at both ends costs no more than at one.
        """
        array = held.buffer.array
        if isinstance(held.buffer, BlankBuffer):
            room_before = room_after = 0
        else:
            room_before = held.origin + held.start
            room_after = len(array) - held.origin - held.end
        size = held.end - held.start
        more = max(int(size * (held.buffer.spare - 1)), LEAST)
        room_before += before + more * bool(before)
        room_after += after + more * bool(after or not before)
        shape = (room_before + size + room_after, *array.shape[1:])
        buffer = self._storage.buffer(shape, array.dtype)
        step = max(PIECE // (array.itemsize * int(np.prod(shape[1:], dtype=int))), 1)
        try:
            for first in range(0, size, step):
                begin = held.origin + held.start + first
                part = array[begin : begin + min(step, size - first)]
                buffer.write(room_before + first, part)
                if len(part) == step:
                    self._storage.trim()
        except OSError as error:
            self._storage.give_up(error)
            return self._moved(held, before, after)
        return _Held(buffer, room_before - held.start, held.start, held.end)
