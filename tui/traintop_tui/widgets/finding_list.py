"""All findings of the run in a list, one selected; those of one story stand together."""

from __future__ import annotations

from textual import events

from traintop.records import Finding
from traintop_tui.charts.cells import Row, Rows, fit
from traintop_tui.host import host_of
from traintop_tui.model import Model
from traintop_tui.widgets.canvas import Canvas, pad_rows
from traintop_tui.widgets.findings_rail import counts
from traintop_tui.widgets.run_header import sign
from traintop_tui.wrapping import wrap

LEAST_DIGITS = 5
"""Cells of a column of steps: its heading."""


class FindingList(Canvas):
    """One line a finding under a line of headings: when it began, was seen, was over; what it is.

    The worst story comes first, its findings as they followed from each other, joined by a bracket;
    muted ones come last.
    """

    def build(self, width: int, height: int) -> Rows:
        """Draw the lines around the selected one."""
        model = self.model
        findings = model.findings()
        if not findings:
            text = "Nothing to judge yet." if model.run is None else "None so far."
            rows: list[Row] = [((counts(findings, model), "title"),)]
            rows += [((line, "label"),) for line in wrap(text, width)]
            return pad_rows(rows, width, height)
        steps = [step for each in findings for step in _steps(each) if step is not None]
        digits = max(max(len(str(step)) for step in steps), LEAST_DIGITS)
        brackets = _brackets(model)
        selected = model.finding
        names = "".join(f"{name:>{digits}} " for name in ("onset", "seen", "over"))
        indent = " " * (5 if brackets else 4)
        rows = [((f"{indent}{names} {counts(findings, model)}", "title"),)]
        top = self._top(selected, len(findings), height)
        for index, finding in enumerate(findings[top : top + max(height - 1, 0)], top):
            muted, seen = model.is_muted(finding), model.is_acknowledged(finding)
            mark = ">" if index == selected else " "
            bracket = brackets.get(finding.key, " ") if brackets else ""
            when = "".join(f"{'' if step is None else step:>{digits}} " for step in _steps(finding))
            state = "muted: " if muted else "acknowledged: " if seen else ""
            head = f"{mark} {bracket}{sign(finding, model.view.ascii)} {when} {state}"
            dim = muted or seen or finding.resolved_step is not None
            style = "label" if dim else f"severity.{finding.severity}"
            line = fit(head + finding.title, width)
            rows.append(((line, "selected" if index == selected else style),))
        return pad_rows(rows, width, height)

    def wanted_height(self, width: int) -> int:
        """Return a line a finding and one for the headings."""
        return 1 + max(len(self.model.findings()), 1)

    def on_click(self, event: events.Click) -> None:
        """Select the finding under the mouse."""
        model = self.model
        count = len(model.findings())
        top = self._top(model.finding, count, self.size.height)
        index = top + event.y - 1
        if event.y and index < count:
            model.finding = index
            host_of(self).redraw()

    def _top(self, selected: int, count: int, height: int) -> int:
        body = max(height - 1, 1)
        return max(min(selected - body // 2, count - body), 0)


def _steps(finding: Finding) -> tuple[int | None, ...]:
    return finding.onset_step, finding.detected_step, finding.resolved_step


def _brackets(model: Model) -> dict[tuple[str, int], str]:
    """Return what joins the findings of one story: finding -> bracket; empty without such a one."""
    first, middle, last = ",|`" if model.view.ascii else "┌│└"
    brackets: dict[tuple[str, int], str] = {}
    for story in model.stories():
        keys = [finding.key for finding in story.findings]
        if len(keys) > 1:
            brackets |= dict.fromkeys(keys, middle) | {keys[0]: first, keys[-1]: last}
    return brackets
