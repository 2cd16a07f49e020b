"""The app as a whole, on runs read from disk, driven by keys."""

from __future__ import annotations

import json
import math

import pytest

from app_driver import catch_up, text_of
from run_files import write_run
from traintop_tui.actions import ACTIONS, actions_for
from traintop_tui.app import TraintopApp
from traintop_tui.screens.help import HelpScreen
from traintop_tui.screens.run_screen import RunScreen
from traintop_tui.screens.series_picker import SeriesPicker
from traintop_tui.widgets.chart_panel import ChartPanel
from traintop_tui.widgets.log_view import LogView

SIZES = [(200, 50), (80, 24), (40, 12), (10, 4)]
SCREENS = {"overview": "1", "layers": "2", "findings": "3", "log": "4", "analyses": "5"}


async def test_overview_shows_curves_values_and_that_nothing_is_wrong(opened, run_folder):
    async with opened(run_folder) as pilot:
        text = text_of(pilot.app)
        assert "run" in text
        assert "finished" in text
        assert "step 299/300" in text
        assert "loss 0." in text
        assert "val/loss" in text
        assert "grad_norm" in text
        assert "no open finding" in text
        assert any("⠀" < char <= "⣿" for char in text)
        assert "goes on" in text  # the newest line of the log


async def test_a_finding_is_shown_with_its_evidence(opened, nan_folder):
    async with opened(nan_folder) as pilot:
        assert "not finite" in text_of(pilot.app).lower() or "nan" in text_of(pilot.app).lower()
        await pilot.press("3")
        text = text_of(pilot.app)
        assert "since step 400" in text
        assert "measured" in text
        await pilot.press("a")
        assert "seen" in text_of(pilot.app)
        await pilot.press("g")
        assert pilot.app.current_mode == "overview"
        assert pilot.app.model.view.cursor == 400


async def test_nan_is_marked_and_can_be_jumped_to(opened, nan_folder):
    async with opened(nan_folder) as pilot:
        assert "✖" in text_of(pilot.app)
        await pilot.press("!")
        assert pilot.app.model.view.cursor == 400
        assert "nan" in text_of(pilot.app)


@pytest.mark.parametrize("mode", SCREENS)
async def test_every_key_of_the_table_works_on_every_screen(opened, nan_folder, mode, monkeypatch):
    # The pilot waits twice so long after each key, however soon it is answered.
    monkeypatch.setattr("textual._wait.SLEEP_GRANULARITY", 0.004)
    async with opened(nan_folder) as pilot:
        app = pilot.app
        await pilot.press(SCREENS[mode])
        for action in ACTIONS:
            if action.id in ("quit", "show_runs"):
                continue
            for key in action.keys.split(","):
                await pilot.press(key)
                if not isinstance(app.screen, RunScreen):
                    await pilot.press("escape")
                if app.current_mode != mode:
                    await pilot.press(SCREENS[mode])
                assert app.current_mode == mode
        assert app.is_running


def test_every_action_has_a_method_and_no_key_twice_in_a_place():
    from traintop_tui.screens.analyses import AnalysesScreen
    from traintop_tui.screens.findings import FindingsScreen
    from traintop_tui.screens.layers import LayersScreen
    from traintop_tui.screens.log import LogScreen
    from traintop_tui.screens.overview import OverviewScreen

    screens = (OverviewScreen, LayersScreen, FindingsScreen, LogScreen, AnalysesScreen)
    for action in actions_for("everywhere"):
        assert hasattr(TraintopApp, f"action_{action.id}"), action.id
    for screen in screens:
        keys = []
        for place in screen.PLACES:
            for action in actions_for(place):
                assert hasattr(screen, f"action_{action.id}"), (screen, action.id)
            if place == screen.PLACES[0]:
                keys += [key for action in actions_for(place) for key in action.keys.split(",")]
        assert len(keys) == len(set(keys)), screen
    everywhere = {key for action in actions_for("everywhere") for key in action.keys.split(",")}
    for action in ACTIONS:
        if action.where != "everywhere":
            assert everywhere.isdisjoint(action.keys.split(",")), action.id
    assert len({action.id for action in ACTIONS}) == len(ACTIONS)


async def test_the_cursor_is_shared_and_reads_out_values(opened, run_folder):
    async with opened(run_folder) as pilot:
        for _ in range(3):
            await pilot.press("H")
        cursor = pilot.app.model.view.cursor
        assert cursor is not None
        assert cursor < 299
        row = math.floor(cursor)
        line = (run_folder / "train_diagnostics.jsonl").read_text().splitlines()[row]
        assert f"{json.loads(line)['loss']:.5g}" in text_of(pilot.app)
        assert f"Log up to step {cursor:.0f}" in text_of(pilot.app)
        await pilot.press("2")
        assert pilot.app.model.view.cursor == cursor
        await pilot.press("escape")
        assert pilot.app.model.view.cursor is None


async def test_zoom_pan_and_back(opened, run_folder):
    async with opened(run_folder) as pilot:
        view = pilot.app.model.view
        await pilot.press("+", "+")
        first, last = view.window
        assert last - first == pytest.approx(299 / 4)
        await pilot.press("<")
        assert view.window[0] < first
        await pilot.press("f")
        assert view.window[1] == 299
        await pilot.press("0")
        assert view.window is None


async def test_axis_goes_through_step_epoch_and_time(opened, run_folder):
    async with opened(run_folder) as pilot:
        seen = []
        for _ in range(3):
            await pilot.press("x")
            seen.append(pilot.app.model.view.axis)
        assert seen == ["epoch", "time", "step"]


async def test_layers_can_be_walked_and_opened(opened, run_folder):
    async with opened(run_folder) as pilot:
        await pilot.press("2")
        assert "gradient norm by layer" in text_of(pilot.app)
        assert "a.weight" in text_of(pilot.app)
        await pilot.press("j", "enter")
        text = text_of(pilot.app)
        assert "b.weight gradient norm 0.2" in text
        assert "gradient norm of 30 records" in text
        await pilot.press("escape", "m")
        assert "update ratio by layer" in text_of(pilot.app)


async def test_log_is_searched_filtered_folded_and_harmless(opened, run_folder):
    async with opened(run_folder) as pilot:
        await pilot.press("4")
        text = text_of(pilot.app)
        assert "[traceback, 3 lines]" in text
        assert "[bold]not markup[/bold]" in text
        assert "\x1b[31m" not in text
        view = pilot.app.screen.query_one(LogView)
        await pilot.press("slash", *"disk", "enter")
        assert "disk" in view.lens.text(view.selected())
        await pilot.press("ampersand", *"step 1", "enter")
        assert all("step 1" in view.lens.text(item) for item in view.lens.items)
        await pilot.press("escape", "g", "j", "j", "enter")
        assert pilot.app.current_mode == "overview"
        assert pilot.app.model.view.cursor == 20


async def test_charts_can_be_chosen_by_name(opened, run_folder):
    async with opened(run_folder) as pilot:
        await pilot.press("slash")
        assert isinstance(pilot.app.screen, SeriesPicker)
        await pilot.press(*"samples", "down", "space", "enter")
        await pilot.pause()
        await pilot.pause()
        [panel] = pilot.app.screen.query(ChartPanel)
        assert [ref.label for ref in panel.panel.refs] == ["samples_per_sec"]


async def test_an_empty_folder_is_waited_for_and_opens_by_itself(opened, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    async with opened(empty) as pilot:
        assert "Waiting for a run" in text_of(pilot.app)
        write_run(empty)
        for session in pilot.app.model.sessions:
            session._due = 0.0
        catch_up(pilot.app)
        await pilot.pause()
        pilot.app.redraw()
        await pilot.pause()
        assert "step 299/300" in text_of(pilot.app)


async def test_help_lists_every_action(opened, run_folder):
    async with opened(run_folder) as pilot:
        await pilot.press("question_mark")
        assert isinstance(pilot.app.screen, HelpScreen)
        from traintop_tui.screens.help import help_text

        text = help_text(ACTIONS)
        assert all(action.help in text for action in ACTIONS)


@pytest.mark.parametrize("theme", ["traintop-light", "ansi-16", "mono", "okabe-ito"])
async def test_themes_and_ascii(opened, run_folder, theme):
    async with opened(run_folder, theme=theme, ascii=True) as pilot:
        assert text_of(pilot.app).isascii()
        await pilot.press("u")
        assert not text_of(pilot.app).isascii()
        before = pilot.app.theme
        await pilot.press("t")
        assert pilot.app.theme != before


async def test_runs_of_one_file_can_be_gone_through(opened, tmp_path):
    path = tmp_path / "two.jsonl"
    records = [{"step": step, "loss": 1 / (step + 1)} for step in range(100)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records * 2))
    async with opened(path) as pilot:
        assert "run 2/2" in text_of(pilot.app)
        await pilot.press("[")
        assert "run 1/2" in text_of(pilot.app)
        await pilot.press("]")
        assert "run 2/2" in text_of(pilot.app)


async def test_resizing_at_any_time(opened, nan_folder):
    async with opened(nan_folder) as pilot:
        for number in SCREENS.values():
            await pilot.press(number)
            for size in SIZES:
                await pilot.resize_terminal(*size)
                await pilot.pause()
        assert pilot.app.is_running
