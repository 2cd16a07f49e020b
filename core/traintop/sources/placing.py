"""Giving each record its place: the table that it goes to, its step, epoch and time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from traintop.records import Column, Floats, Rows
from traintop.sources.epochs import StepCounter
from traintop.sources.keys import Keys, seconds, split_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from traintop.sources.objects import Burst

Axis = Literal["step", "epoch", "record"]
Indices = NDArray[np.int64]
NO_TABLE = -1


class RowMaker:
    """Makes rows of bursts. What a record becomes depends only on the records before it.

    A record without a step stands at the last step that was named. Where no record names one, whole
    epochs count while every record of a table has another epoch than the one before it (they fall
    where a run was appended to another); else records are numbered from 0.

    Args:
        keys: Which keys say where a record stands.
        table: Where records go that do not say what part of the data they speak of.
        split_table: Names the table of `train`, `val` and `test` records; None: all go to `table`.
    """

    def __init__(
        self, keys: Keys, table: str, split_table: Callable[[str], str] | None = None
    ) -> None:
        self.axis: Axis | None = None
        self._keys = keys
        self._split_table = split_table
        self._names = [table]
        self._used: set[int] = set()
        self._records = 0
        # Of each table: its last epoch, its records, and how often the epoch fell.
        self._epochs: dict[int, tuple[float, int, int]] = {}
        self._steps = StepCounter()

    def fork(self, keys: Keys) -> RowMaker | None:
        """A maker of rows of later records; None where their place depends on those before."""
        if self.axis != "step" or not self._steps.stands_alone:
            return None
        fork = RowMaker(keys, self._names[0], self._split_table)
        fork.axis = "step"
        fork._names = list(self._names)
        return fork

    def state(self) -> dict[str, Any] | None:
        """What is needed to go on, in plain values; None where records are numbered."""
        if self.axis != "step":
            return None
        return {"names": self._names, "used": sorted(self._used), "steps": self._steps.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where another maker was."""
        self.axis = "step"
        self._names, self._used = list(state["names"]), set(state["used"])
        self._steps.restore(state["steps"])

    def join(self, older: RowMaker) -> bool:
        """Take in what was made of the records before; False if these would have other places."""
        if older.axis != "step" or not self._steps.join(older._steps):
            return False
        self._names += [name for name in older._names if name not in self._names]
        self._used |= {self._names.index(name) for name in older.tables}
        return True

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that rows were made for."""
        return tuple(self._names[code] for code in sorted(self._used))

    def names_step(self, burst: Burst) -> Indices:
        """The records of a burst that say at which step they stand."""
        return np.flatnonzero(np.isfinite(self._written(dict(burst.columns), burst.size)))

    def rows(self, burst: Burst, start: int = 0) -> Iterator[Rows]:
        """Rows of the records of a burst from `start` on, for each axis and table in it."""
        count = burst.size
        columns = dict(burst.columns)
        written = self._written(columns, count)
        epoch = _dense(_take(columns, self._keys.epoch), count)
        time = self._times(columns, burst)
        tables = self._tables(burst)
        step = np.empty(count)
        for axis, begin, end in self._place(step, written, epoch, tables, start):
            part = tables[begin:end]
            codes: list[int] = np.unique(part).tolist() if part.any() else [0]
            for code in codes:
                chosen = np.flatnonzero(part == code) + begin
                self._used.add(code)
                yield Rows(
                    table=self._names[code],
                    step=step[chosen],
                    epoch=epoch[chosen],
                    time=time[chosen],
                    columns=_pick(columns, chosen, count),
                    axis=axis,
                )
        self._records += count - start

    def _place(
        self, step: Floats, written: Floats, epoch: Floats, tables: Indices, start: int
    ) -> list[tuple[Axis, int, int]]:
        """Fill in the steps from `start` on; return which records stand on which axis."""
        spans: list[tuple[Axis, int, int]] = []
        at, count = start, len(step)
        if self.axis != "step":
            named = np.flatnonzero(np.isfinite(written[start:]))
            first = start + int(named[0]) if len(named) else count
            while at < first and self.axis != "record":
                if not self._is_next_epoch(epoch[at], int(tables[at])):
                    self.axis = "record"
                    break
                self.axis = "epoch"
                step[at] = epoch[at]
                at += 1
            spans.append(("epoch", start, at))
            spans.append(("record", at, first))
            step[at:first] = np.arange(at, first) - start + self._records
            at = first
        if at < count:
            self.axis = "step"
            val = self._code("val")
            step[at:] = self._steps.steps(
                written[at:], epoch[at:], tables[at:], val, self._keys.step or ""
            )
            spans.append(("step", at, count))
        return [span for span in spans if span[1] < span[2]]

    def _is_next_epoch(self, epoch: float, table: int) -> bool:
        last, records, falls = self._epochs.get(table, (-math.inf, 0, 0))
        falls += epoch < last
        if not float(epoch).is_integer() or epoch == last or falls > 1 + records // 4:
            return False
        self._epochs[table] = (float(epoch), records + 1, falls)
        return True

    def _written(self, columns: dict[str, Column], count: int) -> Floats:
        """The steps as they were written, NaN where there is none; takes their column away."""
        written = _dense(_take(columns, self._keys.step), count)
        for key in self._keys.other_steps:
            gaps = ~np.isfinite(written)
            if key in columns and gaps.any():
                written = np.where(gaps, _dense(columns[key], count), written)
        if not np.isfinite(written).all():
            written = np.where(np.isfinite(written), written, np.nan)
        return written

    def _times(self, columns: dict[str, Column], burst: Burst) -> Floats:
        key, unit = self._keys.time or "", self._keys.time_unit
        column = _take(columns, self._keys.time)
        if key in burst.texts:
            return np.array([seconds(value, unit) for value in burst.texts[key]], np.float64)
        return _dense(column, burst.size) * unit

    def _tables(self, burst: Burst) -> Indices:
        """The code of each record's table."""
        values = burst.texts.get(self._keys.split or "")
        if values is None or self._split_table is None:
            return np.zeros(burst.size, np.int64)
        codes: dict[object, int] = {}
        for value in set(filter(lambda value: isinstance(value, str), values)):
            split = split_of(value)
            codes[value] = 0 if split is None else self._code(split)
        return np.array([codes.get(v, 0) if isinstance(v, str) else 0 for v in values], np.int64)

    def _code(self, split: str) -> int:
        """The code of the table of a part of the data."""
        if self._split_table is None:
            return NO_TABLE
        name = self._split_table(split)
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name)


def _take(columns: dict[str, Column], key: str | None) -> Column | None:
    return None if key is None else columns.pop(key, None)


def _dense(column: Column | None, count: int) -> Floats:
    """A value for each of `count` records, NaN where the column has none."""
    if column is None:
        return np.full(count, np.nan)
    if column.rows is None:
        return column.values
    values = np.full(count, np.nan)
    values[column.rows] = column.values
    return values


def _pick(columns: dict[str, Column], chosen: Indices, count: int) -> dict[str, Column]:
    """The part of the columns that belongs to the chosen of `count` records."""
    if len(chosen) == count:
        return columns
    place = np.full(count, -1, np.int64)
    place[chosen] = np.arange(len(chosen))
    picked: dict[str, Column] = {}
    for name, column in columns.items():
        if column.rows is None:
            picked[name] = Column(values=column.values[chosen])
            continue
        rows = place[column.rows]
        here = rows >= 0
        values, rows = column.values[here], rows[here]
        if len(rows):
            picked[name] = Column(values=values, rows=None if len(rows) == len(chosen) else rows)
    return picked
