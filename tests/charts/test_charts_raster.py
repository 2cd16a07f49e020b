"""The raster against a slow one that draws dot by dot."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from traintop.records import Floats
from traintop_tui.charts.raster import (
    ASCII_GLYPHS,
    ascii_dots,
    braille_dots,
    compose,
    extents,
)

Column = tuple[float, float] | None
"""Least and greatest value from 0 to 1; None where the column is empty."""

units = st.floats(0, 1)
columns = st.lists(
    st.none() | st.tuples(units, units).map(lambda pair: (min(pair), max(pair))),
    min_size=1,
    max_size=24,
)


def slow_dots(curve: list[Column], broken: list[bool], rows: int) -> set[tuple[int, int]]:
    """Return the (row, column) of every dot, row 0 at the top."""
    filled: list[Column] = list(curve)
    known = [x for x, column in enumerate(curve) if column is not None]
    for left, right in itertools.pairwise(known):
        if any(broken[x] for x in range(left + 1, right)):
            continue
        start, end = (sum(curve[x] or (0, 0)) / 2 for x in (left, right))
        for x in range(left + 1, right):
            value = start + (end - start) * ((x - left) / (right - left))
            filled[x] = (value, value)

    def row(value: float) -> int:
        return rows - 1 - int(np.rint(value * (rows - 1)))

    own = {x: (row(c[1]), row(c[0])) for x, c in enumerate(filled) if c is not None}
    dots = {(y, x) for x, (top, bottom) in own.items() for y in range(top, bottom + 1)}
    for x in own:
        if x + 1 in own:
            dots |= between(own, x)
    return dots


def between(own: dict[int, tuple[int, int]], x: int) -> set[tuple[int, int]]:
    """Return the dots that join column `x` and the next one."""
    left, right = own[x], own[x + 1]
    if right[0] > left[1]:
        upper, lower, (first, last) = x, x + 1, (left[1] + 1, right[0])
    else:
        upper, lower, (first, last) = x + 1, x, (right[1] + 1, left[0])
    rows = range(first, last)

    def stands_out(column: int, above: bool) -> bool:
        beside = [own[other] for other in (column - 1, column + 1) if other in own]
        if above:
            return len(beside) == 2 and all(other[0] > own[column][1] for other in beside)
        return len(beside) == 2 and all(other[1] < own[column][0] for other in beside)

    if stands_out(upper, above=True):
        return {(y, upper) for y in rows}
    if stands_out(lower, above=False):
        return {(y, lower) for y in rows}
    middle = (first - 1 + last) // 2
    return {(y, upper if y <= middle else lower) for y in rows}


def arrays(curve: list[Column]) -> tuple[Floats, Floats]:
    lo = np.array([[column[0] if column else math.nan for column in curve]])
    hi = np.array([[column[1] if column else math.nan for column in curve]])
    return lo, hi


def even(curve: list[Column]) -> list[Column]:
    return curve + [None] * (len(curve) % 2)


@given(columns, st.data(), st.integers(1, 6))
def test_braille_is_what_the_slow_raster_draws(
    curve: list[Column], data: st.DataObject, height: int
) -> None:
    curve = even(curve)
    broken = data.draw(st.lists(st.booleans(), min_size=len(curve), max_size=len(curve)))
    lo, hi = arrays(curve)
    spans = extents(lo, hi, np.array([broken]), 4 * height)
    cells = braille_dots(spans, height)[0]
    bit = {(0, 0): 0, (1, 0): 1, (2, 0): 2, (0, 1): 3, (1, 1): 4, (2, 1): 5, (3, 0): 6, (3, 1): 7}
    drawn = {
        (4 * y + dy, 2 * x + dx)
        for y, x in np.ndindex(cells.shape)
        for (dy, dx), position in bit.items()
        if cells[y, x] >> position & 1
    }
    assert drawn == slow_dots(curve, broken, 4 * height)


@given(columns, st.integers(1, 6))
def test_ascii_shows_every_extreme(curve: list[Column], height: int) -> None:
    curve = even(curve)
    lo, hi = arrays(curve)
    rows = 3 * height
    cells = ascii_dots(extents(lo, hi, np.zeros_like(lo, dtype=bool), rows), height)[0]
    for x, column in enumerate(curve):
        for value in column or ():
            row = rows - 1 - int(np.rint(value * (rows - 1)))
            assert cells[row // 3, x // 2] >> (row % 3) & 1
            assert ASCII_GLYPHS[cells[row // 3, x // 2]] != " "


@given(st.lists(st.floats(), min_size=6, max_size=6), st.lists(st.floats(), min_size=6, max_size=6))
def test_any_number_can_be_drawn(lo: list[float], hi: list[float]) -> None:
    none = np.zeros((1, 6), dtype=bool)
    spans = extents(np.array([lo]), np.array([hi]), none, 8)
    assert braille_dots(spans, 2).shape == (1, 2, 3)


def test_a_gap_of_nonfinite_values_is_not_bridged() -> None:
    lo, hi = arrays([(0.5, 0.5), None, (0.5, 0.5), None, None, (0.5, 0.5)])
    broken = np.array([[False, False, False, True, False, False]])
    spans = extents(lo, hi, broken, 4)
    assert (spans.bottom[0] >= 0).tolist() == [True, True, True, False, False, True]
    assert spans.alone[0].tolist() == [False, False, False, False, False, True]


def test_faded_curves_give_way_cell_by_cell() -> None:
    dots = np.zeros((3, 1, 3), dtype=np.uint8)
    dots[0, 0] = [255, 255, 0]  # faded
    dots[1, 0] = [0, 1, 1]
    dots[2, 0] = [0, 0, 2]
    composed = compose(dots, np.array([True, False, False]))
    assert composed.dots.tolist() == [[255, 1, 3]]
    assert composed.owner.tolist() == [[0, 1, 2]]
