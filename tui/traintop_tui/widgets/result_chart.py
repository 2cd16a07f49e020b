"""The chart of the selected analysis: loss over learning rate, or dead units by layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from traintop.records import Floats
from traintop_tui.charts.bars import draw_bars
from traintop_tui.charts.cells import Rows
from traintop_tui.charts.frame import Curve, Mark, Plot, lay_out
from traintop_tui.charts.line_chart import draw
from traintop_tui.charts.numbers import format_value
from traintop_tui.charts.ticks import Tick
from traintop_tui.job_list import JobItem, Points
from traintop_tui.widgets.canvas import Canvas, pad_rows
from traintop_tui.widgets.chart_panel import limits_of


class ResultChart(Canvas):
    """Draws what the selected job has brought so far, or its result."""

    def build(self, width: int, height: int) -> Rows:
        """Draw the chart that the analysis wants."""
        item = self.model.selected_job()
        if item is None:
            return pad_rows([], width, height)
        result = item.result.result if item.result is not None else {}
        layers: list[dict[str, Any]] = result.get("layers", [])
        if layers:
            return self._bars(layers, width, height)
        points, suggested = curves_of(item)
        if not points:
            return pad_rows([(("No points yet.", "label"),)], width, height)
        return self._lr_curve(points, suggested, width, height)

    def _bars(self, layers: list[dict[str, Any]], width: int, height: int) -> Rows:
        head = pad_rows([(("dead units by layer, share of all units", "title"),)], width, 1)
        bars = draw_bars(
            [str(layer.get("name", "?")) for layer in layers],
            [float(layer.get("dead_fraction", math.nan)) for layer in layers],
            [f"{layer.get('dead', '?')} of {layer.get('units', '?')}" for layer in layers],
            width,
            height - 1,
            largest=1.0,
            braille=not self.model.view.ascii,
        )
        return (*head, *bars)

    def _lr_curve(self, points: Points, suggested: float | None, width: int, height: int) -> Rows:
        layout = lay_out(width, height)
        xs = np.concatenate([np.log10(np.array(x)) for x, _ in points.values()])
        low, high = float(xs.min()), max(float(xs.max()), float(xs.min()) + 1e-9)
        curves = [
            Curve(
                name,
                f"series{index % 8}",
                *binned(np.log10(np.array(x)), np.array(y), low, high, layout.columns),
            )
            for index, (name, (x, y)) in enumerate(points.items())
        ]
        scale = layout.columns / (high - low)
        ticks = tuple(
            Tick(min((power - low) * scale, layout.columns - 1), f"1e{power}")
            for power in range(math.ceil(low), math.floor(high) + 1)
        )
        marks: tuple[Mark, ...] = ()
        title = "loss over learning rate"
        if suggested:
            marks = (Mark((math.log10(suggested) - low) * scale, "analysis"),)
            title += f", suggested {format_value(suggested)}"
        plot = Plot(
            curves=tuple(curves),
            limits=limits_of(curves, self.model.view.log_y, None),
            x_ticks=ticks,
            marks=marks,
            cursor=marks[0].column if marks else None,
            title=((title, "title"),),
            braille=not self.model.view.ascii,
        )
        return draw(plot, layout).rows


def curves_of(item: JobItem) -> tuple[Points, float | None]:
    """Return the points to draw and the suggested learning rate, if there is one yet."""
    result = item.result.result if item.result is not None else {}
    suggested = result.get("suggested")
    if item.points:
        return item.points, suggested
    lrs, losses = result.get("lrs", []), result.get("losses", [])
    if not lrs or len(lrs) != len(losses):
        return {}, None
    return {"loss": (lrs, losses), "smoothed": (lrs, result.get("smoothed", losses))}, suggested


def binned(x: Floats, y: Floats, low: float, high: float, columns: int) -> tuple[Floats, Floats]:
    """Return the least and greatest y of each of `columns` equal parts of [low, high]."""
    lo, hi = np.full(columns, np.inf), np.full(columns, -np.inf)
    at = np.clip(((x - low) / (high - low) * columns).astype(np.int64), 0, columns - 1)
    known = np.isfinite(y)
    np.minimum.at(lo, at[known], y[known])
    np.maximum.at(hi, at[known], y[known])
    empty = lo > hi
    lo[empty] = hi[empty] = np.nan
    return lo, hi
