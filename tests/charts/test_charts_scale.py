from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traintop_tui.charts.scale import Limits, choose_limits, data_range, nice_step
from traintop_tui.charts.ticks import LABEL_WIDTH, edge_labels, value_ticks

finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)


@pytest.mark.parametrize(
    ("low", "high", "log", "expected"),
    [
        (0.1, 2.3, False, (0.0, 3.0)),
        (0.0, 1.0, False, (0.0, 1.0)),
        (97, 103, False, (96.0, 104.0)),
        (-3, 8, False, (-5.0, 10.0)),
        (0.02, 7, True, (0.01, 10.0)),
        (0.11, 0.19, True, (0.1, 0.2)),
        (1007, 1007, False, (900.0, 1200.0)),
        (0, 0, False, (0.0, 1.0)),
    ],
)
def test_limits_are_round(
    low: float, high: float, log: bool, expected: tuple[float, float]
) -> None:
    limits = choose_limits(low, high, log=log)
    assert (limits.low, limits.high) == pytest.approx(expected)


@given(finite, finite)
def test_limits_hold_the_data(one: float, other: float) -> None:
    low, high = sorted((one, other))
    limits = choose_limits(low, high)
    assert limits.low <= low <= high <= limits.high
    assert limits.low < limits.high
    assert math.isfinite(limits.low)
    assert math.isfinite(limits.high)


@given(positive, positive)
def test_logarithmic_limits_hold_the_data(one: float, other: float) -> None:
    low, high = sorted((one, other))
    limits = choose_limits(low, high, log=True)
    assert 0 < limits.low <= low <= high <= limits.high < math.inf
    assert limits.low < limits.high


def test_limits_stay_while_they_serve() -> None:
    first = choose_limits(0.1, 0.9)
    assert choose_limits(0.2, 0.95, previous=first) is first
    assert choose_limits(0.2, 1.2, previous=first).high > 1  # The data left them.
    assert choose_limits(0.1, 0.2, previous=first).high < 0.5  # The data use a tenth of them.
    assert choose_limits(0.2, 0.95, log=True, previous=first).log


def test_limits_of_a_growing_series_seldom_move() -> None:
    limits = None
    moves = 0
    for high in np.linspace(1, 100, 1000):
        new = choose_limits(0.0, float(high), previous=limits)
        moves += new != limits
        limits = new
    assert moves < 25


@pytest.mark.parametrize("log", [False, True])
def test_an_outlier_does_not_flatten_the_curve(log: bool) -> None:
    values = np.linspace(1.0, 2.0, 300)
    spike = values.copy()
    spike[150] = 1e6
    low, high = data_range([spike], [spike], log=log, robust=True) or (0, 0)
    assert low == 1.0
    assert 2.0 <= high < 4.0
    assert data_range([spike], [spike], log=log) == (1.0, 1e6)


def test_without_outliers_robust_limits_are_those_of_the_data() -> None:
    values = np.sin(np.linspace(0, 20, 300))
    assert data_range([values], [values], robust=True) == data_range([values], [values])


def test_range_passes_over_what_cannot_be_drawn() -> None:
    values = np.array([math.nan, math.inf, -math.inf, -1.0, 0.0, 4.0])
    assert data_range([values], [values]) == (-1.0, 4.0)
    assert data_range([values], [values], log=True) == (4.0, 4.0)
    assert data_range([values[:3]], [values[:3]]) is None
    assert data_range([], []) is None


@given(st.lists(st.floats(), max_size=20), st.booleans(), st.booleans())
def test_range_of_anything(values: list[float], log: bool, robust: bool) -> None:
    array = np.array(values)
    found = data_range([array], [array], log=log, robust=robust)
    assert found is None or found[0] <= found[1]


def test_units_run_from_the_bottom_to_the_top() -> None:
    values = np.array([-1.0, 0.0, 1.0, 10.0, 100.0, 1000.0, math.nan, math.inf])
    logs = Limits(1, 100, log=True).unit(values)
    assert logs.tolist()[:6] == [-math.inf, -math.inf, 0.0, 0.5, 1.0, 1.5]
    assert math.isnan(logs[6])
    assert logs[7] == math.inf
    assert Limits(-1e308, 1e308).unit(np.array([-1e308, 0, 1e308])).tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("size", "parts", "expected"),
    [(1, 4, (0.25, 2)), (10, 4, (2.5, 1)), (100, 5, (20, 0)), (3e-5, 3, (1e-5, 5))],
)
def test_steps_are_round(size: float, parts: float, expected: tuple[float, int]) -> None:
    step, decimals = nice_step(size, parts)
    assert (pytest.approx(step), decimals) == expected


@pytest.mark.parametrize(
    ("limits", "count", "labels", "offset"),
    [
        (Limits(0, 1), 5, ["0", "0.25", "0.50", "0.75", "1.00"], ""),
        (Limits(0, 1), 3, ["0", "0.5", "1.0"], ""),
        (Limits(0, 3), 2, ["0", "2"], ""),
        (Limits(2.12345, 2.12347), 3, ["2.12345", "2.12346", "2.12347"], ""),
        (Limits(1e6 + 0.001, 1e6 + 0.003), 3, ["+0.001", "+0.002", "+0.003"], "+1000000"),
        (Limits(0, 50_000), 3, ["0", "25k", "50k"], ""),
        (Limits(10_000, 12_000), 5, ["10.0k", "10.5k", "11.0k", "11.5k", "12.0k"], ""),
        (Limits(0, 1e-4), 3, ["0", "5e-5", "1e-4"], ""),
        (Limits(0, 3e6), 4, ["0", "1M", "2M", "3M"], ""),
        (Limits(1007, 1009), 3, ["1007", "1008", "1009"], ""),
        (Limits(-1e308, 1e308), 5, ["-1e308", "1e308"], ""),
        (Limits(0, 5e-324), 5, ["0", "5e-324"], ""),
        (Limits(1e-4, 10, log=True), 6, ["1e-4", "0.001", "0.01", "0.1", "1", "10"], ""),
        (Limits(1e-4, 10, log=True), 3, ["1e-4", "0.01", "1"], ""),
        (Limits(0.1, 1000, log=True), 2, ["1", "1000"], ""),
        (Limits(1, 10, log=True), 4, ["1", "10"], ""),
        (Limits(2, 5, log=True), 4, ["2", "5"], ""),
        (Limits(0.12, 0.18, log=True), 4, ["0.12", "0.14", "0.16", "0.18"], ""),
        (Limits(1e4, 1e8, log=True), 5, ["10k", "100k", "1M", "10M", "100M"], ""),
    ],
)
def test_tick_labels(limits: Limits, count: int, labels: list[str], offset: str) -> None:
    ticks = value_ticks(limits, count)
    assert [tick.label for tick in ticks.ticks] == labels
    assert ticks.offset == offset


@given(finite, finite, st.integers(1, 12), st.booleans())
def test_labels_fit_and_differ(one: float, other: float, count: int, log: bool) -> None:
    low, high = sorted((abs(one), abs(other)) if log else (one, other))
    if log and not low:
        return
    limits = choose_limits(low, high, log=log)
    ticks = value_ticks(limits, count)
    labels = [tick.label for tick in ticks.ticks]
    assert all(len(label) <= LABEL_WIDTH for label in labels)
    assert len(ticks.offset) <= 2 * LABEL_WIDTH
    assert len(labels) <= 2 * count + 2
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    ("edges", "labels"),
    [
        ([0.0, 1.0, 2.0], ["0", "1", "2"]),
        ([-0.01, 0.0, 0.012], ["-0.01", "0", "0.012"]),
        ([1.0001, 1.0002], ["1.0001", "1.0002"]),
        ([1e-9, 2e-9], ["1e-9", "2e-9"]),
    ],
)
def test_edges_of_bins_are_told_apart(edges: list[float], labels: list[str]) -> None:
    assert edge_labels(edges, 8) == labels
