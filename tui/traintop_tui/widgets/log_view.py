"""The whole log: a place in it, a search, a filter."""

from __future__ import annotations

import re

from textual import events

from traintop_tui.charts.cells import Row, Rows, clean
from traintop_tui.log_lens import Item, LogLens, compile_pattern, severity_of
from traintop_tui.widgets.canvas import Canvas, pad_rows


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

    @property
    def lens(self) -> LogLens:
        """The lines in sight of the session that is looked at."""
        log = self.model.session.store.log
        if self._lens is None or not self._lens.is_of(log):
            self._lens = LogLens(log)
        return self._lens

    def build(self, width: int, height: int) -> Rows:
        """Draw the lines around the selected one."""
        lens = self.lens
        lens.catch_up()
        if not lens.items:
            return pad_rows([((self._empty(), "label"),)], width, height)
        if self.following:
            self.at = len(lens.items) - 1
        self.at = min(max(self.at, 0), len(lens.items) - 1)
        body = max(height - 1, 1)
        self._top = min(max(self._top, self.at - body + 1), self.at)
        self._top = max(min(self._top, len(lens.items) - body), 0)
        rows = [
            self._row(index) for index in range(self._top, min(self._top + body, len(lens.items)))
        ]
        return (*pad_rows(rows, width, height - 1), *pad_rows([self._status()], width, 1))

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
        self.at, self.following = self._top + event.y, False
        self.redraw()

    def on_mouse_scroll_down(self) -> None:
        """Scroll."""
        self.move(3)

    def on_mouse_scroll_up(self) -> None:
        """Scroll."""
        self.move(-3)

    def _row(self, index: int) -> Row:
        lens = self.lens
        item = lens.items[index]
        text = clean(lens.text(item))
        mark = ">" if index == self.at else " "
        fold = "+" if item.folded else " "
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
        dropped = self.model.session.store.log.dropped
        if dropped:
            parts.append(f"{dropped} older lines are only in the file")
        return (("  ".join(parts), "label"),)

    def _empty(self) -> str:
        if len(self.model.session.store.log):
            return "No line matches. & changes the filter, e shows all lines."
        return (
            "No text log beside this run. A *.log, *.txt or *.out file in its folder is shown here."
        )
