"""A chart on the screen, read as text."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app_driver import catch_up
from traintop.catalogue import SeriesRef
from traintop.store.aggregates import reduce_values
from traintop_tui.charts.cells import row_text
from traintop_tui.charts.frame import Curve
from traintop_tui.charts.scale import Limits
from traintop_tui.panels import GpuRef, LayerRef
from traintop_tui.widgets.chart_panel import ChartPanel, curves_of, is_exact, limits_of

LOSS = SeriesRef("train", "loss", "loss", "loss/train")
SPIKE = 150
NAN = range(220, 223)


@pytest.fixture
def spiky(tmp_path):
    """A run whose loss is 1 but for one spike to 5 and a stretch of NaN."""
    path = tmp_path / "log.jsonl"
    with path.open("w") as file:
        for step in range(300):
            loss = 5.0 if step == SPIKE else "NaN" if step in NAN else 1.0
            file.write(json.dumps({"step": step, "loss": loss}) + "\n")
    return path


def styles_by_row(rows):
    """Return for each row the styles of its runs that are not blank."""
    return [{style for text, style in row if text.strip()} for row in rows]


async def chart(pilot):
    catch_up(pilot.app)
    await pilot.pause()
    return pilot.app.screen.query_one(ChartPanel)


def drawn(panel):
    return panel.build(*panel.size)


async def test_the_raw_curve_stays_visible_behind_the_smoothed_one(opened, spiky):
    async with opened(spiky, smoothing=0.97, ascii=True) as pilot:
        panel = await chart(pilot)
        smoothed = styles_by_row(drawn(panel))
        # The spike reaches the top in the raw curve; the smoothed one stays below.
        top = next(number for number, styles in enumerate(smoothed) if "faded0" in styles)
        assert not any("series0" in styles for styles in smoothed[1 : top + 2])
        assert any("series0" in styles for styles in smoothed[top + 2 :])
        for _ in range(9):
            await pilot.press("S")
        assert pilot.app.model.view.smoothing == 0
        raw = styles_by_row(drawn(panel))
        assert "series0" in raw[top]
        assert not any("faded0" in styles for styles in raw)


async def test_nan_is_a_mark_of_its_own_where_it_is(opened, spiky):
    async with opened(spiky, ascii=True) as pilot:
        panel = await chart(pilot)
        places = [
            (x, y)
            for y, row in enumerate(drawn(panel))
            for x, style in enumerate(s for text, s in row for _ in text)
            if style == "nonfinite"
        ]
        assert places
        layout = panel._layout
        expected = layout.plot_x + NAN[0] / 299 * layout.plot_width
        assert min(abs(x - expected) for x, _ in places) <= 1
        marked = {row_text(drawn(panel)[y])[x] for x, y in places}
        assert "x" in marked


async def test_the_cursor_is_a_column_and_its_value_is_read_out(opened, spiky):
    async with opened(spiky, ascii=True) as pilot:
        panel = await chart(pilot)
        pilot.app.model.view.put_cursor(pilot.app.model.extent, SPIKE)
        assert "loss 5" in row_text(drawn(panel)[0])
        pilot.app.model.view.put_cursor(pilot.app.model.extent, 75)
        rows = drawn(panel)
        assert "loss 1" in row_text(rows[0])
        layout = panel._layout
        x = layout.plot_x + int(75 / 299 * layout.columns) // 2
        column = [row_text(row)[x] for row in rows[layout.plot_y : layout.plot_y + 20]]
        assert column.count("|") > 10
        pilot.app.model.view.put_cursor(pilot.app.model.extent, NAN[0])
        assert "nan" in row_text(drawn(panel)[0])


async def test_a_click_puts_the_cursor_where_the_mouse_is(opened, spiky):
    async with opened(spiky) as pilot:
        panel = await chart(pilot)
        layout = panel._layout
        await pilot.click(panel, offset=(layout.plot_x + layout.plot_width // 2, 5))
        assert pilot.app.model.view.cursor == pytest.approx(150, abs=2)
        before = pilot.app.model.view.cursor
        await pilot.click(panel, offset=(0, 5))  # The labels are no place of the run.
        assert pilot.app.model.view.cursor == before


async def test_ascii_is_ascii_and_fits_at_any_size(opened, spiky):
    async with opened(spiky, ascii=True) as pilot:
        panel = await chart(pilot)
        for width, height in [(1, 1), (5, 3), (30, 4), (80, 24), (200, 60)]:
            texts = [row_text(row) for row in panel.build(width, height)]
            assert len(texts) == height
            assert all(len(text) == width and text.isascii() for text in texts)


def test_what_is_set_and_not_measured_is_not_smoothed():
    assert is_exact(SeriesRef("train", "lr", "lr", "lr"))
    assert is_exact(GpuRef("GPU 0"))
    assert not is_exact(LOSS)
    assert not is_exact(LayerRef("grad_norm", "a"))


def test_curves_of_a_series():
    values = np.array([1.0, np.nan, 3.0, 9.0])
    reduced = reduce_values(values, np.arange(5))
    [alone] = curves_of(LOSS, reduced, 9, 0.0, "t")
    assert (alone.style, alone.tag, alone.faded) == ("series1", "t", False)
    raw, smoothed = curves_of(LOSS, reduced, 1, 0.9, "")
    assert (raw.style, raw.faded) == ("faded1", True)
    np.testing.assert_array_equal(raw.hi, values)
    assert raw.nonfinite.tolist() == [0, 1, 0, 0]
    assert np.isnan(smoothed.lo[1])
    assert 1.0 < smoothed.lo[2] < 3.0


@pytest.mark.parametrize("value", [0.001, 0.1, -7.3, 1e30])
@pytest.mark.parametrize("smoothing", [0.3, 0.6, 0.97])
def test_a_constant_series_is_constant_when_it_is_smoothed(value, smoothing):
    reduced = reduce_values(np.full(1000, value), np.arange(0, 1001, 10))
    curves = curves_of(LOSS, reduced, 0, smoothing, "")
    assert (curves[1].lo == value).all()
    limits = limits_of(curves, False, None)
    assert limits.low < value < limits.high


def test_a_series_without_a_finite_value_is_smoothed_to_nothing():
    reduced = reduce_values(np.array([np.nan, np.inf]), np.arange(3))
    assert np.isnan(curves_of(LOSS, reduced, 0, 0.6, "")[1].lo).all()
    assert len(curves_of(LOSS, reduce_values(np.empty(0), np.zeros(1, int)), 0, 0.6, "")[1].lo) == 0


def test_limits_of_nothing_are_those_before_or_plain_ones():
    empty = Curve("loss", "series0", np.array([np.nan]), np.array([np.nan]))
    assert limits_of([], False, None) == Limits(0.0, 1.0, log=False)
    assert limits_of([empty], True, None) == Limits(0.1, 1.0, log=True)
    before = Limits(2.0, 3.0, log=False)
    assert limits_of([empty], False, before) == before
