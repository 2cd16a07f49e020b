"""How the values of one layer's statistic are spread over the window."""

from __future__ import annotations

import numpy as np

from traintop_tui.charts.cells import Rows
from traintop_tui.charts.histogram import draw_histogram
from traintop_tui.charts.numbers import format_value
from traintop_tui.layer_order import STATISTICS
from traintop_tui.widgets.canvas import Canvas, pad_rows

MOST = 4096
"""Records that are counted; of more of them, evenly spaced ones."""


class LayerHistogram(Canvas):
    """A histogram of the records in the window of the view."""

    def build(self, width: int, height: int) -> Rows:
        """Draw a title and the bars."""
        model = self.model
        run, choice = model.run, model.layers
        layers = run.layers if run is not None else None
        name = choice.selected(layers, model.step) if layers is not None else None
        if layers is None or name is None:
            return pad_rows([], width, height)
        values, records = layers.sample(choice.stat, name, *model.window, MOST)
        share = f" of {records}" if records > len(values) else ""
        values = values[np.isfinite(values)]
        title = f"{STATISTICS.get(choice.stat, choice.stat)} of {len(values)}{share} records"
        head = pad_rows([((title, "title"),)], width, 1)
        if not len(values) or height < 2:
            return (*head, *pad_rows([], width, height - 1))
        if values.min() == values.max():
            text = f"all {format_value(float(values[0]))}"
            return (*head, *pad_rows([((text, "text"),)], width, height - 1))
        counts, edges = np.histogram(values, bins=max(min(height - 1, 20), 1))
        bars = draw_histogram(
            counts.astype(np.float64), edges, width, height - 1, braille=not model.view.ascii
        )
        return (*head, *bars)
