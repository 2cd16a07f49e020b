"""Which lines of a log are in sight: filtered, and with tracebacks folded into one line."""

from __future__ import annotations

import re
from typing import NamedTuple

from traintop.store import LogStore

_TRACEBACK = re.compile(r"Traceback \(most recent call last\)")
_CHAIN = re.compile(r"During handling of the above|The above exception was")
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
        self._open: dict[int, int] = {}
        """Unfolded tracebacks: first line -> the line after the last."""
        self._seen = 0
        self._settled = 0
        """How many of the items are there to stay; those after them are of an open traceback."""
        self._trace: int | None = None
        """First line of a traceback that has not ended yet."""
        self._prefix = ""
        """What stands before each line of it, such as `[rank0]: `."""
        self._ended: Item | None = None
        """The last traceback that has ended."""

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
        if item.folded:
            self._open[item.first] = item.last
        else:
            self._open = {
                first: last for first, last in self._open.items() if not first <= item.first < last
            }
        self._rebuild()

    def catch_up(self) -> None:
        """Take in the lines that have come since."""
        log = self._log
        if self._seen < log.dropped or self._seen > log.dropped + len(log):
            self._rebuild()
            return
        del self.items[self._settled :]
        for number in range(self._seen, log.dropped + len(log)):
            self._take(number, log.lines[number - log.dropped])
        self._seen = log.dropped + len(log)
        gone = 0
        while gone < len(self.items) and self.items[gone].first < log.dropped:
            gone += 1
        del self.items[:gone]
        self._settled = len(self.items)
        if self._trace is not None and self._trace >= log.dropped:
            self._show(Item(self._trace, self._seen))

    def _rebuild(self) -> None:
        self.items = []
        self._settled = 0
        self._trace = self._ended = None
        self._seen = self._log.dropped
        if len(self._log):
            self.catch_up()

    def _take(self, number: int, line: str) -> None:
        if self._trace is not None:
            rest = self._bare(line)
            inside = not rest.strip() or rest.startswith((" ", "\t")) or _TRACEBACK.search(rest)
            if not inside:
                self._ended, self._trace = Item(self._trace, number + 1), None
                self._show(self._ended)
            return
        if begins := _TRACEBACK.search(line):
            self._prefix = line[: begins.start()]
            self._trace = self._chain_start(number)
            return
        if self._in_sight(line):
            self.items.append(Item(number, number + 1))

    def _bare(self, line: str) -> str:
        """Return a line of a traceback without what stands before each of its lines."""
        return line[len(self._prefix) :] if line.startswith(self._prefix.rstrip()) else line

    def _chain_start(self, number: int) -> int:
        """Return where the traceback that begins at a line is shown from.

        One that says that it belongs to the exception before it is shown as one with that.
        """
        before = self._ended
        if before is None or before.first < self._log.dropped:
            return number
        at, chained = number, False
        while at > before.last:
            rest = self._bare(self.line(at - 1))
            says = _CHAIN.match(rest) is not None
            if rest.strip() and not says:
                return number
            chained |= says
            at -= 1
        if not chained:
            return number
        while self.items and self.items[-1].first >= before.first:
            self.items.pop()
        return before.first

    def _show(self, trace: Item) -> None:
        lines = (self.line(at) for at in range(*trace))
        if self.pattern is not None and not any(map(self.pattern.search, lines)):
            return
        if trace.first in self._open:
            self._open[trace.first] = trace.last
            self.items += [Item(at, at + 1) for at in range(*trace)]
        else:
            self.items.append(trace)

    def _in_sight(self, line: str) -> bool:
        if self.odd_only and severity_of(line) == "info":
            return False
        return self.pattern is None or self.pattern.search(line) is not None
