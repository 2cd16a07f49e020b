"""Replay: every screen shows the run as of a step, and what would have been said then."""

from __future__ import annotations

import asyncio
import json
import math

import pytest
from textual.widgets import Input

from app_driver import NOW, catch_up, text_of
from run_files import write_run
from traintop.opening import read_whole
from traintop.settings import Settings
from traintop_tui.messages import News
from traintop_tui.replaying import SPEEDS, Replaying
from traintop_tui.screens.step_prompt import parse_step
from traintop_tui.widgets.chart_panel import ChartPanel
from traintop_tui.widgets.replay_bar import ReplayBar


@pytest.fixture
def folder(tmp_path):
    """A run of 500 steps whose loss is NaN from step 400 on."""
    return write_run(tmp_path / "run", 500)


def bar(app):
    return app.screen.query_one(ReplayBar).render_line(0).text


def settle(app):
    """Judge up to the step, however slow the machine is."""
    while app.model.replay.pending:
        app.model.replay.judge()
    app.redraw()


async def test_a_replay_begins_where_the_first_finding_was_seen_and_says_so(opened, folder):
    async with opened(folder) as pilot:
        app = pilot.app
        assert not app.screen.query_one(ReplayBar).display
        seen = min(finding.detected_step for finding in app.model.findings())
        await pilot.press("T")
        await pilot.pause()
        assert app.model.step == seen
        assert bar(app).startswith(f" REPLAY  step {seen:>3} of 499 ")
        assert "as it was at" in text_of(app)
        await pilot.press("T")
        await pilot.pause()
        assert app.model.replay is None
        assert app.model.view.cursor is None
        assert not app.screen.query_one(ReplayBar).display


async def test_findings_are_those_that_would_have_been_said(opened, folder):
    async with opened(folder) as pilot:
        app = pilot.app
        await pilot.press("T", "home")
        assert app.model.findings() == []
        for step in (399, 400, 499, 10):
            app.model.put_cursor(step)
            settle(app)
            until = read_whole(folder, Settings(), until=step)
            assert repr(app.model.findings()) == repr(list(until.findings()))
            assert app.model.not_judged() == until.not_judged()
        await pilot.press("escape")
        assert len(app.model.findings()) > 0


async def test_charts_header_layers_and_log_know_nothing_of_later(opened, folder):
    async with opened(folder) as pilot:
        app = pilot.app
        await pilot.press("T")
        app.model.put_cursor(200)
        app.redraw()
        await pilot.pause()
        model = app.model
        assert "step 200/500" in app.screen.query_one("#header").render_line(0).text
        chart = app.screen.query_one(ChartPanel)
        edges = model.edges(100)
        for ref in chart.panel.refs:
            reduced = model.reduce(ref, edges)
            assert all(math.isnan(value) for value in reduced.lo[edges[:-1] > 200])
            assert not all(math.isnan(value) for value in reduced.lo)
            assert model.value(ref)[0] <= 200
        # The scale of steps stays that of the whole run: the curve grows to the right.
        assert model.window[1] >= 499
        assert model.run.layers.step[-1] == 200
        await pilot.press("4")
        await pilot.pause()
        text = text_of(app)
        assert "step 200 loss" in text
        assert "step 210 loss" not in text
        assert "Traceback" not in text
        app.model.put_cursor(210)
        app.redraw()
        await pilot.pause()
        assert "step 210 loss" in text_of(app)


@pytest.mark.parametrize("screen", ["1", "4"])
async def test_keys_move_the_step_on_every_screen(opened, folder, screen):
    moves = {
        "right": 105, "left": 95, "shift+right": 150, "shift+left": 50, "comma": 99,
        "full_stop": 101, "home": 0, "end": 499,
    }  # fmt: skip
    async with opened(folder) as pilot:
        await pilot.press(screen, "T")
        for key, step in moves.items():
            pilot.app.model.put_cursor(100)
            await pilot.press(key)
            assert pilot.app.model.replay.step == step, key
        await pilot.press("escape")
        assert pilot.app.model.replay is None


async def test_n_jumps_to_where_findings_were_seen(opened, folder):
    async with opened(folder) as pilot:
        app = pilot.app
        seen = sorted({finding.detected_step for finding in app.model.findings()})
        await pilot.press("T", "home")
        visited = []
        for _ in seen:
            await pilot.press("n")
            visited.append(app.model.step)
        assert visited == seen
        await pilot.press("n")
        assert app.model.step == seen[-1]
        app.model.put_cursor(499)
        await pilot.press("N")
        assert app.model.step == seen[-1]


async def test_a_step_or_a_share_can_be_typed(opened, folder):
    async with opened(folder) as pilot:
        app = pilot.app
        await pilot.press("T", "percent_sign")
        await pilot.pause()
        await pilot.press("n", "o", "enter")
        assert app.screen.query_one(Input).value == "no"  # It is still asked.
        app.screen.query_one(Input).value = "50%"
        await pilot.press("enter")
        await pilot.pause()
        assert app.model.step == 250
        await pilot.press("percent_sign")
        await pilot.pause()
        await pilot.press("3", "escape")
        assert app.model.step == 250


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("412", 412), (" 40% ", 360), ("0%", 200), ("100%", 600), ("99999", 600), ("-3", 200),
        ("1e2%", 600), ("250.4", 250), ("", None), ("x", None), ("%", None), ("nan", None),
        ("inf%", None),
    ],
)  # fmt: skip
def test_what_is_typed_is_a_step_of_the_run(text, step):
    assert parse_step(text, 200, 600) == step


async def test_it_plays_faster_and_slower_and_stops_at_the_end(opened, folder):
    async with opened(folder) as pilot:
        app = pilot.app
        await pilot.press("T", "home")
        await pilot.press("space")
        replaying = app.replaying
        assert replaying.playing
        steps = []
        for _ in range(3):
            replaying.tick()
            steps.append(app.model.step)
        assert 0 < steps[0] < steps[1] < steps[2]
        await pilot.press("right_curly_bracket")
        assert replaying.speed == 2
        assert "playing 2x" in bar(app)
        for _ in range(9):
            replaying.change_speed(0.5)
        assert replaying.speed == SPEEDS[0]
        await pilot.press("space")
        assert not replaying.playing
        app.model.put_cursor(498.9)
        replaying.change_speed(1000)
        replaying.playing = True
        while replaying.playing:
            replaying.tick()
        assert app.model.step == 499
        await pilot.press("space")  # From the end it plays from the beginning.
        assert replaying.playing
        assert app.model.step < 250


async def test_what_takes_long_is_judged_in_a_thread(opened, folder, monkeypatch):
    monkeypatch.setattr("traintop_tui.run_model.PATIENCE", 0.0)
    monkeypatch.setattr("traintop_tui.replaying.FRAME", 3600.0)
    async with opened(folder) as pilot:
        app = pilot.app
        await pilot.press("T", "end")
        assert app.model.replay.pending
        assert "judging 0%" in bar(app)
        app.replaying.tick()
        app.replaying._judging.join(10)
        app.replaying.tick()
        await pilot.pause()
        assert not app.model.replay.pending
        assert "judging" not in bar(app)
        assert "nan_inf" in {finding.id for finding in app.model.findings()}


async def test_a_click_on_the_slider_or_a_chart_goes_there(opened, folder):
    async with opened(folder) as pilot:
        app = pilot.app
        await pilot.press("T", "home")
        await pilot.pause()
        knob = bar(app).index("●")
        await pilot.click("#replay-bar", offset=(knob + 10, 0))
        first = app.model.step
        assert 0 < first < 499
        assert bar(app).index("●") == knob + 10
        await pilot.click(ChartPanel, offset=(40, 3))
        assert app.model.replay.step == app.model.view.cursor != first


async def test_the_present_goes_on_behind_a_replay(opened, folder):
    async with opened(folder) as pilot:
        app = pilot.app
        await pilot.press("T")
        app.model.put_cursor(300)
        with (folder / "train_diagnostics.jsonl").open("a") as file:
            for step in range(500, 520):
                file.write(json.dumps({"step": step, "loss": 0.2}) + "\n")
        catch_up(app)
        assert app.model.step == 300
        assert app.model.run.last_step == 300
        assert " of 519 " in bar(app)
        # Another run in the same file ends it: its steps are others.
        (folder / "train_diagnostics.jsonl").write_text('{"step": 0, "loss": 1}\n')
        app.on_news(News([app.model.session.pump(NOW)]))
        assert app.model.replay is None
        assert app.replaying is None


async def test_f_and_another_run_go_back_to_the_present(opened, folder, tmp_path):
    other = write_run(tmp_path / "other", 100)
    async with opened(folder, other) as pilot:
        app = pilot.app
        for key in ("f", "right_square_bracket"):
            await pilot.press("T")
            assert isinstance(app.replaying, Replaying)
            await pilot.press(key)
            assert app.model.replay is None
            assert app.replaying is None


async def test_a_picture_that_is_due_while_a_screen_is_made_is_left_to_that_screen(opened, folder):
    async with opened(folder) as pilot:
        app = pilot.app
        await pilot.press("T")
        for mode in ("layers", "findings", "log", "analyses"):
            app.switch_mode(mode)
            for _ in range(30):
                app.redraw()
                await asyncio.sleep(0)
            await pilot.pause()
            assert bar(app).startswith(" REPLAY ")


async def test_without_a_record_there_is_nothing_to_replay(opened, tmp_path):
    (tmp_path / "empty").mkdir()
    async with opened(tmp_path / "empty") as pilot:
        await pilot.press("T")
        assert pilot.app.model.replay is None


@pytest.mark.parametrize("size", [(200, 50), (110, 30), (80, 24), (40, 12), (20, 8)])
async def test_the_bar_fits_any_width_and_says_replay_first(opened, folder, size):
    async with opened(folder, size=size, ascii=True) as pilot:
        await pilot.press("T")
        await pilot.pause()
        text = bar(pilot.app)
        assert len(text) == size[0]
        assert text.isascii()
        assert text.startswith(" REPLAY ")
