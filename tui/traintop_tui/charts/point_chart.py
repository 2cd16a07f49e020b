"""Curves of points at any places, drawn over a linear or logarithmic horizontal axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from traintop.records import Floats
from traintop_tui.charts.cells import Rows, Run, fit_runs
from traintop_tui.charts.frame import Curve, Mark, Plot, lay_out
from traintop_tui.charts.line_chart import draw
from traintop_tui.charts.scale import Limits, choose_limits, data_range
from traintop_tui.charts.ticks import Tick, value_ticks

_CELLS_PER_TICK = 12
_STYLES = 8


def draw_points(
    points: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    width: int,
    height: int,
    *,
    log_x: bool = False,
    marked: float | None = None,
    between: tuple[float, float] | None = None,
    shown: tuple[float, float] | None = None,
    faded: str | None = None,
    braille: bool = True,
) -> Rows:
    """Draw curves in exactly `height` rows of `width` cells.

    Args:
        points: Name -> x and y, of one length; pairs that cannot be drawn are left out.
        title: What is drawn.
        width: Cells.
        height: Rows.
        log_x: Whether equal ratios of x are equal distances.
        marked: An x that is marked on the axis.
        between: Two x at which there is a line down the plot.
        shown: The least and greatest y in sight; what lies beyond them is marked at the edge. None:
            all but outliers.
        faded: The name of a curve that stands back behind the others.
        braille: False draws with ASCII characters only.
    """
    if width < 1 or height < 1:
        return ((),) * max(height, 0)
    layout = lay_out(width, height)
    known = {name: _known(x, y, log_x) for name, (x, y) in points.items()}
    known = {name: pair for name, pair in known.items() if len(pair[0])}
    if not known:
        empty = [fit_runs([("No points yet.", "label")], width)]
        return (*empty, *[fit_runs((), width)] * (height - 1))
    low = min(float(x.min()) for x, _ in known.values())
    high = max(float(x.max()) for x, _ in known.values())
    high = max(high, low + 1e-9 * max(abs(low), 1.0))
    curves = [
        Curve(
            name,
            f"{'faded' if name == faded else 'series'}{index % _STYLES}",
            *binned(x, y, low, high, layout.columns),
            faded=name == faded,
            tag=name[:1] if len(known) > 1 and name[:1].isascii() else "",
        )
        for index, (name, (x, y)) in enumerate(known.items())
    ]
    scale = layout.columns / (high - low)

    def columns_of(*places: float) -> tuple[float, ...]:
        return tuple(
            ((math.log10(x) if log_x else x) - low) * scale for x in places if x > 0 or not log_x
        )

    marks = tuple(Mark(at, "analysis") for at in columns_of(*_given(marked)))
    names: list[Run] = [(f"{c.tag}:{c.name}  ", c.style) for c in curves if c.tag]
    lows, highs = [curve.lo for curve in curves], [curve.hi for curve in curves]
    extremes = shown or data_range(lows, highs, log=False, robust=True) or (0.0, 1.0)
    plot = Plot(
        curves=tuple(curves),
        limits=choose_limits(*extremes, log=False),
        x_ticks=_ticks(low, high, scale, layout.columns, log_x),
        marks=marks,
        rules=columns_of(*(between or ())),
        cursor=marks[0].column if marks else None,
        title=((f"{title}  ", "title"), *names),
        braille=braille,
    )
    return draw(plot, layout).rows


def _given(value: float | None) -> tuple[float, ...]:
    return () if value is None else (value,)


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


def _known(x: Sequence[float], y: Sequence[float], log: bool) -> tuple[Floats, Floats]:
    """The points whose place is known, on the scale that is drawn."""
    places, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    drawable = np.isfinite(places) & (places > 0 if log else True)
    places, values = places[drawable], values[drawable]
    return (np.log10(places) if log else places), values


def _ticks(low: float, high: float, scale: float, columns: int, log: bool) -> tuple[Tick, ...]:
    last = columns - 1
    if log:
        return tuple(
            Tick(min((power - low) * scale, last), f"1e{power}")
            for power in range(math.ceil(low), math.floor(high) + 1)
        )
    found = value_ticks(Limits(low, high, False), max(columns // (2 * _CELLS_PER_TICK), 2))
    return tuple(
        Tick(min((tick.at - low) * scale, last), f"{tick.label}{found.offset}")
        for tick in found.ticks
        if low <= tick.at <= high
    )
