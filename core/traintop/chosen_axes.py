"""Columns that the settings make the step, epoch or time of a record."""

from __future__ import annotations

import msgspec
import numpy as np

from traintop.records import Column, Floats, Rows
from traintop.settings import Axes


class ChosenAxes:
    """Puts records where the settings say that they stand.

    A record without a value in the column of the step stands at the last one of its table that
    had one; those before the first stay where they were.

    Args:
        axes: The columns, by name.
    """

    def __init__(self, axes: Axes) -> None:
        self._axes = axes
        self._last: dict[str, float] = {}

    def __bool__(self) -> bool:
        return any((self._axes.step, self._axes.epoch, self._axes.time))

    def apply(self, rows: Rows) -> Rows:
        """Return records with the axes that the settings name, as far as they have such columns."""
        columns = dict(rows.columns)
        count = len(rows.step)
        changed: dict[str, Floats] = {}
        for axis in ("epoch", "time"):
            column = columns.pop(getattr(self._axes, axis) or "", None)
            if column is not None:
                changed[axis] = _dense(column, count)
        column = columns.pop(self._axes.step or "", None)
        if column is not None:
            changed["step"] = self._filled(_dense(column, count), rows)
        elif rows.table in self._last:
            changed["step"] = np.full(count, self._last[rows.table])
        if not changed:
            return rows
        axis_of_steps = "step" if "step" in changed else rows.axis
        return msgspec.structs.replace(rows, columns=columns, axis=axis_of_steps, **changed)

    def _filled(self, written: Floats, rows: Rows) -> Floats:
        known = np.isfinite(written)
        at = np.maximum.accumulate(np.where(known, np.arange(len(written)), -1))
        before = self._last.get(rows.table)
        first = rows.step if before is None else np.full(len(written), before)
        steps = np.where(at < 0, first, written[np.maximum(at, 0)])
        if known.any():
            self._last[rows.table] = float(written[known][-1])
        return steps


def _dense(column: Column, count: int) -> Floats:
    """A value for each of `count` records, NaN where the column has none."""
    if column.rows is None:
        return column.values
    values = np.full(count, np.nan)
    values[column.rows] = column.values
    return values
