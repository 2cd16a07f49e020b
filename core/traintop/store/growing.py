"""An array that grows at its end, written by one thread and read by others without a lock."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray


class Growing:
    """A one-dimensional array with amortised appends.

    A reader's `view` stays what it was while values are appended: they are written before the
    length that admits them, and a larger buffer replaces the old one whole. Buffer and length are
    exchanged together, so that no reader sees the one without the other.
    """

    __slots__ = ("_held",)

    def __init__(self, dtype: DTypeLike = np.float64) -> None:
        self._held: tuple[NDArray[Any], int] = np.empty(64, dtype), 0

    def __len__(self) -> int:
        return self._held[1]

    def extend(self, values: ArrayLike) -> None:
        """Append values of shape (n,)."""
        buffer, size = self._held
        array = np.asarray(values, buffer.dtype)
        end = size + len(array)
        if end > len(buffer):
            larger = np.empty(max(end, 2 * len(buffer)), buffer.dtype)
            larger[:size] = buffer[:size]
            buffer = larger
        buffer[size:end] = array
        self._held = buffer, end

    def truncate(self, size: int) -> None:
        """Forget all but the first `size` values.

        Later appends overwrite what was cut off, also in views that reach there: for one picture a
        reader may see new values where it knew of old ones. To copy would cost the whole length at
        each of what may be thousands of late lines.
        """
        buffer, known = self._held
        if size < known:
            self._held = buffer, size

    def first(self, size: int) -> Growing:
        """Return the first `size` values as an array of their own, without a copy.

        It is for reading: what is appended to it would overwrite what follows here.
        """
        past = Growing.__new__(Growing)
        buffer, known = self._held
        past._held = buffer, min(size, known)
        return past

    def view(self) -> NDArray[Any]:
        """Return the values so far, shape (len,), not to be written to."""
        buffer, size = self._held
        return buffer[:size]

    def at(self, index: int) -> Any:
        """Return one value. A reader whose value was cut off a moment ago gets what stood there."""
        return self._held[0][index]
