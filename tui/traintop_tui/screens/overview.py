"""Screen 1: the curves of the run, what is wrong with it, its log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from traintop_tui.action import Where
from traintop_tui.screens.run_screen import RunScreen, bindings_of
from traintop_tui.widgets.chart_grid import ChartGrid
from traintop_tui.widgets.chart_panel import ChartPanel
from traintop_tui.widgets.findings_rail import FindingsRail
from traintop_tui.widgets.log_tail import LogTail
from traintop_tui.widgets.notice import Notice


class OverviewScreen(RunScreen):
    """As many charts as fit, the most telling first."""

    PLACES: ClassVar[tuple[Where, ...]] = ("overview", "charts")
    BINDINGS = bindings_of("replay", *PLACES)

    def body(self) -> Iterable[Widget]:
        """Charts at the left, findings at the right, the log under both."""
        yield Notice(id="notice")
        with Vertical(id="run"):
            with Horizontal(id="upper"):
                yield ChartGrid(id="charts")
                yield FindingsRail(id="findings-rail")
            yield LogTail(id="log-tail")

    def redraw(self) -> None:
        """Bring the charts in line with the series that there are, then draw."""
        waiting = self.model.run is None
        has_log = bool(len(self.model.log))
        alone = self._grid.enlarged is not None
        notice = self.query_one("#notice")
        notice.display = waiting
        notice.set_class(has_log, "-above")
        self.query_one("#run").display = not waiting or has_log
        # A text that has no numbers in it yet is shown as it is.
        self.query_one("#run").set_class(waiting, "-text-only")
        self.query_one("#upper").display = not waiting
        self.query_one("#findings-rail").display = not alone
        self.query_one(LogTail).display = has_log and not alone
        self._grid.fill()
        super().redraw()

    @property
    def _grid(self) -> ChartGrid:
        return self.query_one(ChartGrid)

    # --- keys --------------------------------------------------------------------------------

    def action_next_panel(self) -> None:
        if self._grid.enlarged is None:
            self.focus_next(ChartPanel)
        else:
            self._enlarge(self._grid.enlarged + 1)

    def action_maximize_panel(self) -> None:
        if self._grid.enlarged is not None:
            self._enlarge(None)
            return
        panels = enumerate(self.query(ChartPanel))
        self._enlarge(next((at for at, panel in panels if panel is self.focused), 0))

    def _enlarge(self, panel: int | None) -> None:
        """Show one panel alone, or (None) all again."""
        self._grid.enlarged = panel
        self.redraw()

    def action_cursor_off(self) -> None:
        if self._grid.enlarged is not None:
            self._enlarge(None)
            return
        super().action_cursor_off()

    def action_choose_series(self) -> None:
        run = self.model.run
        if run is None:
            return
        from traintop_tui.screens.series_picker import SeriesPicker

        labels = [ref.label for ref in self.model.catalogue.refs(run)]
        picker = SeriesPicker(
            labels, self.model.chosen or [], self.model.words_of, self._ask_role_of
        )
        self.app.push_screen(picker, self._choose)

    def _choose(self, chosen: list[str] | None) -> None:
        if chosen is not None:
            self.model.chosen = chosen or None
            self._grid.enlarged = None
            self.redraw()

    def action_give_role(self) -> None:
        panels = [panel for panel in self.query(ChartPanel) if panel is self.focused]
        shown = panels or list(self.query(ChartPanel))[:1]
        labels = [ref.label for panel in shown for ref in panel.panel.refs]
        self._ask_role_of(labels[0] if labels else "", self.redraw)

    def _ask_role_of(self, label: str, then: Callable[[], None]) -> None:
        """Ask for the role of a series; the others can be reached from there."""
        run = self.model.run
        refs = [] if run is None else self.model.catalogue.refs(run)
        if not refs:
            return
        from traintop_tui.screens.role_chooser import Given, RoleChooser

        at = next((at for at, ref in enumerate(refs) if ref.label == label), 0)

        def give(given: Given | None) -> None:
            if given is None:
                return
            problem = self.model.give_role(given.label, given.role)
            if problem is not None:
                self.notify(problem, severity="warning", markup=False)
            self.redraw()
            then()

        marks = {ref.label: self.model.mark_of(ref.label) for ref in refs}
        self.app.push_screen(RoleChooser([*refs[at:], *refs[:at]], marks), give)
