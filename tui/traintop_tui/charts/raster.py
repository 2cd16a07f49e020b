"""Curves to dots: the least and greatest value of each pixel column become a joined braille line.

A cell of braille has two pixel columns of four dots; without braille it has one column of three
places. All curves of a chart go through together, as arrays of shape (curves, ...).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traintop.records import Floats

Mask = NDArray[np.bool_]
Dots = NDArray[np.uint8]
Columns = NDArray[np.int64]

BRAILLE_DOTS = 4
ASCII_DOTS = 3
ASCII_GLYPHS = " '-:.:::"
"""By which of the top (1), middle (2) and bottom (4) place of a cell are set."""

_BEYOND = 3.0
"""Values are cut this many heights outside the chart, where no line to them looks any different."""


class Extents(NamedTuple):
    """The rows of pixels that each curve covers in each column, counted from the top."""

    top: NDArray[np.int16]
    """Shape (curves, columns)."""
    bottom: NDArray[np.int16]
    """Shape (curves, columns), inclusive; less than `top` where nothing is drawn."""
    alone: Mask
    """Shape (curves, columns): points that no line leads to or from."""


def extents(lo: Floats, hi: Floats, broken: Mask, rows: int) -> Extents:
    """Join the columns of curves into continuous lines.

    Empty columns between two others are bridged by a straight line, as the values of a sparse
    series are; where a value was not finite the line breaks.

    Args:
        lo: Shape (curves, columns): least value, 0 at the bottom of the chart and 1 at its top, NaN
            in empty columns.
        hi: Greatest value.
        broken: Columns that hold values which are not finite.
        rows: Rows of pixels, at least 1.
    """
    lo = np.clip(lo, -_BEYOND, 1 + _BEYOND)
    hi = np.clip(hi, -_BEYOND, 1 + _BEYOND)
    drawn = ~np.isnan(lo)
    if not drawn.all():
        lo, hi, drawn = _bridged(lo, hi, drawn, broken)
    with np.errstate(invalid="ignore"):
        top = _pixel_row(hi, rows)
        bottom = _pixel_row(lo, rows)
    pair = drawn[:, :-1] & drawn[:, 1:]
    alone = drawn.copy()
    alone[:, 1:] &= ~pair
    alone[:, :-1] &= ~pair
    top, bottom = _joined(top, bottom, pair)
    top[~drawn] = rows
    bottom[~drawn] = -1
    return Extents(top, bottom, alone & (top == bottom))


def _pixel_row(units: Floats, rows: int) -> NDArray[np.int16]:
    up = np.clip(units * (rows - 1), 0, rows - 1)
    return ((rows - 1) - np.rint(np.where(np.isnan(up), 0, up))).astype(np.int16)


def _bridged(lo: Floats, hi: Floats, known: Mask, broken: Mask) -> tuple[Floats, Floats, Mask]:
    columns = lo.shape[1]
    index: Columns = np.arange(columns, dtype=np.int64)
    before: Columns = np.maximum.accumulate(np.where(known, index, -1), axis=1)
    after: Columns = np.where(known, index, columns)[:, ::-1]
    after = np.minimum.accumulate(after, axis=1)[:, ::-1]
    inside = (before >= 0) & (after < columns)
    left, right = np.maximum(before, 0), np.minimum(after, columns - 1)
    breaks = np.cumsum(broken & ~known, axis=1)
    whole = np.take_along_axis(breaks, left, 1) == np.take_along_axis(breaks, right, 1)
    bridge = inside & whole & ~known
    middle = (lo + hi) / 2
    start, end = np.take_along_axis(middle, left, 1), np.take_along_axis(middle, right, 1)
    share: Floats = (index - left) / np.maximum(right - left, 1)
    line: Floats = start + (end - start) * share
    return np.where(bridge, line, lo), np.where(bridge, line, hi), known | bridge


def _joined(
    top: NDArray[np.int16], bottom: NDArray[np.int16], pair: Mask
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Lengthen neighbours that do not touch until they do.

    A peak is drawn down to its neighbours and a valley up to them, so that a spike of one column
    stays as thin as it is; on a slope two columns meet half-way.
    """
    joined_top, joined_bottom = top.copy(), bottom.copy()
    left_top, left_bottom = top[:, :-1], bottom[:, :-1]
    right_top, right_bottom = top[:, 1:], bottom[:, 1:]
    falls = pair & (right_top > left_bottom)
    rises = pair & (left_top > right_bottom)
    peak, valley = np.zeros(top.shape, dtype=np.bool_), np.zeros(top.shape, dtype=np.bool_)
    peak[:, 1:-1] = rises[:, :-1] & falls[:, 1:]
    valley[:, 1:-1] = falls[:, :-1] & rises[:, 1:]

    # `middle` is the last row of the upper column, the next one the first of the lower column.
    middle = (left_bottom + right_top) // 2
    middle = np.where(valley[:, 1:], left_bottom, middle)
    middle = np.where(peak[:, :-1], right_top - 1, middle)
    np.copyto(joined_bottom[:, :-1], middle, where=falls)
    np.copyto(joined_top[:, 1:], middle + 1, where=falls)

    middle = (right_bottom + left_top) // 2
    middle = np.where(valley[:, :-1], right_bottom, middle)
    middle = np.where(peak[:, 1:], left_top - 1, middle)
    # A column may be lengthened by each of its neighbours.
    upper, lower = joined_bottom[:, 1:], joined_top[:, :-1]
    np.copyto(upper, np.maximum(upper, middle), where=rises)
    np.copyto(lower, np.minimum(lower, middle + 1), where=rises)
    return joined_top, joined_bottom


def _table(dots: tuple[int, ...]) -> Dots:
    """Return, for each first and end row inside a cell, the dots between them."""
    size = len(dots) + 1
    table = np.zeros((size, size), dtype=np.uint8)
    for first in range(size):
        for end in range(first, size):
            table[first, end] = sum(dots[first:end])
    return table.ravel()


# Dot numbers of the braille block of Unicode: 1 2 3 7 on the left, 4 5 6 8 on the right.
_LEFT = _table((0x01, 0x02, 0x04, 0x40))
_RIGHT = _table((0x08, 0x10, 0x20, 0x80))
_PLACES = _table((1, 2, 4))


def braille_dots(spans: Extents, height: int) -> Dots:
    """Return the dots of each cell, shape (curves, height, columns / 2), 0 where it is empty."""
    inside = _inside(spans.top, spans.bottom, height, BRAILLE_DOTS)
    return _LEFT[inside[:, :, 0::2]] | _RIGHT[inside[:, :, 1::2]]


def ascii_dots(spans: Extents, height: int) -> Dots:
    """Return the places set in each cell, shape (curves, height, columns / 2)."""
    top = np.minimum(spans.top[:, 0::2], spans.top[:, 1::2])
    bottom = np.maximum(spans.bottom[:, 0::2], spans.bottom[:, 1::2])
    return _PLACES[_inside(top, bottom, height, ASCII_DOTS)]


def _inside(
    top: NDArray[np.int16], bottom: NDArray[np.int16], height: int, dots: int
) -> NDArray[np.int16]:
    """Return for each cell the index of its first and end row in a table of `_table`."""
    above = (np.arange(height, dtype=np.int16) * dots)[None, :, None]
    first = np.clip(top[:, None, :] - above, 0, dots)
    end = np.clip(bottom[:, None, :] + 1 - above, 0, dots)
    index: NDArray[np.int16] = first * (dots + 1) + end
    return index


class Composed(NamedTuple):
    """All curves of a chart in one grid of cells, shape (height, width)."""

    dots: Dots
    owner: NDArray[np.int16]
    """Index of the curve that colours the cell, -1 where it is empty."""


def compose(dots: Dots, faded: Mask) -> Composed:
    """Lay curves over each other, the last one on top.

    Dots of several curves share a cell, whose colour is that of the topmost one. Faded curves give
    way: a cell with a dot of another curve shows none of theirs, so that a smoothed curve is to be
    seen inside the noise that it smooths, with and without colour.

    Args:
        dots: Shape (curves, height, width).
        faded: Shape (curves,).
    """
    owner = np.full(dots.shape[1:], -1, dtype=np.int16)
    behind = np.zeros(dots.shape[1:], dtype=np.uint8)
    front = np.zeros(dots.shape[1:], dtype=np.uint8)
    for index in [*np.flatnonzero(faded).tolist(), *np.flatnonzero(~faded).tolist()]:
        layer = behind if faded[index] else front
        layer |= dots[index]
        owner[dots[index] != 0] = index
    return Composed(np.where(front != 0, front, behind), owner)
