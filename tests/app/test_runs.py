"""The list of runs: filled in as they are read, ordered, filtered, and left with the one chosen."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from traintop.run_summaries import RunEntry, RunSummary, list_runs, summarise_run
from traintop.settings import Settings
from traintop_tui.runs_app import RunsApp
from traintop_tui.runs_follow import RunsFollower
from traintop_tui.runs_model import RunsModel
from traintop_tui.theme import load_themes
from traintop_tui.widgets.runs_table import RunsHeader, RunsTable


def make_run(folder: Path, losses: list[float], age: float = 0.0) -> Path:
    folder.mkdir(parents=True)
    file = folder / "train_diagnostics.jsonl"
    lines = [json.dumps({"step": step, "loss": loss}) for step, loss in enumerate(losses)]
    file.write_text("".join(f"{line}\n" for line in lines))
    for path in (file, folder):
        os.utime(path, (1e9 - age, 1e9 - age))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_run(tmp_path / "good", [1 / (step + 1) for step in range(50)], age=30)
    make_run(tmp_path / "bad", [1.0] * 20 + [float("nan")] * 20, age=20)
    make_run(tmp_path / "new", [3.0, 2.0], age=10)
    return tmp_path


def model_of(folder: Path, *, read: bool = True) -> RunsModel:
    model = RunsModel(folder, Settings())
    model.take_entries(list_runs(folder))
    for entry in model.entries if read else ():
        model.take_summary(summarise_run(entry.path))
    return model


def app_of(model: RunsModel) -> RunsApp:
    return RunsApp(model, load_themes()[0], follow=False)


def text_of(app: RunsApp) -> str:
    rows = [*app.screen.query_one(RunsHeader)._rows, *app.screen.query_one(RunsTable)._rows]
    return "\n".join("".join(text for text, _ in row) for row in rows)


def names(model: RunsModel) -> list[str]:
    return [model.name(entry.path) for entry in model.shown()]


def test_the_newest_comes_first_and_other_orders_are_to_be_had(folder: Path) -> None:
    model = model_of(folder)
    assert names(model) == ["new", "bad", "good"]
    model.cycle_order()
    assert (model.order, names(model)) == ("name", ["bad", "good", "new"])
    model.cycle_order()
    assert (model.order, names(model)[0]) == ("worst", "bad")
    model.cycle_order()
    assert (model.order, names(model)) == ("loss", ["good", "new", "bad"])


def test_a_filter_looks_into_findings_too(folder: Path) -> None:
    model = model_of(folder)
    model.filter = "critical finite"
    assert names(model) == ["bad"]
    model.move(5)
    assert model.chosen() == folder / "bad"
    model.filter = "nothing like this"
    assert model.chosen() is None


def test_a_run_in_one_line(folder: Path) -> None:
    summary = summarise_run(folder / "bad")
    assert (summary.step, summary.worst, summary.loss_name) == (39, "critical", "loss")
    assert "not finite" in str(summary.finding)
    assert summarise_run(folder / "nothing").error is not None


async def test_the_list_fills_in_and_ends_with_the_run_chosen(folder: Path) -> None:
    model = model_of(folder, read=False)
    app = app_of(model)
    async with app.run_test(size=(100, 20)) as pilot:
        await pilot.pause()
        assert "3 runs, 0 read, by newest" in text_of(app)
        model.take_summary(summarise_run(folder / "bad"))
        model.take_summary(RunSummary(path=folder / "good", error="permission denied"))
        app.on_runs_changed()
        await pilot.pause()
        text = text_of(app)
        assert "critical: Training loss is not finite" in text
        assert "not read   permission denied" in text
        assert "3 runs, 2 read" in text
        await pilot.press("j", "enter")
        await pilot.pause()
    assert app.return_value == folder / "bad"


async def test_typing_a_filter(folder: Path) -> None:
    app = app_of(model_of(folder))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("slash", *"good", "enter")
        assert "filter 'good'" in text_of(app)
        assert "bad" not in text_of(app)
        await pilot.press("escape", "G", "o", "question_mark", "escape", "t", "u")
        assert "bad" in text_of(app)


async def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    model = RunsModel(tmp_path, Settings())
    app = app_of(model)
    async with app.run_test(size=(80, 10)) as pilot:
        await pilot.pause()
        assert "Looking for runs" in text_of(app)
        model.take_entries([])
        app.on_runs_changed()
        await pilot.press("enter", "j", "k", "pagedown")
        assert "No runs in" in text_of(app)


def test_runs_are_read_by_other_processes_and_again_when_they_change(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traintop_tui.runs_follow.LOOK", 0.05)
    model = RunsModel(folder, Settings())
    follower = RunsFollower(model, lambda: None)
    thread = threading.Thread(target=follower.run)
    thread.start()
    try:
        _wait(lambda: len(model.summaries) == 3)
        assert model.summaries[folder / "new"].step == 1
        with (folder / "new" / "train_diagnostics.jsonl").open("a") as file:
            file.write('{"step": 2, "loss": 1.0}\n')
        _wait(lambda: model.summaries[folder / "new"].step == 2)
    finally:
        follower.stop()
        thread.join()


def test_a_thousand_runs_cost_no_more_than_those_in_sight() -> None:
    model = RunsModel(Path("/runs"), Settings())
    model.take_entries(
        [RunEntry(path=Path(f"/runs/{number}"), modified=float(number)) for number in range(1000)]
    )
    model.in_sight = [Path("/runs/700"), Path("/runs/701")]
    follower = RunsFollower(model, lambda: None)
    first = [path.name for path, _ in follower._next(set(), 4)]
    assert first == ["700", "701", "0", "1"]


def _wait(holds: object) -> None:
    assert callable(holds)
    waited = threading.Event()
    for _ in range(1500):
        if holds():
            return
        waited.wait(0.02)
    raise AssertionError("it did not come about")
