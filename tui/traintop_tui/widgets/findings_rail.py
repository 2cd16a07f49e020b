"""The findings beside the charts, the worst open one first."""

from __future__ import annotations

from textual import events

from traintop.records import SEVERITIES, Finding
from traintop.report import evidence_lines, next_lines
from traintop_tui.charts.cells import Row, Rows
from traintop_tui.model import Model
from traintop_tui.widgets.canvas import Canvas, pad_rows
from traintop_tui.widgets.run_header import sign
from traintop_tui.wrapping import wrap


class FindingsRail(Canvas):
    """What is wrong, in a few lines each."""

    def build(self, width: int, height: int) -> Rows:
        """Draw as many findings as there is room for."""
        return pad_rows([row for row, _ in self._lines(width, height)], width, height)

    def on_click(self, event: events.Click) -> None:
        """Go to the finding under the mouse."""
        lines = self._lines(self.size.width, self.size.height)
        finding = lines[event.y][1] if event.y < len(lines) else None
        if finding is not None:
            self.model.finding = self.model.findings().index(finding)
        self.app.call_later(self.app.run_action, "show_findings")

    def _lines(self, width: int, height: int) -> list[tuple[Row, Finding | None]]:
        model = self.model
        findings = sorted(model.findings(), key=urgency)
        open_now = sum(finding.resolved_step is None for finding in findings)
        title = f"Findings  {open_now} open, {len(findings) - open_now} over"
        lines: list[tuple[Row, Finding | None]] = [(((title, "title"),), None)]
        if not findings:
            lines.append((((_nothing(model), "label"),), None))
        for finding in findings:
            lines += [(row, finding) for row in summary_rows(finding, width, model)]
        return lines


def urgency(finding: Finding) -> tuple[bool, int, int]:
    """Sort open before ended, severe before mild, new before old."""
    return (
        finding.resolved_step is not None,
        -SEVERITIES.index(finding.severity),
        -finding.detected_step,
    )


def _nothing(model: Model) -> str:
    if model.run is None:
        return "Nothing to judge yet."
    blind = len(model.session.not_judged())
    return "None so far." + (f" {blind} not judged: see 3." if blind else "")


def summary_rows(finding: Finding, width: int, model: Model) -> list[Row]:
    """Return a finding in a few rows: what, since when, the first evidence, the next test."""
    over = finding.resolved_step is not None
    style = "label" if over or finding.key in model.acknowledged else f"severity.{finding.severity}"
    when = f"since step {finding.onset_step}"
    if over:
        when += f", over at {finding.resolved_step}"
    rows: list[Row] = [
        ((f"{sign(finding, model.view.ascii)} {line}" if not i else f"  {line}", style),)
        for i, line in enumerate(wrap(finding.title, width - 2))
    ]
    rows.append(((f"  {when}", "text"),))
    if over:
        return rows
    for line in evidence_lines(finding)[:1]:
        rows += [((f"  {part}", "label"),) for part in wrap(line, width - 2)]
    for line in next_lines(finding)[:1]:
        rows += [
            ((f"  → {part}" if not i and not model.view.ascii else f"    {part}", "text"),)
            for i, part in enumerate(wrap(line, width - 4))
        ]
    return rows
