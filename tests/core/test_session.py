"""A session on real files: read, followed, split, judged; what cannot be read is said."""

from __future__ import annotations

import json
import os
import time

import numpy as np
import pytest

from traintop.errors import PathError, SettingsError
from traintop.opening import open_run, read_whole
from traintop.session import Session
from traintop.settings import Settings

NOW = 1_800_000_000.0


def write(path, records, mode="w"):
    with path.open(mode) as file:
        for record in records:
            file.write((record if isinstance(record, str) else json.dumps(record)) + "\n")


def healthy(steps, start=0):
    random = np.random.default_rng(start)
    return [
        {
            "step": step,
            "epoch": step // 50,
            "loss": 2.3 * 0.99**step + 0.2 + 0.01 * random.normal(),
            "learning_rate": 1e-3,
            "grad_norm": 1 + 0.1 * random.normal(),
            "time": NOW + step,
        }
        for step in range(start, start + steps)
    ]


@pytest.fixture
def run(tmp_path):
    write(tmp_path / "train_diagnostics.jsonl", healthy(300))
    write(
        tmp_path / "val_diagnostics.jsonl",
        [{"step": step, "loss": 2.3 * 0.99**step + 0.3} for step in range(49, 300, 50)],
    )
    (tmp_path / "run.json").write_text(json.dumps({"planned_steps": 300, "num_classes": 10}))
    return tmp_path


def pump_all(session, now=NOW):
    update = session.pump(now)
    while update.more:
        update = session.pump(now)
    return update


def labels(session):
    current = session.run()
    return {ref.label: ref.role for ref in session.catalogue.refs(current)}


def test_reads_a_run_of_our_own_format(run):
    session = read_whole(run, Settings())
    assert session.store.info.num_classes == 10
    assert labels(session)["loss"] == "loss/train"
    assert labels(session)["val/loss"] == "loss/val"
    assert session.state(NOW) == "finished"
    assert list(session.findings()) == []
    assert session.judged_until() == 299


def test_follows_what_is_appended_and_holds_back_a_torn_line(run):
    session = Session(run, Settings())
    pump_all(session)
    line = json.dumps(healthy(1, 300)[0])
    with (run / "train_diagnostics.jsonl").open("a") as file:
        file.write(line[:20])
        file.flush()
        assert session.pump(NOW).records == 0
        file.write(line[20:] + "\n")
    update = session.pump(NOW)
    assert (update.records, update.last_step) == (1, 300)
    assert session.problems() == []


def test_files_that_come_later_are_found(tmp_path):
    session = Session(tmp_path, Settings())
    assert pump_all(session).state == "waiting"
    assert str(tmp_path) in session.waiting_for()[0]
    write(tmp_path / "train_diagnostics.jsonl", healthy(5))
    assert pump_all(session, NOW + 2).last_step == 4
    write(tmp_path / "val_diagnostics.jsonl", [{"step": 4, "loss": 1.0}])
    os.utime(tmp_path)
    pump_all(session, NOW + 4)
    assert "val/loss" in labels(session)


def test_a_replaced_file_is_read_anew(run):
    session = Session(run, Settings())
    pump_all(session)
    (run / "new").write_text("".join(json.dumps(record) + "\n" for record in healthy(40)))
    (run / "new").replace(run / "train_diagnostics.jsonl")
    for tick in range(3):
        update = pump_all(session, NOW + tick)
    assert update.last_step in (39, 299)  # 299 is the validation's, which was not replaced.
    current = session.run()
    assert len(current.tables["train"]) == 40


def test_runs_in_one_file_are_split_and_not_read_as_divergence(tmp_path):
    write(tmp_path / "log.jsonl", [*healthy(300), *healthy(300), *healthy(300)])
    session = read_whole(tmp_path / "log.jsonl", Settings())
    assert len(session.store.runs) == 3
    assert all(list(session.findings(index)) == [] for index in range(3))


def test_a_resumed_run_repeats_its_steps_once(tmp_path):
    write(tmp_path / "log.jsonl", [*healthy(300), *healthy(200, start=200)])
    session = read_whole(tmp_path / "log.jsonl", Settings())
    [only] = session.store.runs
    [table] = only.tables.values()
    assert table.step.tolist() == list(range(400))


@pytest.mark.parametrize("burst", [1 << 14, 1 << 15, 1 << 20])
def test_findings_do_not_depend_on_how_the_files_are_read(tmp_path, burst):
    records = healthy(600)
    for record in records[400:]:
        record["loss"] = 2.5 + 0.02 * (record["step"] - 400)
        record["learning_rate"] = 1.0
    write(tmp_path / "train_diagnostics.jsonl", records)
    whole = read_whole(tmp_path, Settings())
    session = Session(tmp_path, Settings())
    while session.pump(NOW, burst).more:
        pass
    assert "divergence" in [finding.id for finding in whole.findings()]
    assert list(session.findings()) == list(whole.findings())


def test_until_says_what_would_have_been_said(tmp_path):
    records = healthy(600)
    for record in records[400:]:
        record["loss"] = float("nan")
    write(tmp_path / "train_diagnostics.jsonl", records)
    assert list(read_whole(tmp_path, Settings(), until=399).findings()) == []
    [found] = read_whole(tmp_path, Settings(), until=410).findings()
    assert (found.id, found.onset_step, found.detected_step) == ("nan_inf", 400, 400)


def test_broken_lines_are_counted_and_the_rest_is_read(tmp_path):
    lines = [json.dumps(record) for record in healthy(100)]
    lines[40] = '{"step": 40, "loss": '
    lines[41] = "not json at all"
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + "\n")
    session = read_whole(tmp_path / "log.jsonl", Settings())
    assert session.store.records == 98
    [problem] = session.problems()
    assert "2 lines passed over" in problem
    assert "line 41" in problem


def test_a_schema_that_changes_half_way_loses_nothing(tmp_path):
    records = healthy(100)
    for record in records[50:]:
        record["accuracy"] = 0.5
        del record["grad_norm"]
    write(tmp_path / "log.jsonl", records)
    session = read_whole(tmp_path / "log.jsonl", Settings())
    current = session.run()
    [table] = current.tables.values()
    assert len(table.series["loss"]) == 100
    assert len(table.series["grad_norm"]) == 50
    assert table.step[table.series["accuracy"].row_of(0)] == 50


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda _: None, "no such file"),
        (lambda path: path.mkdir(), "no run here"),
        (lambda path: path.write_bytes(b"\x7fELF" + bytes(range(256)) * 20), "looks like"),
    ],
)
def test_what_cannot_be_opened_is_said_in_a_sentence(tmp_path, make, says):
    path = tmp_path / "thing"
    make(path)
    with pytest.raises(PathError, match=says):
        open_run(path)


def test_an_unknown_threshold_is_refused_by_name(run):
    with pytest.raises(SettingsError, match="los_spike"):
        Session(run, Settings(detectors={"los_spike": {"robust_z": 1.0}}))


def test_checkpoints_come_from_events_and_from_the_folder(run):
    (run / "checkpoints").mkdir()
    for step in (100, 200):
        (run / "checkpoints" / f"step-{step:06}.pt").write_bytes(b"x" * step)
    write(
        run / "events.jsonl",
        [
            {"step": 100, "event": "checkpoint", "path": "checkpoints/step-000100.pt"},
            {"step": 150, "event": "checkpoint", "path": "gone.pt"},
        ],
    )
    session = read_whole(run, Settings())
    found = session.checkpoints()
    assert [(each.step, each.size) for each in found] == [(100, 100), (200, 200)]
    assert found[0].loss == pytest.approx(2.3 * 0.99**100 + 0.2, abs=0.1)


def test_state_tells_a_silent_run_from_a_dead_one(tmp_path):
    write(tmp_path / "train_diagnostics.jsonl", healthy(100))
    now = time.time()
    info = tmp_path / "run.json"
    session = Session(tmp_path, Settings())
    assert pump_all(session, now).state == "running"
    assert session.state(now + 300) == "stalled"
    assert session.state(now + 3600) == "unknown"
    import socket

    info.write_text(json.dumps({"pid": 2**22 + 1, "host": socket.gethostname()}))
    assert pump_all(Session(tmp_path, Settings()), now).state == "crashed"
    info.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    alive = Session(tmp_path, Settings())
    assert pump_all(alive, now).state == "running"
    assert alive.state(now + 3600) == "stalled"
