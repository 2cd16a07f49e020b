"""The drawings of the one-batch test, the landscape, batch sizes and latency, read as text."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from traintop_tui.charts.cells import row_text, row_width
from traintop_tui.job_list import JobItem
from traintop_tui.widgets.result_chart import draw_item
from traintop_tui.widgets.result_drawings import DRAWINGS

OVERFIT = {
    "passed": False,
    "losses": [2.0, 1.0, 0.5],
    "samples": 8,
    "attempts": [
        {"optimizer": "SGD", "lr": 0.1, "losses": [2.0, "Infinity"]},
        {"optimizer": "Adam", "lr": 1e-3, "losses": [2.0, 1.0, 0.5]},
    ],
}
STEPS = [-1.0, -0.5, 0.0, 0.5, 1.0]
LANDSCAPE = {
    "alphas": STEPS,
    "betas": STEPS,
    "losses": [[0.1 + a * a + 4 * b * b for b in STEPS] for a in STEPS],
    "center_loss": 0.1,
    "sharpness": 21.5,
    "update": {
        "optimizer": "AdamW",
        "multiples": [-1.0, 0.0, 1.0, 2.0],
        "losses": [3.0, 2.0, 1.5, "NaN"],
        "lowest_at": 1.0,
    },
}
SIZES = {
    "largest": 4,
    "knee": 2,
    "noise_scale": 79.3,
    "tried": [
        {"batch_size": 2, "ok": True, "samples_per_sec": 100.0, "peak_memory_mb": 300.0},
        {"batch_size": 4, "ok": True, "samples_per_sec": 50.0, "peak_memory_mb": None},
        {"batch_size": 8, "ok": False, "samples_per_sec": None, "limit": "memory"},
    ],
}
LATENCY = {
    "batch_sizes": [
        {"batch_size": 1, "p50_ms": 0.1, "p95_ms": 0.2, "p99_ms": 0.3},
        {"batch_size": 64, "p50_ms": 10.0, "p95_ms": 20.0, "p99_ms": 30.0},
    ],
    "top_ops": [{"name": "aten::addmm", "share": 0.75, "ms": 7.5}],
    "top_ops_batch_size": 64,
}


def drawn(name: str, result: Any, width: int = 90, height: int = 24) -> list[str]:
    """Draw at several sizes; every one is filled exactly."""
    found: Any = ()
    for each in (True, False):
        for columns, rows in [(0, 0), (1, 1), (7, 2), (30, 4), (23, 9), (width, height)]:
            found = DRAWINGS[name](result, columns, rows, each)
            assert len(found) == rows
            assert all(row_width(row) == columns for row in found)
    lines = [row_text(row) for row in found]
    assert all(line.isascii() for line in lines)
    return lines


def test_the_loss_on_one_batch_is_a_curve_for_each_optimizer() -> None:
    title, *lines = drawn("overfit_one_batch", OVERFIT)
    assert title.startswith("FAILED: loss on one batch of 8 samples, by step")
    assert "S:SGD 1e-01" in title
    assert "A:Adam 1e-03" in title
    assert any("A" in line for line in lines)
    assert drawn("overfit_one_batch", {"passed": True, "losses": [2.0, 0.1]})[0].startswith(
        "passed"
    )


def test_the_plane_has_its_least_in_the_middle_and_its_most_at_the_corners() -> None:
    title, *lines = drawn("loss_landscape", LANDSCAPE)
    assert "0.1 at them; sharpness 21.5" in title
    rows = {line[1:8].strip(): line for line in lines[:5]}
    assert list(rows) == ["+1.00", "+0.50", "+0.00", "-0.50", "-1.00"]
    assert rows["+0.00"].startswith(">")
    ramp = ".,:-=+*#%@"

    def heat(line: str) -> list[int]:
        cells = line[line.index("00", 2) + 3 :].strip() if "00" in line else line
        return [ramp.index(cell) for cell in cells if cell in ramp]

    top, middle, bottom = (heat(rows[beta]) for beta in ("+1.00", "+0.00", "-1.00"))
    assert top == bottom
    assert max(top) == 9
    assert min(middle) == 0
    assert middle[len(middle) // 2] == 0
    assert sum(middle) < sum(top)


def test_the_line_along_the_update_is_below_where_there_is_room() -> None:
    text = "loss along the update of AdamW"
    assert any(text in line for line in drawn("loss_landscape", LANDSCAPE))
    assert not any(text in line for line in drawn("loss_landscape", LANDSCAPE, height=12))
    alone = LANDSCAPE | {"update": None, "sharpness": None}
    assert not any(text in line for line in drawn("loss_landscape", alone))


def test_a_plane_with_more_rows_than_there_is_room_keeps_the_middle() -> None:
    steps = [n / 20 - 1 for n in range(41)]
    large = LANDSCAPE | {
        "alphas": steps,
        "betas": steps,
        "losses": [["Infinity" if a > 0.9 else a * a + b * b for b in steps] for a in steps],
    }
    lines = drawn("loss_landscape", large, width=60, height=12)
    assert any(line.startswith(">+0.00") for line in lines)
    assert any("x" in line[20:] for line in lines)


def test_batch_sizes_are_bars_of_throughput() -> None:
    title, two, four, eight, *_ = drawn("batch_size", SIZES)
    assert "largest 4, levels off at 2, noise scale 79.3" in title
    assert two.count("#") > four.count("#") > 0 == eight.count("#")
    assert "100/s     300 MiB" in two
    assert "too much memory" in eight


def test_latency_is_a_bar_a_size_and_one_an_operator() -> None:
    title, one, many, _, middle, operator, *_ = drawn("latency", LATENCY)
    assert "p50, p95, p99" in title
    assert one.count("#") < many.count("#")
    assert "10.000    20.000    30.000" in many
    assert "time by operator at batch size 64" in middle
    assert "addmm" in operator
    assert "75.0%" in operator
    assert not any("operator" in line for line in drawn("latency", LATENCY, height=4))


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("overfit_one_batch", {"passed": True}),
        ("overfit_one_batch", {"passed": True, "losses": ["much"]}),
        ("loss_landscape", LANDSCAPE | {"alphas": [0.0]}),
        ("loss_landscape", LANDSCAPE | {"losses": [[1.0]]}),
        ("loss_landscape", LANDSCAPE | {"alphas": [], "losses": []}),
        ("batch_size", {"largest": 3}),
        ("latency", {"batch_sizes": [{"batch_size": 1}]}),
    ],
)
def test_damaged_results_are_refused(name: str, broken: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        DRAWINGS[name](broken, 40, 10, True)


@pytest.mark.parametrize("name", ["overfit_one_batch", "loss_landscape", "batch_size", "latency"])
def test_points_are_drawn_while_it_runs(name: str) -> None:
    item = JobItem(name, None)
    item.points["one"] = ([1.0, 2.0, 4.0], [3.0, 2.0, 1.0])
    rows = draw_item(item, 60, 12, braille=False)
    assert len(rows) == 12
    assert row_text(rows[0]).strip() != "one"
