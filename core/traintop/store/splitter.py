"""Tells a new run from a resumed one when the step of a stream falls."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from traintop.records import Floats

NEAR_START = 0.1
"""A fall into the first tenth of the steps seen begins a new run; a smaller one repeats steps."""
SMALL_FALL = 3
"""A fall of no more than so many typical increments is a repeated or late line."""


class Piece(NamedTuple):
    """A part of a burst whose steps do not fall."""

    first: int
    last: int
    begins: Literal["nothing", "rewind", "run"]
    """What its first record begins: it goes on, repeats steps already seen, or is a new run."""


class Splitter:
    """Follows the steps of one stream; cutting the stream into other bursts changes nothing."""

    def __init__(self) -> None:
        self._first = 0.0
        self._last = -np.inf
        self._records = 0

    def split(self, steps: Floats) -> list[Piece]:
        """Cut a burst where its steps fall. Steps have shape (n,)."""
        if not len(steps):
            return []
        before = np.concatenate(([self._last], steps[:-1]))
        falls = np.flatnonzero(steps < before).tolist()
        starts = sorted({0, *falls})
        pieces: list[Piece] = []
        for first, last in zip(starts, [*starts[1:], len(steps)], strict=True):
            begins: Literal["nothing", "rewind", "run"] = "nothing"
            if first in falls:
                begins = "run" if self._begins_run(float(steps[first])) else "rewind"
            if begins == "run" or not self._records:
                self._first, self._records = float(steps[first]), 0
            self._records += last - first
            self._last = float(steps[last - 1])
            pieces.append(Piece(first, last, begins))
        return pieces

    def _begins_run(self, step: float) -> bool:
        span = self._last - self._first
        increment = span / max(self._records - 1, 1)
        fall = self._last - step
        return fall > SMALL_FALL * increment and step <= self._first + NEAR_START * span
