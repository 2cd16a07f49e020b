"""The chart of the selected analysis: loss over learning rate, or dead units by layer."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
import numpy as np

from traintop.records import Floats
from traintop_tui.charts.bars import draw_bars
from traintop_tui.charts.cells import Rows, Run
from traintop_tui.charts.frame import Curve, Mark, Plot, lay_out
from traintop_tui.charts.line_chart import draw
from traintop_tui.charts.numbers import format_value
from traintop_tui.charts.ticks import Tick
from traintop_tui.job_list import Points
from traintop_tui.widgets.canvas import Canvas, pad_rows
from traintop_tui.widgets.chart_panel import limits_of
from traintop_tui.widgets.result_drawings import DRAWINGS


class LayerResult(msgspec.Struct, frozen=True):
    """What a bar is drawn from."""

    name: str = "?"
    dead: int | None = None
    units: int | None = None
    dead_fraction: float | None = None


class DrawnResult(msgspec.Struct, frozen=True):
    """The part of a result that is drawn. It comes from a file, which may be damaged."""

    layers: list[LayerResult] = []
    lrs: list[Annotated[float, msgspec.Meta(gt=0, lt=1e300)]] = []
    losses: list[float | None] = []
    smoothed: list[float | None] = []
    suggested: Annotated[float, msgspec.Meta(gt=0, lt=1e300)] | None = None


class ResultChart(Canvas):
    """Draws what the selected job has brought so far, or its result."""

    def build(self, width: int, height: int) -> Rows:
        """Draw the chart that the analysis wants."""
        item = self.model.selected_job()
        if item is None:
            return pad_rows([], width, height)
        drawing = DRAWINGS.get(item.analysis)
        try:
            if drawing is not None and item.result is not None and item.result.result:
                braille = not self.model.view.ascii
                return drawing(item.result.result, width, height, braille)
            result = msgspec.convert(item.result.result if item.result else {}, DrawnResult)
        except msgspec.ValidationError as error:
            return pad_rows([((f"Cannot be drawn: {error}", "label"),)], width, height)
        if result.layers:
            return self._bars(result.layers, width, height)
        points = item.points or points_of(result)
        if not points:
            return pad_rows([(("No points yet.", "label"),)], width, height)
        return self._lr_curve(points, result.suggested, width, height)

    def _bars(self, layers: list[LayerResult], width: int, height: int) -> Rows:
        head = pad_rows([(("dead units by layer, share of all units", "title"),)], width, 1)
        bars = draw_bars(
            [layer.name for layer in layers],
            [math.nan if layer.dead_fraction is None else layer.dead_fraction for layer in layers],
            [f"{_count(layer.dead)} of {_count(layer.units)}" for layer in layers],
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
                tag=name[:1] if len(points) > 1 else "",
            )
            for index, (name, (x, y)) in enumerate(points.items())
        ]
        scale = layout.columns / (high - low)
        ticks = tuple(
            Tick(min((power - low) * scale, layout.columns - 1), f"1e{power}")
            for power in range(math.ceil(low), math.floor(high) + 1)
        )
        marks: tuple[Mark, ...] = ()
        names: list[Run] = [
            (f"{name[:1]}:{name}  ", curve.style)
            for name, curve in zip(points, curves, strict=True)
            if curve.tag
        ]
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
            title=((f"{title}  ", "title"), *names),
            braille=not self.model.view.ascii,
        )
        return draw(plot, layout).rows


def points_of(result: DrawnResult) -> Points:
    """Return the curves of a learning rate test; none where they do not fit each other."""
    curves = {"loss": result.losses, "smoothed": result.smoothed}
    return {
        name: (list(result.lrs), [math.nan if loss is None else loss for loss in losses])
        for name, losses in curves.items()
        if result.lrs and len(losses) == len(result.lrs)
    }


def _count(number: int | None) -> str:
    return "?" if number is None else str(number)


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
