"""Records that wait to be handed over, as rows of their tables."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from traintop.records import Column, Rows
from traintop.sources.console.numbers import as_float

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traintop.records import Floats
    from traintop.sources.console.bulk import Columns
    from traintop.sources.console.plan import Plan, Value
    from traintop.sources.console.position import Place
    from traintop.sources.console.steady import Placed
    from traintop.sources.placing import Axis

    Rows64 = NDArray[np.int64]


class _Waiting:
    """The rows of one table."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.epochs: list[float] = []
        self.axes: list[Axis] = []
        self.lines: dict[Plan, tuple[list[int], list[list[str]]]] = {}
        self.blocks: list[tuple[int, dict[str, float]]] = []
        self.columns: list[tuple[Plan, Rows64, dict[int, Floats]]] = []


class RowBuffer:
    """Collects records; a burst of them becomes arrays at once."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}
        self._last: dict[str, float] = {}
        self.tables: list[str] = []
        """The tables that records were added to."""
        self.added = 0

    def last_step(self, table: str) -> float:
        """The step of the newest record of a table; minus infinity if it has none."""
        return self._last.get(table, -math.inf)

    def add(
        self,
        table: str,
        place: Place,
        plan: Plan,
        parts: list[str],
        values: dict[str, float] | None = None,
    ) -> None:
        """Take in a record: the parts of its line, or its values."""
        waiting = self._waiting.get(table)
        if waiting is None:
            waiting = self._waiting[table] = _Waiting()
            if table not in self.tables:
                self.tables.append(table)
        row = len(waiting.steps)
        waiting.steps.append(place.step)
        waiting.epochs.append(place.epoch)
        waiting.axes.append(place.axis)
        if values is not None:
            waiting.blocks.append((row, values))
        else:
            group = waiting.lines.get(plan)
            if group is None:
                group = waiting.lines[plan] = ([], [])
            group[0].append(row)
            group[1].append(parts)
        self._last[table] = place.step
        self.added += 1

    def add_all(self, table: str, placed: Placed, columns: list[Columns]) -> None:
        """Take in the records of many lines."""
        waiting = self._waiting.get(table)
        if waiting is None:
            waiting = self._waiting[table] = _Waiting()
        first, count = len(waiting.steps), len(placed.step)
        waiting.steps += placed.step.tolist()
        waiting.epochs += placed.epoch.tolist()
        waiting.axes.extend(itertools.repeat("step", count))
        for some in columns:
            waiting.columns.append((some.plan, some.lines + first, some.parts))
        self._last[table] = float(placed.step[-1])
        self.added += count

    def take(self) -> list[Rows]:
        """Hand over what has come together."""
        taken, self._waiting = self._waiting, {}
        return [rows for table, waiting in taken.items() for rows in _rows(table, waiting)]


def _rows(table: str, waiting: _Waiting) -> list[Rows]:
    columns = _columns(waiting)
    step = np.array(waiting.steps, np.float64)
    epoch = np.array(waiting.epochs, np.float64)
    time = np.full(len(step), np.nan)
    found: list[Rows] = []
    first = 0
    for axis, group in itertools.groupby(waiting.axes):
        last = first + sum(1 for _ in group)
        part: dict[str, Column] = {}
        for name, (rows, values) in columns.items():
            begin, end = np.searchsorted(rows, (first, last)).tolist()
            if begin == end:
                continue
            whole = end - begin == last - first
            part[name] = Column(
                values=values[begin:end], rows=None if whole else rows[begin:end] - first
            )
        found.append(
            Rows(
                table=table,
                step=step[first:last],
                epoch=epoch[first:last],
                time=time[first:last],
                columns=part,
                axis=axis,
            )
        )
        first = last
    return found


def _columns(
    waiting: _Waiting,
) -> dict[str, tuple[Rows64, Floats]]:
    pieces: dict[str, list[tuple[Rows64, Floats]]] = {}
    for plan, (rows, lines) in waiting.lines.items():
        at = np.array(rows, np.int64)
        for value in plan.values:
            cells = _numbers([parts[value.part] for parts in lines])
            over = _numbers([parts[value.over] for parts in lines]) if value.over else None
            _add(pieces, value, at, cells, over)
    for plan, at, parts in waiting.columns:
        for value in plan.values:
            _add(pieces, value, at, parts[value.part], parts.get(value.over))
    loose: dict[str, tuple[list[int], list[float]]] = {}
    for row, values in waiting.blocks:
        for name, number in values.items():
            cell = loose.setdefault(name, ([], []))
            cell[0].append(row)
            cell[1].append(number)
    for name, (rows, numbers) in loose.items():
        pieces.setdefault(name, []).append(
            (np.array(rows, np.int64), np.array(numbers, np.float64))
        )
    joined: dict[str, tuple[Rows64, Floats]] = {}
    for name, pairs in pieces.items():
        if len(pairs) == 1:
            if len(pairs[0][0]):
                joined[name] = pairs[0]
            continue
        rows_of, cells = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
        order = np.argsort(rows_of, kind="stable")
        joined[name] = (rows_of[order], cells[order])
    return joined


def _add(
    pieces: dict[str, list[tuple[Rows64, Floats]]],
    value: Value,
    rows: Rows64,
    cells: Floats,
    over: Floats | None,
) -> None:
    """Add the values of a series, in the unit that it has."""
    if over is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            cells = cells / over
    if value.factor != 1.0:
        cells = cells * value.factor
    if value.glued and np.isnan(cells).any():
        there = ~np.isnan(cells)
        rows, cells = rows[there], cells[there]
    pieces.setdefault(value.name, []).append((rows, cells))


def _numbers(texts: list[str]) -> Floats:
    try:
        return np.array(list(map(float, texts)), np.float64)
    except ValueError:
        return np.array([as_float(text) for text in texts], np.float64)
