"""The axes of a chart: the labels at its left, and under it the line with its marks and labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from traintop_tui.charts.canvas import Canvas
from traintop_tui.charts.cells import clean
from traintop_tui.charts.frame import Glyphs, Mark, mark_rank, mark_style
from traintop_tui.charts.ticks import LABEL_WIDTH, Tick


def draw_side(canvas: Canvas, y: int, height: int, ticks: dict[int, str], glyphs: Glyphs) -> None:
    """Draw the vertical axis into the gutter.

    Args:
        canvas: The whole chart, without its title.
        y: First row of the plot.
        height: Rows of the plot.
        ticks: Row of the canvas -> label.
        glyphs: The characters to use.
    """
    axis, label_style = canvas.style("axis"), canvas.style("label")
    canvas.codes[y : y + height, LABEL_WIDTH] = ord(glyphs.side)
    canvas.styles[y : y + height, LABEL_WIDTH] = axis
    for row, label in ticks.items():
        canvas.put(LABEL_WIDTH, row, glyphs.side_tick, axis)
        canvas.write(0, row, label.rjust(LABEL_WIDTH), label_style)


def draw_base(
    canvas: Canvas,
    x: int,
    y: int,
    ticks: Sequence[Tick],
    marks: Iterable[Mark],
    cursor: float | None,
    glyphs: Glyphs,
) -> None:
    """Draw the line of the horizontal axis with its ticks and marks.

    Args:
        canvas: The whole chart, without its title.
        x: First cell of the plot.
        y: Row of the line.
        ticks: `at` in pixel columns.
        marks: What happened; in one cell the gravest is seen.
        cursor: Pixel column of the cursor.
        glyphs: The characters to use.
    """
    axis = canvas.style("axis")
    width = canvas.codes.shape[1] - x
    canvas.codes[y, x:] = ord(glyphs.base)
    canvas.styles[y, x:] = axis
    if x:
        canvas.put(x - 1, y, glyphs.corner, axis)
    for tick in ticks:
        cell = cell_of(tick.at, width)
        if cell is not None:
            canvas.put(x + cell, y, glyphs.base_tick, axis)
    cursor_cell = None if cursor is None else cell_of(cursor, width)
    if cursor_cell is not None:
        canvas.put(x + cursor_cell, y, glyphs.base_cursor, canvas.style("cursor"))
    ranked = sorted(marks, key=mark_rank)
    for mark in ranked:
        if mark.until is not None and mark.until >= max(mark.column, 0):
            first = max(int(max(mark.column, 0) / 2), 0)
            last = min(int(min(mark.until, 2 * width) / 2), width - 1)
            canvas.codes[y, x + first : x + last + 1] = ord(glyphs.underline)
            canvas.styles[y, x + first : x + last + 1] = canvas.style(mark_style(mark))
    for mark in ranked:
        cell = cell_of(mark.column, width)
        if cell is not None:
            canvas.put(x + cell, y, glyphs.of_mark(mark), canvas.style(mark_style(mark)))


def draw_labels(canvas: Canvas, x: int, y: int, ticks: Sequence[Tick], free: int = 0) -> None:
    """Write the labels of the horizontal axis, each under its tick, leaving out what would touch.

    Args:
        canvas: The whole chart, without its title.
        x: First cell of the plot.
        y: Row of the labels.
        ticks: `at` in pixel columns.
        free: First cell of the plot that may be written on.
    """
    style = canvas.style("label")
    width = canvas.codes.shape[1] - x
    for tick in ticks:
        cell = cell_of(tick.at, width)
        length = len(clean(tick.label))
        if cell is None or length > width:
            continue
        start = min(max(cell - length // 2, 0), width - length)
        if start >= free:
            canvas.write(x + start, y, tick.label, style)
            free = start + length + 1


def cell_of(column: float, width: int) -> int | None:
    """Return the cell of a pixel column; None outside the plot."""
    return int(column // 2) if 0 <= column < 2 * width else None
