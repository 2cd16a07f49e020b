"""Minimum, maximum, sum and count of blocks of a series, kept as it grows.

A frame then costs by the width of the screen and not by the length of the run, and no extreme is
lost: the minimum and the maximum of a block survive every level.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from traintop.records import Floats
from traintop.store.growing import Growing
from traintop.store.image import ColumnImage, ImageReader, ImageWriter
from traintop.store.storage import MEMORY, Storage

FANOUT = 64
"""Values a block of the first level; blocks of one level a block of the next."""
BLOCK = np.dtype(
    [("lo", "f8"), ("hi", "f8"), ("total", "f8"), ("finite", "i4"), ("infinite", "i4")]
)
"""Least and greatest finite value, NaN where there is none; the sum of the finite values; how many
are finite, and how many infinite."""

Bounds = NDArray[np.int64]


class Columns(NamedTuple):
    """Aggregates of columns, each of shape (columns, ...), NaN where a column is empty."""

    lo: Floats
    """Least finite value."""
    hi: Floats
    mean: Floats
    """Of the finite values."""
    nonfinite: NDArray[np.int64]
    """How many values are NaN or infinite."""


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
        return self._sums(values, bounds, part).finish()

    def maxima(self, values: Growing, bounds: Bounds, part: Any = ...) -> Floats:
        """Reduce values to the greatest one in each column, infinite where any is infinite.

        The arguments are those of `reduce`.
        """
        return self._sums(values, bounds, part).maxima()

    def _sums(self, values: Growing, bounds: Bounds, part: Any) -> _Sums:
        start, end = values.bounds
        bounds = np.clip(bounds, start, end)
        columns = len(bounds) - 1
        first, last = int(bounds[0]), int(bounds[-1])
        pieces: list[tuple[int, int, int]] = []
        top = self._level_for((last - first) / max(columns, 1))
        for depth in range(top, 0, -1):
            size = self._fanout**depth
            known = self._levels[depth - 1].bounds
            low, high = max(-(-first // size), known[0]), min(last // size, known[1])
            if low < high:
                if not pieces:
                    pieces.append((depth, low, high))
                    continue
                before, after = pieces[0], pieces[-1]
                edge = before[1] * self._fanout ** before[0] // size
                if low < edge:
                    pieces.insert(0, (depth, low, edge))
                edge = after[2] * self._fanout ** after[0] // size
                if edge < high:
                    pieces.append((depth, edge, high))
        result = _Sums(columns, np.empty(self._shape)[part].shape)
        if not pieces:
            result.values(values.between(first, last), first, bounds, part)
            return result
        low = pieces[0][1] * self._fanout ** pieces[0][0]
        high = pieces[-1][2] * self._fanout ** pieces[-1][0]
        result.values(values.between(first, low), first, np.minimum(bounds, low), part)
        for depth, begin, stop in pieces:
            size = self._fanout**depth
            blocks = self._levels[depth - 1].between(begin, stop)
            result.blocks(blocks, begin, np.clip(-(-bounds // size), begin, stop), size, part)
        result.values(values.between(high, last), high, np.maximum(bounds, high), part)
        return result

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
        known, finite, total = _known(parts)
        np.fmin.reduce(known, axis=1, out=made["lo"])
        np.fmax.reduce(known, axis=1, out=made["hi"])
        np.add.reduce(total, axis=1, out=made["total"])
        made["finite"], made["infinite"] = self._fanout, 0
        if finite is not None:
            made["finite"] = np.add.reduce(finite, axis=1)
            made["infinite"] = np.add.reduce(np.isinf(parts), axis=1)
        return made


def reduce_values(values: Floats, bounds: Bounds) -> Columns:
    """Reduce plain values to columns.

    Args:
        values: Shape (n,).
        bounds: Shape (columns + 1,), never falling: where each column begins.
    """
    result = _Sums(len(bounds) - 1, ())
    bounds = np.clip(bounds, 0, len(values))
    result.values(values[int(bounds[0]) : int(bounds[-1])], int(bounds[0]), bounds, ...)
    return result.finish()


def _known(values: Floats) -> tuple[Floats, NDArray[np.bool_] | None, Floats]:
    """Return values with NaN for infinite ones, which are finite, and with 0 for the others."""
    # A sum is finite only where all are; one that overflows merely costs the longer way.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum()):
            return values, None, values
    finite = np.isfinite(values)
    return np.where(finite, values, np.nan), finite, np.where(finite, values, 0.0)


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


class _Sums:
    """Aggregates per column, merged from parts that follow each other."""

    def __init__(self, columns: int, shape: tuple[int, ...]) -> None:
        self._lo = np.full((columns, *shape), np.nan)
        self._hi = np.full((columns, *shape), np.nan)
        self._total = np.zeros((columns, *shape))
        self._finite = np.zeros((columns, *shape), np.int64)
        self._infinite = np.zeros((columns, *shape), np.int64)
        self._size = np.zeros(columns, np.int64)

    def values(self, values: Floats, first: int, bounds: Bounds, part: Any) -> None:
        """Take in values, the first of which has this index."""
        # A rewind in the thread that reads may have cut values off after the bounds were found.
        bounds = np.clip(bounds - first, 0, len(values))
        filled = np.flatnonzero(bounds[1:] > bounds[:-1])
        if not len(filled):
            return
        starts = bounds[:-1][filled]
        chosen = values[: bounds[-1]] if part is ... else values[: bounds[-1], part]
        known, finite, total = _known(chosen)
        size = bounds[1:] - bounds[:-1]
        self._lo[filled] = np.fmin(self._lo[filled], np.fmin.reduceat(known, starts))
        self._hi[filled] = np.fmax(self._hi[filled], np.fmax.reduceat(known, starts))
        self._total[filled] += np.add.reduceat(total, starts)
        if finite is None:
            self._finite[filled] += size[filled].reshape(-1, *[1] * (self._finite.ndim - 1))
        else:
            self._finite[filled] += np.add.reduceat(finite, starts, dtype=np.int64)
            infinite = np.isinf(chosen)
            self._infinite[filled] += np.add.reduceat(infinite, starts, dtype=np.int64)
        self._size += size

    def blocks(
        self, blocks: NDArray[Any], first: int, bounds: Bounds, size: int, part: Any
    ) -> None:
        """Take in blocks of `size` values, the first of which has this index."""
        bounds = np.clip(bounds - first, 0, len(blocks))
        filled = np.flatnonzero(bounds[1:] > bounds[:-1])
        if not len(filled):
            return
        starts = bounds[:-1][filled]
        chosen = blocks[: bounds[-1]] if part is ... else blocks[: bounds[-1], part]
        self._lo[filled] = np.fmin(self._lo[filled], np.fmin.reduceat(chosen["lo"], starts))
        self._hi[filled] = np.fmax(self._hi[filled], np.fmax.reduceat(chosen["hi"], starts))
        self._total[filled] += np.add.reduceat(chosen["total"], starts)
        self._finite[filled] += np.add.reduceat(chosen["finite"], starts, dtype=np.int64)
        self._infinite[filled] += np.add.reduceat(chosen["infinite"], starts, dtype=np.int64)
        self._size += (bounds[1:] - bounds[:-1]) * size

    def maxima(self) -> Floats:
        """Return the greatest value of each column, infinite where any is infinite."""
        return np.where(self._infinite > 0, np.inf, self._hi)

    def finish(self) -> Columns:
        """Return what came together."""
        mean = np.full(self._total.shape, np.nan)
        np.divide(self._total, self._finite, out=mean, where=self._finite > 0)
        size = self._size.reshape(-1, *[1] * (self._finite.ndim - 1))
        return Columns(self._lo, self._hi, mean, size - self._finite)
