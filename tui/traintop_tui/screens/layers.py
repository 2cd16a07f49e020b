"""Screen 2: gradients and activations layer by layer, and one layer in detail."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.containers import Grid, Horizontal, Vertical
from textual.widget import Widget

from traintop.store import LayerTable
from traintop_tui.action import Where
from traintop_tui.panels import LayerRef, Panel
from traintop_tui.screens.run_screen import RunScreen, bindings_of
from traintop_tui.widgets.chart_panel import ChartPanel
from traintop_tui.widgets.layer_heatmap import LayerHeatmap
from traintop_tui.widgets.layer_histogram import LayerHistogram
from traintop_tui.widgets.layer_table import LayerTableView

LAYER_CHARTS = 4
"""Curves of one layer that are drawn, each in a chart."""


class LayersScreen(RunScreen):
    """A heat-map with a table; Enter opens the selected layer."""

    PLACES: ClassVar[tuple[Where, ...]] = ("layers", "charts")
    BINDINGS = bindings_of("replay", *PLACES)

    def body(self) -> Iterable[Widget]:
        """All layers, or the one that is open."""
        with Horizontal(id="all-layers"):
            with Vertical(id="layer-map"):
                yield LayerHeatmap(id="heatmap")
                yield ChartPanel(Panel(""), id="layer-curve")
            yield LayerTableView(id="layer-table")
        with Horizontal(id="one-layer"):
            with Grid(id="layer-charts"):
                for index in range(LAYER_CHARTS):
                    yield ChartPanel(Panel(""), id=f"layer-chart-{index}")
            with Vertical(id="layer-side"):
                yield LayerTableView()
                yield LayerHistogram()

    def redraw(self) -> None:
        """Draw what is in sight."""
        layers, name = self._selected()
        opened = self.model.layers.open and name is not None
        self.query_one("#all-layers").display = not opened
        self.query_one("#one-layer").display = opened
        self.query_one("#layer-curve").display = name is not None
        self.query_one("#layer-table").set_class(name is None, "-empty")
        if layers is not None and name is not None:
            self._show_layer(layers, name)
        super().redraw()

    def _selected(self) -> tuple[LayerTable | None, str | None]:
        """Return the layers of the run and the name of the selected one."""
        run = self.model.run
        layers = run.layers if run is not None else None
        if layers is None or not layers.stats:
            return layers, None
        return layers, self.model.layers.selected(layers, self.model.step)

    def _show_layer(self, layers: LayerTable, name: str) -> None:
        """Draw the selected layer: one statistic under all layers; alone, the present one first."""
        choice = self.model.layers
        if not choice.open:
            panel = Panel(name, [LayerRef(choice.stat, name)])
            self.query_one("#layer-curve", ChartPanel).show(panel)
            return
        stats = [stat for stat in choice.stats(layers) if name in layers.layer_names(stat)]
        if choice.stat in stats:
            stats.remove(choice.stat)
            stats.insert(0, choice.stat)
        for index in range(LAYER_CHARTS):
            chart = self.query_one(f"#layer-chart-{index}", ChartPanel)
            chart.display = index < len(stats)
            if index < len(stats):
                chart.show(Panel(name, [LayerRef(stats[index], name)]))

    def _select(self, by: int) -> None:
        self.model.layers.index = max(self.model.layers.index + by, 0)
        run = self.model.run
        if run is not None and run.layers is not None:
            self.model.layers.selected(run.layers, self.model.step)
        self.redraw()

    def action_layer_down(self) -> None:
        self._select(1)

    def action_layer_up(self) -> None:
        self._select(-1)

    def action_open_layer(self) -> None:
        if self._selected()[1] is not None or self.model.layers.open:
            self.model.layers.open = not self.model.layers.open
            self.redraw()

    def action_cursor_off(self) -> None:
        if self.model.layers.open:
            self.action_open_layer()
            return
        super().action_cursor_off()

    def action_cycle_statistic(self) -> None:
        run = self.model.run
        if run is not None and run.layers is not None:
            self.model.layers.cycle_stat(run.layers)
            self.redraw()

    def action_cycle_sort(self) -> None:
        self.model.layers.cycle_sort()
        self.redraw()
