"""All layers over the steps: how a statistic runs through the depth of the model."""

from __future__ import annotations

import numpy as np
from textual import events

from traintop.records import Floats
from traintop_tui.charts.cells import Rows
from traintop_tui.charts.heatmap import HeatLayout, Heatmap, draw, lay_out
from traintop_tui.charts.xaxis import x_ticks
from traintop_tui.host import host_of
from traintop_tui.layer_order import STATISTICS, is_share
from traintop_tui.widgets.canvas import Canvas, pad_rows
from traintop_tui.wrapping import wrap

FRAME = 4
"""Rows other than layers: title, axis, its labels, legend."""
MOST_CARRIED = 2.5
"""Of the usual distance between records: a longer gap stays one."""


class LayerHeatmap(Canvas):
    """A row a layer, a column some steps; the order is that of the table beside it."""

    _top = 0

    def build(self, width: int, height: int) -> Rows:
        """Draw the heat-map under a title that names the statistic."""
        model = self.model
        run, choice = model.run, model.layers
        layers = run.layers if run is not None else None
        if layers is None or not layers.stats:
            lines = wrap(model.no_layers(), width)
            return pad_rows([((line, "label"),) for line in lines], width, height)
        layout = lay_out(width, height - 1)
        edges = model.edges(2 * layout.plot_width)
        order = choice.order(layers, model.step)
        selected = layers.layer_names(choice.stat)
        values = carried_on(layers.reduce(choice.stat, edges[::2])[order], layers.step, edges[::2])
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

    def wanted_height(self, width: int) -> int:
        """Return a line a layer, and those of the title, the axis and the legend."""
        run, choice = self.model.run, self.model.layers
        layers = run.layers if run is not None else None
        if layers is None or not layers.stats:
            return len(wrap(self.model.no_layers(), width))
        return len(layers.layer_names(choice.stat)) + FRAME

    def on_click(self, event: events.Click) -> None:
        """Select the layer under the mouse."""
        run, choice = self.model.run, self.model.layers
        count = len(run.layers.layer_names(choice.stat)) if run and run.layers else 0
        index = self._top + event.y - 1
        if event.y and index < count:
            choice.index = index
            host_of(self).redraw()

    def _scroll(self, selected: int, count: int, layout: HeatLayout) -> int:
        height = max(layout.plot_height, 1)
        top = min(max(self._top, selected - height + 1), selected)
        return max(min(top, count - height), 0)


def carried_on(values: Floats, steps: Floats, edges: Floats) -> Floats:
    """Fill columns between two records with the earlier one: they are gaps of drawing only.

    Args:
        values: Shape (layers, columns), NaN where a column has no record.
        steps: Shape (records,), the step of each record, rising.
        edges: Shape (columns + 1,), the steps between columns.

    Returns:
        Shape (layers, columns).
    """
    bounds = np.searchsorted(steps, edges)
    filled = bounds[1:] > bounds[:-1]
    if len(steps) < 3 or not filled.any():
        return values
    columns = np.arange(len(filled))
    source = np.maximum.accumulate(np.where(filled, columns, 0))
    since = edges[:-1] - steps[np.maximum(bounds[:-1] - 1, 0)]
    near = since <= MOST_CARRIED * float(np.median(np.diff(steps)))
    inside = (columns > np.argmax(filled)) & (edges[:-1] <= steps[-1])
    return np.where(~filled & inside & near, values[:, source], values)
