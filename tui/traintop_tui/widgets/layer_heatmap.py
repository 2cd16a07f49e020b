"""All layers over the steps: how a statistic runs through the depth of the model."""

from __future__ import annotations

from textual import events

from traintop_tui.charts.cells import Rows
from traintop_tui.charts.heatmap import HeatLayout, Heatmap, draw, lay_out
from traintop_tui.charts.xaxis import x_ticks
from traintop_tui.host import host_of
from traintop_tui.layer_order import STATISTICS, is_share
from traintop_tui.widgets.canvas import Canvas, pad_rows


class LayerHeatmap(Canvas):
    """A row a layer, a column some steps; the order is that of the table beside it."""

    _top = 0

    def build(self, width: int, height: int) -> Rows:
        """Draw the heat-map under a title that names the statistic."""
        model = self.model
        run, choice = model.run, model.layers
        layers = run.layers if run is not None else None
        if layers is None or not layers.stats:
            return pad_rows([((model.no_layers(), "label"),)], width, height)
        layout = lay_out(width, height - 1)
        edges = model.edges(2 * layout.plot_width)
        order = choice.order(layers, model.step)
        selected = layers.layer_names(choice.stat)
        values = layers.reduce(choice.stat, edges[::2])[order]
        self._top = self._scroll(choice.index, len(order), layout)
        cursor = model.view.cursor
        column = None if cursor is None else model.column(cursor, edges)
        title = f"{STATISTICS.get(choice.stat, choice.stat)} by layer, {choice.sort} order"
        heatmap = Heatmap(
            labels=tuple(selected[index] for index in order),
            values=values,
            log=not is_share(choice.stat),
            limits=(0.0, 1.0) if is_share(choice.stat) else None,
            first_row=self._top,
            selected=choice.index,
            cursor=None if column is None else column // 2,
            x_ticks=x_ticks(model.positions(), 2 * layout.plot_width, model.axis_kind),
            marks=tuple(model.marks(edges)),
            braille=not model.view.ascii,
        )
        return (*pad_rows([((title, "title"),)], width, 1), *draw(heatmap, width, height - 1))

    def on_click(self, event: events.Click) -> None:
        """Select the layer, and put the cursor at the step, under the mouse."""
        self.model.layers.index = self._top + event.y - 1
        host_of(self).redraw()

    def _scroll(self, selected: int, count: int, layout: HeatLayout) -> int:
        height = max(layout.plot_height, 1)
        top = min(max(self._top, selected - height + 1), selected)
        return max(min(top, count - height), 0)
