"""Which lines of a log are in sight: filtered, and with tracebacks folded into one line."""

from __future__ import annotations

import re
from typing import NamedTuple

from traintop.store import LogStore

_TRACEBACK = re.compile(r"Traceback \(most recent call last\)")
_ERROR = re.compile(
    r"\b(error|exception|fatal|critical|traceback|out of memory|nan|inf)\b|Error\b", re.IGNORECASE
)
_WARNING = re.compile(
    r"\b(warn(ing)?|overflow|skipp(ed|ing)|deprecated)\b|Warning\b", re.IGNORECASE
)


def severity_of(line: str) -> str:
    """Return `critical`, `warning` or `info` by the words of a line."""
    if _ERROR.search(line):
        return "critical"
    return "warning" if _WARNING.search(line) else "info"


class Item(NamedTuple):
    """Lines [first, last) of the log that stand in sight as one."""

    first: int
    last: int

    @property
    def folded(self) -> bool:
        """Whether it stands for several lines."""
        return self.last - self.first > 1


def compile_pattern(text: str) -> re.Pattern[str]:
    """Compile what a user typed: a regular expression if it is one, else plain text."""
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error:
        return re.compile(re.escape(text), re.IGNORECASE)


class LogLens:
    """Follows a log and keeps the items in sight. Line numbers count dropped lines too."""

    def __init__(self, log: LogStore) -> None:
        self._log = log
        self.items: list[Item] = []
        self.pattern: re.Pattern[str] | None = None
        self.odd_only = False
        self._open: set[int] = set()
        self._seen = 0
        self._trace: int | None = None
        """First line of a traceback that has not ended yet."""

    def is_of(self, log: LogStore) -> bool:
        """Tell whether this is the log that it follows."""
        return log is self._log

    def line(self, number: int) -> str:
        """Return a line by its number; empty if it is no longer kept."""
        index = number - self._log.dropped
        return self._log.lines[index] if 0 <= index < len(self._log.lines) else ""

    def step(self, number: int) -> int:
        """Return the step that a line speaks of; -1 for none."""
        index = number - self._log.dropped
        return self._log.steps[index] if 0 <= index < len(self._log.steps) else -1

    def text(self, item: Item) -> str:
        """Return what stands for an item: its line, or the last line of a folded traceback."""
        if not item.folded:
            return self.line(item.first)
        return f"{self.line(item.last - 1)}  [traceback, {item.last - item.first} lines]"

    def narrow(self, pattern: re.Pattern[str] | None, *, odd_only: bool) -> None:
        """Show only lines that match, or only warnings and errors."""
        self.pattern, self.odd_only = pattern, odd_only
        self._rebuild()

    def toggle_fold(self, item: Item) -> None:
        """Unfold a folded traceback; a line of an unfolded one folds it again."""
        starts = {first for first in self._open if first <= item.first}
        if item.folded:
            self._open.add(item.first)
        elif starts:
            self._open.discard(max(starts))
        self._rebuild()

    def catch_up(self) -> None:
        """Take in the lines that have come since."""
        log = self._log
        if self._seen < log.dropped or self._seen > log.dropped + len(log):
            self._rebuild()
            return
        for number in range(self._seen, log.dropped + len(log)):
            self._take(number, log.lines[number - log.dropped])
        self._seen = log.dropped + len(log)
        gone = 0
        while gone < len(self.items) and self.items[gone].first < log.dropped:
            gone += 1
        del self.items[:gone]

    def _rebuild(self) -> None:
        self.items = []
        self._trace = None
        self._seen = self._log.dropped
        if len(self._log):
            self.catch_up()

    def _take(self, number: int, line: str) -> None:
        if self._trace is not None:
            inside = not line.strip() or line.startswith((" ", "\t", "During ", "The above "))
            inside = inside or _TRACEBACK.search(line) is not None
            if not inside:
                self._end_traceback(number)
            return
        if _TRACEBACK.search(line):
            self._trace = number
            return
        if self._in_sight(line):
            self.items.append(Item(number, number + 1))

    def _end_traceback(self, number: int) -> None:
        first, self._trace = self._trace or 0, None
        lines = [self.line(at) for at in range(first, number + 1)]
        if self.pattern is not None and not any(map(self.pattern.search, lines)):
            return
        if first in self._open:
            self.items += [Item(at, at + 1) for at in range(first, number + 1)]
        else:
            self.items.append(Item(first, number + 1))

    def _in_sight(self, line: str) -> bool:
        if self.odd_only and severity_of(line) == "info":
            return False
        return self.pattern is None or self.pattern.search(line) is not None
