"""As many charts as there is room for, in columns."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Container

from traintop_tui.host import host_of
from traintop_tui.widgets.chart_panel import ChartPanel

LEAST_WIDTH, LEAST_HEIGHT = 36, 7
"""Cells: a chart smaller than this is not worth its place."""
WIDE = 60
"""Cells: a third column of charts must leave each of them so much."""
MOST_PANELS = 6


class ChartGrid(Container):
    """Shows the panels of the model, the most telling first, or one of them alone."""

    enlarged: int | None = None
    """Which panel is shown alone."""

    def compose(self) -> ComposeResult:
        """Begin with as many charts as there may be: the first picture has them at once."""
        panels = host_of(self).model.panels()
        for panel in panels[:MOST_PANELS]:
            yield ChartPanel(panel)

    def on_resize(self) -> None:
        """Another number of charts may fit."""
        self.fill()

    def fill(self) -> None:
        """Mount, reuse or remove charts so that they fit the series and the room."""
        width, height = self.size
        if not width or not height:
            return
        panels = host_of(self).model.panels()
        if self.enlarged is not None and panels:
            self.enlarged %= len(panels)
            panels = panels[self.enlarged :][:1]
        columns = 3 if width >= 3 * WIDE else max(min(width // LEAST_WIDTH, 2), 1)
        rows = max(height // LEAST_HEIGHT, 1)
        count = min(len(panels), columns * rows, MOST_PANELS)
        columns = min(columns, max(count, 1))
        self.styles.grid_size_columns = columns
        self.styles.grid_size_rows = -(-max(count, 1) // columns)
        widgets = list(self.query(ChartPanel))
        for widget, panel in zip(widgets, panels[:count], strict=False):
            widget.show(panel)
        for widget in widgets[count:]:
            widget.remove()
        self.mount_all(ChartPanel(panel) for panel in panels[len(widgets) : count])
