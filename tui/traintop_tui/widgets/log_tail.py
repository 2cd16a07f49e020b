"""The newest lines of the text log, or those at the cursor."""

from __future__ import annotations

import re

from traintop_tui.charts.cells import Row, Rows, cell_width, clean
from traintop_tui.log_lens import severity_of
from traintop_tui.widgets.canvas import Canvas, pad_rows

STAMP = re.compile(r"^[\[(]?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?Z?[\])]?[\s:-]*")
"""A date and time at the beginning of a line."""


class LogTail(Canvas):
    """A few lines; the log screen has them all."""

    def build(self, width: int, height: int) -> Rows:
        """Draw a title and as many lines as fit, the last of them the newest or the cursor's."""
        log = self.model.log
        cursor = self.model.view.cursor
        end = len(log)
        title = "Log"
        if cursor is not None:
            at = log.line_at_step(cursor)
            end = 0 if at is None else at + 1
            title = f"Log up to step {cursor:.0f}"
        rows: list[Row] = [((title, "title"),)]
        begin = max(end - max(height - 1, 0), 0)
        lines = [clean(line) for line in log.lines[begin:end]]
        room = width if cursor is None else width - 2
        if any(cell_width(line) > room for line in lines):
            # When it was is worth less than what was said; the log screen has both.
            lines = [STAMP.sub("", line, count=1) for line in lines]
        for number, line in enumerate(lines, begin):
            severity = severity_of(line)
            style = "text" if severity == "info" else f"severity.{severity}"
            mark = "" if cursor is None else "> " if number == end - 1 else "  "
            rows.append(((mark, "cursor"), (line, style)) if mark else ((line, style),))
        return pad_rows(rows, width, height)

    def on_click(self) -> None:
        """Go to the log."""
        self.app.call_later(self.app.run_action, "show_log")
