"""Heat-maps: layers by steps, each cell a level that can be told by its glyph without colour."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traintop.records import Floats
from traintop_tui.charts.axes import draw_base, draw_labels
from traintop_tui.charts.canvas import Canvas
from traintop_tui.charts.cells import BLANK, Row, Rows, Run, fit_runs
from traintop_tui.charts.frame import ASCII, UNICODE, Mark
from traintop_tui.charts.names import fit_name
from traintop_tui.charts.numbers import format_value
from traintop_tui.charts.ticks import Tick

LEVELS = 10
"""Levels of heat, `heat0` (least) to `heat9`."""

UNICODE_RAMP = "··░░▒▒▓▓██"
"""Two levels share a shade; the colour tells them apart, where there is one."""
ASCII_RAMP = ".,:-=+*#%@"

_LABEL_SHARE = 0.3
_LABEL_WIDTH = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heatmap:
    """A matrix of values, a row a layer and a column a cell.

    Attributes:
        labels: A name for each row of `values`.
        values: Shape (rows, columns): NaN where nothing was measured.
        nonfinite: Same shape: whether a NaN or an infinity was measured; an infinite value in
            `values` says so too.
        limits: Values of the least and the greatest level; None: those of the whole matrix.
        log: Whether equal ratios are equal steps of heat; what is not positive gets level 0.
        first_row: Index of the row shown at the top.
        selected: Index of the selected row.
        cursor: Column of the step cursor.
        x_ticks: Ticks of the horizontal axis, `at` in pixel columns: two a column of the matrix.
        marks: What happened in the run, in pixel columns too.
        braille: False draws with ASCII characters only.
    """

    labels: tuple[str, ...]
    values: Floats
    nonfinite: NDArray[np.bool_] | None = None
    limits: tuple[float, float] | None = None
    log: bool = True
    first_row: int = 0
    selected: int | None = None
    cursor: int | None = None
    x_ticks: tuple[Tick, ...] = ()
    marks: tuple[Mark, ...] = ()
    braille: bool = True


class HeatLayout(NamedTuple):
    """Where the parts of a heat-map are."""

    plot_x: int
    plot_width: int
    """Cells for columns; the matrix is reduced to just as many."""
    plot_height: int
    """Rows of layers."""
    axis: bool
    """Whether the line of the horizontal axis and its labels follow below."""
    legend: bool
    """Whether the last row says which values the glyphs stand for."""


def lay_out(width: int, height: int) -> HeatLayout:
    """Divide a heat-map of any size: labels at the left, columns, a legend below."""
    width, height = max(width, 0), max(height, 0)
    labels = min(int(width * _LABEL_SHARE), _LABEL_WIDTH) if width >= 20 else 0
    axis, legend = height >= 8, height >= 3
    return HeatLayout(labels, width - labels, height - 2 * axis - legend, axis, legend)


def levels(values: Floats, limits: tuple[float, float], *, log: bool) -> NDArray[np.int16]:
    """Return the level of each value, 0 to `LEVELS` - 1, and -1 for NaN."""
    low, high = limits
    known = ~np.isnan(values)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if log:
            low, high = (math.log10(low), math.log10(high)) if low > 0 else (-math.inf, -math.inf)
            values = np.log10(np.where(values > 0, values, 0.0))
        if high > low and math.isfinite(high - low):
            share = (values - low) / (high - low)
        else:
            # All alike: the middle of the scale.
            share = np.where(values == low, 0.5, np.where(values > low, 1.0, 0.0))
        level = np.clip(np.nan_to_num(share, nan=0.0) * LEVELS, 0, LEVELS - 1)
    return np.where(known, level.astype(np.int16), np.int16(-1))


def value_limits(values: Floats, *, log: bool) -> tuple[float, float] | None:
    """Return the least and greatest finite value, of the positive ones where `log`."""
    shown = values[np.isfinite(values) & (values > 0)] if log else values[np.isfinite(values)]
    return (float(shown.min()), float(shown.max())) if len(shown) else None


def draw(heatmap: Heatmap, width: int, height: int) -> Rows:
    """Draw a heat-map of exactly `height` rows of `width` cells.

    Columns beyond the width, and rows beyond the height, are not shown.
    """
    layout = lay_out(width, height)
    if width < 1 or height < 1:
        return ((),) * max(height, 0)
    canvas = Canvas(layout.plot_width, layout.plot_height + 2 * layout.axis)
    limits = heatmap.limits or value_limits(heatmap.values, log=heatmap.log)
    first = max(heatmap.first_row, 0)
    shown = heatmap.values[first : first + layout.plot_height, : layout.plot_width]
    if shown.size:
        _paint(canvas, heatmap, shown, first, limits or (0.0, 0.0))
    cursor = heatmap.cursor
    if cursor is not None and 0 <= cursor < layout.plot_width:
        _paint_cursor(canvas, heatmap, cursor, layout.plot_height)
    if layout.axis:
        glyphs = UNICODE if heatmap.braille else ASCII
        pixel = None if cursor is None else 2.0 * cursor
        draw_base(canvas, 0, layout.plot_height, heatmap.x_ticks, heatmap.marks, pixel, glyphs)
        draw_labels(canvas, 0, layout.plot_height + 1, heatmap.x_ticks)
    rows = canvas.rows()
    if layout.plot_x:
        rows = tuple(
            (_label(heatmap, first + y, layout, y), *cells) for y, cells in enumerate(rows)
        )
    return (*rows, _legend(heatmap, limits, layout, width)) if layout.legend else rows


def _paint(
    canvas: Canvas,
    heatmap: Heatmap,
    shown: Floats,
    first: int,
    limits: tuple[float, float],
) -> None:
    rows, columns = shown.shape
    bad = np.isinf(shown)
    if heatmap.nonfinite is not None:
        bad = bad | heatmap.nonfinite[first : first + rows, :columns]
    level = levels(np.where(bad, np.nan, shown), limits, log=heatmap.log)
    ramp = UNICODE_RAMP if heatmap.braille else ASCII_RAMP
    # Level -1, nothing measured, is the last entry.
    glyphs = np.array([ord(char) for char in ramp + " "], dtype=np.uint32)
    styles = [canvas.style(f"heat{index}") for index in range(LEVELS)]
    styles.append(canvas.style("heat.missing"))
    canvas.codes[:rows, :columns] = np.where(
        bad, np.uint32(ord("✖" if heatmap.braille else "x")), glyphs[level]
    )
    canvas.styles[:rows, :columns] = np.where(
        bad, canvas.style("nonfinite"), np.array(styles, dtype=np.int16)[level]
    )


def _paint_cursor(canvas: Canvas, heatmap: Heatmap, cursor: int, height: int) -> None:
    column = canvas.codes[:height, cursor]
    column[column == BLANK] = ord("│" if heatmap.braille else "|")
    canvas.styles[:height, cursor] = canvas.style("cursor")


def _label(heatmap: Heatmap, index: int, layout: HeatLayout, y: int) -> Run:
    if y >= layout.plot_height or index >= len(heatmap.labels):
        return " " * layout.plot_x, "label"
    selected = index == heatmap.selected
    pointer = ("▸" if heatmap.braille else ">") if selected else " "
    text = fit_name(heatmap.labels[index], layout.plot_x - 2, ascii_only=not heatmap.braille)
    return f"{pointer}{text} ", "selected" if selected else "label"


def _legend(
    heatmap: Heatmap, limits: tuple[float, float] | None, layout: HeatLayout, width: int
) -> Row:
    if limits is None:
        return fit_runs([(" " * layout.plot_x, "label"), ("no values", "label")], width)
    ramp = UNICODE_RAMP if heatmap.braille else ASCII_RAMP
    low, high = (format_value(limit) for limit in limits)
    scale = " log" if heatmap.log else ""
    return fit_runs(
        [
            (" " * layout.plot_x, "label"),
            (f"{low} ", "label"),
            *((glyph, f"heat{index}") for index, glyph in enumerate(ramp)),
            (f" {high}{scale}", "label"),
        ],
        width,
    )
