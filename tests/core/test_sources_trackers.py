"""Runs of MLflow, DVCLive and trackio, written as their clients write them."""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from traintop.errors import PathError
from traintop.opening import open_run
from traintop.records import Event, Item, Reset, Rows, RunInfo
from traintop.sources.database import DatabaseSource
from traintop.sources.metric_files import MetricFiles
from traintop.sources.newest import newest_run
from traintop.sources.registry import Source

Curve = list[tuple[float, float]]


def curves(items: Sequence[Item]) -> dict[str, Curve]:
    found: dict[str, Curve] = {}
    for rows in items:
        if not isinstance(rows, Rows):
            continue
        for name, column in rows.columns.items():
            at = np.arange(len(rows.step)) if column.rows is None else column.rows
            pairs = zip(rows.step[at].tolist(), column.values.tolist(), strict=True)
            found.setdefault(name, []).extend(pairs)
    return found


def drain(source: Source, most: int = 1 << 20) -> list[Item]:
    items = list(source.read(most))
    for _ in range(10_000):
        if not source.pending:
            break
        items += source.read(most)  # type: ignore[arg-type]
    assert not source.pending
    return items + list(source.finish())  # type: ignore[arg-type]


# --- MLflow's files ---------------------------------------------------------------------------


def mlflow_run(folder: Path, steps: int = 50, status: str = "3") -> Path:
    (folder / "metrics" / "train").mkdir(parents=True)
    (folder / "params").mkdir()
    (folder / "params" / "batch_size").write_text("32")
    (folder / "meta.yaml").write_text(f"artifact_uri: file:///x\nstatus: {status}\nuser_id: me\n")
    time = 1_700_000_000_000
    loss = [f"{time + 2 * s} {1 / (s + 1)} {s}\n" for s in range(steps)]
    acc = [f"{time + 2 * s + 1} {s} {s} data abc\n" for s in range(0, steps, 5)]
    (folder / "metrics" / "train" / "loss").write_text("".join(loss))
    (folder / "metrics" / "acc").write_text("".join(acc) + f"{time + 2 * steps} nan {steps}\n")
    return folder


@pytest.mark.parametrize("most", [1, 1 << 20])
def test_a_run_of_mlflow(tmp_path: Path, most: int) -> None:
    source = MetricFiles(mlflow_run(tmp_path / "run", 2000), "mlflow", "mlflow")
    items = drain(source, most)
    found = curves(items)
    assert found["train/loss"] == [(s, 1 / (s + 1)) for s in range(2000)]
    assert found["acc"][:-1] == [(s, s) for s in range(0, 2000, 5)]
    assert math.isnan(found["acc"][-1][1])
    assert {one.table for one in items if isinstance(one, Rows)} == {"mlflow"}
    assert [one.batch_size for one in items if isinstance(one, RunInfo)] == [32]
    assert [one.fields for one in items if isinstance(one, Event)] == [{"action": "finished"}]


def test_what_comes_later_is_followed(tmp_path: Path) -> None:
    folder = mlflow_run(tmp_path / "run", 5, status="1")
    source = MetricFiles(folder, "mlflow", "mlflow")
    assert len(curves(drain(source))["train/loss"]) == 5
    with (folder / "metrics" / "train" / "loss").open("a") as file:
        file.write("1700000001000 0.5 5\n1700000001001 0.4")
    (folder / "metrics" / "lr").write_text("1700000001000 0.1 5\n")
    os.utime(folder / "metrics", ns=(1, 1))
    assert curves(drain(source)) == {"train/loss": [(5, 0.5)], "lr": [(5, 0.1)]}
    with (folder / "metrics" / "train" / "loss").open("a") as file:
        file.write("2 6\nno number at all\n")
    (folder / "meta.yaml").write_text("status: 4\n")
    os.utime(folder / "meta.yaml", ns=(1, 1))
    items = drain(source)
    assert curves(items) == {"train/loss": [(6, 0.42)]}
    assert [one.fields["action"] for one in items if isinstance(one, Event)] == ["failed"]
    report = source.report()
    assert report.skipped_total == 1
    assert "train/loss" in report.skipped[0].why
    (folder / "metrics" / "acc").write_text("1700000000000 0.1 0\n")
    assert any(isinstance(one, Reset) for one in source.read(1 << 20))


def test_a_folder_of_mlflow_runs_is_told_from_a_run(tmp_path: Path) -> None:
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").write_text("name: Default\n")
    first = mlflow_run(tmp_path / "mlruns" / "0" / "aaa")
    session = open_run(tmp_path / "mlruns")
    assert [report.format for report in session.reports()] == ["mlflow"]
    mlflow_run(tmp_path / "mlruns" / "0" / "bbb")
    with pytest.raises(PathError, match="holds 2 runs"):
        open_run(tmp_path / "mlruns")
    assert open_run(first).run() is not None


# --- DVCLive ----------------------------------------------------------------------------------


def test_a_run_of_dvclive(tmp_path: Path) -> None:
    plots = tmp_path / "dvclive" / "plots" / "metrics"
    (plots / "train").mkdir(parents=True)
    (plots / "train" / "loss.tsv").write_text(
        "step\tloss\n" + "".join(f"{s}\t{1 / (s + 1)}\n" for s in range(20))
    )
    (plots / "acc.tsv").write_text(
        "timestamp\tstep\tacc\n"
        + "".join(f"17000000000{s:02}\t{s}\t{s}\n" for s in range(0, 20, 4))
    )
    (tmp_path / "dvclive" / "metrics.json").write_text('{"acc": 16, "step": 19}')
    (tmp_path / "dvclive" / "params.yaml").write_text("lr: 0.1\nbatch_size: 16\n")
    session = open_run(tmp_path)
    assert [report.format for report in session.reports()] == ["dvclive"]
    run = session.run()
    assert run is not None
    assert {name: len(series) for name, series in run.tables["dvclive"].series.items()} == {
        "acc": 5,
        "train/loss": 20,
    }
    assert session.store.info.batch_size == 16


# --- databases --------------------------------------------------------------------------------


def trackio_database(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(
        "CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT NOT NULL, "
        "run_name TEXT NOT NULL, step INTEGER NOT NULL, metrics TEXT NOT NULL)"
    )
    connection.execute(
        "CREATE TABLE configs (id INTEGER PRIMARY KEY, run_name TEXT, config TEXT, created_at TEXT)"
    )
    connection.execute("INSERT INTO configs VALUES (1, 'b', '{\"batch_size\": 8}', '')")
    return connection


def log_rows(connection: sqlite3.Connection, run: str, steps: range) -> None:
    connection.executemany(
        "INSERT INTO metrics (timestamp, run_name, step, metrics) VALUES (?, ?, ?, ?)",
        [
            (
                f"2026-01-01T00:00:{step % 60:02}+00:00",
                run,
                step,
                json.dumps({"loss": step / 2 if step else "NaN", "note": "x"}).encode(),
            )
            for step in steps
        ],
    )
    connection.commit()


def test_runs_of_trackio_are_read_one_after_the_other_and_followed(tmp_path: Path) -> None:
    path = tmp_path / "project.db"
    connection = trackio_database(path)
    log_rows(connection, "a", range(30))
    log_rows(connection, "b", range(10))
    source = DatabaseSource(path, "trackio", "project")
    found = curves(drain(source, 1))["loss"]
    assert [step for step, _ in found] == [*range(30), *range(10)]
    assert math.isnan(found[0][1])
    log_rows(connection, "b", range(10, 15))
    assert source.pending
    assert [step for step, _ in curves(drain(source))["loss"]] == [*range(10, 15)]
    log_rows(connection, "c", range(3))
    assert [step for step, _ in curves(drain(source))["loss"]] == [0, 1, 2]
    connection.close()
    session = open_run(tmp_path)
    assert [report.format for report in session.reports()] == ["trackio"]
    assert len(session.store.runs) == 3


def test_runs_of_mlflow_in_a_database(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE metrics (key TEXT, value FLOAT, timestamp BIGINT, run_uuid TEXT, step BIGINT,"
        " is_nan BOOLEAN, PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan))"
    )
    connection.execute("CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT)")
    connection.execute("CREATE TABLE runs (run_uuid TEXT, status TEXT)")
    connection.execute("INSERT INTO params VALUES ('batch_size', '32', 'u')")
    connection.execute("INSERT INTO runs VALUES ('u', 'FAILED')")
    time = 1_700_000_000_000
    connection.executemany(
        "INSERT INTO metrics VALUES (?, ?, ?, 'u', ?, ?)",
        [("train/loss", 1 / (s + 1), time + s, s, 0) for s in range(5)]
        + [("bad", 0.0, time + 5, 5, 1), ("large", -1.7976931348623157e308, time + 6, 6, 0)],
    )
    connection.commit()
    connection.close()
    session = open_run(path)
    run = session.run()
    assert run is not None
    series = run.tables["mlflow"].series
    assert series["train/loss"].values().tolist() == [1 / (s + 1) for s in range(5)]
    assert math.isnan(series["bad"].value(0))
    assert series["large"].value(0) == -math.inf
    assert session.state(time / 1000) == "crashed"
    assert session.store.info.batch_size == 32


def test_the_end_of_each_run_in_a_database_is_its_own(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "mlflow.db")
    connection.execute(
        "CREATE TABLE metrics (key TEXT, value FLOAT, timestamp BIGINT, run_uuid TEXT, step BIGINT,"
        " is_nan BOOLEAN)"
    )
    connection.execute("CREATE TABLE runs (run_uuid TEXT, status TEXT)")
    time = 1_700_000_000_000
    for at, run in enumerate(("first", "second")):
        connection.executemany(
            "INSERT INTO metrics VALUES ('loss', ?, ?, ?, ?, 0)",
            [(1 / (s + 1), time + 1000 * at + s, run, s) for s in range(5)],
        )
    connection.execute("INSERT INTO runs VALUES ('first', 'FAILED'), ('second', 'RUNNING')")
    connection.commit()
    assert newest_run(tmp_path) == tmp_path / "mlflow.db"
    session = open_run(tmp_path)

    def endings() -> list[list[str]]:
        return [[event.fields["action"] for event in run.events] for run in session.store.runs]

    assert endings() == [["failed"], []]
    connection.execute("UPDATE runs SET status = 'FINISHED' WHERE run_uuid = 'second'")
    connection.commit()
    connection.close()
    session = open_run(tmp_path)
    assert endings() == [["failed"], ["finished"]]
    assert session.state(time / 1000) == "finished"


def test_other_databases_and_damaged_ones_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE metrics (a, b)")
    connection.commit()
    connection.close()
    with pytest.raises(PathError, match="SQLite"):
        open_run(path)
    path.write_bytes(path.read_bytes()[:100] + bytes(4000))
    with pytest.raises(PathError, match="SQLite"):
        open_run(path)
