"""All findings of the run in a list, one selected."""

from __future__ import annotations

from textual import events

from traintop_tui.charts.cells import Row, Rows, fit
from traintop_tui.host import host_of
from traintop_tui.widgets.canvas import Canvas, pad_rows
from traintop_tui.widgets.run_header import sign


class FindingList(Canvas):
    """One line a finding, in the order in which they opened."""

    def build(self, width: int, height: int) -> Rows:
        """Draw the lines around the selected one."""
        model = self.model
        findings = model.findings()
        if not findings:
            text = "Nothing to judge yet." if model.run is None else "No finding so far."
            return pad_rows([((text, "label"),)], width, height)
        selected = min(model.finding, len(findings) - 1)
        top = self._top(selected, len(findings), height)
        rows: list[Row] = []
        for index, finding in enumerate(findings[top : top + height], top):
            over = finding.resolved_step is not None
            seen = finding.key in model.acknowledged
            state = "over" if over else "seen" if seen else "open"
            mark = ">" if index == selected else " "
            text = f"{mark} {sign(finding, model.view.ascii)} {finding.onset_step:>8}  {state:4}  "
            style = "label" if over or seen else f"severity.{finding.severity}"
            line = fit(text + finding.title, width)
            rows.append(((line, "selected" if index == selected else style),))
        return pad_rows(rows, width, height)

    def on_click(self, event: events.Click) -> None:
        """Select the finding under the mouse."""
        model = self.model
        count = len(model.findings())
        index = self._top(min(model.finding, count - 1), count, self.size.height) + event.y
        if index < count:
            model.finding = index
            host_of(self).redraw()

    def _top(self, selected: int, count: int, height: int) -> int:
        return max(min(selected - height // 2, count - height), 0)
