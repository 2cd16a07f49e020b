"""The layers as a table: newest value, and how much it has changed."""

from __future__ import annotations

from traintop_tui.charts.cells import Row, Rows, fit, fit_middle
from traintop_tui.charts.numbers import format_value
from traintop_tui.layer_order import relative_change
from traintop_tui.widgets.canvas import Canvas, pad_rows

VALUE_WIDTH = 11
CHANGE_WIDTH = 9


class LayerTableView(Canvas):
    """A line a layer, sorted as the heat-map is."""

    _top = 0

    def build(self, width: int, height: int) -> Rows:
        """Draw a header and the lines around the selected layer."""
        model = self.model
        run, choice = model.run, model.layers
        layers = run.layers if run is not None else None
        if layers is None or not layers.stats:
            return pad_rows([], width, height)
        names = layers.layer_names(choice.stat)
        order = choice.order(layers, model.step)
        now, before = choice.values(layers, model.step)
        change = relative_change(now, before)
        room = max(width - VALUE_WIDTH - CHANGE_WIDTH - 3, 4)
        head = fit("  layer", room + 2) + fit("value", VALUE_WIDTH, right=True)
        rows: list[Row] = [((head + fit("change", CHANGE_WIDTH, right=True), "title"),)]
        body = max(height - 1, 1)
        selected = choice.index
        self._top = max(
            min(min(max(self._top, selected - body + 1), selected), len(order) - body), 0
        )
        for position in range(self._top, min(self._top + body, len(order))):
            index = order[position]
            mark = "> " if position == selected else "  "
            value = fit(format_value(float(now[index])), VALUE_WIDTH, right=True)
            moved = f"{100 * change[index]:.0f}%" if change[index] == change[index] else "-"
            line = (
                mark + fit_middle(names[index], room) + value + fit(moved, CHANGE_WIDTH, right=True)
            )
            rows.append(((line, "selected" if position == selected else "text"),))
        return pad_rows(rows, width, height)
