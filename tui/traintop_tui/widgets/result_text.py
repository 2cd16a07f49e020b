"""The selected analysis in words."""

from __future__ import annotations

from traintop_tui.charts.cells import Row
from traintop_tui.widgets.scroll_text import ScrollText
from traintop_tui.wrapping import wrap


class ResultText(ScrollText):
    """How far the job is, or what it found; why it failed."""

    def about(self) -> object:
        """Tell one analysis from another."""
        return self.model.selected_job()

    def lines(self, width: int) -> list[Row]:
        """Write the result, or how far it is."""
        item = self.model.selected_job()
        if item is None:
            return []
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
