"""What differs between two results, against plain examples."""

from __future__ import annotations

import math
from typing import Any

import pytest

from traintop_tui.charts.cells import row_text, row_width
from traintop_tui.job_list import JobItem
from traintop_tui.result_changes import Change, changes
from traintop_tui.widgets.changes_table import change_rows


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ({}, {}, []),
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"b": 1}, []),
        ({"a": 1.0}, {"a": 1.0 + 1e-12}, []),
        ({"a": math.nan}, {"a": math.nan}, []),
        ({"a": math.nan}, {"a": 1.0}, [("a", math.nan, 1.0)]),
        ({"a": 1}, {"a": 2}, [("a", 1, 2)]),
        ({"a": True}, {"a": False}, [("a", True, False)]),
        ({"a": None}, {"a": 2}, [("a", None, 2)]),
        ({"a": {"b": "x"}}, {"a": {"b": "y"}}, [("a > b", "x", "y")]),
        ({"seconds": 1}, {"seconds": 2}, []),
        ({"losses": [1, 2]}, {"losses": [2, 3]}, []),
        (
            {"rows": [{"name": "p", "n": 1}, {"name": "q", "n": 5}]},
            {"rows": [{"name": "q", "n": 6}, {"name": "p", "n": 1}]},
            [("rows > q > n", 5, 6)],
        ),
        ({"rows": [3, None, {"n": 1}]}, {"rows": [4, {"n": 2}]}, []),
        ({"a": {"b": 1}}, {"a": [1]}, []),
    ],
)
def test_changes(before: Any, after: Any, wanted: list[tuple[Any, ...]]) -> None:
    assert repr([tuple(each) for each in changes(before, after)]) == repr(wanted)


def test_the_greatest_change_comes_first() -> None:
    before = {"a": 1.0, "b": 1.0, "c": "x", "d": 0.0, "e": 1.0}
    after = {"a": 1.1, "b": 100.0, "c": "y", "d": 1e-9, "e": -1.0}
    found = [each.what for each in changes(before, after)]
    assert found[-2:] == ["b", "a"]
    assert Change("a", 1, 1).ratio == 0


def test_a_result_that_is_nested_without_end_is_read_to_a_depth() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = {"a": deep}
    assert changes({"x": deep}, {"x": 2}) == []


def test_lines_have_room_at_any_width() -> None:
    def item(count: int) -> JobItem:
        from traintop.analysis_results import AnalysisResult

        found = {"layers": [{"name": "block" * 9, "dead": count, "kind": "relu" * count}]}
        result = AnalysisResult(
            analysis="dead_neurons", status="ok", checkpoint="c", step=count, seconds=1.0,
            device="cpu", result=found,
        )  # fmt: skip
        return JobItem("dead_neurons", "c", result=result)

    title, *rows = change_rows(item(3), item(7), 80)
    assert row_text(title) == "before step 3, after step 7: 2 values differ"
    assert all(row_width(row) <= 80 for row in rows)
    assert row_text(rows[1]).split()[-2:] == ["3", "7"]
