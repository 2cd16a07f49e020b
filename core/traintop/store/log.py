"""The console text of a run, newest lines kept."""

from __future__ import annotations

from bisect import bisect_right

from traintop.records import LogLines

CAPACITY = 200_000
"""Lines kept in memory; older ones are dropped and counted."""


class LogStore:
    """Lines of log text with the step that each speaks of."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self.lines: list[str] = []
        self.steps: list[int] = []
        self.dropped = 0
        """How many of the oldest lines are no longer kept."""

    def __len__(self) -> int:
        return len(self.lines)

    def append(self, burst: LogLines) -> None:
        """Append lines, dropping the oldest tenth when there is no more room."""
        self.lines.extend(burst.lines)
        self.steps.extend(burst.steps)
        if len(self.lines) > self._capacity:
            surplus = len(self.lines) - self._capacity * 9 // 10
            del self.lines[:surplus]
            del self.steps[:surplus]
            self.dropped += surplus

    def prepend(self, burst: LogLines) -> None:
        """Put older lines before those that are there, as many as there is room for."""
        if not burst.lines:
            return
        named = next((at for at, step in enumerate(self.steps) if step >= 0), len(self.steps))
        self.steps[:named] = [burst.steps[-1]] * named
        room = max(self._capacity - len(self.lines), 0)
        first = max(len(burst.lines) - room, 0)
        self.lines[:0] = burst.lines[first:]
        self.steps[:0] = burst.steps[first:]
        self.dropped += first

    def line_at_step(self, step: float) -> int | None:
        """Return the last line that speaks of a step at or before `step`; None without lines."""
        if not self.lines:
            return None
        return max(bisect_right(self.steps, step) - 1, 0)
