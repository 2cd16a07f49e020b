"""All findings of the run in a list, one selected."""

from __future__ import annotations

from textual import events

from traintop.records import Finding
from traintop_tui.charts.cells import Row, Rows, fit
from traintop_tui.host import host_of
from traintop_tui.widgets.canvas import Canvas, pad_rows
from traintop_tui.widgets.findings_rail import counts
from traintop_tui.widgets.run_header import sign
from traintop_tui.wrapping import wrap


class FindingList(Canvas):
    """One line a finding, in the order in which they opened, under a title."""

    def build(self, width: int, height: int) -> Rows:
        """Draw the lines around the selected one."""
        model = self.model
        findings = model.findings()
        rows: list[Row] = [((counts(findings), "title"),)]
        if not findings:
            text = "Nothing to judge yet." if model.run is None else "None so far."
            rows += [((line, "label"),) for line in wrap(text, width)]
            return pad_rows(rows, width, height)
        selected = model.finding
        digits = max(len(str(finding.onset_step)) for finding in findings)
        top = self._top(selected, len(findings), height)
        for index, finding in enumerate(findings[top : top + max(height - 1, 0)], top):
            over = finding.resolved_step is not None
            seen = finding.key in model.acknowledged
            state = "over  " if over else "seen  " if seen else ""
            mark = ">" if index == selected else " "
            head = f"{mark} {sign(finding, model.view.ascii)} {finding.onset_step:>{digits}}  "
            style = "label" if over or seen else f"severity.{finding.severity}"
            line = fit(head + state + finding.title, width)
            rows.append(((line, "selected" if index == selected else style),))
        return pad_rows(rows, width, height)

    def wanted_height(self, width: int) -> int:
        """Return a line a finding and one for the title."""
        return 1 + max(len(self.model.findings()), 1)

    def on_click(self, event: events.Click) -> None:
        """Select the finding under the mouse."""
        model = self.model
        findings: list[Finding] = model.findings()
        top = self._top(model.finding, len(findings), self.size.height)
        index = top + event.y - 1
        if event.y and index < len(findings):
            model.finding = index
            host_of(self).redraw()

    def _top(self, selected: int, count: int, height: int) -> int:
        body = max(height - 1, 1)
        return max(min(selected - body // 2, count - body), 0)
