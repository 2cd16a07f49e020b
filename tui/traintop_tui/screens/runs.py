"""The screen with the list of runs."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Input

from traintop_tui.runs_host import runs_of
from traintop_tui.screens.run_screen import bindings_of
from traintop_tui.widgets.action_footer import ActionFooter
from traintop_tui.widgets.canvas import Canvas
from traintop_tui.widgets.runs_table import RunsHeader, RunsTable


class RunsScreen(Screen[None]):
    """A table that the keys move in, and a line to type a filter in."""

    BINDINGS: ClassVar[list[BindingType]] = bindings_of("runs")
    AUTO_FOCUS = "RunsTable"

    def compose(self) -> ComposeResult:
        """Put the table between header and footer."""
        yield RunsHeader(id="header")
        yield RunsTable(id="runs")
        prompt = Input(id="runs-prompt", placeholder="filter: words of name, state or finding")
        prompt.display = False
        yield prompt
        yield ActionFooter("runs")

    def redraw(self) -> None:
        """Draw what has changed."""
        for canvas in self.query(Canvas):
            canvas.redraw()

    def restyle(self) -> None:
        """Draw everything again: theme or character set have changed."""
        for canvas in self.query(Canvas):
            canvas.restyle()

    def _move(self, by: int) -> None:
        runs_of(self).move(by)
        self.redraw()

    def _page(self) -> int:
        return max(self.query_one(RunsTable).size.height - 2, 1)

    def action_run_down(self) -> None:
        self._move(1)

    def action_run_up(self) -> None:
        self._move(-1)

    def action_run_page_down(self) -> None:
        self._move(self._page())

    def action_run_page_up(self) -> None:
        self._move(-self._page())

    def action_first_run(self) -> None:
        self._move(-len(runs_of(self).entries))

    def action_last_run(self) -> None:
        self._move(len(runs_of(self).entries))

    def action_order_runs(self) -> None:
        runs_of(self).cycle_order()
        self.redraw()

    def action_open_run(self) -> None:
        chosen = runs_of(self).chosen()
        if chosen is not None:
            self.app.exit(chosen)

    def action_filter_runs(self) -> None:
        prompt = self.query_one(Input)
        prompt.value = runs_of(self).filter
        prompt.display = True
        prompt.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what matches while it is typed."""
        if event.input.display:
            runs_of(self).filter = event.value
            self.redraw()

    def on_input_submitted(self) -> None:
        """Keep the filter."""
        self._leave_prompt()

    def key_escape(self) -> None:
        """End the filter."""
        runs_of(self).filter = ""
        self._leave_prompt()
        self.redraw()

    def _leave_prompt(self) -> None:
        self.query_one(Input).display = False
        self.query_one(RunsTable).focus()
