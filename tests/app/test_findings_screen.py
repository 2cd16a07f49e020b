"""Screen 3: the list, the evidence on its window, decisions, and the ways to other screens."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app_driver import text_of
from run_files import write_run
from traintop.records import Cause, Evidence, Finding, NextTest
from traintop.session import Session
from traintop.triage import FILE
from traintop_tui.charts.frame import ASCII, UNICODE, Mark, Plot, lay_out
from traintop_tui.charts.line_chart import draw
from traintop_tui.charts.scale import Limits
from traintop_tui.finding_words import MOST_JOINED, joined, key_of
from traintop_tui.marks import legend_of, marks_of
from traintop_tui.widgets.chart_panel import ChartPanel
from traintop_tui.widgets.finding_list import FindingList


def finding(kind="divergence", **fields):
    given = {"severity": "warning", "title": f"title of {kind}", "onset_step": 100,
             "detected_step": 120, "series": ("loss/train",)}  # fmt: skip
    return Finding(id=kind, **given | fields)


SPIKE = finding("loss_spike", onset_step=30, detected_step=31, resolved_step=40, severity="info")
DEAD = finding(
    "dead_units", onset_step=150, detected_step=160, layers=("a.relu",), severity="critical",
    evidence=(Evidence(what="share of units in a.relu", value=0.1, threshold=0.06, step=160),),
    causes=(Cause(cause="lr too high", because="lr rose 10x", basis="measured"),
            Cause(cause="bad luck", because="nothing else is known")),
    next=(NextTest(do="Scan the units", analysis="dead_neurons"),
          NextTest(do="Range test", analysis="lr_find"), NextTest(do="Look at the data")),
    fixes=("lr 1 -> 0.1",),
)  # fmt: skip
PLATEAU = finding("plateau", onset_step=250, detected_step=280)


@pytest.fixture
def said(monkeypatch):
    """Findings that stand in for those of the detectors."""
    found = [SPIKE, DEAD, PLATEAU]
    monkeypatch.setattr(Session, "findings", lambda _session, _run=None: tuple(found))
    return found


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "run", 300)


def shown_list(app):
    widget = app.screen.query_one(FindingList)
    return [widget.render_line(y).text.rstrip() for y in range(widget.size.height)]


@pytest.mark.usefixtures("said")
async def test_the_list_says_when_each_began_was_seen_and_was_over(opened, folder):
    async with opened(folder) as pilot:
        await pilot.press("3")
        await pilot.pause()
        heading, *lines = shown_list(pilot.app)
        assert heading.split()[:3] == ["onset", "seen", "over"]
        assert "2 open, 1 over" in heading
        assert [line.split()[-1] for line in lines] == ["dead_units", "plateau", "loss_spike"]
        assert lines[0].startswith("> ")
        assert lines[2].split()[1:4] == ["30", "31", "40"]
        for column, name in ((0, "onset"), (1, "seen")):
            end = heading.index(name) + len(name)
            assert lines[2][:end].split()[-1] == ("30", "31")[column]


async def test_findings_of_one_story_stand_together_with_a_bracket(opened, folder, said):
    said[:] = [
        finding("exploding_gradients", onset_step=100, detected_step=101),
        finding("divergence", onset_step=102, detected_step=110),
        finding("plateau", onset_step=20, detected_step=25, resolved_step=30, severity="info"),
    ]
    async with opened(folder) as pilot:
        await pilot.press("3")
        await pilot.pause()
        lines = shown_list(pilot.app)[1:]
        assert "┌" in lines[0]
        assert "└" in lines[1]
        assert not set("┌│└") & set(lines[2])
        assert "story" in text_of(pilot.app)
        await pilot.press("u")
        await pilot.pause()
        assert "," in shown_list(pilot.app)[1][:4]


@pytest.mark.usefixtures("said")
async def test_the_detail_tells_what_was_read_from_what_is_inferred(opened, folder):
    async with opened(folder, size=(160, 60)) as pilot:
        await pilot.press("3")
        await pilot.pause()
        text = text_of(pilot.app)
        for line in (
            "cause     lr too high (lr rose 10x)",
            "likely    bad luck (nothing else is known)",
            "test      Enter runs: Scan the units",
            "L runs: Range test",
            "fix       lr 1 -> 0.1",
            "l shows: a.relu",
        ):
            assert line in text
        assert [key_of(test, DEAD) for test in DEAD.next] == ["Enter", "L", ""]


@pytest.mark.usefixtures("said")
async def test_the_evidence_is_drawn_with_its_threshold_onset_and_detection(opened, folder):
    async with opened(folder) as pilot:
        app = pilot.app
        await pilot.press("3")
        await pilot.pause()
        chart = app.screen.query_one("#evidence-chart", ChartPanel)
        # The value 0.1 is one of the curve, so that its threshold has a place there.
        assert [level.value for level in chart.levels] == [0.06]
        first, last = chart.window
        assert 0 < first < 150 < 160 < last < 299
        head, *_, base, _labels = (chart.render_line(y).text for y in range(chart.size.height))
        assert "▲ onset 150" in head
        assert "◉ seen 160" in head
        assert base.count("▲") == base.count("◉") == 1
        assert "━" in base[base.index("▲") :]
        assert "━" not in base[: base.index("▲")]
        column = base.index("▲")
        assert chart.render_line(3).text[column] == "┊"


def test_the_marks_of_a_finding_end_where_it_was_over():
    edges = np.arange(0.0, 101.0)
    over = finding(onset_step=-5, detected_step=20, resolved_step=60)
    kinds = [(mark.kind, mark.column, mark.until) for mark in marks_of(over, edges)]
    assert kinds == [("finding", -1, 60), ("seen", 20, None), ("over", 60, None)]
    [begin] = marks_of(finding(onset_step=40, detected_step=200), edges)
    assert (begin.column, begin.until) == (40, 99)
    assert [word for _, word, _ in legend_of(over)] == ["onset", "seen", "over"]


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_no_two_marks_look_alike(glyphs):
    kinds = [Mark(0, kind) for kind in ("seen", "over", "checkpoint", "analysis", "epoch")]
    kinds += [Mark(0, "finding", severity) for severity in ("info", "warning", "critical")]
    assert len({glyphs.of_mark(mark) for mark in kinds}) == len(kinds)


def test_a_rule_stands_behind_the_curves():
    plot = Plot(curves=(), limits=Limits(0, 1), rules=(10.0, 999.0), grid=False)
    rows = draw(plot, lay_out(40, 8)).rows
    texts = ["".join(text for text, _ in row) for row in rows]
    assert sum("┊" in text for text in texts) == 5
    assert {text.index("┊") for text in texts if "┊" in text} == {8 + 5}


# --- decisions -------------------------------------------------------------------------------


@pytest.mark.usefixtures("said")
async def test_a_muted_finding_is_last_dim_and_counts_no_longer(opened, folder):
    async with opened(folder) as pilot:
        app = pilot.app
        await pilot.press("3", "M")
        await pilot.pause()
        heading, *lines = shown_list(app)
        assert "1 open, 1 over, 1 muted" in heading
        assert lines[-1].endswith("muted: title of dead_units")
        assert lines[-1].startswith("> ")
        assert app.model.worst() == PLATEAU
        assert {mark.severity for mark in app.model.marks(app.model.edges(100))} == {
            "info", "warning",
        }  # fmt: skip
        assert "title of plateau" in app.screen.query_one("#header").render_line(0).text
        saved = json.loads((folder / FILE).read_text())
        assert saved["mutes"] == [{"id": "dead_units", "layer": "a.relu"}]
        await pilot.press("1")
        await pilot.pause()
        assert "title of dead_units" not in text_of(app)
        await pilot.press("3", "U")
        assert app.model.worst() == DEAD
    async with opened(folder) as pilot:
        assert pilot.app.model.worst() == DEAD


@pytest.mark.usefixtures("said")
async def test_an_acknowledged_finding_is_marked_and_stays_so_in_the_next_session(opened, folder):
    async with opened(folder) as pilot:
        await pilot.press("3", "a")
        await pilot.pause()
        assert "acknowledged: title of dead_units" in shown_list(pilot.app)[1]
        assert pilot.app.model.worst() == DEAD
    async with opened(folder) as pilot:
        app = pilot.app
        assert app.model.is_acknowledged(DEAD)
        await pilot.press("3", "a")
        assert not app.model.is_acknowledged(DEAD)
        await pilot.press("U")
        assert app.model.is_acknowledged(DEAD)
        await pilot.press("U", "U")
        await pilot.pause()
        assert "Nothing has been muted" in str([note.message for note in app._notifications])


@pytest.mark.usefixtures("said")
async def test_rules_that_the_settings_mute_stay_muted(opened, folder):
    async with opened(folder, mutes=["dead_units", "plateau", "loss_spike"]) as pilot:
        app = pilot.app
        assert app.model.worst() is None
        await pilot.press("3", "M")
        await pilot.pause()
        assert len(app.model.told()) == 0
        assert "settings mute" in str([note.message for note in app._notifications])
        await pilot.press("n")
        assert app.model.view.cursor is None


@pytest.mark.usefixtures("said")
async def test_a_damaged_file_of_decisions_is_said(opened, folder):
    (folder / FILE).write_text("{")
    async with opened(folder, size=(160, 60)) as pilot:
        await pilot.press("3")
        await pilot.pause()
        text = "".join(line.strip() for line in text_of(pilot.app).splitlines())
        assert f"{FILE}: cannot be read" in text
        assert len(pilot.app.model.told()) == 3


# --- ways ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("said")
async def test_keys_lead_to_the_layer_and_the_step(opened, folder):
    async with opened(folder) as pilot:
        app = pilot.app
        await pilot.press("3", "l")
        await pilot.pause()
        assert app.current_mode == "layers"
        assert app.model.layers.open
        assert "a.relu dead share" in text_of(app)
        await pilot.press("3", "j", "l")
        assert app.current_mode == "findings"  # A plateau names no layer.
        await pilot.press("g")
        assert (app.current_mode, app.model.view.cursor) == ("overview", 250.0)


@pytest.mark.usefixtures("said")
async def test_n_goes_from_finding_to_finding_on_every_screen_in_the_order_of_steps(opened, folder):
    for screen in "1245":
        async with opened(folder) as pilot:
            app = pilot.app
            await pilot.press(screen)
            await pilot.pause()
            seen = []
            for key in "nnnnN":
                await pilot.press(key)
                seen.append(app.model.view.cursor)
            assert seen == [150, 250, 30, 150, 30], screen


def test_very_many_findings_are_not_joined():
    many = [finding("divergence", episode=at) for at in range(MOST_JOINED + 1)]
    assert len(joined(many)) == len(many)
    assert joined([]) == ()
