"""One metric of one table: its values, the rows they stand in, and its pyramid."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from traintop.records import Column, Floats
from traintop.store.aggregates import Bounds, Columns
from traintop.store.growing import Growing
from traintop.store.image import ColumnImage, ImageReader, ImageWriter
from traintop.store.pyramid import Pyramid, PyramidImage
from traintop.store.storage import MEMORY, Storage

Reduced = Columns
"""A series reduced to pixel columns."""


class Summary(NamedTuple):
    """What `traintop describe` says of a series; None where there is no finite value."""

    points: int
    min: float | None
    max: float | None
    last: float | None
    nonfinite: int


class SeriesImage(msgspec.Struct, frozen=True, kw_only=True):
    """A series in a file."""

    name: str
    values: ColumnImage
    rows: ColumnImage | None
    pyramid: PyramidImage


class Series:
    """The values of one metric, dense (a value in every row from `first_row` on) or sparse.

    Rows are those of the table, which begin below 0 where older records came later. A value is
    known by its place among the values, from 0 on, which changes when older ones come.

    Args:
        name: As its writer has it.
        first_row: The table row of its first value.
        storage: Where the values may lie.
    """

    __slots__ = ("_rows", "_storage", "_values", "name", "pyramid")

    def __init__(self, name: str, first_row: int, storage: Storage = MEMORY) -> None:
        self.name = name
        self._storage = storage
        # A dense value has the index of its row; a sparse one that of its row among `_rows`.
        self._values = Growing(start=first_row, storage=storage)
        self._rows: Growing | None = None
        self.pyramid = Pyramid(storage=storage)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def first_row(self) -> int:
        """The table row of the first value."""
        return self._values.start if self._rows is None else int(self._rows.at(self._rows.start))

    def values(self) -> Floats:
        """Return all values, shape (n,)."""
        return self._values.view()

    def value(self, index: int) -> float:
        """Return one value."""
        return float(self._values.at(self._values.start + index))

    def placed(self) -> tuple[Growing | None, Growing]:
        """Return the rows and the values by the same indices; without rows these are the rows."""
        return self._rows, self._values

    def rows_between(self, first: int, last: int) -> NDArray[np.int64]:
        """Return the table rows of values [first, last)."""
        if self._rows is None:
            start = self._values.start
            return np.arange(start + first, start + last, dtype=np.int64)
        return self._rows.view()[first:last]

    def row_of(self, index: int) -> int:
        """Return the table row of one value."""
        at = self._values.start + index
        return at if self._rows is None else int(self._rows.at(at))

    def append(self, column: Column, base: int, count: int) -> None:
        """Append the values of a burst.

        Args:
            column: The values.
            base: The table row of the burst's first record.
            count: How many records the burst has.
        """
        if not len(column.values):
            return
        self._begin_at(base)
        rows = self._rows_apart(column, base, count, touching=self._values.end == base)
        if rows is not None and self._rows is not None:
            self._rows.append(rows)
        self._values.append(column.values)
        self.pyramid.grow(self._values)

    def prepend(self, column: Column, base: int, count: int) -> None:
        """Put the values of an older burst before those that are there.

        Args:
            column: The values.
            base: The table row of the burst's first record.
            count: How many records the burst has.
        """
        if not len(column.values):
            return
        self._begin_at(base + count)
        touching = self._values.start == base + count
        rows = self._rows_apart(column, base, count, touching=touching)
        if rows is not None and self._rows is not None:
            self._rows.prepend(rows)
        self._values.prepend(column.values)
        self.pyramid.grow(self._values)

    def image(self, writer: ImageWriter) -> SeriesImage:
        """Write the values to a file."""
        return SeriesImage(
            name=self.name,
            values=writer.put(self._values),
            rows=None if self._rows is None else writer.put(self._rows),
            pyramid=self.pyramid.image(writer),
        )

    @classmethod
    def restored(cls, image: SeriesImage, reader: ImageReader, storage: Storage) -> Series:
        """Return a series whose values are in a file."""
        series = cls(image.name, 0, storage)
        series._values = reader.column(image.values)
        series._rows = None if image.rows is None else reader.column(image.rows)
        series.pyramid.restore(image.pyramid, reader)
        return series

    def truncate(self, row: int) -> None:
        """Forget the values of all rows from `row` on."""
        at = int(self._places(np.array([row]))[0])
        self.pyramid.truncate(at)
        self._values.truncate(at)
        if self._rows is not None:
            self._rows.truncate(at)

    def first(self, row: int) -> Series:
        """Return the values of the rows before `row`, without a copy and for reading only."""
        past = Series.__new__(Series)
        at = int(self._places(np.array([row]))[0])
        past.name, past._storage = self.name, self._storage
        past._values = self._values.before(at)
        past._rows = None if self._rows is None else self._rows.before(at)
        past.pyramid = self.pyramid.before(at)
        return past

    def positions(self, rows: Bounds) -> NDArray[np.int64]:
        """Return for each row how many values stand before it."""
        start, size = self._values.start, len(self._values)
        return np.clip(self._places(rows) - start, 0, size)

    def value_before(self, row: int) -> tuple[int, float] | None:
        """Return the last value in a row before this one, and its row; None where there is none."""
        at = int(self._places(np.array([row]))[0]) - 1
        if at < self._values.start:
            return None
        return at if self._rows is None else int(self._rows.at(at)), float(self._values.at(at))

    def nonfinite_rows(self) -> list[int]:
        """Return the rows in which a stretch of NaN or infinite values begins."""
        found = self.pyramid.nonfinite(self._values)
        if self._rows is not None:
            start, rows = self._rows.placed()
            found = rows[found - start]
        begins: list[int] = found.tolist()
        return begins

    def reduce(self, edges: Bounds) -> Reduced:
        """Reduce to columns; no extreme is lost, however many values fall into a column.

        Args:
            edges: Shape (columns + 1,), rising: the table row at which each column begins.

        Where a column holds hundreds of values, the borders between columns are exact to a quarter
        of a column.
        """
        return self.pyramid.reduce(self._values, self._places(edges))

    def summary(self) -> Summary:
        """Summarise the whole series."""
        start, end = self._values.bounds
        if start == end:
            return Summary(0, None, None, None, 0)
        lo, hi, _, nonfinite = self.pyramid.reduce(self._values, np.array([start, end]))
        known = bool(np.isfinite(lo[0]))
        return Summary(
            end - start,
            float(lo[0]) if known else None,
            float(hi[0]) if known else None,
            float(self._values.at(end - 1)),
            int(nonfinite[0]),
        )

    def _places(self, rows: Bounds) -> NDArray[np.int64]:
        """Return for each row the index of the first value in it or after it."""
        if self._rows is None:
            start, end = self._values.bounds
            return np.clip(rows, start, end)
        start, known = self._rows.placed()
        return np.searchsorted(known, rows) + start

    def _begin_at(self, row: int) -> None:
        """Let a series without values have its first one in this row, or before it."""
        if not len(self._values) and self._values.end != row:
            self._values, self._rows = Growing(start=row, storage=self._storage), None
            self.pyramid = Pyramid(storage=self._storage)

    def _rows_apart(
        self, column: Column, base: int, count: int, *, touching: bool
    ) -> NDArray[np.int64] | None:
        """Return the rows of a burst where they have to be kept; None while all have a value."""
        whole = column.rows is None and len(column.values) == count
        if self._rows is None:
            if whole and touching:
                return None
            start, end = self._values.bounds
            rows = Growing(np.int64, start=start, storage=self._storage)
            rows.append(np.arange(start, end))
            self._rows = rows
        return (np.arange(count) if column.rows is None else column.rows) + base
