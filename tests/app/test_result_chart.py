"""The charts of analyses, live and from a result file, read as text."""

from __future__ import annotations

import math

import pytest

from app_driver import text_of
from traintop.analyses import ANALYSES
from traintop.analysis_results import AnalysisResult, write_result
from traintop_tui.charts.cells import row_text, row_width
from traintop_tui.job_list import JobItem
from traintop_tui.widgets.result_chart import ResultChart, draw_item
from traintop_tui.widgets.result_drawings import DRAWINGS

LRS = [10.0**power for power in range(-6, 1)]
LOSSES = [2.3, 2.3, 2.2, 1.5, 1.0, 1.2, 9.0]
LR_FIND = {"lrs": LRS, "losses": LOSSES, "smoothed": LOSSES, "suggested": 1e-3}
DEAD = {
    "layers": [
        {"name": "a.relu", "units": 64, "dead": 32, "dead_fraction": 0.5},
        {"name": "b.relu", "units": 10, "dead": 0, "dead_fraction": 0.0},
    ],
    "samples": 1000,
}


def part(title, status, line="told", **fields):
    return {"title": title, "status": status, "line": line, "analysis": "x"} | fields


CHECKUP = {
    "verdict": "critical",
    "sections": [
        {"name": "data", "verdict": "healthy", "parts": [part("Data check", "healthy")]},
        {
            "name": "one batch",
            "verdict": "critical",
            "parts": [
                part("Gradient check", "critical", "is wrong for 2"),
                part("NaN source", "blocked"),
                part("Gradient flow", "skipped"),
            ],
        },
    ],
}


def finished(analysis, found):
    """Return an analysis whose result has been read from a file."""
    result = AnalysisResult(
        analysis=analysis,
        status="ok",
        checkpoint="ckpt-200.pt",
        step=200,
        seconds=1.0,
        device="cpu",
        result=found,
    )
    return JobItem(analysis, result.checkpoint, result=result)


def drawn(item):
    """Return the lines of its chart in ASCII, drawn at several sizes, largest last."""
    for width, height in [(1, 1), (12, 3), (40, 8), (90, 24)]:
        rows = draw_item(item, width, height, braille=False)
        assert len(rows) == height
        assert all(row_width(row) == width for row in rows)
    return [row_text(row) for row in rows]


def test_every_analysis_has_a_drawing():
    assert set(DRAWINGS) == set(ANALYSES)


async def test_the_chart_of_a_result_file_is_on_the_screen(opened, run_folder):
    item = finished("dead_neurons", DEAD)
    write_result(item.result, run_dir=run_folder)
    async with opened(run_folder, ascii=True) as pilot:
        pilot.app.model.jobs.load()
        await pilot.press("5")
        await pilot.pause()
        chart = pilot.app.screen.query_one("#result-chart-0", ResultChart)
        assert chart.build(90, 24) == draw_item(item, 90, 24, braille=False)
        assert "32 of 64" in text_of(pilot.app)


def test_the_loss_is_drawn_over_the_learning_rate():
    lines = drawn(finished("lr_find", LR_FIND))
    assert "loss over learning rate, suggested 1.00e-03" in lines[0]
    assert all(f"1e{power}" in lines[-1] for power in (-6, -3))
    assert "*" in lines[-2]  # The suggestion is marked on the axis.


def test_dead_units_are_bars():
    lines = drawn(finished("dead_neurons", DEAD))
    [first] = [line for line in lines if "a.relu" in line]
    [second] = [line for line in lines if "b.relu" in line]
    assert "32 of 64" in first
    assert "0 of 10" in second
    ink = [line.split(" ", 1)[1].rsplit(" of", 1)[0].count("#") for line in (first, second)]
    assert ink[0] > 20
    assert ink[1] == 0


def test_a_checkup_is_a_line_a_part():
    item = finished("checkup", CHECKUP)
    assert [line.rstrip() for line in drawn(item)][:6] == [
        "data  HEALTHY",
        " ok Data check             told",
        "one batch  CRITICAL",
        " !! Gradient check         is wrong for 2",
        "  x NaN source             told",
        "  - Gradient flow          told",
    ]
    short = [row_text(row).split() for row in draw_item(item, 60, 3, braille=False)]
    assert [words[0] for words in short] == ["ok", "!!", "2"]


def test_points_are_drawn_as_they_come():
    item = JobItem("lr_find", None)
    assert any("No points yet" in line for line in drawn(item))
    item.points["seed 0"] = ([1e-5], [2.3])
    assert "loss over learning rate" in drawn(item)[0]
    item.points["seed 0"] = ([1e-5, 1e-4, 1e-3], [2.3, math.nan, 2.0])
    assert "1e-4" in drawn(item)[-1]


@pytest.mark.parametrize(
    ("analysis", "broken"),
    [
        ("dead_neurons", {"layers": 3}),
        ("dead_neurons", {"layers": [{"name": 5}]}),
        ("lr_find", {"lrs": ["x"], "losses": [1.0]}),
        ("lr_find", {"lrs": [0.0], "losses": [1.0]}),
        ("lr_find", {"lrs": [-1.0], "losses": [1.0]}),
        ("lr_find", {"suggested": "0.1"}),
        ("checkup", {"sections": [{}]}),
    ],
)
def test_a_damaged_result_is_said_where_the_chart_would_be(analysis, broken):
    assert any("Cannot be drawn" in line for line in drawn(finished(analysis, broken)))


def test_curves_that_do_not_fit_the_learning_rates_are_left_out():
    lopsided = {"lrs": [1e-3, 1e-2], "losses": [1.0, None], "smoothed": [1.0]}
    title = row_text(DRAWINGS["lr_find"](lopsided, 60, 12, False)[0])
    assert "s:smoothed" not in title
    assert "loss over learning rate" in title
