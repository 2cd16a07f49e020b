"""How often a measurement is made, so that all of them stay within a share of the step's time."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import median

REMEMBERED = 9


class StepClock:
    """The time of a training step: the median of the last few, without what we spent ourselves."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._steps: deque[float] = deque(maxlen=REMEMBERED)
        self.seconds = 0.0
        """Median seconds of a step; 0 before the first."""
        self.wall: float | None = None
        """Seconds from the step before to this one, ours included; None where an evaluation or a
        checkpoint was in between, which belong to no step."""
        self._interrupted = False

    def interrupted(self) -> None:
        """Say that the time since the last step was not (only) a step's."""
        self._interrupted = True

    def step_ended(self, now: float, own_seconds: float) -> None:
        """End a step.

        Args:
            now: A monotonic time in seconds.
            own_seconds: How much of the time since the last step was the recorder's.
        """
        wall = now - self._since
        self._since = now
        self.wall = None if self._interrupted else wall
        if not self._interrupted or not self._steps:
            self._steps.append(max(wall - own_seconds, 0.0))
            self.seconds = sorted(self._steps)[len(self._steps) // 2]
        self._interrupted = False


class Cadence:
    """Decides at which steps one kind of measurement is made.

    The interval is the smallest of `ladder` at which the measurement's median cost stays within
    its share of the time; the last one is taken where none does, so that data keep coming.

    Args:
        ladder: The intervals to choose from, in steps, rising.
        fixed: Keep this interval, whatever it costs; 0: never measure.
        in_a_row: Steps that are measured one after the other each time.
    """

    def __init__(
        self, ladder: Sequence[int], fixed: int | None = None, *, in_a_row: int = 1
    ) -> None:
        self._ladder = ladder
        self._fixed = fixed is not None
        self._in_a_row = in_a_row
        self._costs: deque[float] = deque(maxlen=REMEMBERED)
        self._warm = False
        self.interval = ladder[0] if fixed is None else fixed

    def due(self, step: int) -> bool:
        """Whether the measurement is to be made at this step."""
        return self.interval > 0 and step % self.interval < self._in_a_row

    def paid(self, cost: float, allowed: float) -> None:
        """Learn what a measurement has cost.

        Args:
            cost: Seconds that it took.
            allowed: Seconds that it may take a step, on average.
        """
        if not self._warm:
            # The first call pays for caches and code loading; it says nothing of the next ones.
            self._warm = True
            return
        self._costs.append(cost)
        if not self._fixed:
            usual = median(self._costs)
            fitting = (n for n in self._ladder if usual * min(self._in_a_row, n) <= allowed * n)
            self.interval = next(fitting, self._ladder[-1])
