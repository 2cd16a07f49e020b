"""The x axes of a run: step, epoch, tokens and time, each mapped to steps and back.

Everything is drawn in steps; an axis only says which steps a column of the screen spans, at the
price of a binary search a column.
"""

from __future__ import annotations

import numpy as np

from traintop.records import Floats
from traintop.store.table import Axis, Table

SAMPLE = 64
"""Records that tell what an axis is like."""


class AxisMap:
    """Maps positions on an axis to steps and back.

    Args:
        table: The table whose records say which epoch and time a step has.
        axis: `step`; `epoch`, with fractions inside an epoch; `tokens`, by the series that counts
            them; `time`, in seconds since the first record.
        steps_per_epoch: Where it is known; else epochs are placed by the records.
        tokens: The series of the table that counts what has been trained on so far.
    """

    def __init__(
        self,
        table: Table,
        axis: Axis,
        steps_per_epoch: int | None = None,
        tokens: str | None = None,
    ) -> None:
        self.axis: Axis = axis
        self._per_epoch = steps_per_epoch
        if axis == "tokens":
            self._step, self._column = table.points(tokens or "")
        else:
            self._step, self._column = table.along("time" if axis == "time" else "epoch")
        self._origin = self._first_known() if axis == "time" else 0.0

    @property
    def available(self) -> bool:
        """Whether the records carry this axis."""
        if self.axis == "step":
            return True
        if self.axis == "epoch" and self._per_epoch:
            return True
        size = len(self._column)
        if self.axis == "tokens":
            sample = self._column[:: max(size // SAMPLE, 1)]
            return size > 1 and bool((np.diff(sample) >= 0).all() and self._column[-1] > sample[0])
        return size > 0 and bool(np.isfinite(self._column[0]) and np.isfinite(self._column[-1]))

    def steps(self, positions: Floats) -> Floats:
        """Return the step at each axis position; both have shape (n,)."""
        if self.axis == "step" or not len(self._step):
            return positions
        if self.axis == "epoch":
            if self._per_epoch:
                return positions * self._per_epoch
            if self._whole_epochs():
                return self._steps_in_epochs(positions)
        rows = np.searchsorted(self._column, positions + self._origin)
        beyond = rows >= len(self._step)
        after = np.nextafter(self._step[-1], np.inf)
        return np.where(beyond, after, self._step[np.minimum(rows, len(self._step) - 1)])

    def position(self, step: float) -> float:
        """Return the axis position of a step."""
        if self.axis == "step" or not len(self._step):
            return step
        if self.axis == "epoch" and self._per_epoch:
            return step / self._per_epoch
        row = max(int(np.searchsorted(self._step, step, side="right")) - 1, 0)
        value = float(self._column[row])
        if self.axis == "epoch" and self._whole_epochs():
            first, length = self._epoch_rows(np.array([value]))
            return value + float((row - first[0]) / length[0])
        return value - self._origin

    def _first_known(self) -> float:
        known = np.flatnonzero(np.isfinite(self._column[:1000]))
        return float(self._column[known[0]]) if len(known) else 0.0

    def _whole_epochs(self) -> bool:
        sample = self._column[:: max(len(self._column) // SAMPLE, 1)]
        return bool((sample == np.floor(sample)).all())

    def _epoch_rows(self, epochs: Floats) -> tuple[Floats, Floats]:
        """Return the first row of each whole epoch and its length in rows.

        The last epoch may still be going on: it is taken to be no shorter than the one before it.
        """
        first = np.searchsorted(self._column, epochs).astype(np.float64)
        length = np.searchsorted(self._column, epochs + 1) - first
        before = first - np.searchsorted(self._column, epochs - 1)
        last = epochs >= self._column[-1]
        return first, np.maximum(np.where(last, np.maximum(length, before), length), 1)

    def _steps_in_epochs(self, positions: Floats) -> Floats:
        epochs = np.floor(positions)
        first, length = self._epoch_rows(epochs)
        return _step_at(self._step, first + (positions - epochs) * length)


def _step_at(step: Floats, rows: Floats) -> Floats:
    """Interpolate the step at fractional rows; beyond the last row, just after the last step."""
    below = np.clip(np.floor(rows), 0, len(step) - 1).astype(np.int64)
    above = np.minimum(below + 1, len(step) - 1)
    inside = step[below] + (rows - below) * (step[above] - step[below])
    return np.where(rows > len(step) - 1, np.nextafter(step[-1], np.inf), inside)
