"""The whole log: a place in it, a search, a filter."""

from __future__ import annotations

import re

from textual import events

from traintop_tui.charts.cells import Row, Rows, cell_width, clean
from traintop_tui.log_lens import Item, LogLens, compile_pattern, severity_of
from traintop_tui.widgets.canvas import Canvas, pad_rows
from traintop_tui.wrapping import wrap

MARKS = 2
"""Cells before each line: whether it is selected, folded or at the cursor."""


class LogView(Canvas):
    """Draws the items in sight around the selected one; follows the newest until moved."""

    can_focus = True

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name for it
        super().__init__(id=id)
        self.at = 0
        """Index of the selected item."""
        self.following = True
        self.search: re.Pattern[str] | None = None
        self._lens: LogLens | None = None
        self._top = 0
        self._centring = False
        """Whether the selected line is to be brought to the middle."""

    @property
    def lens(self) -> LogLens:
        """The lines in sight of the session that is looked at."""
        log = self.model.log
        if self._lens is None or not self._lens.is_of(log):
            self._lens = LogLens(log)
        return self._lens

    def build(self, width: int, height: int) -> Rows:
        """Draw the lines around the selected one."""
        lens = self.lens
        lens.catch_up()
        if not lens.items:
            return pad_rows(
                [((line, "label"),) for line in wrap(self._empty(), width)], width, height
            )
        if self.following:
            self.at = len(lens.items) - 1
        self.at = min(max(self.at, 0), len(lens.items) - 1)
        foot = [*self._whole_line(width, height // 3), self._status()]
        body = max(height - len(foot), 1)
        if self._centring:
            self._centring = False
            self._top = self.at - body // 2
        self._top = min(max(self._top, self.at - body + 1), self.at)
        self._top = max(min(self._top, len(lens.items) - body), 0)
        marked = self._line_of_cursor()
        rows = [
            self._row(index, marked)
            for index in range(self._top, min(self._top + body, len(lens.items)))
        ]
        return (*pad_rows(rows, width, body), *pad_rows(foot, width, height - body))

    def move(self, lines: int) -> None:
        """Select another line."""
        self.at = min(max(self.at + lines, 0), max(len(self.lens.items) - 1, 0))
        self.following = False
        self.redraw()

    def go_to_end(self) -> None:
        """Follow the newest line."""
        self.following = True
        self.redraw()

    def go_to_step(self, step: float) -> None:
        """Select the last line that speaks of a step at or before `step`."""
        self.lens.catch_up()
        items = self.lens.items
        best = 0
        for index, item in enumerate(items):
            if self.lens.step(item.first) > step:
                break
            best = index
        self.at, self.following = best, False
        self._centring = True
        self.redraw()

    def next_match(self, by: int) -> bool:
        """Select the next (1) or previous (-1) match of the search; False if there is none."""
        items = self.lens.items
        if self.search is None or not items:
            return False
        for distance in range(1, len(items) + 1):
            index = (self.at + by * distance) % len(items)
            if any(
                self.search.search(self.lens.line(number))
                for number in range(items[index].first, items[index].last)
            ):
                self.at, self.following = index, False
                self.redraw()
                return True
        return False

    def set_search(self, text: str) -> None:
        """Search from now on for a pattern; empty ends the search."""
        self.search = compile_pattern(text) if text else None

    def set_filter(self, text: str) -> None:
        """Show only lines that match a pattern; empty shows all."""
        self.lens.narrow(compile_pattern(text) if text else None, odd_only=self.lens.odd_only)
        self.redraw()

    def toggle_errors(self) -> None:
        """Show only warnings and errors, or all lines."""
        self.lens.narrow(self.lens.pattern, odd_only=not self.lens.odd_only)
        self.redraw()

    def toggle_fold(self) -> None:
        """Fold or unfold the traceback that is selected."""
        if (item := self.selected()) is not None:
            self.following = False
            self.lens.toggle_fold(item)
            self.redraw()

    def selected(self) -> Item | None:
        """Return the selected item."""
        items = self.lens.items
        return items[self.at] if 0 <= self.at < len(items) else None

    def on_click(self, event: events.Click) -> None:
        """Select the line under the mouse."""
        self.at, self.following = min(self._top + event.y, len(self.lens.items) - 1), False
        self.redraw()

    def on_mouse_scroll_down(self) -> None:
        """Scroll."""
        self.move(3)

    def on_mouse_scroll_up(self) -> None:
        """Scroll."""
        self.move(-3)

    def _line_of_cursor(self) -> int | None:
        """Return the number of the line that stands at the step cursor of the charts."""
        cursor, log = self.model.view.cursor, self.model.log
        at = None if cursor is None else log.line_at_step(cursor)
        return None if at is None or log.steps[at] < 0 else at + log.dropped

    def _whole_line(self, width: int, most: int) -> list[Row]:
        """Return the selected line once more where its place is too narrow for it."""
        item = self.selected()
        text = "" if item is None else clean(self.lens.text(item))
        if cell_width(text) + MARKS <= width:
            return []
        return [((line, "text"),) for line in wrap(text, width)[: max(most, 0)]]

    def _row(self, index: int, marked: int | None) -> Row:
        lens = self.lens
        item = lens.items[index]
        text = clean(lens.text(item))
        mark = ">" if index == self.at else " "
        here = marked is not None and item.first <= marked < item.last
        fold = "+" if item.folded else "*" if here else " "
        severity = severity_of(text) if not item.folded else "critical"
        style = "text" if severity == "info" else f"severity.{severity}"
        if index == self.at:
            return ((f"{mark}{fold}{text}", "selected"),)
        if self.search is None:
            return ((f"{mark}{fold}{text}", style),)
        runs: list[tuple[str, str]] = [(f"{mark}{fold}", style)]
        end = 0
        for match in self.search.finditer(text):
            runs += [(text[end : match.start()], style), (match.group(), "match")]
            end = match.end()
        return tuple(run for run in (*runs, (text[end:], style)) if run[0])

    def _status(self) -> Row:
        lens = self.lens
        parts = [f"line {self.at + 1} of {len(lens.items)}"]
        item = self.selected()
        if item is not None and lens.step(item.first) >= 0:
            parts.append(f"step {lens.step(item.first)}")
        parts.append("following" if self.following else "not following")
        if lens.pattern is not None:
            parts.append(f"filter: {clean(lens.pattern.pattern)}")
        if lens.odd_only:
            parts.append("warnings and errors only")
        if self.search is not None:
            parts.append(f"search: {clean(self.search.pattern)}")
        dropped = self.model.log.dropped
        cursor = self.model.view.cursor
        if cursor is not None:
            parts.append(f"* cursor at step {cursor:.0f}")
        if dropped:
            parts.append(f"{dropped} older lines are only in the file")
        return (("  ".join(parts), "label"),)

    def _empty(self) -> str:
        if len(self.model.log):
            return "No line matches. & changes the filter, e shows all lines."
        if self.model.run is None:
            return "No log yet; 1 says what is waited for."
        return (
            "No text log beside this run. A *.log, *.txt or *.out file in its folder is shown here."
        )
