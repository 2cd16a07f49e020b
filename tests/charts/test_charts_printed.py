from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from traintop_tui.charts.printed import printed_chart

X = np.arange(50.0)


def test_a_printed_chart_has_its_size_and_its_words() -> None:
    text = printed_chart(
        {"loss": (X, np.sin(X / 5))}, 60, 14, title="LR range test", x_label="learning rate"
    )
    lines = text.split("\n")
    assert len(lines) == 14
    assert {len(line) for line in lines} == {60}
    assert lines[0].strip() == "LR range test"
    assert lines[-1].strip() == "learning rate"
    assert "loss" in text
    assert "\x1b" not in text


def test_colours_only_on_request() -> None:
    assert "\x1b[38" in printed_chart({"loss": (X, X)}, 60, 10, color=True)


def test_ascii() -> None:
    assert printed_chart({"loss": (X, X)}, 60, 10, braille=False).isascii()


def test_what_cannot_be_drawn_is_counted() -> None:
    values = X.copy()
    values[:3] = math.nan, math.inf, -math.inf
    assert "(3 values not drawable)" in printed_chart({"loss": (X, values)}, 60, 10)
    values[3:5] = 0, -1
    log = printed_chart({"loss": (X, values)}, 60, 10, title="loss", log_y=True)
    assert "loss (log, 5 values not drawable)" in log
    nothing = printed_chart({"loss": (X, X * math.nan)}, 60, 10, title="loss")
    assert nothing == "loss\nnothing to draw: 50 values not drawable"
    assert printed_chart({}, 60, 10) == "\nnothing to draw: no values"


def test_marks_are_named() -> None:
    text = printed_chart(
        {"loss": (np.logspace(-6, 0, 50), X)}, 70, 12, log_x=True, marks={"suggested": 3e-3}
    )
    assert "| suggested 0.003" in text
    assert "1e-4" in text


def test_labels_keep_their_digits() -> None:
    text = printed_chart({"loss": (X, np.linspace(2.12345, 2.12347, 50))}, 60, 12)
    assert "2.12346" in text


def test_threads_do_not_draw_into_each_other() -> None:
    def chart(index: int) -> str:
        return printed_chart({f"run{index}": (X, X * index)}, 40, 8, title=f"title{index}")

    alone = [chart(index) for index in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(chart, list(range(8)) * 2))
    assert together == alone * 2


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=8), st.booleans(), st.booleans())
def test_any_numbers(points: list[tuple[float, float]], log_x: bool, log_y: bool) -> None:
    x, y = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    text = printed_chart({"a": (x, y)}, 40, 8, log_x=log_x, log_y=log_y)
    assert len(text.split("\n")) in (2, 8)
