"""One metric of one table: its values, the rows they stand in, and its pyramid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traintop.records import Column, Floats
from traintop.store.growing import Growing
from traintop.store.pyramid import FANOUT, Blocks, Pyramid, of_values, reduce_blocks

AGGREGATE_EVERY = FANOUT * FANOUT
"""The pyramid grows by so many values at a time; a reduction looks at the rest one by one."""


class Reduced(NamedTuple):
    """A series reduced to pixel columns, each array of shape (columns,), NaN where it is empty."""

    lo: Floats
    """Least finite value in the column."""
    hi: Floats
    mean: Floats
    nonfinite: NDArray[np.int64]
    """How many NaN and infinite values fall into the column."""


class Summary(NamedTuple):
    """What `traintop describe` says of a series; None where there is no finite value."""

    points: int
    min: float | None
    max: float | None
    last: float | None
    nonfinite: int


class Series:
    """The values of one metric, dense (a value in every row from `first_row` on) or sparse."""

    __slots__ = ("_aggregated", "_rows", "_values", "first_row", "name", "pyramid")

    def __init__(self, name: str, first_row: int) -> None:
        self.name = name
        self.first_row = first_row
        self._values = Growing()
        self._rows: Growing | None = None
        self.pyramid = Pyramid()
        self._aggregated = 0
        """How many values there were when the pyramid last grew."""

    def __len__(self) -> int:
        return len(self._values)

    def values(self) -> Floats:
        """Return all values, shape (n,)."""
        return self._values.view()

    def value(self, index: int) -> float:
        """Return one value."""
        return float(self._values.at(index))

    def rows_between(self, first: int, last: int) -> NDArray[np.int64]:
        """Return the table rows of values [first, last)."""
        if self._rows is None:
            return np.arange(self.first_row + first, self.first_row + last, dtype=np.int64)
        return self._rows.view()[first:last]

    def row_of(self, index: int) -> int:
        """Return the table row of one value."""
        return self.first_row + index if self._rows is None else int(self._rows.at(index))

    def append(self, column: Column, base: int, count: int) -> None:
        """Append the values of a burst.

        Args:
            column: The values.
            base: The table row of the burst's first record.
            count: How many records the burst has.
        """
        if not len(column.values):
            return
        size = len(self._values)
        whole = column.rows is None and len(column.values) == count
        if self._rows is None and not (whole and self.first_row + size == base):
            rows = Growing(np.int64)
            rows.extend(self.rows_between(0, size))
            self._rows = rows
        if self._rows is not None:
            relative = np.arange(count) if column.rows is None else column.rows
            self._rows.extend(relative + base)
        self._values.extend(column.values)
        if len(self._values) - self._aggregated >= AGGREGATE_EVERY:
            self.pyramid.grow(self._values.view())
            self._aggregated = len(self._values)

    def truncate(self, row: int) -> None:
        """Forget the values of all rows from `row` on."""
        size = int(self.positions(np.array([row]))[0])
        self._values.truncate(size)
        if self._rows is not None:
            self._rows.truncate(size)
        self.pyramid.truncate(size)
        self._aggregated = min(self._aggregated, size)

    def first(self, row: int) -> Series:
        """Return the values of the rows before `row`, without a copy and for reading only."""
        past = Series(self.name, self.first_row)
        size = int(self.positions(np.array([row]))[0])
        past._values = self._values.first(size)
        past._rows = None if self._rows is None else self._rows.first(size)
        past.pyramid = self.pyramid.first(size)
        past._aggregated = min(self._aggregated, size)
        return past

    def positions(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return for each row how many values stand before it."""
        if self._rows is None:
            return np.clip(rows - self.first_row, 0, len(self._values))
        return np.searchsorted(self._rows.view(), rows)

    def nonfinite_rows(self) -> list[int]:
        """Return the rows in which a stretch of NaN or infinite values begins."""
        bad = ~np.isfinite(self.values())
        begins = bad.copy()
        begins[1:] &= ~bad[:-1]
        return [self.row_of(index) for index in np.flatnonzero(begins).tolist()]

    def reduce(self, edges: NDArray[np.int64]) -> Reduced:
        """Reduce to columns; no extreme is lost, however many values fall into a column.

        Args:
            edges: Shape (columns + 1,), rising: the table row at which each column begins.

        Where a column holds thousands of values its borders are exact to a quarter of a column.
        """
        bounds = self.positions(edges)
        columns = len(bounds) - 1
        level = self.pyramid.level_for((bounds[-1] - bounds[0]) / max(columns, 1))
        if level == 0:
            parts = [(bounds, _slice_values(self.values(), bounds))]
        else:
            size = FANOUT**level
            complete = self.pyramid.complete(level)
            blocks = np.minimum(-(-bounds // size), complete)
            tail = np.maximum(bounds, complete * size)
            parts = [
                (blocks, self.pyramid.view(level, int(blocks[0]), int(blocks[-1]))),
                (tail, _slice_values(self.values(), tail)),
            ]
        result = _Columns(columns)
        for part, aggregates in parts:
            result.merge(part - part[0], aggregates)
        return result.finish()

    def summary(self) -> Summary:
        """Summarise the whole series."""
        size = len(self._values)
        if not size:
            return Summary(0, None, None, None, 0)
        all_rows = np.array([0, np.iinfo(np.int64).max // 2])
        lo, hi, _, nonfinite = self.reduce(all_rows)
        known = bool(np.isfinite(lo[0]))
        return Summary(
            size,
            float(lo[0]) if known else None,
            float(hi[0]) if known else None,
            float(self.values()[-1]),
            int(nonfinite[0]),
        )


def reduce_values(values: Floats, bounds: NDArray[np.int64]) -> Reduced:
    """Reduce plain values to columns.

    Args:
        values: Shape (n,).
        bounds: Shape (columns + 1,), rising: where each column begins.
    """
    result = _Columns(len(bounds) - 1)
    result.merge(bounds - bounds[0], _slice_values(values, bounds))
    return result.finish()


def _slice_values(values: Floats, bounds: NDArray[np.int64]) -> Blocks:
    return of_values(values[int(bounds[0]) : int(bounds[-1])])


class _Columns:
    """Aggregates per column, merged from parts that follow each other."""

    def __init__(self, columns: int) -> None:
        self.lo = np.full(columns, np.nan)
        self.hi = np.full(columns, np.nan)
        self.total = np.zeros(columns)
        self.finite = np.zeros(columns)
        self.nonfinite = np.zeros(columns)

    def merge(self, bounds: NDArray[np.int64], blocks: Blocks) -> None:
        # A rewind in the thread that reads may have cut the blocks off after the bounds were found.
        bounds = np.minimum(bounds, len(blocks.lo))
        filled = np.flatnonzero(bounds[1:] > bounds[:-1])
        if not len(filled):
            return
        joined = reduce_blocks(blocks, bounds[:-1][filled])
        self.lo[filled] = np.fmin(self.lo[filled], joined.lo)
        self.hi[filled] = np.fmax(self.hi[filled], joined.hi)
        self.total[filled] += joined.total
        self.finite[filled] += joined.finite
        self.nonfinite[filled] += joined.nonfinite

    def finish(self) -> Reduced:
        mean = np.full(len(self.total), np.nan)
        np.divide(self.total, self.finite, out=mean, where=self.finite > 0)
        return Reduced(self.lo, self.hi, mean, self.nonfinite.astype(np.int64))
