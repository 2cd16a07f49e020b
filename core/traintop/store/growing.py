"""An array that grows at its end, written by one thread and read by others without a lock."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray


class Growing:
    """A one-dimensional array with amortised appends.

    A reader's `view` stays valid while the writer goes on: rows are written before the length
    that admits them, and a larger buffer replaces the old one whole.
    """

    __slots__ = ("_buffer", "_size")

    def __init__(self, dtype: DTypeLike = np.float64) -> None:
        self._buffer: NDArray[Any] = np.empty(64, dtype)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def extend(self, values: ArrayLike) -> None:
        """Append values of shape (n,)."""
        array = np.asarray(values, self._buffer.dtype)
        size = self._size + len(array)
        if size > len(self._buffer):
            buffer = np.empty(max(size, 2 * len(self._buffer)), self._buffer.dtype)
            buffer[: self._size] = self._buffer[: self._size]
            self._buffer = buffer
        self._buffer[self._size : size] = array
        self._size = size

    def truncate(self, size: int) -> None:
        """Forget all but the first `size` values. Later appends go to a fresh buffer."""
        if size < self._size:
            self._buffer = self._buffer[:size].copy() if size else self._buffer[:1].copy()
            self._size = size

    def view(self) -> NDArray[Any]:
        """Return the values so far, shape (len,), not to be written to."""
        size = self._size
        return self._buffer[:size]
