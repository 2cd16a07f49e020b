"""Screen 1: the curves of the run, what is wrong with it, its log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.containers import Container, Horizontal, Vertical
from textual.widget import Widget

from traintop_tui.actions import Where
from traintop_tui.screens.run_screen import RunScreen, bindings_of
from traintop_tui.screens.series_picker import SeriesPicker
from traintop_tui.widgets.chart_panel import ChartPanel
from traintop_tui.widgets.findings_rail import FindingsRail
from traintop_tui.widgets.log_tail import LogTail
from traintop_tui.widgets.notice import Notice

LEAST_WIDTH, LEAST_HEIGHT = 38, 7
"""Cells: a chart smaller than this is not worth its place."""
MOST_PANELS = 6


class OverviewScreen(RunScreen):
    """As many charts as fit, the most telling first."""

    PLACES: ClassVar[tuple[Where, ...]] = ("overview", "charts")
    BINDINGS = bindings_of(*PLACES)

    def body(self) -> Iterable[Widget]:
        """Charts at the left, findings at the right, the log under both."""
        yield Notice(id="notice")
        with Vertical(id="run"):
            with Horizontal(id="upper"):
                yield Container(id="charts")
                yield FindingsRail(id="findings-rail")
            yield LogTail(id="log-tail")

    def redraw(self) -> None:
        """Bring the charts in line with the series that there are, then draw."""
        waiting = self.model.run is None
        self.query_one("#notice").display = waiting
        self.query_one("#run").display = not waiting
        self._arrange()
        super().redraw()

    def on_resize(self) -> None:
        """Arrange the charts anew: another number of them may fit."""
        self.call_after_refresh(self.redraw)

    def _arrange(self) -> None:
        """Mount, reuse or remove chart panels; their number follows from the room."""
        box = self.query_one("#charts", Container)
        width, height = box.size
        if not width or not height:
            return
        panels = self.model.panels()
        columns = max(min(width // LEAST_WIDTH, 2 if width < 3 * 60 else 3), 1)
        rows = max(height // LEAST_HEIGHT, 1)
        count = min(len(panels), columns * rows, MOST_PANELS)
        columns = min(columns, max(count, 1))
        rows = -(-count // columns) if count else 1
        box.styles.grid_size_columns = columns
        box.styles.grid_size_rows = rows
        widgets = list(box.query(ChartPanel))
        for widget, panel in zip(widgets, panels[:count], strict=False):
            widget.show(panel)
        for widget in widgets[count:]:
            widget.remove()
        box.mount_all(ChartPanel(panel) for panel in panels[len(widgets) : count])

    # --- keys --------------------------------------------------------------------------------

    def action_next_panel(self) -> None:
        self.focus_next(ChartPanel)

    def action_maximize_panel(self) -> None:
        if self.maximized is not None:
            self.minimize()
            return
        focused = self.focused if isinstance(self.focused, ChartPanel) else None
        panel = focused or next(iter(self.query(ChartPanel)), None)
        if panel is not None:
            self.maximize(panel)

    def action_cursor_off(self) -> None:
        if self.maximized is not None:
            self.minimize()
            return
        super().action_cursor_off()

    def action_choose_series(self) -> None:
        run = self.model.run
        if run is None:
            return
        labels = [ref.label for ref in self.model.session.catalogue.refs(run)]
        self.app.push_screen(SeriesPicker(labels, self.model.chosen or []), self._choose)

    def _choose(self, chosen: list[str] | None) -> None:
        if chosen is not None:
            self.model.chosen = chosen or None
            self.redraw()
