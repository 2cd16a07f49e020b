"""The drawings of results that have a row a layer, and of the NaN source, read as text."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from traintop_tui.charts.cells import row_text, row_width
from traintop_tui.charts.log_bars import draw_log_bars
from traintop_tui.widgets.result_drawings import DRAWINGS

FLOW_ROW = {"grad_mean": 0.0, "update_ratio": None, "numel": 4}
FLOW = {
    "layers": [
        FLOW_ROW | {"name": "first.weight", "grad_norm": 1e-6, "status": "vanishing"},
        FLOW_ROW | {"name": "last.weight", "grad_norm": 1.0, "status": "ok"},
        FLOW_ROW | {"name": "unused", "grad_norm": None, "status": "none"},
    ]
}
FLOWS = FLOW | {
    "checkpoints": [
        {"step": 500, "layers": FLOW["layers"]},
        {
            "step": 100,
            "layers": [FLOW_ROW | {"name": "first.weight", "grad_norm": 0.5, "status": "ok"}],
        },
    ]
}
CHECK = {
    "parameters": [
        {"name": "a", "max_relative_error": 3e-9, "passed": True},
        {"name": "b", "max_relative_error": 0.33, "passed": False},
        {"name": "c", "max_relative_error": None, "passed": False},
    ],
    "tolerance": 1e-3,
}
SOURCE = {
    "found": True,
    "module": "blocks.2",
    "phase": "forward",
    "kind": "nan",
    "what": "log",
    "input_stats": [
        {"shape": [6, 8], "dtype": "float32", "min": -2.0, "max": 1.5, "nan": 0, "inf": 0}
    ],
    "batch": 3,
    "samples": [4, 7],
}
WEIGHTS = {
    "layers": [
        {"name": "a", "std": 0.1, "norm": 2.0, "change": 0.01, "initial_std": 0.2},
        {"name": "b", "std": None, "norm": None, "change": None, "nan": 12},
    ],
    "compared_step": 400,
}


def drawn(name: str, result: Any, width: int = 90, height: int = 10) -> list[str]:
    """Draw at several sizes; every one is filled exactly."""
    for each in (True, False):
        for columns, rows in [(0, 0), (1, 1), (7, 2), (30, 4), (width, height)]:
            found = DRAWINGS[name](result, columns, rows, each)
            assert len(found) == rows
            assert all(row_width(row) == columns for row in found)
    lines = [row_text(row) for row in found]
    assert all(line.isascii() for line in lines)
    return lines


def ink(line: str) -> int:
    return line.count("#")


def test_gradients_are_bars_by_decade() -> None:
    title, first, last, unused, *_ = drawn("gradient_flow", FLOW)
    assert "gradient norm by layer" in title
    assert "1.0e-06 vanishing" in first
    assert 0 < 4 * ink(first) < ink(last)
    assert "none" in unused
    assert ink(unused) == 0


def test_checkpoints_stand_side_by_side() -> None:
    title, first, last, *_ = drawn("gradient_flow", FLOWS)
    assert "at step 500, 100" in title
    assert first.index("1.0e-06 vanishing") < first.index("5.0e-01 ok")
    assert last.count("ok") == 1


def test_errors_of_gradients() -> None:
    title, right, wrong, infinite, *_ = drawn("gradient_check", CHECK)
    assert "passes up to 0.001" in title
    assert "3.0e-09 ok" in right
    assert "3.3e-01 WRONG" in wrong
    assert "WRONG" in infinite
    assert ink(wrong) > 2 * ink(right)


def test_the_way_to_a_nan() -> None:
    lines = drawn("nan_source", SOURCE)
    assert [line.split()[1] for line in lines[1:3]] == ["finite", "finite"]
    assert "NAN from log in blocks.2" in lines[3]
    assert "not reached" in lines[4]
    assert "6x8 float32: -2 to 1.5, 0 NaN, 0 infinite" in lines[5]
    assert "samples 4, 7" in lines[6]
    clean = drawn("nan_source", {"found": False})
    assert sum("finite" in line for line in clean[1:]) == 4


def test_weights_by_change_or_by_norm() -> None:
    title, first, bad, *_ = drawn("weights", WEIGHTS)
    assert "change since step 400" in title
    assert "1.00e-02  std 1.00e-01 (2.00e-01)" in first
    assert "12 not finite" in bad
    only = {"layers": [WEIGHTS["layers"][0] | {"change": None}]}
    title, first, *_ = drawn("weights", only)
    assert title.startswith("norm by layer")
    assert "2.00e+00" in first


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("gradient_flow", {"layers": 3}),
        ("gradient_flow", {"layers": [{"name": 5}]}),
        ("gradient_check", {"parameters": []}),
        ("nan_source", {"found": "yes"}),
        ("nan_source", SOURCE | {"input_stats": [{}]}),
        ("weights", {"layers": [{"name": "a", "std": "x"}]}),
    ],
)
def test_a_damaged_result_is_refused(name: str, broken: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        DRAWINGS[name](broken, 40, 10, True)


def test_names_are_untrusted() -> None:
    evil = {"layers": [FLOW["layers"][1] | {"name": "a\x1b[31mb\nc"}]}
    text = "".join(drawn("gradient_flow", evil))
    assert "\x1b" not in text
    assert "\n" not in text
    assert "\x1b" not in "".join(drawn("nan_source", SOURCE | {"what": "\x1b]0;x"}))


@pytest.mark.parametrize("values", [[], [None], [0.0, -1.0], [float("inf"), 1.0], [2.0, 2.0]])
def test_bars_of_values_without_a_logarithm(values: list[float | None]) -> None:
    labels = [str(at) for at in range(len(values))]
    rows = draw_log_bars("title", labels, values, labels, 40, 6, braille=False)
    assert len(rows) == 6
    assert row_text(rows[0]).startswith("title")
