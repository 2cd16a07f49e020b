"""An analysis in words."""

from __future__ import annotations

import time

from traintop_tui.charts.cells import Row
from traintop_tui.charts.progress import draw_progress
from traintop_tui.job_list import JobItem
from traintop_tui.widgets.scroll_text import ScrollText
from traintop_tui.wrapping import wrap


class ResultText(ScrollText):
    """How far one of the analyses that are looked at is, or what it found; why it failed.

    Args:
        place: 0, or 1 for the second of two that are compared.
    """

    def __init__(self, place: int = 0, *, id: str | None = None) -> None:  # noqa: A002 - Textual's
        super().__init__(id=id)
        self._place = place

    def about(self) -> object:
        """Tell one analysis from another."""
        return self._item()

    def lines(self, width: int) -> list[Row]:
        """Write the result, or how far it is."""
        item = self._item()
        if item is None:
            return []
        rows = result_rows(item, width)
        if item.state == "running":
            left = item.seconds_left(time.monotonic())
            braille = not self.model.view.ascii
            rows.insert(1, draw_progress(*item.progress, left, width, braille=braille))
        return rows

    def _item(self) -> JobItem | None:
        items = self.model.shown_jobs()
        return items[self._place] if self._place < len(items) else None


def result_rows(item: JobItem, width: int) -> list[Row]:
    """Write an analysis in lines of at most `width` cells."""
    rows: list[Row] = [((f"{item.title} on {item.checkpoint_name}", "title"),)]
    style = "severity.critical" if item.state == "failed" else "text"
    for line in item.lines():
        # Tracebacks and tables are read by their indentation.
        indent = line[: len(line) - len(line.lstrip())][: width // 2]
        parts = wrap(line.lstrip(), width - len(indent))
        rows += [((indent + part, style),) for part in parts]
    if item.path is not None:
        rows += [((part, "label"),) for part in wrap(f"kept in {item.path}", width)]
    return rows
