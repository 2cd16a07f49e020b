"""Watchers that make events of a series: a jump of the learning rate, a non-finite value."""

from __future__ import annotations

JUMP_UP, JUMP_DOWN = 2.5, 0.4
SMALL_SHARE = 0.02
QUIET_STEPS = 100


class LearningRateWatch:
    """Tells a jump of the learning rate from the ticks of a schedule.

    A jump is a factor of at least 2.5 up or 0.4 down in one step, of which the larger side is at
    least 2 % of the highest rate so far: the first ticks of a warm-up and the last ones of a decay
    change by large factors too, far below it.
    """

    def __init__(self) -> None:
        self._last: float | None = None
        self._highest = 0.0

    def jump(self, rate: float) -> float | None:
        """Take the rate of a step; returns the one before if this is a jump from it."""
        last, self._last = self._last, rate
        self._highest = max(self._highest, rate)
        if not last or rate < 0 or max(last, rate) < SMALL_SHARE * self._highest:
            return None
        factor = rate / last
        return last if factor >= JUMP_UP or factor <= JUMP_DOWN else None


class NonFiniteWatch:
    """Says when an episode of non-finite values begins: none was in the hundred steps before."""

    def __init__(self) -> None:
        self._last: int | None = None

    def begins(self, step: int, non_finite: bool) -> bool:
        """Take the state of a step; returns whether it is the first of an episode."""
        if not non_finite:
            return False
        last, self._last = self._last, step
        return last is None or step - last > QUIET_STEPS
