"""The charts of analyses, live and from a result file, read as text."""

from __future__ import annotations

import math

import numpy as np
import pytest

from traintop.analysis_results import AnalysisResult, write_result
from traintop_tui.charts.cells import row_text, row_width
from traintop_tui.job_list import JobItem
from traintop_tui.widgets.result_chart import DrawnResult, ResultChart, binned, points_of

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


def result(analysis, found):
    return AnalysisResult(
        analysis=analysis,
        status="ok",
        checkpoint="ckpt-200.pt",
        step=200,
        seconds=1.0,
        device="cpu",
        result=found,
    )


async def drawn(pilot):
    """Return the lines of the chart on the analyses screen, at several sizes, largest last."""
    pilot.app.model.jobs.load()
    await pilot.press("5")
    await pilot.pause()
    chart = pilot.app.screen.query_one(ResultChart)
    for width, height in [(1, 1), (12, 3), (40, 8), (90, 24)]:
        rows = chart.build(width, height)
        assert len(rows) == height
        assert all(row_width(row) == width for row in rows)
    return [row_text(row) for row in rows]


async def test_the_loss_is_drawn_over_the_learning_rate(opened, run_folder):
    write_result(result("lr_find", LR_FIND), run_dir=run_folder)
    async with opened(run_folder, ascii=True) as pilot:
        lines = await drawn(pilot)
        assert "loss over learning rate, suggested 0.001" in lines[0]
        assert all(f"1e{power}" in lines[-1] for power in (-6, -3))
        assert "*" in lines[-2]  # The suggestion is marked on the axis.


async def test_dead_units_are_bars(opened, run_folder):
    write_result(result("dead_neurons", DEAD), run_dir=run_folder)
    async with opened(run_folder, ascii=True) as pilot:
        lines = await drawn(pilot)
        [first] = [line for line in lines if "a.relu" in line]
        [second] = [line for line in lines if "b.relu" in line]
        assert "32 of 64" in first
        assert "0 of 10" in second
        ink = [line.split(" ", 1)[1].rsplit(" of", 1)[0].count("#") for line in (first, second)]
        assert ink[0] > 20
        assert ink[1] == 0


async def test_points_are_drawn_as_they_come(opened, run_folder):
    async with opened(run_folder, ascii=True) as pilot:
        item = JobItem("lr_find", None)
        pilot.app.model.jobs.items.append(item)
        assert any("No points yet" in line for line in await drawn(pilot))
        item.points["seed 0"] = ([1e-5], [2.3])
        assert "loss over learning rate" in (await drawn(pilot))[0]
        item.points["seed 0"] = ([1e-5, 1e-4, 1e-3], [2.3, math.nan, 2.0])
        assert "1e-4" in (await drawn(pilot))[-1]


@pytest.mark.parametrize(
    "broken",
    [
        {"layers": 3},
        {"layers": [{"name": 5}]},
        {"lrs": ["x"], "losses": [1.0]},
        {"lrs": [0.0], "losses": [1.0]},
        {"lrs": [-1.0], "losses": [1.0]},
        {"suggested": "0.1"},
    ],
)
async def test_a_damaged_result_is_said_where_the_chart_would_be(opened, run_folder, broken):
    write_result(result("lr_find", broken), run_dir=run_folder)
    async with opened(run_folder, ascii=True) as pilot:
        assert any("Cannot be drawn" in line for line in await drawn(pilot))


def test_curves_that_do_not_fit_the_learning_rates_are_left_out():
    lopsided = DrawnResult(lrs=[1e-3, 1e-2], losses=[1.0, None], smoothed=[1.0])
    [(name, (lrs, losses))] = points_of(lopsided).items()
    assert (name, lrs, losses[0]) == ("loss", [1e-3, 1e-2], 1.0)
    assert math.isnan(losses[1])
    assert points_of(DrawnResult()) == {}


def test_columns_keep_both_extremes_and_pass_over_nan():
    x = np.array([0.0, 0.1, 0.2, 0.9, 1.0])
    lo, hi = binned(x, np.array([3.0, 1.0, np.nan, 5.0, np.inf]), 0.0, 1.0, 4)
    np.testing.assert_array_equal(lo, [1.0, np.nan, np.nan, 5.0])
    np.testing.assert_array_equal(hi, [3.0, np.nan, np.nan, 5.0])
