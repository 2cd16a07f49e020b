from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traintop_tui.charts.cells import row_text, row_width
from traintop_tui.charts.frame import Mark
from traintop_tui.charts.heatmap import Heatmap, draw, lay_out, levels, value_limits
from traintop_tui.charts.ticks import Tick

VALUES = np.array(
    [
        [1e-4, 1e-3, 1e-2, 1e-1, 1.0],
        [math.nan, 1e-4, math.inf, 0.0, -1.0],
        [1.0, 1.0, 1.0, 1.0, 1.0],
    ]
)
HEATMAP = Heatmap(
    labels=("blocks.0.weight", "blocks.1.weight", "head"),
    values=VALUES,
    selected=1,
    x_ticks=(Tick(0, "0"), Tick(8, "4")),
    marks=(Mark(4, "finding", "critical"),),
)


def styles(heatmap: Heatmap, width: int, height: int, y: int) -> list[str]:
    row = draw(heatmap, width, height)[y]
    return [style for text, style in row for _ in text]


def test_layers_by_steps() -> None:
    assert [row_text(row) for row in draw(HEATMAP, 40, 9)] == [
        " b.0.weight ·░▒▓█                       ",
        "▸b.1.weight  ·✖··                       ",
        " head       █████                       ",
        "                                        ",
        "                                        ",
        "                                        ",
        "            ┬─▲─┬───────────────────────",
        "            0   4                       ",
        "            0.0001 ··░░▒▒▓▓██ 1 log     ",
    ]
    assert styles(HEATMAP, 40, 9, 0)[12:17] == ["heat0", "heat2", "heat5", "heat7", "heat9"]
    assert styles(HEATMAP, 40, 9, 1)[:17] == [
        *["selected"] * 12,
        *("heat.missing", "heat0", "nonfinite", "heat0", "heat0"),
    ]


def test_in_ascii_every_level_has_its_own_character() -> None:
    ramp = Heatmap(labels=("x",), values=np.arange(10.0)[None, :], log=False, braille=False)
    rows = [row_text(row) for row in draw(ramp, 20, 3)]
    assert rows == [" x    .,:-=+*#%@    ", "                    ", "      0 .,:-=+*#%@ 9"]


def test_scrolling_and_cursor() -> None:
    scrolled = replace(HEATMAP, first_row=1, cursor=0)
    rows = draw(scrolled, 40, 3)
    assert row_text(rows[0]).startswith("▸b.1.weight │·✖··")
    assert row_text(rows[1]).startswith(" head       █████")
    assert styles(scrolled, 40, 3, 0)[12] == "cursor"


def test_measured_nan_is_not_the_same_as_not_measured() -> None:
    nonfinite = np.zeros(VALUES.shape, dtype=bool)
    nonfinite[1, 0] = True
    marked = replace(HEATMAP, nonfinite=nonfinite)
    assert row_text(draw(marked, 40, 9)[1])[12:15] == "✖·✖"


@pytest.mark.parametrize(
    ("values", "limits", "log", "expected"),
    [
        ([0.0, 0.5, 1.0, 2.0, -1.0, math.nan], (0.0, 1.0), False, [0, 5, 9, 9, 0, -1]),
        ([1.0, 10.0, 100.0, 0.0, -5.0], (1.0, 100.0), True, [0, 5, 9, 0, 0]),
        ([3.0, 3.0], (3.0, 3.0), False, [5, 5]),
        ([3.0, 4.0, 2.0], (3.0, 3.0), True, [5, 9, 0]),
    ],
)
def test_levels(
    values: list[float], limits: tuple[float, float], log: bool, expected: list[int]
) -> None:
    assert levels(np.array(values), limits, log=log).tolist() == expected


def test_limits_of_values() -> None:
    assert value_limits(VALUES, log=True) == (1e-4, 1.0)
    assert value_limits(VALUES, log=False) == (-1.0, 1.0)
    assert value_limits(np.array([[math.nan]]), log=True) is None


@given(
    st.lists(st.lists(st.floats(), min_size=5, max_size=5), max_size=6),
    st.integers(-1, 60),
    st.integers(-1, 12),
    st.booleans(),
    st.booleans(),
    st.text(),
)
def test_any_numbers_in_any_size(
    values: list[list[float]], width: int, height: int, log: bool, braille: bool, name: str
) -> None:
    heatmap = Heatmap(
        labels=(name,) * len(values),
        values=np.array(values, dtype=np.float64).reshape(-1, 5),
        log=log,
        braille=braille,
        cursor=3,
        selected=0,
    )
    rows = draw(heatmap, width, height)
    assert len(rows) == max(height, 0)
    assert all(row_width(row) == max(width, 0) for row in rows)
    assert lay_out(width, height).plot_height >= 0
