"""Histograms, sparklines, numbers, smoothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traintop_tui.charts.cells import row_text, row_width
from traintop_tui.charts.histogram import draw_histogram
from traintop_tui.charts.numbers import (
    VALUE_WIDTH,
    format_bytes,
    format_count,
    format_duration,
    format_value,
)
from traintop_tui.charts.smoothing import smooth, weight_of_window
from traintop_tui.charts.sparkline import draw_sparkline

COUNTS = np.array([0.0, 1.0, 40.0, 20.0])
EDGES = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])


def test_a_histogram() -> None:
    assert [row_text(row) for row in draw_histogram(COUNTS, EDGES, 31, 5)] == [
        "      -1                      0",
        "    -0.5 ▍                    1",
        "       0 ████████████████    40",
        "     0.5 ████████            20",
        "                               ",
    ]


def test_a_histogram_in_ascii_with_fewer_rows_than_bins() -> None:
    rows = draw_histogram(COUNTS, EDGES, 31, 2, braille=False)
    assert [row_text(row) for row in rows] == [
        "      -1 -                    1",
        "       0 ################    60",
    ]


@given(st.lists(st.floats(), max_size=12), st.integers(-1, 40), st.integers(-1, 15), st.booleans())
def test_any_histogram_in_any_size(
    counts: list[float], width: int, height: int, braille: bool
) -> None:
    edges = np.arange(len(counts) + 1.0)
    rows = draw_histogram(np.array(counts), edges, width, height, braille=braille)
    assert len(rows) == max(height, 0)
    assert all(row_width(row) == max(width, 0) for row in rows)


def test_a_sparkline() -> None:
    values = np.array([0.0, 1.0, 2.0, math.nan, 7.0])
    assert row_text(draw_sparkline(values, 8)) == "▁▂▃✖█   "
    assert row_text(draw_sparkline(values, 8, braille=False)) == "_.-x@   "
    assert draw_sparkline(values, 8)[1] == ("✖", "nonfinite")


def test_a_sparkline_keeps_every_peak() -> None:
    values = np.zeros(1000)
    values[537] = 1.0
    assert row_text(draw_sparkline(values, 10)).count("█") == 1


@given(st.lists(st.floats(), max_size=50), st.integers(-1, 40))
def test_any_sparkline_in_any_width(values: list[float], width: int) -> None:
    assert row_width(draw_sparkline(np.array(values), width)) == max(width, 0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1007, "1007"),
        (0.12345, "0.12345"),
        (1.2e-05, "1.2e-05"),
        (-1.23456e-05, "-1.2346e-05"),
        (2.0, "2"),
        (123456.7, "123457"),
        (12345.67, "12346"),
        (1234567.0, "1234567"),
        (1e7, "1e+07"),
        (1e300, "1e+300"),
        (0.0, "0"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
    ],
)
def test_values(value: float, text: str) -> None:
    assert format_value(value) == text


@given(st.floats())
def test_values_are_short_and_close(value: float) -> None:
    text = format_value(value)
    assert len(text) <= VALUE_WIDTH + 1
    if 1e-300 < abs(value) < 1e308:
        assert float(text) == pytest.approx(value, rel=6e-5)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (9_999, "9999"),
        (12_345, "12.3k"),
        (999_960, "1M"),
        (1_234_567, "1.23M"),
        (123_456_789, "123M"),
        (3e9, "3B"),
        (-25_000, "-25k"),
        (math.inf, "inf"),
    ],
)
def test_counts(count: float, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.25, "0.25s"),
        (8.2, "8s"),
        (59.9, "1m00"),
        (65, "1m05"),
        (3900, "1h05"),
        (183_600, "2d03h"),
        (-65, "-1m05"),
        (math.nan, "nan"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (1536, "1.5 KiB"),
        (1.5 * 2**30, "1.5 GiB"),
        (80 * 2**30, "80 GiB"),
        (5 * 2**50, "5120 TiB"),
    ],
)
def test_bytes(size: float, text: str) -> None:
    assert format_bytes(size) == text


def test_smoothing_is_a_weighted_mean_of_the_past() -> None:
    values, weight = np.array([1.0, 4.0, math.nan, 2.0, math.inf, 8.0]), 0.6
    smoothed = smooth(values, weight)
    for index, value in enumerate(smoothed):
        past = values[: index + 1][np.isfinite(values[: index + 1])]
        weights = weight ** np.arange(len(past))[::-1]
        if math.isfinite(values[index]):
            assert value == pytest.approx((past * weights).sum() / weights.sum())
        else:
            assert math.isnan(value)


def test_smoothing_leaves_a_constant_alone() -> None:
    assert smooth(np.full(50, 0.3), 0.95) == pytest.approx(np.full(50, 0.3))
    assert smooth(np.array([1.0, 5.0]), 0).tolist() == [1.0, 5.0]
    assert len(smooth(np.array([]), 0.5)) == 0


@pytest.mark.parametrize("weight", [-0.1, 1.0, math.nan])
def test_a_weight_outside_its_range_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="smoothing weight"):
        smooth(np.array([1.0]), weight)


def test_weights_of_windows() -> None:
    assert weight_of_window(1) == 0
    assert weight_of_window(19) == pytest.approx(0.9)
