"""Results on screen 5: two side by side, exported, marked on the charts, started from findings."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from app_driver import text_of
from traintop.analyses import ANALYSES
from traintop.analysis_results import AnalysisResult, load_results, write_result
from traintop.errors import AnalysisError
from traintop_tui import result_export
from traintop_tui.job_list import JobItem
from traintop_tui.widgets.result_chart import ResultChart

TARGET = "def target():\n    return Target(model=m, train=t, loss=f)\n"


def dead(count, step=200, **fields):
    layer = {"name": "relu", "units": 10, "dead": count, "dead_fraction": count / 10}
    layer |= {"kind": "relu", "dead_units": [], "saturated_fraction": 0.0, "zero_fraction": 0.5}
    given = {"status": "ok", "result": {"layers": [layer], "samples": 1000}}
    return AnalysisResult(
        analysis="dead_neurons",
        checkpoint=f"ckpt-{step}.pt",
        step=step,
        seconds=1.5,
        device="cpu",
        **(given | fields),
    )


@pytest.fixture
def with_target(run_folder):
    (run_folder / "train.py").write_text(TARGET)
    (run_folder / "checkpoints" / "step-000100.pt").write_bytes(b"x")
    return run_folder


@pytest.fixture
def started(monkeypatch):
    """Take requests instead of starting processes for them."""
    requests = []

    def start(self, request, _python):
        requests.append(request)
        self.items.append(JobItem(request.analysis, request.checkpoint))
        return self.items[-1]

    monkeypatch.setattr("traintop_tui.job_list.JobList.start", start)
    return requests


# --- two side by side ------------------------------------------------------------------------


async def test_two_results_side_by_side_the_earlier_one_first(opened, run_folder):
    for count, step in ((8, 100), (2, 200)):
        write_result(dead(count, step), run_dir=run_folder)
    async with opened(run_folder, size=(200, 50), ascii=True) as pilot:
        pilot.app.model.jobs.load()
        await pilot.press("5")
        screen = pilot.app.screen
        right = screen.query_one("#result-chart-1", ResultChart)
        assert not right.region.width
        await pilot.press("c", "down", "c")
        await pilot.pause()
        assert right.region.width
        assert [item.step for item in pilot.app.model.shown_jobs()] == [100, 200]
        text = text_of(pilot.app)
        assert "8 of 10" in text
        assert "2 of 10" in text
        assert "before step 100, after step 200: 2 values differ" in text
        assert any(
            line.split() == ["layers", ">", "relu", ">", "dead", "8", "2"]
            for line in text.splitlines()
        )
        await pilot.press("c")  # Unmarks the second: the first stays beside what is selected.
        assert len(pilot.app.model.shown_jobs()) == 2
        await pilot.press("escape")
        await pilot.pause()
        assert len(pilot.app.model.shown_jobs()) == 1


async def test_what_cannot_be_compared_says_so(opened, run_folder):
    write_result(dead(1), run_dir=run_folder)
    async with opened(run_folder, size=(80, 24)) as pilot:
        await pilot.press("5", "c", "e")  # There is nothing yet: no key harms.
        pilot.app.model.jobs.load()
        pilot.app.model.jobs.items.append(JobItem("lr_find", None))
        pilot.app.model.jobs.items.append(JobItem("dead_neurons", None))
        pilot.app.redraw()
        await pilot.press("c", "down")
        await pilot.pause()
        assert "have no values in common" in text_of(pilot.app)
        await pilot.press("down")
        assert "Compared once both have ended" in text_of(pilot.app)
        await pilot.press("c", "up", "c")  # A third mark begins anew.
        assert len(pilot.app.model.marked) == 1


# --- export ----------------------------------------------------------------------------------


FOUND = {
    "id": "dead_units",
    "severity": "warning",
    "title": "80% dead units in relu",
    "next": [{"do": "LR range test"}],
}


def item_of(result):
    return JobItem(result.analysis, result.checkpoint, result=result)


async def test_a_result_is_exported_and_its_path_shown(opened, run_folder):
    write_result(dead(8, findings=[FOUND]), run_dir=run_folder)
    async with opened(run_folder) as pilot:
        pilot.app.model.jobs.load()
        await pilot.press("5", "e", "e")
        folder = run_folder / "analyses" / "exports"
        names = {path.name for path in folder.iterdir()}
        assert names >= {
            f"dead_neurons-200-{n}.{kind}" for n in (1, 2) for kind in ("json", "md", "svg")
        }
        said = [notice.message for notice in pilot.app._notifications]
        assert any(each.startswith(str(folder / "dead_neurons-200-2.json")) for each in said)
        read = json.loads((folder / "dead_neurons-200-1.json").read_text())
        assert read["result"]["layers"][0]["dead"] == 8
        text = (folder / "dead_neurons-200-1.md").read_text()
        assert text.startswith("# Dead-neuron scan at step 200: ok")
        assert "- **warning**: 80% dead units in relu (`dead_units`)" in text
        assert "  - next: LR range test" in text
        assert text.count("80% dead units") == 1
        svg = (folder / "dead_neurons-200-1.svg").read_text()
        assert svg.startswith("<svg")
        assert "8&#160;of&#160;10" in svg
        assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
        assert len(load_results(run_folder)[0]) == 1  # Exports are no results.


async def test_a_picture_where_a_library_can_draw_one(opened, run_folder, monkeypatch):
    write_result(dead(8), run_dir=run_folder)
    async with opened(run_folder) as pilot:
        pilot.app.model.jobs.load()
        [item] = pilot.app.model.jobs.items
        styles = pilot.app.chart_styles
        monkeypatch.setitem(sys.modules, "cairosvg", None)
        without = result_export.export(item, run_folder, styles, braille=True)
        assert [path.suffix for path in without.paths] == [".json", ".md", ".svg"]
        assert without.remark == result_export.NO_PNG
        drawn = SimpleNamespace(svg2png=lambda bytestring: b"PNG" + bytestring[:4])
        monkeypatch.setitem(sys.modules, "cairosvg", drawn)
        made = result_export.export(item, run_folder, styles, braille=True)
        assert made.paths[-1].read_bytes() == b"PNG<svg"
        assert made.remark is None


async def test_every_kind_of_result_can_be_exported(opened, run_folder):
    async with opened(run_folder) as pilot:
        styles = pilot.app.chart_styles
        for result in (
            dead(8, status="failed", result={}, error="ValueError: \x1b[31mno\n  trace"),
            dead(8, result={"layers": 3}),
            dead(8, status="cancelled", result={}, step=None),
        ):
            made = result_export.export(item_of(result), None, styles, braille=False)
            assert all(path.parent == Path.cwd() for path in made.paths)
            assert "\x1b" not in made.paths[2].read_text()
        with pytest.raises(AnalysisError, match="has not ended"):
            result_export.export(JobItem("lr_find", None), None, styles, braille=True)


async def test_a_run_that_cannot_be_written_to_is_exported_elsewhere(opened, run_folder, tmp_path):
    (run_folder / "analyses").write_text("no folder")
    async with opened(run_folder) as pilot:
        made = result_export.export(
            item_of(dead(1)), run_folder, pilot.app.chart_styles, braille=True
        )
        assert made.paths[0].is_relative_to(tmp_path / "cache")
        (tmp_path / "cache" / "traintop").rename(tmp_path / "gone")
        (tmp_path / "cache" / "traintop").write_text("")
        with pytest.raises(AnalysisError, match="cannot be exported"):
            result_export.export(item_of(dead(1)), run_folder, pilot.app.chart_styles, braille=True)


# --- with the rest of the app ------------------------------------------------------------------


@pytest.mark.parametrize("name", [*ANALYSES])
async def test_a_finding_s_test_takes_the_checkpoint_that_it_names(
    opened, with_target, started, name
):
    result = dead(8, 200, findings=[_finding(name, "elsewhere/step-000100.pt")])
    write_result(result, run_dir=with_target)
    async with opened(with_target, target=f"{with_target}/train.py:target") as pilot:
        await pilot.press("3")
        assert "found by an analysis" in text_of(pilot.app)
        await pilot.press("enter")
        [request] = started
        assert request.analysis == name
        assert request.checkpoint.endswith("step-000100.pt")


async def test_a_checkpoint_that_is_gone_is_said_and_one_from_before_is_taken(
    opened, with_target, started
):
    write_result(dead(8, 150, findings=[_finding("lr_find", "gone.pt", 150)]), run_dir=with_target)
    async with opened(with_target, target=f"{with_target}/train.py:target") as pilot:
        await pilot.press("3", "enter")
        assert started[0].checkpoint.endswith("step-000100.pt")
        assert any("gone.pt is not there" in each.message for each in pilot.app._notifications)


async def test_results_of_every_analysis_are_marked_at_their_step(opened, run_folder):
    for name in ANALYSES:
        write_result(AnalysisResult(
            analysis=name, status="ok", checkpoint="c", step=120, seconds=1.0, device="cpu",
        ), run_dir=run_folder)  # fmt: skip
    async with opened(run_folder) as pilot:
        pilot.app.model.jobs.load()
        assert {item.analysis for item in pilot.app.model.jobs.pinned()} == set(ANALYSES)
        marks = pilot.app.model.marks(pilot.app.model.edges(300))
        assert {mark.column for mark in marks if mark.kind == "analysis"} == {120}


def _finding(analysis, checkpoint, step=200):
    return FOUND | {
        "severity": "critical",
        "title": "found by an analysis",
        "onset_step": step,
        "detected_step": step,
        "next": [{"do": "Look closer", "analysis": analysis, "checkpoint": checkpoint}],
    }
