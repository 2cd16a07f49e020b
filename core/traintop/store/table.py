"""The records of one stream (training, evaluation, a rank ...): axes, and a series a metric."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from traintop.records import Floats, Rows
from traintop.store.growing import Growing
from traintop.store.image import ColumnImage, ImageReader, ImageWriter
from traintop.store.series import Series, SeriesImage
from traintop.store.storage import MEMORY, Storage

Axis = Literal["step", "epoch", "tokens", "time"]
Counts = Literal["step", "epoch", "record"]


class TableImage(msgspec.Struct, frozen=True, kw_only=True):
    """A table in a file."""

    name: str
    counts: Counts
    step: ColumnImage
    epoch: ColumnImage
    time: ColumnImage
    series: list[SeriesImage]


class Table:
    """Columns whose steps never fall: a fall is a rewind or the start of a new run.

    A record keeps the number of its row. The first one that was appended has row 0; older ones that
    came later have rows below it.

    Args:
        name: What the stream is called.
        storage: Where the columns may lie.
    """

    def __init__(self, name: str, storage: Storage = MEMORY) -> None:
        self.name = name
        self._storage = storage
        self._step = Growing(storage=storage)
        self._epoch = Growing(storage=storage, blank=True)
        self._time = Growing(storage=storage, blank=True)
        self.series: dict[str, Series] = {}
        """By name, in the order in which they turned up in the file."""
        self.rearranged = 0
        """How often older records have changed that order."""
        self.counts: Counts = "step"
        """What the steps are: steps, epochs or numbers of records, as the newest burst has it."""

    def __len__(self) -> int:
        return len(self._step)

    @property
    def first_row(self) -> int:
        """The row of the first record: 0, or less where older records came later."""
        return self._step.start

    @property
    def step(self) -> Floats:
        """Shape (rows,), never falling."""
        return self._step.view()

    @property
    def epoch(self) -> Floats:
        """Shape (rows,), NaN where unknown."""
        return self._epoch.view()

    @property
    def time(self) -> Floats:
        """Seconds since 1970, shape (rows,), NaN where unknown."""
        return self._time.view()

    def along(self, axis: Literal["epoch", "time"]) -> tuple[Floats, Floats]:
        """Return the steps and an axis of the same records, each of shape (rows,)."""
        return _overlap(self._step, self._epoch if axis == "epoch" else self._time)

    def points(self, name: str) -> tuple[Floats, Floats]:
        """Return the steps and the values of a series, each of shape (values,)."""
        series = self.series.get(name)
        if series is None:
            return self.step[:0], self.step[:0]
        rows, values = series.placed()
        if rows is None:
            return _overlap(self._step, values)
        at, found = _overlap(rows, values)
        first, steps = self._step.placed()
        known = slice(*np.searchsorted(at, [first, first + len(steps)]).tolist())
        return steps[at[known] - first], found[known]

    def steps_of(self, rows: NDArray[np.int64]) -> Floats:
        """Return the step of each of these rows, shape of `rows`."""
        first, steps = self._step.placed()
        return steps[rows - first]

    def append(self, rows: Rows) -> None:
        """Append a burst whose steps do not fall below the last one."""
        base, count = self._step.end, len(rows.step)
        self.counts = rows.axis
        for name, column in rows.columns.items():
            series = self.series.get(name)
            if series is None:
                series = self.series[name] = Series(name, base, self._storage)
            series.append(column, base, count)
        self._epoch.append(rows.epoch)
        self._time.append(rows.time)
        self._step.append(rows.step)

    def prepend(self, rows: Rows) -> None:
        """Put an older burst, whose steps do not rise above the first one, before all records."""
        count = len(rows.step)
        base = self._step.start - count
        if not len(self):
            self.counts = rows.axis
        known = self.series
        if list(rows.columns) != list(known)[: len(rows.columns)]:
            older = {
                name: known[name] if name in known else Series(name, base + count, self._storage)
                for name in rows.columns
            }
            self.series = older | known
            self.rearranged += 1
        for name, column in rows.columns.items():
            self.series[name].prepend(column, base, count)
        self._epoch.prepend(rows.epoch)
        self._time.prepend(rows.time)
        self._step.prepend(rows.step)

    def image(self, writer: ImageWriter) -> TableImage:
        """Write the records to a file."""
        return TableImage(
            name=self.name,
            counts=self.counts,
            step=writer.put(self._step),
            epoch=writer.put(self._epoch),
            time=writer.put(self._time),
            series=[series.image(writer) for series in self.series.values()],
        )

    @classmethod
    def restored(cls, image: TableImage, reader: ImageReader, storage: Storage) -> Table:
        """Return a table whose records are in a file."""
        table = cls(image.name, storage)
        table.counts = image.counts
        table._step = reader.column(image.step)
        table._epoch, table._time = reader.column(image.epoch), reader.column(image.time)
        table.series = {each.name: Series.restored(each, reader, storage) for each in image.series}
        return table

    def rewind(self, step: float) -> None:
        """Forget the records from `step` on: a resumed run repeats them."""
        row = int(self.row_edges(np.array([step]))[0])
        for series in self.series.values():
            series.truncate(row)
        for column in (self._step, self._epoch, self._time):
            column.truncate(row)

    def until(self, step: float) -> Table:
        """Return the records up to a step, without a copy and for reading only."""
        first, steps = self._step.placed()
        row = first + int(np.searchsorted(steps, step, side="right"))
        past = Table(self.name, self._storage)
        past._step, past._epoch = self._step.before(row), self._epoch.before(row)
        past._time = self._time.before(row)
        past.rearranged = self.rearranged
        past.counts = self.counts
        past.series = {name: series.first(row) for name, series in list(self.series.items())}
        return past

    def row_edges(self, step_edges: Floats) -> NDArray[np.int64]:
        """Return the first row at or after each step edge, shape of `step_edges`."""
        first, steps = self._step.placed()
        return np.searchsorted(steps, step_edges) + first

    def row_at(self, step: float) -> int | None:
        """Return the last row at or before a step; None where there is none."""
        first, steps = self._step.placed()
        before = int(np.searchsorted(steps, step, side="right"))
        return first + before - 1 if before else None

    def value_at(self, name: str, step: float) -> tuple[float, float] | None:
        """Return (step, value) of the last value of a series at or before a step."""
        series, row = self.series.get(name), self.row_at(step)
        if series is None or row is None:
            return None
        found = series.value_before(row + 1)
        return None if found is None else (float(self._step.at(found[0])), found[1])


def _overlap(one: Growing, other: Growing) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the values of two columns at the indices that both have."""
    (first, values), (begin, others) = one.placed(), other.placed()
    start, end = max(first, begin), min(first + len(values), begin + len(others))
    end = max(start, end)
    return values[start - first : end - first], others[start - begin : end - begin]
