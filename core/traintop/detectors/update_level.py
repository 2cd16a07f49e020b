"""How far a step moves the weights: the update over the weights, as several detectors judge by."""

from __future__ import annotations

import math
from collections import deque

from traintop.detectors.windows import median

WINDOW = 31
"""Updates in the median."""

FIRST = 8
"""Updates that are kept as the first ones."""


class UpdateLevel:
    """The norm of the update over the norm of the weights (`weight_update`), step by step.

    A step without an update (gradient accumulation, a skipped step) has exactly 0; such steps are
    counted and left out of the median.

    Attributes:
        count: Finite values so far.
        zeros: How many of them were exactly 0, and `zero_streak` how many of the last in a row.
        first: The first updates that were not 0, oldest first.
    """

    def __init__(self) -> None:
        self.count = 0
        self.zeros = 0
        self.zero_streak = 0
        self.first: list[float] = []
        self._window: deque[float] = deque(maxlen=WINDOW)
        self._median: float | None = None

    def add(self, value: float) -> None:
        """Take an update; one that is not finite, or that no norm can be, is left out."""
        if not 0.0 <= value < math.inf:
            return
        self.count += 1
        if value == 0.0:
            self.zeros += 1
            self.zero_streak += 1
            return
        self.zero_streak = 0
        self._window.append(value)
        self._median = None
        if len(self.first) < FIRST:
            self.first.append(value)

    @property
    def median(self) -> float:
        """The median of the last updates that were not 0; NaN before the first."""
        # Asked for once a block of records: one sort then is cheaper than an order kept throughout.
        if self._median is None:
            self._median = median(self._window)
        return self._median

    @property
    def full(self) -> bool:
        """Whether the median is one of a full window."""
        return len(self._window) == WINDOW

    def restart(self) -> None:
        """Forget the window, not the counts: a new regime has other updates."""
        self._window.clear()
        self._median = None
