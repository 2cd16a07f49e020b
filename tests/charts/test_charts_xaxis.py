from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traintop_tui.charts.xaxis import XKind, column_of, position_of, x_ticks, x_window


@pytest.mark.parametrize(
    ("window", "kind", "labels"),
    [
        ((0, 100), "step", ["0", "20", "40", "60", "80", "100"]),
        ((0, 3), "step", ["0", "1", "2", "3"]),
        ((1_234_500, 1_234_506), "step", [f"{n}" for n in range(1_234_500, 1_234_507)]),
        ((0, 50_000), "step", ["0", "10k", "20k", "30k", "40k", "50k"]),
        ((0, 3e9), "tokens", ["0", "0.5B", "1B", "1.5B", "2B", "2.5B", "3B"]),
        ((0, 10), "epoch", ["0", "2", "4", "6", "8", "10"]),
        ((2, 3), "epoch", ["2.0", "2.2", "2.4", "2.6", "2.8", "3.0"]),
        ((0, 90), "time", ["0", "15s", "30s", "45s", "1m", "1m15", "1m30"]),
        ((0, 5400), "time", ["0", "15m", "30m", "45m", "1h00", "1h15", "1h30"]),
        ((0, 300_000), "time", ["0", "1d", "2d", "3d"]),
        ((0, 100_000), "time", ["0", "6h00", "12h00", "18h00", "1d"]),
        ((0, 0.5), "time", ["0", "0.1s", "0.2s", "0.3s", "0.4s", "0.5s"]),
        ((1.76e9, 1.76e9 + 4500), "clock", ["09:00", "09:15", "09:30", "09:45", "10:00"]),
        ((1.76e9, 1.76e9 + 172_800), "clock", ["12:00", "00:00", "12:00", "00:00"]),
    ],
)
def test_tick_labels(window: tuple[float, float], kind: XKind, labels: list[str]) -> None:
    assert [tick.label for tick in x_ticks(window, 120, kind)] == labels


def test_the_clock_is_that_on_the_wall() -> None:
    ticks = x_ticks((1.76e9, 1.76e9 + 4500), 120, "clock", utc_offset=7200)
    assert [tick.label for tick in ticks] == ["11:00", "11:15", "11:30", "11:45", "12:00"]


def test_ticks_stand_at_their_positions() -> None:
    assert [tick.at for tick in x_ticks((0, 100), 120)] == [0, 24, 48, 72, 96, 119]


@given(
    st.floats(),
    st.floats(),
    st.integers(-3, 500),
    st.sampled_from(["step", "epoch", "tokens", "time", "clock"]),
)
def test_ticks_of_any_window_lie_inside_it(
    first: float, last: float, columns: int, kind: XKind
) -> None:
    ticks = x_ticks((first, last), columns, kind)
    assert all(0 <= tick.at < columns for tick in ticks)
    assert len(ticks) <= max(columns, 0) + 1


def test_the_window_jumps_instead_of_scrolling() -> None:
    window = None
    moves = 0
    for last in range(1, 10_001):
        new = x_window(0, last, window)
        assert new[0] == 0
        assert new[1] >= last
        moves += new != window
        window = new
    assert moves < 100


def test_a_window_of_the_newest_steps_jumps_too() -> None:
    window = None
    moves = 0
    for last in range(1000, 2000):
        new = x_window(last - 500, last, window)
        assert new[0] <= last - 500
        assert last <= new[1]
        moves += new != window
        window = new
    assert moves <= 25


def test_a_window_that_is_not_followed_is_exact() -> None:
    assert x_window(0, 100, (0, 110), following=False) == (0, 100)
    assert x_window(5, 5, following=False) == (5, 6)
    assert x_window(5, 5)[1] > 5


def test_positions_and_columns_are_inverse() -> None:
    window = (100.0, 200.0)
    for column in range(50):
        assert column_of(position_of(column, window, 50), window, 50) == column
    assert column_of(100, window, 50) == 0
    assert column_of(200, window, 50) == 49
    assert column_of(99, window, 50) is None
    assert column_of(float("nan"), window, 50) is None
    assert column_of(100, window, 0) is None
