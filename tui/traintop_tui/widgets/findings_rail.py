"""The findings beside the charts, the worst open one first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace
from textual import events

from traintop.finding_text import evidence_lines
from traintop.records import SEVERITIES, Finding
from traintop_tui.charts.cells import Row, Rows, fit
from traintop_tui.finding_words import by_urgency, runnable, test_words
from traintop_tui.model import Model
from traintop_tui.widgets.canvas import Canvas, pad_rows
from traintop_tui.widgets.run_header import sign
from traintop_tui.wrapping import wrap

LOW = 8
"""Rows: a lower rail has a line a finding."""


class FindingsRail(Canvas):
    """What is wrong, in a few lines each, or in one where there are few lines."""

    def build(self, width: int, height: int) -> Rows:
        """Draw as many findings as there is room for."""
        lines = self._lines(width, height)
        return pad_rows([row for row, _ in lines], width, height)

    def on_click(self, event: events.Click) -> None:
        """Go to the finding under the mouse."""
        lines = self._lines(self.size.width, self.size.height)
        finding = lines[event.y][1] if event.y < len(lines) else None
        if finding is not None:
            self.model.choose(finding)
        self.app.call_later(self.app.run_action, "show_findings")

    def _lines(self, width: int, height: int) -> list[tuple[Row, Finding | None]]:
        model = self.model
        findings = model.told()
        title = counts(model.findings(), model)
        lines: list[tuple[Row, Finding | None]] = [(((title, "title"),), None)]
        if not findings:
            lines += [(((line, "label"),), None) for line in wrap(_nothing(model), width)]
        for finding, times in sorted(by_urgency(findings), key=causes_first(model)):
            shown = finding
            if times > 1:
                shown = replace(finding, title=f"{finding.title}, {times} times; the last")
            rows = [line_of(shown, width, model)] if height < LOW else None
            lines += [(row, finding) for row in rows or summary_rows(shown, width, model)]
        # Where not all fit, the last line in sight says how many do not.
        beyond = {finding.key for _, finding in lines[height - 1 :] if finding is not None}
        beyond -= {finding.key for _, finding in lines[: height - 1] if finding is not None}
        if beyond and len(lines) > height > 1:
            more = f"{len(beyond)} more: press 3"
            lines[height - 1] = (((fit(more, width, right=True), "label"),), None)
        return lines[:height]


def causes_first(model: Model) -> Callable[[tuple[Finding, int]], tuple[bool, int, bool]]:
    """Return a key that puts an open root of a story before what follows from it.

    It is as urgent as the worst that does: where few lines fit, they name what is to be mended.
    """
    roots: dict[object, int] = {}
    for story in model.stories():
        root, *rest = story.findings
        open_now = [SEVERITIES.index(each.severity) for each in rest if each.resolved_step is None]
        if open_now and root.severity != "info":
            roots[root.key] = max(open_now)

    def key(told: tuple[Finding, int]) -> tuple[bool, int, bool]:
        finding = told[0]
        rank = max(SEVERITIES.index(finding.severity), roots.get(finding.key, 0))
        return finding.resolved_step is not None, -rank, finding.key not in roots

    return key


def counts(findings: Sequence[Finding], model: Model) -> str:
    """Write how many findings there are."""
    if not findings:
        return "Findings"
    told = [finding for finding in findings if not model.is_muted(finding)]
    open_now = sum(finding.resolved_step is None for finding in told)
    words = f"Findings  {open_now} open, {len(told) - open_now} over"
    muted = len(findings) - len(told)
    return words + (f", {muted} muted" if muted else "")


def _nothing(model: Model) -> str:
    if model.run is None:
        return "Nothing to judge yet."
    if model.update.loading or model.judged < 1:
        return "None so far; not all is judged yet."
    blind = len(model.not_judged())
    return "None so far." + (f" {blind} not judged: press 3." if blind else "")


def line_of(finding: Finding, width: int, model: Model) -> Row:
    """Return a finding in one row: what, and since when."""
    step = f"  step {finding.onset_step}"
    if finding.resolved_step is not None:
        step += f" to {finding.resolved_step}"
    title = fit(f"{sign(finding, model.view.ascii)} {finding.title}", max(width - len(step), 0))
    return ((title, _style(finding, model)), (step, "text"))


def summary_rows(finding: Finding, width: int, model: Model) -> list[Row]:
    """Return a finding in a few rows: what, since when, the first evidence, the next test."""
    over = finding.resolved_step is not None
    when = f"since step {finding.onset_step}"
    if over:
        when += f", over at {finding.resolved_step}"
    style = _style(finding, model)
    rows: list[Row] = [
        ((f"{sign(finding, model.view.ascii)} {line}" if not i else f"  {line}", style),)
        for i, line in enumerate(wrap(finding.title, width - 2))
    ]
    rows.append(((f"  {when}", "text"),))
    if over:
        return rows
    for line in evidence_lines(finding)[:1]:
        rows += [((f"  {part}", "label"),) for part in wrap(line, width - 2)]
    test = runnable(finding)
    if test is not None or finding.next:
        words = test_words(test or finding.next[0])
        words += "; 3, Enter runs it" if test is not None else ""
        rows += [
            ((f"  → {part}" if not i else f"    {part}", "text"),)
            for i, part in enumerate(wrap(words, width - 4))
        ]
    return rows


def _style(finding: Finding, model: Model) -> str:
    over = finding.resolved_step is not None
    return "label" if over or model.is_acknowledged(finding) else f"severity.{finding.severity}"
