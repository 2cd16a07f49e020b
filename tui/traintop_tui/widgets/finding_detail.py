"""One finding in full: what was measured, what is likely, what to do next."""

from __future__ import annotations

from traintop.records import Finding
from traintop.report import evidence_lines
from traintop_tui.charts.cells import Row
from traintop_tui.finding_words import runnable, test_words
from traintop_tui.widgets.scroll_text import ScrollText
from traintop_tui.wrapping import wrap

NAME_WIDTH = 10


class FindingDetail(ScrollText):
    """The selected finding as text, the most important first."""

    def about(self) -> object:
        """Tell one finding from another."""
        finding = self.model.selected_finding()
        return None if finding is None else finding.key

    def lines(self, width: int) -> list[Row]:
        """Write all that is known of it."""
        finding = self.model.selected_finding()
        if finding is None:
            return []
        rows: list[Row] = [
            ((line, f"severity.{finding.severity}"),) for line in wrap(finding.title, width)
        ]
        when = f"since step {finding.onset_step}, seen at step {finding.detected_step}"
        if finding.resolved_step is not None:
            when += f", over at step {finding.resolved_step}"
        rows += [
            ((line, "label"),) for line in wrap(f"{finding.id}, {finding.severity}, {when}", width)
        ]
        parts = [
            ("measured", evidence_lines(finding)),
            ("likely", [f"{cause.cause} ({cause.because})" for cause in finding.causes]),
            ("next", _next(finding)),
            ("layers", [", ".join(finding.layers)] if finding.layers else []),
        ]
        for name, texts in parts:
            for text in texts:
                for line in wrap(text, max(width - NAME_WIDTH, 1)):
                    rows.append(((f"{name:{NAME_WIDTH}}", "title"), (line, "text")))
                    name = ""
        return rows


def _next(finding: Finding) -> list[str]:
    enter = runnable(finding)
    return [("Enter runs: " if test is enter else "") + test_words(test) for test in finding.next]
