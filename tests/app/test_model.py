"""What is shown, apart from how: the run, its columns, panels, marks, jumps, checkpoints."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from run_files import write_run
from traintop.errors import AnalysisError
from traintop.gpu import GpuMonitor
from traintop.session import Session
from traintop.settings import Settings
from traintop_tui.model import Model
from traintop_tui.panels import GpuRef, LayerRef

NOW = 1_800_000_500.0


def model_of(*paths, **settings):
    chosen = Settings(**settings)
    model = Model([Session(path, chosen) for path in paths], chosen, GpuMonitor())
    updates = [session.pump(NOW) for session in model.sessions]
    while any(update.more for update in updates):
        updates = [session.pump(NOW) for session in model.sessions]
    model.take(updates)
    return model


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def labels(model):
    return [[ref.label for ref in panel.refs] for panel in model.panels()]


# --- columns of the screen -------------------------------------------------------------------


@pytest.mark.parametrize("axis", ["step", "epoch", "time"])
@pytest.mark.parametrize("columns", [1, 7, 100, 333])
@pytest.mark.parametrize("window", [None, (100.0, 200.0)])
def test_each_record_of_the_window_falls_into_one_column(run_folder, axis, columns, window):
    model = model_of(run_folder, axis=axis, smoothing=0.0)
    model.view.window, model.view.following = window, False
    edges = model.edges(columns)
    assert edges.shape == (columns + 1,)
    assert (np.diff(edges) >= 0).all()
    first, last = model.window
    for step in range(math.ceil(first) + 1, int(last) + 1):
        column = model.column(step, edges)
        assert column is not None
        assert edges[column] <= step < edges[column + 1]
    assert model.column(last, edges) == columns - 1  # The newest record is in the last one.
    assert model.column(last + 1, edges) is None
    assert model.column(first - 1, edges) is None


def test_columns_hold_every_value_and_every_extreme(run_folder):
    model = model_of(run_folder)
    [loss, _] = model.panels()[0].refs
    lines = (run_folder / "train_diagnostics.jsonl").read_text().splitlines()
    written = [json.loads(line)["loss"] for line in lines]
    for columns in (1, 40, 299, 1000):
        reduced = model.reduce(loss, model.edges(columns))
        assert np.nanmin(reduced.lo) == min(written)
        assert np.nanmax(reduced.hi) == max(written)


def test_without_a_record_there_is_an_axis_all_the_same(tmp_path):
    model = model_of(tmp_path)
    assert model.run is None
    assert model.extent == (0.0, 1.0)
    assert model.panels() == []
    assert model.next_nonfinite() is None
    assert model.marks(model.edges(10)) == []
    assert len(model.edges(10)) == 11
    assert model.axis_kind == "step"
    model.cycle_axis()
    model.go_to_run(1)


# --- panels ----------------------------------------------------------------------------------


def test_panels_come_by_role_and_constant_series_last(tmp_path):
    records = [
        {
            "step": step,
            "constant": 3.0,
            "custom": step % 5,
            "learning_rate": 1e-3,
            "grad_norm": 1.0 + step,
            "loss": 1 / (step + 1),
        }
        for step in range(50)
    ]
    model = model_of(write(tmp_path / "log.jsonl", records))
    assert labels(model) == [["loss"], ["grad_norm"], ["learning_rate"], ["custom"], ["constant"]]


def test_a_constant_series_that_begins_to_change_moves_up(tmp_path):
    path = write(tmp_path / "log.jsonl", [{"step": n, "b": 1.0, "a": n} for n in range(20)])
    model = model_of(path)
    assert labels(model) == [["a"], ["b"]]
    with path.open("a") as file:
        file.write(json.dumps({"step": 20, "b": 2.0, "a": 20}) + "\n")
        file.writelines(json.dumps({"step": n, "b": 2.0, "a": n}) + "\n" for n in range(21, 50))
    while model.session.pump(NOW + 5).more:
        pass
    assert labels(model) == [["b"], ["a"]]


def test_training_and_validation_share_a_chart(run_folder):
    assert labels(model_of(run_folder))[0] == ["loss", "val/loss"]


def test_chosen_series_have_a_chart_each_and_unknown_ones_none(run_folder):
    model = model_of(run_folder)
    model.chosen = ["samples_per_sec", "gone", "loss"]
    assert labels(model) == [["samples_per_sec"], ["loss"]]


def test_curves_that_are_not_there_are_none(run_folder):
    model = model_of(run_folder)
    edges = model.edges(10)
    assert model.reduce(GpuRef("GPU 0"), edges) is None
    assert model.value(GpuRef("GPU 0")) is None
    assert model.reduce(LayerRef("grad_norm", "no such layer"), edges) is None
    assert model.value(LayerRef("grad_norm", "no such layer")) is None
    assert model.value(LayerRef("grad_norm", "b.weight")) == (290.0, 0.2)


def test_values_are_read_at_the_cursor_or_at_the_end(run_folder):
    model = model_of(run_folder)
    [loss, val] = model.panels()[0].refs
    assert model.value(loss)[0] == 299
    assert model.value(val)[0] == 299
    model.view.cursor = 120.7
    assert model.value(loss)[0] == 120
    assert model.value(val)[0] == 99
    model.view.cursor = 3.0
    assert model.value(val) is None


# --- marks and jumps -------------------------------------------------------------------------


def test_marks_stand_at_their_steps(tmp_path):
    folder = write_run(tmp_path / "run", 500)
    events = [
        {"step": 100, "event": "checkpoint", "path": "x.pt"},
        {"step": 150, "event": "note", "text": "not marked"},
        {"step": 200, "event": "analysis", "result": "y.json"},
        {"event": "checkpoint", "path": "without a step.pt"},
    ]
    write(folder / "events.jsonl", events)
    model = model_of(folder)
    edges = model.edges(499)
    marks = {(mark.kind, mark.column, mark.severity) for mark in model.marks(edges)}
    assert {("checkpoint", 100, "info"), ("analysis", 200, "info")} <= marks
    assert ("finding", 400, "critical") in marks
    assert {mark[0] for mark in marks if mark[0] != "finding"} == {"checkpoint", "analysis"}
    model.view.window, model.view.following = (150.0, 180.0), False
    assert model.marks(model.edges(50)) == []


def test_the_jump_goes_from_one_stretch_of_nan_to_the_next_and_round(tmp_path):
    bad = {20, 21, 22, 40, 60}
    records = [
        {"step": n, "loss": "NaN" if n in bad else 1.0 / (n + 1), "grad_norm": 1.0 + n % 3}
        for n in range(80)
    ]
    records[50]["grad_norm"] = "Infinity"
    model = model_of(write(tmp_path / "log.jsonl", records))
    seen = []
    for _ in range(6):
        model.view.cursor = model.next_nonfinite()
        seen.append(model.view.cursor)
    assert seen == [20.0, 40.0, 50.0, 60.0, 20.0, 40.0]
    model.view.cursor = 30.0
    assert model.next_nonfinite() == 40.0


def test_a_healthy_run_has_no_nan_to_jump_to(run_folder):
    assert model_of(run_folder).next_nonfinite() is None


def test_a_finding_has_a_chart_and_a_window_around_it(nan_folder):
    model = model_of(nan_folder)
    finding = model.selected_finding()
    assert finding.onset_step == 400
    panel = model.panel_of(finding)
    assert "loss" in [ref.label for ref in panel.refs]
    first, last = model.window_of(finding)
    assert 0 <= first < 400 < last <= 499


# --- runs ------------------------------------------------------------------------------------


def test_runs_of_all_paths_are_gone_through_in_a_ring(tmp_path):
    records = [{"step": step, "loss": 1 / (step + 1)} for step in range(100)]
    two = write(tmp_path / "two.jsonl", records * 2)
    one = write(tmp_path / "one.jsonl", records[:50])
    model = model_of(two, one)
    seen = []
    for _ in range(4):
        seen.append((model.session.name, model.run.index))
        model.view.cursor, model.view.window = 5.0, (0.0, 10.0)
        model.go_to_run(1)
        assert (model.view.cursor, model.view.window) == (None, None)
    assert seen == [("two.jsonl", 1), ("one.jsonl", 0), ("two.jsonl", 0), ("two.jsonl", 1)]
    model.go_to_run(-1)
    model.go_to_run(-1)
    assert (model.session.name, model.run.index) == ("two.jsonl", 0)


# --- checkpoints and analyses ----------------------------------------------------------------


@pytest.fixture
def with_checkpoints(run_folder):
    for step in (50, 100):
        (run_folder / "checkpoints" / f"step-{step:06}.pt").write_bytes(b"x")
    return run_folder


@pytest.mark.parametrize(
    ("step", "found"), [(None, 200), (299, 200), (200, 200), (199.5, 100), (50, 50), (49, None)]
)
def test_the_checkpoint_for_a_step_is_the_newest_before_it(with_checkpoints, step, found):
    checkpoint = model_of(with_checkpoints).checkpoint_for(step)
    assert (None if checkpoint is None else checkpoint.step) == found


def test_a_checkpoint_without_a_step_is_the_last_resort(with_checkpoints):
    (with_checkpoints / "checkpoints" / "best.pt").write_bytes(b"x")
    model = model_of(with_checkpoints)
    assert model.checkpoint_for(49).path.name == "best.pt"
    assert model.checkpoint_for(60).step == 50


def test_a_checkpoint_is_found_by_its_name(with_checkpoints):
    model = model_of(with_checkpoints)
    path = with_checkpoints / "checkpoints" / "step-000100.pt"
    assert model.checkpoint_named("elsewhere/step-000100.pt") == path
    assert model.checkpoint_named(str(path)) == path
    assert model.checkpoint_named("gone.pt") is None
    assert model.checkpoint_named(None) is None


def test_an_analysis_takes_the_checkpoint_before_the_cursor(with_checkpoints, monkeypatch):
    started = []
    target = with_checkpoints / "train.py"
    target.write_text("def target(): ...\n")
    model = model_of(with_checkpoints, target=f"{target}:target")
    monkeypatch.setattr(
        model.jobs, "start", lambda request, python: started.append((request, python))
    )
    model.view.cursor = 120.0
    model.start_analysis("lr_find", None)
    model.start_analysis("dead_neurons", with_checkpoints / "checkpoints" / "step-000050.pt")
    names = [(each.analysis, each.checkpoint.rpartition("/")[2]) for each, _ in started]
    assert names == [("lr_find", "step-000100.pt"), ("dead_neurons", "step-000050.pt")]


def test_an_analysis_without_a_target_says_what_to_do(run_folder):
    with pytest.raises(AnalysisError, match="--target"):
        model_of(run_folder).start_analysis("lr_find", None)
