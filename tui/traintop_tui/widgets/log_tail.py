"""The newest lines of the text log, or those at the cursor."""

from __future__ import annotations

from traintop_tui.charts.cells import Row, Rows, clean
from traintop_tui.widgets.canvas import Canvas, pad_rows

ERROR_WORDS = ("error", "traceback", "exception", "fatal", "out of memory", "nan")
WARNING_WORDS = ("warning", "warn ", "overflow", "skipping")


class LogTail(Canvas):
    """A few lines; the log screen has them all."""

    def build(self, width: int, height: int) -> Rows:
        """Draw a title and as many of the newest lines as fit."""
        log = self.model.session.store.log
        cursor = self.model.view.cursor
        end = len(log)
        if cursor is not None:
            at = log.line_at_step(cursor)
            end = 0 if at is None else at + 1
        title = "Log" if cursor is None else f"Log up to step {cursor:.0f}"
        rows: list[Row] = [((title, "title"),)]
        if not len(log):
            rows.append((("No text log beside this run.", "label"),))
        begin = max(end - max(height - 1, 0), 0)
        rows += [((clean(line), line_style(line)),) for line in log.lines[begin:end]]
        return pad_rows(rows, width, height)

    def on_click(self) -> None:
        """Go to the log."""
        self.app.call_later(self.app.run_action, "show_log")


def line_style(line: str) -> str:
    """Return the style of a log line by the words in it."""
    lower = line.lower()
    if any(word in lower for word in ERROR_WORDS[:-1]) or " nan" in lower:
        return "severity.critical"
    if any(word in lower for word in WARNING_WORDS):
        return "severity.warning"
    return "text"
