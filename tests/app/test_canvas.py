"""The base of the widgets: what has changed is painted again, and nothing else."""

from __future__ import annotations

import pytest
from rich.style import Style
from textual.app import App
from textual.geometry import Region

from traintop_tui.charts.cells import fit_runs, row_width
from traintop_tui.view import View
from traintop_tui.widgets.canvas import Canvas, blank_rows, pad_rows

WIDTH, HEIGHT = 20, 4
STYLES = {
    "background": Style(),
    "text": Style(),
    "title": Style(bold=True),
    "series0": Style(color="red"),
}


class Painted(Canvas):
    """Draws the rows that a test gives, and notes which regions are refreshed."""

    DEFAULT_CSS = f"Painted {{ width: {WIDTH}; height: {HEIGHT}; }}"

    def __init__(self):
        super().__init__()
        self.given = [(("some", "title"), (f" {y}", "text")) for y in range(HEIGHT)]
        self.refreshed = []
        self.built = 0

    def build(self, width, height):
        self.built += 1
        return pad_rows(self.given, width, height)

    def refresh(self, *regions, **how):
        self.refreshed.append(regions)
        return super().refresh(*regions, **how)


class PaintedModel:
    view = View()


class PaintedApp(App[None]):
    model = PaintedModel()
    chart_styles = STYLES

    def compose(self):
        yield Painted()


@pytest.fixture
async def canvas():
    app = PaintedApp()
    async with app.run_test(size=(WIDTH + 10, HEIGHT + 5)) as pilot:
        await pilot.pause()
        widget = app.query_one(Painted)
        widget.refreshed.clear()
        yield widget


def lines(canvas):
    return [canvas.render_line(y).text for y in range(HEIGHT)]


async def test_it_draws_its_rows(canvas):
    assert lines(canvas) == [f"some {y}".ljust(WIDTH) for y in range(HEIGHT)]
    assert canvas.render_line(HEIGHT + 3).text == " " * WIDTH


async def test_the_same_frame_refreshes_nothing(canvas):
    canvas.redraw()
    assert canvas.refreshed == []


async def test_only_the_changed_span_is_refreshed(canvas):
    canvas.given[2] = (("some", "title"), (" 9", "text"))
    canvas.redraw()
    assert canvas.refreshed == [(Region(5, 2, 1, 1),)]
    assert lines(canvas)[2] == "some 9".ljust(WIDTH)


async def test_a_change_of_style_alone_is_a_change(canvas):
    canvas.given[0] = (("some", "series0"), (" 0", "text"))
    canvas.redraw()
    assert canvas.refreshed == [(Region(0, 0, 4, 1),)]
    assert next(iter(canvas.render_line(0))).style == STYLES["series0"]


async def test_rows_apart_from_each_other_are_refreshed_apart(canvas):
    canvas.given[0] = (("Some", "title"), (" 0", "text"))
    canvas.given[3] = (("some", "title"), (" 3!", "text"))
    canvas.redraw()
    [regions] = canvas.refreshed
    assert regions[0] == Region(0, 0, 1, 1)
    assert regions[1].y == 3
    assert len(regions) == 2


async def test_restyle_and_resize_draw_everything(canvas):
    canvas.restyle()
    assert canvas.refreshed == [()]
    canvas.refreshed.clear()
    canvas.styles.height = HEIGHT - 1
    await canvas.app._animator.wait_until_complete()
    from textual.pilot import Pilot

    await Pilot(canvas.app).pause()
    assert () in canvas.refreshed
    assert canvas.render_line(HEIGHT - 1).text == " " * WIDTH


async def test_what_is_not_in_sight_is_not_built(canvas):
    built = canvas.built
    canvas.display = False
    await canvas.remove()
    canvas.redraw()
    assert canvas.built == built


@pytest.mark.parametrize(("width", "height"), [(0, 0), (5, 0), (0, 2), (1, 1), (7, 9)])
def test_padded_rows_fill_the_frame(width, height):
    rows = pad_rows([(("abcdef", "text"),), (("x", "text"),)], width, height)
    assert len(rows) == height
    assert all(row_width(row) == width for row in rows)
    assert all(row_width(row) == width for row in blank_rows(width, height))
    assert rows[: min(height, 1)] == tuple(
        [fit_runs([("abcdef", "text")], width)][: min(height, 1)]
    )
