"""What a click does: every widget that shows something leads to it."""

from __future__ import annotations

import pytest

from traintop_tui.charts.cells import row_text
from traintop_tui.widgets.action_footer import ActionFooter
from traintop_tui.widgets.findings_rail import FindingsRail
from traintop_tui.widgets.log_tail import LogTail
from traintop_tui.widgets.log_view import LogView
from traintop_tui.widgets.run_header import RunHeader


async def click(pilot, widget, x, y=0):
    await pilot.click(pilot.app.screen.query_one(widget), offset=(x, y))
    await pilot.pause()


@pytest.mark.parametrize(
    ("words", "mode"), [("Layers", "layers"), ("Findings", "findings"), ("Log", "log")]
)
async def test_the_footer_is_made_of_buttons(opened, run_folder, words, mode):
    async with opened(run_folder) as pilot:
        footer = pilot.app.screen.query_one(ActionFooter)
        x = row_text(footer.build(footer.size.width, 1)[0]).index(words)
        await click(pilot, ActionFooter, x)
        assert pilot.app.current_mode == mode


@pytest.mark.parametrize(
    ("widget", "place", "mode"),
    [
        (RunHeader, (3, 0), "findings"),
        (FindingsRail, (3, 1), "findings"),
        (LogTail, (3, 1), "log"),
    ],
)
async def test_what_is_shown_in_short_leads_to_the_whole(opened, nan_folder, widget, place, mode):
    async with opened(nan_folder) as pilot:
        await click(pilot, widget, *place)
        assert pilot.app.current_mode == mode


async def test_a_line_of_the_log_is_selected_and_the_wheel_moves_it(opened, run_folder):
    async with opened(run_folder) as pilot:
        await pilot.press("4", "g")
        await click(pilot, LogView, 3, 4)
        view = pilot.app.screen.query_one(LogView)
        assert (view.at, view.following) == (4, False)
        view.on_mouse_scroll_down()
        assert view.at == 7
        view.on_mouse_scroll_up()
        assert view.at == 4
