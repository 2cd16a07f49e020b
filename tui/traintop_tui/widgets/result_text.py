"""The selected analysis in words."""

from __future__ import annotations

from traintop_tui.charts.cells import Row, Rows
from traintop_tui.widgets.canvas import Canvas, pad_rows
from traintop_tui.wrapping import wrap


class ResultText(Canvas):
    """How far the job is, or what it found; why it failed."""

    def build(self, width: int, height: int) -> Rows:
        """Draw the lines."""
        item = self.model.selected_job()
        if item is None:
            return pad_rows([], width, height)
        rows: list[Row] = [((f"{item.title} on {item.checkpoint_name}", "title"),)]
        style = "severity.critical" if item.state == "failed" else "text"
        for line in item.lines():
            rows += [((part, style),) for part in wrap(line, width)]
        if item.path is not None:
            rows += [((part, "label"),) for part in wrap(f"kept in {item.path}", width)]
        rows += [
            ((part, "severity.warning"),)
            for problem in self.model.damaged_results()
            for part in wrap(problem, width)
        ]
        return pad_rows(rows, width, height)
