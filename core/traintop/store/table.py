"""The records of one stream (training, evaluation, a rank ...): axes, and a series a metric."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from traintop.records import Floats, Rows
from traintop.store.growing import Growing
from traintop.store.series import Series

Axis = Literal["step", "epoch", "tokens", "time"]


class Table:
    """Append-only columns whose steps never fall: a fall is a rewind or the start of a new run."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._step = Growing()
        self._epoch = Growing()
        self._time = Growing()
        self.series: dict[str, Series] = {}

    def __len__(self) -> int:
        return len(self._step)

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

    def append(self, rows: Rows) -> None:
        """Append a burst whose steps do not fall below the last one."""
        base, count = len(self._step), len(rows.step)
        for name, column in rows.columns.items():
            series = self.series.get(name)
            if series is None:
                series = self.series[name] = Series(name, base)
            series.append(column, base, count)
        self._epoch.extend(rows.epoch)
        self._time.extend(rows.time)
        self._step.extend(rows.step)

    def rewind(self, step: float) -> None:
        """Forget the records from `step` on: a resumed run repeats them."""
        row = int(np.searchsorted(self.step, step))
        for series in self.series.values():
            series.truncate(row)
        for column in (self._step, self._epoch, self._time):
            column.truncate(row)

    def until(self, step: float) -> Table:
        """Return the records up to a step, without a copy and for reading only."""
        row = int(np.searchsorted(self.step, step, side="right"))
        past = Table(self.name)
        past._step, past._epoch = self._step.first(row), self._epoch.first(row)
        past._time = self._time.first(row)
        past.series = {name: series.first(row) for name, series in list(self.series.items())}
        return past

    def row_edges(self, step_edges: Floats) -> NDArray[np.int64]:
        """Return the first row at or after each step edge, shape of `step_edges`."""
        return np.searchsorted(self.step, step_edges)

    def row_at(self, step: float) -> int | None:
        """Return the last row at or before a step; None where there is none."""
        row = int(np.searchsorted(self.step, step, side="right")) - 1
        return row if row >= 0 else None

    def value_at(self, name: str, step: float) -> tuple[float, float] | None:
        """Return (step, value) of the last value of a series at or before a step."""
        series, row = self.series.get(name), self.row_at(step)
        if series is None or row is None:
            return None
        index = int(series.positions(np.array([row + 1]))[0]) - 1
        if index < 0:
            return None
        return float(self._step.at(series.row_of(index))), series.value(index)
