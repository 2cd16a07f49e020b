"""What a person does with the mouse and the keys, and what should then be on the screen."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app_driver import catch_up, text_of
from run_files import write_run
from traintop_tui.screens.series_picker import SeriesPicker
from traintop_tui.widgets.action_footer import ActionFooter
from traintop_tui.widgets.chart_panel import ChartPanel
from traintop_tui.widgets.finding_list import FindingList
from traintop_tui.widgets.findings_rail import FindingsRail
from traintop_tui.widgets.layer_heatmap import LayerHeatmap, carried_on
from traintop_tui.widgets.log_tail import LogTail
from traintop_tui.widgets.log_view import LogView
from traintop_tui.widgets.run_header import RunHeader


async def test_a_click_does_what_it_is_on(opened, nan_folder):
    async with opened(nan_folder) as pilot:
        app = pilot.app
        await pilot.click(ChartPanel, offset=(40, 4))
        assert app.model.view.cursor is not None
        footer = app.screen.query_one(ActionFooter).render_line(0).text
        await pilot.click(ActionFooter, offset=(footer.index("2 Layers") + 3, 0))
        await pilot.pause()
        assert app.current_mode == "layers"
        await pilot.click(LayerHeatmap, offset=(5, 2))
        assert app.model.layers.index == 1
        await pilot.click(LayerHeatmap, offset=(5, 3))
        assert app.model.layers.index == 1  # the axis is no layer
        await pilot.click(RunHeader)
        await pilot.pause()
        assert app.current_mode == "findings"
        await pilot.click(FindingList, offset=(3, 0))
        await pilot.click(FindingList, offset=(3, 1))
        assert app.model.finding == 0
        await pilot.press("1")
        await pilot.click(FindingsRail, offset=(3, 1))
        await pilot.pause()
        assert app.current_mode == "findings"
        await pilot.press("1")
        await pilot.click(LogTail)
        await pilot.pause()
        assert app.current_mode == "log"
        await pilot.click(LogView, offset=(5, 1))
        assert app.screen.query_one(LogView).at == app.screen.query_one(LogView)._top + 1


async def test_an_enlarged_chart_keeps_header_and_footer_and_tab_goes_through_all(
    opened, run_folder
):
    async with opened(run_folder, size=(100, 30)) as pilot:
        app = pilot.app
        names = [panel.title for panel in app.model.panels()]
        await pilot.press("enter")
        seen = []
        for _ in names:
            await pilot.pause()
            [panel] = app.screen.query(ChartPanel)
            assert panel.size.width == 100
            seen.append(panel.panel.title)
            assert "step 299/300" in text_of(app)
            assert "q Quit" in text_of(app)
            await pilot.press("tab")
        assert seen == names
        await pilot.press("escape")
        await pilot.pause()
        assert len(app.screen.query(ChartPanel)) > 1


async def test_the_cursor_marks_its_line_of_the_log_and_back(opened, run_folder):
    async with opened(run_folder) as pilot:
        app = pilot.app
        app.model.view.put_cursor(app.model.extent, 205)
        app.redraw()
        tail = app.screen.query_one(LogTail)
        assert tail.render_line(tail.size.height - 1).text.startswith("> step 200 ")
        await pilot.press("g")
        await pilot.pause()
        view = app.screen.query_one(LogView)
        assert view.lens.text(view.selected()).startswith("step 200 ")
        await pilot.press("k")
        marked = [line for line in text_of(app).splitlines() if line[1:2] == "*"]
        assert [line[2:11] for line in marked] == ["step 200 "]
        assert "* cursor at step 205" in text_of(app)
        await pilot.press("enter")
        assert app.model.view.cursor == 190


async def test_a_log_without_numbers_is_shown_as_text(opened, tmp_path):
    path = tmp_path / "train.log"
    path.write_text("loading the data\nstill loading\n")
    async with opened(path) as pilot:
        text = text_of(pilot.app)
        assert "still loading" in text
        assert "the text is shown as it is" in text
        with path.open("a") as file:
            file.write('{"step": 1, "loss": 0.5}\n')
        for session in pilot.app.model.sessions:
            session._due = 0.0
        catch_up(pilot.app)


async def test_without_layers_enter_opens_nothing_and_the_reason_is_whole(opened, tmp_path):
    folder = write_run(tmp_path / "run", 60, layers=False)
    async with opened(folder, size=(80, 24)) as pilot:
        await pilot.press("2", "enter")
        await pilot.pause()
        assert "in the training script." in " ".join(text_of(pilot.app).split())
        assert not pilot.app.screen.query_one("#one-layer").display
        assert not any(panel.size.height for panel in pilot.app.screen.query(ChartPanel))


async def test_the_selected_layer_is_drawn_under_all_layers(opened, run_folder):
    async with opened(run_folder) as pilot:
        await pilot.press("2")
        await pilot.pause()
        curve = pilot.app.screen.query_one("#layer-curve", ChartPanel)
        assert curve.size.height > 10
        assert "a.weight gradient norm" in curve.render_line(0).text
        await pilot.press("j")
        assert "b.weight gradient norm" in curve.render_line(0).text


def test_gaps_between_records_are_carried_on_and_real_gaps_are_not():
    nan = np.nan
    steps = np.array([0.0, 20.0, 40.0, 100.0, 120.0])
    edges = np.arange(0.0, 150.0, 10.0)
    values = np.full((1, 14), nan)
    values[0, [0, 2, 4, 10, 12]] = [1, 2, 3, 4, 5]
    filled = carried_on(values, steps, edges)
    # After step 40 as far as two and a half of the usual distances; after the last record not.
    expected = [1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4, 5, nan]
    np.testing.assert_array_equal(filled[0], expected)
    far = np.array([0.0, 10.0, 20.0, 30.0, 130.0])
    values = np.full((1, 14), nan)
    values[0, [0, 1, 2, 3, 13]] = [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(
        carried_on(values, far, edges)[0], [1, 2, 3, 4, 4, 4, *[nan] * 7, 5]
    )


async def test_series_are_ticked_without_colour_and_none_gives_the_usual_charts(opened, run_folder):
    async with opened(run_folder) as pilot:
        app = pilot.app
        usual = [panel.title for panel in app.model.panels()]
        await pilot.press("slash", *"grad", "down", "space")
        assert isinstance(app.screen, SeriesPicker)
        assert [str(option.prompt) for option in app.screen._box.options] == ["[x] grad_norm"]
        await pilot.press("enter")
        assert [panel.title for panel in app.model.panels()] == ["grad_norm"]
        await pilot.press("slash", *"grad", "down", "space", "enter")
        assert [panel.title for panel in app.model.panels()] == usual


async def test_curves_of_train_and_validation_have_their_letters_in_any_order(opened, run_folder):
    async with opened(run_folder) as pilot:
        panel = pilot.app.screen.query_one(ChartPanel)
        assert panel.render_line(0).text.split()[0].endswith("t:loss")
        panel.panel.refs.reverse()
        panel.redraw()
        title = panel.render_line(0).text
        assert "v:val/loss" in title
        assert "t:loss" in title


async def test_analyses_say_what_is_missing_before_they_are_tried(opened, run_folder):
    async with opened(run_folder, size=(80, 24)) as pilot:
        await pilot.press("5")
        await pilot.pause()
        text = " ".join(text_of(pilot.app).split())
        assert "L LR range test" in text
        assert "--target FILE.py:FUNCTION" in text
        assert not pilot.app.screen.query_one("#right").display


async def test_the_checkpoint_that_would_be_used_is_marked(opened, run_folder):
    for step in (100, 200):
        (run_folder / f"step-{step}.pt").write_bytes(b"x" * 2048)
    lines = [
        json.dumps({"step": step, "event": "checkpoint", "path": f"step-{step}.pt"})
        for step in (100, 200)
    ]
    (run_folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    async with opened(run_folder) as pilot:
        view = pilot.app.model.view
        await pilot.press("5")
        assert "> step 200" in text_of(pilot.app)
        view.cursor = 150.0
        pilot.app.redraw()
        assert "> step 100" in text_of(pilot.app)
        view.cursor = 50.0
        pilot.app.redraw()
        assert "none at or before the cursor's step 50" in text_of(pilot.app)


@pytest.mark.parametrize("key", ["1", "2", "3", "4", "5"])
async def test_ascii_mode_is_ascii_also_where_text_is_cut(opened, nan_folder, key):
    with (nan_folder / "train.log").open("a") as file:
        file.write("Größe → ∞ 日本 " * 20 + "\n")
    async with opened(nan_folder, size=(60, 18), ascii=True) as pilot:
        await pilot.press(key)
        await pilot.pause()
        assert text_of(pilot.app).isascii()
        strips = pilot.app.screen._compositor.render_strips()
        assert {strip.cell_length for strip in strips} == {60}
