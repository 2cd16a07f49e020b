"""Draws line charts."""

from __future__ import annotations

import math

import numpy as np

from traintop.records import Floats
from traintop_tui.charts.axes import cell_of, draw_base, draw_labels, draw_side
from traintop_tui.charts.canvas import Canvas
from traintop_tui.charts.cells import BLANK, Row, Rows, Run, fit_runs, row_width
from traintop_tui.charts.frame import ASCII, UNICODE, Frame, Glyphs, Layout, Plot
from traintop_tui.charts.raster import (
    ASCII_DOTS,
    ASCII_GLYPHS,
    BRAILLE_DOTS,
    Extents,
    Mask,
    ascii_dots,
    braille_dots,
    compose,
    extents,
)
from traintop_tui.charts.scale import Limits
from traintop_tui.charts.ticks import value_ticks

_ASCII_CODES = np.array([ord(char) for char in ASCII_GLYPHS], dtype=np.uint32)
_BRAILLE_CODES = np.arange(0x2800, 0x2900, dtype=np.uint32)
# Some fonts draw the empty braille pattern as eight rings.
_BRAILLE_CODES[0] = BLANK

_ROWS_PER_TICK = 4


def draw(plot: Plot, layout: Layout) -> Frame:
    """Draw a chart.

    Args:
        plot: The chart; each curve has `layout.columns` columns.
        layout: Its parts, from `lay_out`.

    Returns:
        Rows of exactly the layout's size, whatever the numbers are.

    Raises:
        ValueError: A curve has another number of columns.
    """
    if layout.width < 1 or layout.height < 1:
        return Frame(((),) * layout.height, layout, 0, 0, 0)
    painter = _Painter(plot, layout)
    painter.paint()
    body = painter.canvas.rows()
    above = int(np.count_nonzero(painter.above.any(axis=0)))
    below = int(np.count_nonzero(painter.below.any(axis=0)))
    nonfinite = _count_nonfinite(plot)
    title: Rows = ()
    if layout.plot_y:
        badges = _badges(painter.glyphs, above, below, nonfinite)
        title = (_title(plot, badges, layout.width),)
    return Frame(title + body, layout, nonfinite, above, below)


class _Painter:
    """Paints one frame on a canvas that holds everything but the title."""

    def __init__(self, plot: Plot, layout: Layout) -> None:
        self.plot = plot
        self.layout = layout
        self.glyphs = UNICODE if plot.braille else ASCII
        self.dots = BRAILLE_DOTS if plot.braille else ASCII_DOTS
        # Curve `i` has style `i + 1`.
        spreading = [*(curve.style for curve in plot.curves), "grid"]
        self.canvas = Canvas(layout.width, layout.height - layout.plot_y, spreading)
        self.lo, self.hi, self.broken = _stack(plot, layout.columns)
        with np.errstate(invalid="ignore"):
            self.above, self.below = self.hi > 1, self.lo < 0
        # NaN marks have a row of their own where there is one to spare, and so hide no extreme.
        self.lane = int(bool(self.broken.any()) and layout.plot_height >= 3)
        self.height = layout.plot_height - self.lane

    def paint(self) -> None:
        plot, layout, canvas = self.plot, self.layout, self.canvas
        ticks = value_ticks(plot.limits, max(-(-self.height // _ROWS_PER_TICK), 2))
        labels: dict[int, str] = {}
        for tick in ticks.ticks:
            row = self._row_of(tick.at)
            if row is not None:
                labels.setdefault(row, tick.label)
        if plot.grid and plot.braille:
            self._dot_lines(labels)
        for rule in plot.rules:
            cell = cell_of(rule, layout.plot_width)
            if cell is not None:
                canvas.codes[: layout.plot_height, layout.plot_x + cell] = ord(self.glyphs.epoch)
                canvas.styles[: layout.plot_height, layout.plot_x + cell] = canvas.style("level")
        for level in plot.levels:
            row = self._row_of(level.value)
            if row is not None:
                canvas.codes[row, layout.plot_x :] = ord(self.glyphs.level)
                canvas.styles[row, layout.plot_x :] = canvas.style(level.style)
        if plot.curves:
            self._curves()
        self._cursor()
        self._nonfinite()
        if layout.plot_x:
            draw_side(canvas, 0, layout.plot_height, labels, self.glyphs)
        y = layout.plot_height
        if layout.axis:
            draw_base(canvas, layout.plot_x, y, plot.x_ticks, plot.marks, plot.cursor, self.glyphs)
            y += 1
        offset = ticks.offset if layout.plot_x and layout.axis else ""
        if layout.x_labels:
            free = max(len(offset) + 1 - layout.plot_x, 0)
            draw_labels(canvas, layout.plot_x, y, plot.x_ticks, free)
        if offset:
            canvas.write(0, y if layout.x_labels else y - 1, offset, canvas.style("label"))

    def _row_of(self, value: float) -> int | None:
        """Return the row of the canvas at which a value is drawn; None outside the scale."""
        unit = float(self.plot.limits.unit(np.array([value]))[0])
        if not -1e-9 <= unit <= 1 + 1e-9:
            return None
        last = self.height * self.dots - 1
        return self.lane + (last - round(min(max(unit, 0.0), 1.0) * last)) // self.dots

    def _dot_lines(self, labels: dict[int, str]) -> None:
        style = len(self.plot.curves) + 1
        for row in labels:
            self.canvas.codes[row, self.layout.plot_x :: 2] = ord(self.glyphs.grid)
            self.canvas.styles[row, self.layout.plot_x :] = style

    def _curves(self) -> None:
        plot, x = self.plot, self.layout.plot_x
        spans = extents(self.lo, self.hi, self.broken, self.height * self.dots)
        cells = (braille_dots if plot.braille else ascii_dots)(spans, self.height)
        composed = compose(cells, np.array([curve.faded for curve in plot.curves]))
        shown = composed.dots != 0
        region = (slice(self.lane, self.lane + self.height), slice(x, None))
        glyphs = (_BRAILLE_CODES if plot.braille else _ASCII_CODES)[composed.dots]
        np.copyto(self.canvas.codes[region], glyphs, where=shown)
        np.copyto(self.canvas.styles[region], composed.owner + np.int16(1), where=shown)
        for index, curve in enumerate(plot.curves):
            style = index + 1
            if spans.alone[index].any():
                columns = np.flatnonzero(spans.alone[index])
                rows = self.lane + spans.top[index, columns] // self.dots
                self.canvas.codes[rows, x + columns // 2] = ord(self.glyphs.point)
                self.canvas.styles[rows, x + columns // 2] = style
            self._edge(self.above[index], self.lane, self.glyphs.above, style)
            self._edge(self.below[index], self.lane + self.height - 1, self.glyphs.below, style)
            if curve.tag:
                self._tag(spans, index, curve.tag[0])

    def _edge(self, beyond: Mask, row: int, glyph: str, style: int) -> None:
        if not beyond.any():
            return
        cells = self.layout.plot_x + np.flatnonzero(beyond[0::2] | beyond[1::2])
        self.canvas.codes[row, cells] = ord(glyph)
        self.canvas.styles[row, cells] = style

    def _tag(self, spans: Extents, index: int, tag: str) -> None:
        drawn = np.flatnonzero(spans.bottom[index] >= 0)
        if not len(drawn):
            return
        last = int(drawn[-1])
        row = int(spans.top[index, last] + spans.bottom[index, last]) // 2 // self.dots
        x = self.layout.plot_x + min(last // 2 + 1, self.layout.plot_width - 1)
        self.canvas.write(x, self.lane + row, tag, index + 1)

    def _cursor(self) -> None:
        cursor = self.plot.cursor
        cell = None if cursor is None else cell_of(cursor, self.layout.plot_width)
        if cell is None:
            return
        column = self.canvas.codes[: self.layout.plot_height, self.layout.plot_x + cell]
        backdrop = (column == BLANK) | (column == ord(self.glyphs.grid))
        column[backdrop] = ord(self.glyphs.cursor)
        style = self.canvas.style("cursor")
        self.canvas.styles[: self.layout.plot_height, self.layout.plot_x + cell] = style

    def _nonfinite(self) -> None:
        columns: Mask = np.logical_or.reduce(self.broken, axis=0)
        if columns.any():
            style = self.canvas.style("nonfinite")
            cells = self.layout.plot_x + np.flatnonzero(columns[0::2] | columns[1::2])
            self.canvas.codes[0, cells] = ord(self.glyphs.nonfinite)
            self.canvas.styles[0, cells] = style


def _title(plot: Plot, badges: Row, width: int) -> Row:
    ascii_only = not plot.braille
    room = max(width - row_width(badges), 0)
    title = fit_runs(plot.title, room, ascii_only=ascii_only)
    return fit_runs([*title, *badges], width, ascii_only=ascii_only)


def _stack(plot: Plot, columns: int) -> tuple[Floats, Floats, Mask]:
    """Return the curves as positions on the scale, and where they break: (curves, columns)."""
    values = np.empty((2, len(plot.curves), columns))
    breaks: dict[str, Mask] = {}
    for index, curve in enumerate(plot.curves):
        if len(curve.lo) != columns or len(curve.hi) != columns:
            raise ValueError(
                f"curve {curve.name!r} has {len(curve.lo)} columns, the layout has {columns}"
            )
        values[0, index], values[1, index] = curve.lo, curve.hi
        at = breaks.setdefault(curve.name, np.zeros(columns, dtype=np.bool_))
        if curve.nonfinite is not None:
            at |= np.asarray(curve.nonfinite) > 0
    units = _units(values, plot.limits)
    broken = np.array([breaks[curve.name] for curve in plot.curves], dtype=np.bool_)
    return units[0], units[1], broken.reshape(len(plot.curves), columns)


def _units(values: Floats, limits: Limits) -> Floats:
    units = limits.unit(values)
    # A column has both extremes or none.
    units[:, np.isnan(units).any(axis=0)] = math.nan
    return units


def _count_nonfinite(plot: Plot) -> int:
    """Count once what is plotted twice, raw and smoothed."""
    counts: dict[str, int] = {}
    for curve in plot.curves:
        if curve.nonfinite is not None:
            total = int(np.sum(curve.nonfinite))
            counts[curve.name] = max(counts.get(curve.name, 0), total)
    return sum(counts.values())


def _badges(glyphs: Glyphs, above: int, below: int, nonfinite: int) -> Row:
    runs: list[Run] = []
    for glyph, count, style in (
        (glyphs.above, above, "label"),
        (glyphs.below, below, "label"),
        (glyphs.nonfinite, nonfinite, "nonfinite"),
    ):
        if count:
            runs.append((f" {glyph}{count}", style))
    return tuple(runs)
