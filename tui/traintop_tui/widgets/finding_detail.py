"""One finding in full: what was measured, what is likely, what to do next."""

from __future__ import annotations

from traintop.report import evidence_lines, next_lines
from traintop_tui.charts.cells import Row, Rows
from traintop_tui.widgets.canvas import Canvas, pad_rows
from traintop_tui.wrapping import wrap


class FindingDetail(Canvas):
    """The selected finding as text."""

    def build(self, width: int, height: int) -> Rows:
        """Draw as much as there is room for, the most important first."""
        finding = self.model.selected_finding()
        if finding is None:
            return pad_rows([], width, height)
        rows: list[Row] = [
            ((line, f"severity.{finding.severity}"),) for line in wrap(finding.title, width)
        ]
        when = f"since step {finding.onset_step}, seen at step {finding.detected_step}"
        if finding.resolved_step is not None:
            when += f", over at step {finding.resolved_step}"
        rows.append(((f"{finding.id}, {finding.severity}, {when}", "label"),))
        parts = [
            ("layers", [", ".join(finding.layers)] if finding.layers else []),
            ("measured", evidence_lines(finding)),
            ("likely", [f"{cause.cause} ({cause.because})" for cause in finding.causes]),
            ("next", next_lines(finding)),
        ]
        for name, lines in parts:
            for line in lines:
                for index, text in enumerate(wrap(line, max(width - 10, 1))):
                    rows.append(((f"{name if not index else '':9} ", "title"), (text, "text")))
        return pad_rows(rows, width, height)
