"""The list of runs: a line a run, filled in as they are read."""

from __future__ import annotations

import time

from textual import events

from traintop.run_summaries import RunEntry, RunSummary
from traintop_tui.charts.cells import Row, Rows, cell_width, fit, fit_middle, fit_runs
from traintop_tui.charts.numbers import format_duration, format_value
from traintop_tui.runs_host import runs_of
from traintop_tui.runs_model import RunsModel
from traintop_tui.widgets.canvas import Canvas, pad_rows
from traintop_tui.widgets.run_header import ASCII_STATE_SIGNS, STATE_SIGNS, STATE_STYLES

STATE, STEP, LOSS, AGE = 11, 10, 10, 8
"""Widths of columns, in cells."""
LEAST_NAME, MOST_NAME = 16, 60
LEAST_FINDING = 12
"""With less room there is no column for it."""
UNREAD = "-"


class RunsTable(Canvas):
    """The runs around the selected one, below a line with the names of the columns."""

    can_focus = True

    def build(self, width: int, height: int) -> Rows:
        """Draw the lines that there is room for."""
        model = runs_of(self)
        shown = model.shown()
        if not shown:
            return pad_rows([((self._nothing(model), "label"),)], width, height)
        at = model.index(shown)
        body = max(height - 1, 1)
        top = max(min(at - body // 2, len(shown) - body), 0)
        lines = shown[top : top + body]
        model.in_sight = [entry.path for entry in lines]
        now = time.time()
        name = self._name_width(model, shown, width)
        rows: list[Row] = [fit_runs([(_heading(name), "label")], width)]
        for index, entry in enumerate(lines, top):
            row = self._row(model, entry, name, now, selected=index == at)
            rows.append(fit_runs(row, width))
        return pad_rows(rows, width, height)

    def on_click(self, event: events.Click) -> None:
        """Select what is under the mouse; a second click opens it."""
        model = runs_of(self)
        at = event.y - 1
        if not 0 <= at < len(model.in_sight):
            return
        again = model.selected == model.in_sight[at]
        model.selected = model.in_sight[at]
        if again:
            self.screen.call_later(self.screen.run_action, "open_run")
        self.redraw()

    def _name_width(self, model: RunsModel, shown: list[RunEntry], width: int) -> int:
        longest = max(cell_width(model.name(entry.path)) for entry in shown[:500])
        room = width - STATE - STEP - LOSS - AGE - 2 - LEAST_FINDING
        return max(min(longest + 2, MOST_NAME, room), min(LEAST_NAME, width))

    def _nothing(self, model: RunsModel) -> str:
        if not model.looked:
            return f"Looking for runs in {model.folder} ..."
        if model.entries:
            return f"No run matches {model.filter!r}; Esc ends the filter."
        return f"No runs in {model.folder}. They are listed by themselves when they begin."

    def _row(
        self, model: RunsModel, entry: RunEntry, name: int, now: float, *, selected: bool
    ) -> Row:
        known = model.summaries.get(entry.path)
        plain = "selected" if selected else "text"
        mark = ">" if selected else " "
        age = f"{format_duration(max(now - entry.modified, 0))} "
        title = f"{mark}{fit_middle(model.name(entry.path), name - 1)}"
        if known is None:
            rest = f"{fit(UNREAD, STATE)}{UNREAD:>{STEP}}{UNREAD:>{LOSS}}{age:>{AGE}}"
            return ((title, plain), (rest, "selected" if selected else "label"))
        if known.error is not None:
            style = "selected" if selected else "severity.warning"
            return ((title, plain), (f"{fit('not read', STATE)}{known.error}", style))
        signs = ASCII_STATE_SIGNS if model.view.ascii else STATE_SIGNS
        state = fit(f"{signs[known.state]} {known.state}", STATE)
        step = UNREAD if known.step is None else str(known.step)
        loss = UNREAD if known.loss is None else format_value(known.loss)
        worst = "" if known.worst is None else f" {known.worst}: {known.finding}"
        return (
            (title, plain),
            (state, "selected" if selected else STATE_STYLES.get(known.state, "text")),
            (f"{step:>{STEP}}{loss:>{LOSS}}{age:>{AGE}} ", plain),
            (worst, "selected" if selected else _style(known)),
        )


class RunsHeader(Canvas):
    """One line: the folder, how many runs, how many of them are read, the order, the filter."""

    def build(self, width: int, height: int) -> Rows:
        """Draw the line."""
        model = runs_of(self)
        count, read = (
            len(model.entries),
            sum(entry.path in model.summaries for entry in model.entries),
        )
        parts = [f"{count} run{'' if count == 1 else 's'}"]
        if read < count:
            parts.append(f"{read} read")
        parts.append(f"by {model.order}")
        if model.filter:
            parts.append(f"filter {model.filter!r}")
        right = f"  {', '.join(parts)} "
        folder = model.folder if model.folder.name else model.folder.absolute().name or "/"
        name = fit_middle(f" {folder} ", max(width - cell_width(right), 0))
        return (fit_runs([(name, "header.name"), (right, "header")], width, filler="header"),)


def _heading(name: int) -> str:
    first = fit(" run", name) + fit("state", STATE)
    return f"{first}{'step':>{STEP}}{'loss':>{LOSS}}{'ago ':>{AGE}}  finding"


def _style(known: RunSummary) -> str:
    return "text" if known.worst is None else f"severity.{known.worst}"
