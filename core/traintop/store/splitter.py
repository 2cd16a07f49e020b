"""Tells a new run from a resumed one when the step of a stream falls."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from traintop.records import Floats

NEAR_START = 0.02
"""A fall into so small a first share of the steps seen begins a new run; any other repeats steps,
as a run does that is resumed, however early its checkpoint."""
SMALL_FALL = 3
"""A fall of no more than so many typical increments is a repeated or late line."""

Begins = Literal["nothing", "late", "rewind", "run"]


class Piece(NamedTuple):
    """A part of a burst whose steps do not fall."""

    first: int
    last: int
    begins: Begins
    """What its first record begins: it goes on, is a line out of order, repeats steps already seen
    as a resumed run does, or is a new run."""


class Splitter:
    """Follows the steps of one stream; cutting the stream into other bursts changes nothing."""

    def __init__(self) -> None:
        self._first = 0.0
        self._last = -np.inf
        self._records = 0
        self._repeats = 0
        """Records with the step of the one before, as several ranks write them, out of order."""

    def split(self, steps: Floats) -> list[Piece]:
        """Cut a burst where its steps fall. Steps have shape (n,)."""
        if not len(steps):
            return []
        before = np.concatenate(([self._last], steps[:-1]))
        falls = set(np.flatnonzero(steps < before).tolist())
        starts = sorted({0, *falls})
        pieces: list[Piece] = []
        for first, last in zip(starts, [*starts[1:], len(steps)], strict=True):
            begins = self._fall_to(float(steps[first])) if first in falls else "nothing"
            if begins == "run" or not self._records:
                self._first, self._records, self._repeats = float(steps[first]), 0, 0
            self._records += last - first
            self._repeats += int((steps[first:last] == before[first:last]).sum())
            self._last = float(steps[last - 1])
            pieces.append(Piece(first, last, begins))
        return pieces

    def state(self) -> tuple[float, float, int]:
        """What was seen, to go on from."""
        return self._first, self._last, self._records

    def restore(self, state: tuple[float, float, int]) -> None:
        """Go on from what was seen before."""
        self._first, self._last, self._records = state

    def precede(self, steps: Floats) -> bool:
        """Take in records that stand before all that were seen, of the same run.

        Args:
            steps: Shape (n,), at least one.

        Returns:
            False, and nothing is taken in, where their steps fall, or rise above the first seen.
        """
        if not self._records:
            if (np.diff(steps) < 0).any():
                return False
            self.split(steps)
            return True
        if steps[-1] > self._first or (np.diff(steps) < 0).any():
            return False
        self._first = float(steps[0])
        self._records += len(steps)
        return True

    def _fall_to(self, step: float) -> Begins:
        """Say what a record begins whose step is below the last one."""
        if step <= self._first and not self._repeats:
            return "run"
        span = self._last - self._first
        increment = span / max(self._records - 1, 1)
        if self._last - step <= SMALL_FALL * increment:
            return "late"
        near = max(NEAR_START * span, SMALL_FALL * increment)
        return "run" if step <= self._first + near else "rewind"
