"""Curves of points and progress bars, read as text."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from traintop_tui.charts.cells import row_text, row_width
from traintop_tui.charts.point_chart import binned, draw_points
from traintop_tui.charts.progress import draw_progress, duration

LRS = [10.0**power for power in range(-6, 1)]
LOSSES = [2.3, 2.3, 2.2, 1.5, 1.0, 1.2, 1.9]


def drawn(points: Any, width: int = 60, height: int = 14, **how: Any) -> list[str]:
    """Draw at several sizes; every one is filled exactly."""
    for braille in (True, False):
        for columns, rows in [(0, 0), (1, 1), (12, 3), (40, 8), (width, height)]:
            found = draw_points(points, "title", columns, rows, braille=braille, **how)
            assert len(found) == rows
            assert all(row_width(row) == columns for row in found)
    lines = [row_text(row) for row in found]
    assert all(line.isascii() for line in lines)
    return lines


def test_logarithmic_places_are_labelled_by_powers_and_one_may_be_marked() -> None:
    lines = drawn({"loss": (LRS, LOSSES)}, log_x=True, marked=1e-3)
    assert "title" in lines[0]
    assert all(f"1e{power}" in lines[-1] for power in (-6, -3))
    assert lines[-2].index("*") == pytest.approx((60 + 11) / 2, abs=3)


def test_what_lies_beyond_the_values_in_sight_is_marked_at_the_edge() -> None:
    losses = [2.3, 2.3, 2.2, 1.5, 1.0, 1.2, 900.0]
    lines = drawn({"loss": (LRS, losses)}, log_x=True, shown=(1.0, 3.0))
    assert "^1" in lines[0]
    assert "^" in lines[1]
    assert "3" in lines[1][:8]


def test_two_places_have_lines_and_a_faded_curve_stands_back() -> None:
    curves = {"raw": (LRS, LOSSES), "smooth": (LRS, LOSSES)}
    rows = draw_points(curves, "title", 60, 14, log_x=True, between=(1e-4, 1e-2), faded="raw")
    lines = [row_text(row) for row in rows]
    assert sum(line.count("┊") == 2 for line in lines) > 5
    styles = [style for row in rows for _, style in row]
    assert "faded0" in styles[:4]  # its name in the title
    assert "series1" in styles


def test_linear_places_are_labelled_by_numbers() -> None:
    lines = drawn({"a": (range(101), [x * x for x in range(101)]), "b": ([0, 100], [0, 0])})
    assert "a:a" in lines[0]
    assert "b:b" in lines[0]
    assert "0" in lines[-1]
    assert "100" in lines[-1]


@pytest.mark.parametrize(
    "points",
    [
        {},
        {"a": ([], [])},
        {"a": ([math.nan], [1.0])},
        {"a": ([math.inf, -math.inf], [1.0, 2.0])},
    ],
)
def test_without_a_point_that_can_be_drawn_that_is_said(points: Any) -> None:
    assert "No points yet" in drawn(points)[0]


def test_what_is_not_positive_has_no_place_on_a_logarithmic_axis() -> None:
    assert "No points yet" in drawn({"a": ([0.0, -1.0], [1.0, 2.0])}, log_x=True)[0]
    drawn({"a": ([0.0, 1e-3], [1.0, 2.0])}, log_x=True, marked=-1.0)


@pytest.mark.parametrize("values", [[1.0], [math.nan], [math.inf, 1.0], [1e300, -1e300], [3.0] * 5])
def test_any_values_are_drawn(values: list[float]) -> None:
    drawn({"a": (list(range(len(values))), values)})


def test_columns_keep_both_extremes_and_pass_over_nan() -> None:
    x = np.array([0.0, 0.1, 0.2, 0.9, 1.0])
    lo, hi = binned(x, np.array([3.0, 1.0, np.nan, 5.0, np.inf]), 0.0, 1.0, 4)
    np.testing.assert_array_equal(lo, [1.0, np.nan, np.nan, 5.0])
    np.testing.assert_array_equal(hi, [3.0, np.nan, np.nan, 5.0])


@pytest.mark.parametrize(
    ("done", "total", "left", "words"),
    [
        (0, 0, None, "..."),
        (0, 10, None, "0%"),
        (5, 10, 8.2, "50%  8 s left"),
        (10, 10, 0.0, "100%  0 s left"),
        (20, 10, None, "100%"),
    ],
)
def test_progress(done: int, total: int, left: float | None, words: str) -> None:
    for width in (0, 3, 20, 50, 200):
        for braille in (True, False):
            row = draw_progress(done, total, left, width, braille=braille)
            assert row_width(row) == width
    text = row_text(draw_progress(done, total, left, 50, braille=False))
    assert words in text
    share = min(done / total, 1) if total else 0
    assert text.count("#") == pytest.approx(32 * share, abs=1)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (9000, "2.5 h")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
