"""What must be readable on a narrow terminal: the way out, the state, what is wrong."""

from __future__ import annotations

import json

import pytest

from app_driver import text_of
from run_files import write_run
from traintop_tui.widgets.action_footer import ActionFooter
from traintop_tui.widgets.finding_detail import FindingDetail
from traintop_tui.widgets.findings_rail import FindingsRail
from traintop_tui.widgets.run_header import RunHeader

SCREENS = "12345"


def line_of(app, widget):
    return app.screen.query_one(widget).render_line(0).text


@pytest.mark.parametrize("width", [60, 80, 100, 200])
async def test_help_and_quit_follow_the_screens_at_any_width(opened, nan_folder, width):
    async with opened(nan_folder, size=(width, 24)) as pilot:
        for key in SCREENS:
            await pilot.press(key)
            line = line_of(pilot.app, ActionFooter)
            assert len(line) == width
            assert "? Help" in line
            assert "q Quit" in line
            assert line.index("5 ") < line.index("? Help") < line.index("q Quit")


async def test_on_the_narrowest_terminal_help_and_quit_stay(opened, run_folder):
    async with opened(run_folder, size=(24, 10)) as pilot:
        line = line_of(pilot.app, ActionFooter)
        assert "? Help" in line
        assert "q Quit" in line


async def test_footer_and_help_show_the_keys_of_the_user(opened, run_folder):
    async with opened(run_folder, size=(200, 50), keys={"help": "f9", "lr_find": "w"}) as pilot:
        line = line_of(pilot.app, ActionFooter)
        assert "F9 Help" in line
        assert "w LR range test" in line


@pytest.mark.parametrize("width", [46, 60, 80, 120])
async def test_state_and_step_stay_visible_beside_a_long_name(opened, tmp_path, width):
    folder = write_run(tmp_path / ("a_run_with_a_name_that_is_long" * 3), 500)
    async with opened(folder, size=(width, 24)) as pilot:
        line = line_of(pilot.app, RunHeader)
        assert len(line) == width
        assert "finished" in line
        assert "step 499/500" in line
        assert "✖" in line


async def test_the_header_does_not_say_that_nothing_is_wrong_before_all_is_judged(
    opened, run_folder
):
    async with opened(run_folder) as pilot:
        model = pilot.app.model
        assert "no open finding" in line_of(pilot.app, RunHeader)
        model.update = type(model.update)(state="finished", judged=0.5)
        pilot.app.redraw()
        assert "not judged yet" in line_of(pilot.app, RunHeader)
        assert "judging 50%" in line_of(pilot.app, RunHeader)


async def test_a_low_rail_has_a_line_a_finding(opened, nan_folder):
    async with opened(nan_folder, size=(80, 24)) as pilot:
        rail = pilot.app.screen.query_one(FindingsRail)
        lines = [rail.render_line(y).text.rstrip() for y in range(rail.size.height)]
        assert lines[0].startswith("Findings  1 open")
        assert lines[1].startswith("✖")
        assert lines[1].endswith("step 400")


async def test_the_text_of_a_finding_is_scrolled_where_it_does_not_fit(opened, nan_folder):
    async with opened(nan_folder, size=(60, 14)) as pilot:
        await pilot.press("3")
        await pilot.pause()
        detail = pilot.app.screen.query_one(FindingDetail)
        last = detail.render_line(detail.size.height - 1).text
        assert "more lines: PgDn" in last
        for _ in range(10):
            await pilot.press("pagedown")
        last = detail.render_line(detail.size.height - 1).text
        assert "more lines" not in last
        whole = detail.lines(detail.size.width)
        assert (
            detail.render_line(detail.size.height - 1).text.strip()
            == "".join(text for text, _ in whole[-1]).strip()
        )
        await pilot.press("pageup")
        assert "more lines: PgDn" in text_of(pilot.app)


async def test_a_long_log_line_is_shown_whole_when_selected(opened, tmp_path):
    folder = write_run(tmp_path / "run", 40)
    said = "2026-11-20 16:24:58,570 INFO step 30 " + " ".join(f"metric{i}=0.5" for i in range(9))
    (folder / "train.log").write_text(f"{said}\nshort\n")
    async with opened(folder, size=(80, 24)) as pilot:
        # The tail leaves out the time rather than what was said.
        assert "\nINFO step 30 metric0=0.5" in text_of(pilot.app)
        await pilot.press("4", "k")
        assert "metric8=0.5" in text_of(pilot.app)
        await pilot.press("j")
        assert "metric8=0.5" not in text_of(pilot.app)


async def test_a_value_in_the_title_of_a_chart_is_never_cut(opened, tmp_path):
    path = tmp_path / "run.jsonl"
    with path.open("w") as file:
        for step in range(60):
            record = {"step": step, "accuracy": 0.123456, "val/accuracy": 0.654321}
            file.write(json.dumps(record) + "\n")
    async with opened(path, size=(37, 20)) as pilot:
        assert "t:accuracy 0.12346  v:0.65432" in text_of(pilot.app)
