"""Screen 1: the curves of the run, what is wrong with it, its log."""

from __future__ import annotations

from collections.abc import Iterable
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
        self.app.push_screen(SeriesPicker(labels, self.model.chosen or []), self._choose)

    def _choose(self, chosen: list[str] | None) -> None:
        if chosen is not None:
            self.model.chosen = chosen or None
            self._grid.enlarged = None
            self.redraw()
