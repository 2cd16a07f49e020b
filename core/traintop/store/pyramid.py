"""Minimum, maximum, sum and count of blocks of a series, kept as it grows.

A frame then costs by the width of the screen and not by the length of the run, and no extreme is
lost: the minimum and the maximum of a block survive every level.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from traintop.records import Floats
from traintop.store.aggregates import BLOCK, Bounds, Columns, Sums, finite_parts, take_maxima
from traintop.store.growing import Growing
from traintop.store.image import ColumnImage, ImageReader, ImageWriter
from traintop.store.storage import MEMORY, Storage

FANOUT = 64
"""Values a block of the first level; blocks of one level a block of the next."""


class PyramidImage(msgspec.Struct, frozen=True, kw_only=True):
    """A pyramid in a file."""

    made: tuple[int, int] | None
    levels: list[ColumnImage]


class Pyramid:
    """The levels above one series; level `k` (from 1) has a block for each `fanout**k` values.

    Blocks are aligned with the indices of the values, so that values which come before the first
    change none of them.

    Args:
        shape: Of each value: a series of vectors has a pyramid a component.
        fanout: Values a block of the first level; blocks of one level a block of the next.
        storage: Where the blocks may lie.
    """

    __slots__ = ("_fanout", "_levels", "_made", "_shape", "_storage")

    def __init__(
        self, shape: tuple[int, ...] = (), fanout: int = FANOUT, storage: Storage = MEMORY
    ) -> None:
        self._shape = shape
        self._fanout = fanout
        self._storage = storage
        self._levels: list[Growing] = []
        self._made: tuple[int, int] | None = None
        """The bounds of the values when blocks were last made."""

    def grow(self, values: Growing) -> None:
        """Take in the blocks that have become complete, once there are enough of them.

        Args:
            values: The whole series so far.
        """
        start, end = values.bounds
        first, last = self._made or (start, start)
        lag = self._fanout**2
        if end - last < lag and first - start < lag:
            return
        self._made = start, end
        below = values
        for depth in range(11):
            first, last = -(-start // self._fanout), end // self._fanout
            if first >= last:
                return
            if depth == len(self._levels):
                self._levels.append(self._level(first))
            level = self._levels[depth]
            if not len(level):
                level = self._levels[depth] = self._level(first)
            known_first, known_last = level.bounds
            if last > known_last:
                level.append(self._blocks(below, known_last, last))
            if first < known_first:
                level.prepend(self._blocks(below, first, known_first))
            below, start, end = level, *level.bounds

    def image(self, writer: ImageWriter) -> PyramidImage:
        """Write the blocks to a file."""
        return PyramidImage(made=self._made, levels=[writer.put(level) for level in self._levels])

    def restore(self, image: PyramidImage, reader: ImageReader) -> None:
        """Take the blocks from a file."""
        self._made = image.made
        self._levels = [reader.column(level) for level in image.levels]

    def truncate(self, end: int) -> None:
        """Forget the blocks that reach beyond the values before an index."""
        if self._made is not None:
            self._made = min(self._made[0], end), min(self._made[1], end)
        for level in self._levels:
            end //= self._fanout
            level.truncate(end)

    def before(self, end: int) -> Pyramid:
        """Return the blocks of the values before an index, without a copy and for reading only."""
        past = Pyramid(self._shape, self._fanout, self._storage)
        for level in list(self._levels):
            end //= self._fanout
            past._levels.append(level.before(end))
        return past

    def reduce(self, values: Growing, bounds: Bounds, part: Any = ...) -> Columns:
        """Reduce values to columns, by their finite values.

        Where a column holds many values, the borders between columns are exact to a quarter of a
        column; the first and the last border are exact.

        Args:
            values: The whole series so far.
            bounds: Shape (columns + 1,), never falling: the index at which each column begins.
            part: Which components of the values, an index of their axis.
        """
        sums = Sums(len(bounds) - 1, np.empty(self._shape)[part].shape)
        for data, within, size in self._pieces(values, bounds, part):
            sums.take(data, within, size)
        return sums.columns()

    def maxima(self, values: Growing, bounds: Bounds, part: Any = ...) -> Floats:
        """Reduce values to the greatest one in each column, infinite where any is infinite.

        The arguments are those of `reduce`.
        """
        found = np.full((len(bounds) - 1, *np.empty(self._shape)[part].shape), np.nan)
        for data, within, _ in self._pieces(values, bounds, part):
            take_maxima(found, data, within)
        return found

    def _pieces(
        self, values: Growing, bounds: Bounds, part: Any
    ) -> Iterator[tuple[NDArray[Any], Bounds, int]]:
        """Cut what is to be reduced into the largest blocks that are there, and single values.

        Yields:
            Blocks or values, in any order; where in them each column begins; values a block.
        """
        start, end = values.bounds
        bounds = np.clip(bounds, start, end)
        first, last = int(bounds[0]), int(bounds[-1])
        # What is left to be cut at either side of what was cut out so far.
        left, right = last, last
        for depth in range(self._level_for((last - first) / max(len(bounds) - 1, 1)), 0, -1):
            size = self._fanout**depth
            level = self._levels[depth - 1]
            low = max(-(-first // size), level.start)
            high = min(last // size, level.end)
            if low >= high:
                continue
            if left == right:
                sides = [(low, high)]
                left, right = low * size, high * size
            else:
                sides = [(low, left // size), (right // size, high)]
                left, right = min(low * size, left), max(high * size, right)
            for begin, stop in sides:
                if begin < stop:
                    within = np.clip(-(-bounds // size) - begin, 0, stop - begin)
                    yield _chosen(level.between(begin, stop), part), within, size
        for begin, stop in [(first, left), (right, last)]:
            if begin < stop:
                within = np.clip(bounds - begin, 0, stop - begin)
                yield _chosen(values.between(begin, stop), part), within, 1

    def nonfinite(self, values: Growing) -> NDArray[np.int64]:
        """Return the indices of the values at which a stretch of NaN or infinite ones begins."""
        start, end = values.bounds
        level = self._levels[0] if self._levels else Growing(BLOCK)
        first, blocks = level.placed()
        size = self._fanout
        if not len(blocks):
            return _begins(values, np.arange(start, end))
        finite = blocks["finite"]
        # Where a whole block is not finite and the one before it neither, nothing begins.
        odd = finite < size
        odd[1:] &= (finite[1:] > 0) | (finite[:-1] > 0)
        inside = (np.flatnonzero(odd)[:, None] + first) * size + np.arange(size)
        last = (first + len(blocks)) * size
        at = np.concatenate(
            (np.arange(start, first * size), inside.ravel(), np.arange(min(last, end), end))
        )
        return _begins(values, at)

    def _level(self, first: int) -> Growing:
        return Growing(BLOCK, self._shape, first, self._storage)

    def _level_for(self, values_per_column: float) -> int:
        """Return the highest level whose blocks are no more than a quarter of a column wide."""
        depth = 0
        while depth < len(self._levels) and 4 * self._fanout ** (depth + 1) <= values_per_column:
            depth += 1
        return depth

    def _blocks(self, below: Growing, first: int, last: int) -> NDArray[Any]:
        """Make blocks [first, last) of what lies below them."""
        parts = below.between(first * self._fanout, last * self._fanout)
        parts = parts.reshape(last - first, self._fanout, *self._shape)
        made = np.empty((last - first, *self._shape), BLOCK)
        if parts.dtype == BLOCK:
            np.fmin.reduce(parts["lo"], axis=1, out=made["lo"])
            np.fmax.reduce(parts["hi"], axis=1, out=made["hi"])
            np.add.reduce(parts["total"], axis=1, out=made["total"])
            np.add.reduce(parts["finite"], axis=1, out=made["finite"])
            np.add.reduce(parts["infinite"], axis=1, out=made["infinite"])
            return made
        known, finite, total = finite_parts(parts)
        np.fmin.reduce(known, axis=1, out=made["lo"])
        np.fmax.reduce(known, axis=1, out=made["hi"])
        np.add.reduce(total, axis=1, out=made["total"])
        made["finite"], made["infinite"] = self._fanout, 0
        if finite is not None:
            made["finite"] = np.add.reduce(finite, axis=1)
            made["infinite"] = np.add.reduce(np.isinf(parts), axis=1)
        return made


def _chosen(data: NDArray[Any], part: Any) -> NDArray[Any]:
    return data if part is ... else data[:, part]


def _begins(values: Growing, at: Bounds) -> Bounds:
    """Return those of the indices at which a stretch of NaN or infinite values begins."""
    origin, known = values.placed()
    at = at[(at >= origin) & (at < origin + len(known))]
    if not len(at):
        return at
    bad = ~np.isfinite(known[at - origin])
    at = at[bad]
    goes_on = ~np.isfinite(known[np.maximum(at - 1 - origin, 0)]) & (at > origin)
    begins: Bounds = at[~goes_on]
    return begins
