"""A session whose files are cut, rotated, rewritten, deleted, resumed; and read while they grow."""

from __future__ import annotations

import json
import os
import shutil
import threading

import numpy as np
import pytest

from traintop.catalogue import Catalogue
from traintop.opening import read_whole
from traintop.records import Column, LayerNames, LayerStats, Rows
from traintop.session import Session
from traintop.settings import Settings
from traintop.store import Store

NOW = 1_800_000_000.0
TRAIN, VAL, LOG = "train_diagnostics.jsonl", "val_diagnostics.jsonl", "train.log"


def text(steps, level=1.0):
    return "".join(
        json.dumps({"step": step, "loss": level, "learning_rate": 1e-3}) + "\n" for step in steps
    )


@pytest.fixture
def folder(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / TRAIN).write_text(text(range(300)))
    (run / VAL).write_text(text(range(49, 300, 50)))
    (run / LOG).write_text("begun\nstep 10 of 300\n")
    return run


@pytest.fixture
def session(folder):
    session = Session(folder, Settings())
    settle(session)
    return session


def settle(session, now=NOW):
    """Pump until two pumps in a row, seconds apart, bring nothing."""
    quiet = 0
    while quiet < 2:
        update = session.pump(now)
        assert update.records >= 0
        assert update.log_lines >= 0
        quiet = 0 if update.more or update.records else quiet + 1
        now += 2.0
    return session


def train(session):
    return session.run().tables["train"]


def truncate(path, content):
    path.write_text("")
    yield
    path.write_text(content)


def rotate(path, content):
    path.rename(path.with_suffix(".1"))
    path.write_text(content)
    yield


def replace(path, content):
    beside = path.with_suffix(".new")
    beside.write_text(content)
    beside.replace(path)
    yield


def rewrite(path, content):
    with path.open("r+") as file:
        file.write(content)
        file.truncate()
    yield


def delete(path, content):
    path.unlink()
    yield
    path.write_text(content)


@pytest.mark.parametrize("change", [truncate, replace, rewrite, delete])
@pytest.mark.parametrize("steps", [40, 300, 900])
def test_what_was_read_of_a_changed_file_is_forgotten(session, folder, change, steps):
    for _ in change(folder / TRAIN, text(range(steps), level=2.0)):
        settle(session)
    settle(session)
    [only] = session.store.runs
    assert train(session).step.tolist() == list(range(steps))
    assert set(train(session).series["loss"].values().tolist()) == {2.0}
    assert len(only.tables["val"]) == 6
    assert session.store.records == steps + 6
    assert session.store.log.lines == ["begun", "step 10 of 300"]
    assert session.problems() == []


def test_a_rotated_file_goes_on(session, folder):
    for _ in rotate(folder / TRAIN, text(range(300, 340))):
        settle(session)
    assert train(session).step.tolist() == list(range(340))


@pytest.mark.parametrize("change", [truncate, replace, rewrite, delete])
def test_files_that_change_one_after_the_other(session, folder, change):
    for name, steps in ((TRAIN, range(100)), (VAL, range(9, 100, 10)), (LOG, None)):
        content = "begun again\n" if steps is None else text(steps, level=3.0)
        for _ in change(folder / name, content):
            settle(session)
    settle(session)
    [only] = session.store.runs
    assert len(only.tables["train"]) == 100
    assert only.tables["val"].step.tolist() == list(range(9, 100, 10))
    assert session.store.log.lines == ["begun again"]


def test_files_that_change_at_the_same_time(session, folder):
    (folder / TRAIN).write_text(text(range(100), level=3.0))
    (folder / VAL).write_text(text(range(9, 100, 10), level=3.0))
    settle(session)
    [only] = session.store.runs
    assert [len(table) for table in only.tables.values()] == [100, 10]


def test_a_folder_that_is_deleted_and_comes_back(session, folder):
    shutil.rmtree(folder)
    settle(session)
    assert len(train(session)) == 300
    folder.mkdir()
    (folder / TRAIN).write_text(text(range(20)))
    settle(session)
    assert len(train(session)) == 20


def test_a_single_file_that_is_gone_for_a_moment_is_waited_for(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(text(range(50)))
    session = settle(Session(path, Settings()))
    path.write_bytes(b"\x7fELF" + bytes(2000))
    settle(session)
    assert session.run() is None
    assert "looks like" in " ".join(session.waiting_for())
    path.unlink()
    settle(session)
    path.write_text(text(range(7)))
    settle(session)
    assert session.run().last_step == 6
    assert session.missing is None


def test_an_index_of_a_run_that_a_reset_has_taken_is_the_newest(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(text(range(300)) + text(range(300)))
    session = settle(Session(path, Settings()))
    assert session.run(1).index == 1
    path.write_text(text(range(10)))
    settle(session)
    assert session.run(1).index == 0
    assert list(session.findings(1)) == []


def test_names_of_a_run_that_was_reset_are_not_those_of_the_next():
    catalogue = Catalogue()
    before, after = Store(), Store()
    before.add(rows("train", [1.0], loss=[1.0]))
    after.add(rows("train", [1.0], accuracy=[1.0]))
    assert [ref.name for ref in catalogue.refs(before.runs[0])] == ["loss"]
    assert [ref.name for ref in catalogue.refs(after.runs[0])] == ["accuracy"]


# --- resumed runs ----------------------------------------------------------------------------


@pytest.mark.parametrize("burst", [1 << 14, 1 << 20])
def test_a_resumed_run_is_judged_once_a_step(tmp_path, burst):
    def line(step, loss):
        return json.dumps({"step": step, "loss": loss, "learning_rate": 1e-3}) + "\n"

    path = tmp_path / "log.jsonl"
    first = [line(step, 2.0) for step in range(300)]
    again = [line(step, 2.0 if step < 250 else "NaN") for step in range(200, 400)]
    path.write_text("".join(first))
    live = Session(path, Settings())
    while live.pump(NOW, burst).more:
        pass
    with path.open("a") as file:
        file.write("".join(again))
    while live.pump(NOW, burst).more:
        pass
    [found] = live.findings()
    assert (found.id, found.onset_step) == ("nan_inf", 250)
    [same] = read_whole(path, Settings()).findings()
    assert (same.id, same.onset_step) == ("nan_inf", 250)


def test_a_line_out_of_order_is_no_resumption(tmp_path):
    records = [*range(300), 298, 299, *range(300, 400), 397, *range(398, 500)]
    losses = np.random.default_rng(0).normal(2.0, 0.01, len(records))
    losses[450:] += 5.0
    path = tmp_path / "log.jsonl"
    path.write_text(
        "".join(
            json.dumps({"step": step, "loss": loss}) + "\n"
            for step, loss in zip(records, losses.tolist(), strict=True)
        )
    )
    session = read_whole(path, Settings())
    assert session.run().tables["log"].step.tolist() == list(range(500))
    assert all(rewind.late for rewind in session.run().rewinds)
    assert "divergence" in [finding.id for finding in session.findings()]


# --- state -----------------------------------------------------------------------------------


def test_an_old_run_that_is_read_in_many_bursts_is_not_running(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(text(range(3000)))
    os.utime(path, (NOW - 7200, NOW - 7200))
    session = Session(path, Settings())
    while (update := session.pump(NOW, 1 << 14)).more:
        assert update.state != "running"
    assert update.state == "unknown"
    with path.open("a") as file:
        file.write(text(range(3000, 3001)))
    os.utime(path, (NOW - 7200, NOW - 7200))  # A file server whose clock is behind.
    assert session.pump(NOW).state == "running"


def test_a_run_beyond_its_plan_is_not_finished(folder):
    (folder / "run.json").write_text(json.dumps({"planned_steps": 300}))
    assert Session(folder, Settings()).pump(NOW).state == "finished"
    (folder / "run.json").write_text(json.dumps({"planned_steps": 200}))
    assert Session(folder, Settings()).pump(NOW).state != "finished"


# --- checkpoints -----------------------------------------------------------------------------


def test_checkpoints_that_the_run_deletes_are_forgotten(session, folder):
    saved = folder / "checkpoints"
    saved.mkdir()
    for step in (100, 200):
        (saved / f"step-{step}.pt").write_bytes(b"x")
    settle(session, NOW + 10)
    assert [each.step for each in session.checkpoints()] == [100, 200]
    assert session.checkpoints() is session.checkpoints()
    (saved / "step-100.pt").unlink()
    settle(session, NOW + 20)
    assert [each.step for each in session.checkpoints()] == [200]
    shutil.rmtree(saved)
    settle(session, NOW + 30)
    assert session.checkpoints() == []
    assert session.problems() == []


# --- a thread that reads while another looks -------------------------------------------------


def rows(table, step, **columns):
    count = len(step)
    return Rows(
        table=table,
        step=np.array(step, dtype=float),
        epoch=np.full(count, np.nan),
        time=np.full(count, np.nan),
        columns={
            name: Column(values=np.array(values, dtype=float)) for name, values in columns.items()
        },
    )


def test_a_store_can_be_looked_at_while_it_is_written_and_rewound():
    store = Store()
    store.add(rows("train", range(1), loss=[1.0]))
    store.add(LayerNames(names=("a", "b")))
    done = threading.Event()
    failures: list[BaseException] = []
    edges = np.linspace(0.0, 6000.0, 81)

    def look():
        try:
            while not done.is_set():
                for run in list(store.runs):
                    assert run.last_step is None or run.last_step >= 0
                    assert run.main is None or len(run.main) >= 0
                    for table in list(run.tables.values()):
                        for name, series in list(table.series.items()):
                            series.reduce(table.row_edges(edges))
                            series.nonfinite_rows()
                            table.value_at(name, 4000.0)
                    if run.layers is not None:
                        run.layers.reduce("grad_norm", edges)
                        run.layers.value_at("grad_norm", "b", 4000.0)
        except BaseException as error:  # noqa: BLE001 - the thread's failure is the test's
            failures.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    for turn in range(12):
        store.add(rows(f"t{turn}", range(10), **{f"m{turn}": np.ones(10)}))
        for first in range(0, 6000, 200):
            steps = range(first, first + 200)
            store.add(rows("train", steps, loss=np.full(200, np.nan), other=np.ones(200)))
            for step in (first, first + 100):
                stats = {"grad_norm": np.ones(2), f"stat{turn}": np.ones(2)}
                store.add(LayerStats(step=step, stats=stats))
        store.add(rows("train", [3000.0 + turn], loss=[1.0]))
    done.set()
    thread.join()
    assert failures == []


def test_curves_that_come_after_the_log_which_prints_them(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    lines = [f"2026-01-01 10:00:{step:02} INFO step {step} loss 1.5\n" for step in range(0, 40, 20)]
    (run / LOG).write_text("".join(lines))
    session = settle(Session(run, Settings()))
    assert list(train(session).step) == [0, 20]
    (run / TRAIN).write_text(text(range(30)))
    settle(session, NOW + 60)
    assert len(session.store.runs) == 1
    assert list(train(session).step) == list(range(30))
    assert len(session.store.log) == 2
    assert f"{TRAIN} has the curves" in session.same_curves()[run / LOG]
