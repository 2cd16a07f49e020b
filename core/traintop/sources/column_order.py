"""Noticing that a run was appended to a table whose columns stand in another order.

Keras' CSVLogger appends to a file without a header, in the order of the new model's metrics: then
`loss` holds the accuracy. Nothing in the file says so but the curves.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from traintop.records import Floats

ROWS = 5
"""Rows that a run must have before it is compared."""

MOVED = 0.1
"""Share of its first value by which a metric must have moved to have a direction."""


class _Course(NamedTuple):
    """How a run went: shape (columns,) each."""

    first: Floats
    last: Floats
    rows: int

    @property
    def directions(self) -> Floats:
        moved = self.last - self.first
        return np.where(np.abs(moved) > MOVED * np.abs(self.first), np.sign(moved), 0.0)


class OrderWatch:
    """Follows the runs of a table, each of which begins where the epoch falls."""

    def __init__(self) -> None:
        self._earlier: _Course | None = None
        self._now: _Course | None = None
        self._epoch = -np.inf

    def take(self, epochs: Floats, numbers: Floats) -> tuple[int, int] | None:
        """Take rows; return two columns that seem to have changed places with the newest run.

        Args:
            epochs: Shape (rows,).
            numbers: Shape (rows, columns).
        """
        before = np.concatenate(([self._epoch], epochs[:-1]))
        starts = np.flatnonzero(epochs < before)
        self._epoch = float(epochs[-1])
        swapped = None
        for begin, end in itertools.pairwise([0, *starts.tolist(), len(epochs)]):
            if begin in starts:
                self._earlier, self._now = self._earlier or self._now, None
            if begin < end:
                first, rows = (
                    (self._now.first, self._now.rows) if self._now else (numbers[begin], 0)
                )
                self._now = _Course(first, numbers[end - 1], rows + end - begin)
                swapped = self._swapped() or swapped
        return swapped

    def _swapped(self) -> tuple[int, int] | None:
        was, now = self._earlier, self._now
        if was is None or now is None or min(was.rows, now.rows) < ROWS:
            return None
        turned = np.flatnonzero(was.directions * now.directions < 0).tolist()
        for one, other in itertools.combinations(turned, 2):
            pair, twisted = [one, other], [other, one]
            straight = np.abs(now.last[pair] - was.last[pair])
            crossed = np.abs(now.last[pair] - was.last[twisted])
            if was.directions[one] != was.directions[other] and (crossed < straight).all():
                return one, other
        return None
