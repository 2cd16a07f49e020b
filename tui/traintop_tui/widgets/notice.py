"""What is said while there is no run to show yet."""

from __future__ import annotations

from traintop_tui.charts.cells import Row, Rows
from traintop_tui.widgets.canvas import Canvas, pad_rows
from traintop_tui.wrapping import wrap


class Notice(Canvas):
    """Says what is waited for; the run is shown by itself when it begins."""

    def build(self, width: int, height: int) -> Rows:
        """Draw the text in the middle."""
        inner = max(min(width - 4, 76), 1)
        indent = " " * max((width - inner) // 2, 0)
        lines = [part for line in self._words() for part in wrap(line, inner)]
        rows: list[Row] = [((" ", "background"),)] * max((height - len(lines)) // 2, 0)
        rows += [
            ((indent + line, "title" if not index else "text"),) for index, line in enumerate(lines)
        ]
        return pad_rows(rows, width, height)

    def wanted_height(self, width: int) -> int:
        """Return the lines of the text and one above and below it."""
        inner = max(min(width - 4, 76), 1)
        return 2 + sum(len(wrap(line, inner)) for line in self._words())

    def _words(self) -> list[str]:
        if not len(self.model.session.store.log):
            return self.model.session.waiting_for()
        return [
            "No records of numbers so far: the text is shown as it is.",
            "Curves appear as soon as lines of names and numbers repeat while a step grows.",
            "4 searches the text.",
        ]
