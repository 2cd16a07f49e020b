"""A long file is shown from its newest record on, and in the end holds what it always did."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from traintop.session import Session
from traintop.settings import Settings
from traintop.sources import source

NOW = 1.7e9
PIECE = 4000


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is long for a test."""
    monkeypatch.setattr(source, "SHORT", 3 * PIECE)
    monkeypatch.setattr(source, "NEWEST", PIECE)
    monkeypatch.setattr(source, "PIECE", PIECE)
    monkeypatch.setattr(source, "HEAD_SIZE", 500)


def write(path: Path, records: Iterable[dict[str, object]], mode: str = "a") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open(mode) as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def training(first: int, last: int) -> list[dict[str, object]]:
    return [
        {"step": step, "loss": 1 / (1 + step), "time": NOW + step} for step in range(first, last)
    ]


def open_session(path: Path) -> Session:
    return Session(path, Settings(), judge=False)


def read_on(session: Session) -> None:
    while session.pump(NOW, PIECE).more:
        pass


def forwards(path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    with monkeypatch.context() as patch:
        patch.setattr(source, "SHORT", 1 << 40)
        session = open_session(path)
        read_on(session)
    return session


def assert_alike(one: Session, other: Session) -> None:
    assert len(one.store.runs) == len(other.store.runs)
    assert one.store.records == other.store.records
    for mine, theirs in zip(one.store.runs, other.store.runs, strict=True):
        assert list(mine.tables) == list(theirs.tables)
        for name, table in mine.tables.items():
            expected = theirs.tables[name]
            np.testing.assert_array_equal(table.step, expected.step)
            np.testing.assert_array_equal(table.time, expected.time)
            np.testing.assert_array_equal(table.epoch, expected.epoch)
            assert set(table.series) == set(expected.series)
            for key, series in table.series.items():
                np.testing.assert_array_equal(series.values(), expected.series[key].values())
    assert one.reports() == other.reports()


def test_the_first_pump_shows_the_newest_records(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    write(path, training(0, 2000))
    session = open_session(path)
    update = session.pump(NOW, PIECE)
    assert update.last_step == 1999
    assert update.loading
    run = session.run()
    assert run is not None
    assert run.first_step is not None
    assert run.first_step > 1800
    assert session.begins == 0  # Where its curves will begin is known already.
    read_on(session)
    assert session.begins is None


def test_in_the_end_all_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.jsonl"
    records = training(0, 2000)
    for step in range(0, 2000, 100):
        records[step]["val_loss"] = 2.0
    write(path, records[:1000])
    with path.open("a") as file:
        file.write("{broken\n")
    write(path, records[1000:])
    session = open_session(path)
    read_on(session)
    assert_alike(session, forwards(path, monkeypatch))
    assert [skipped.line for skipped in session.reports()[0].skipped] == [1001]


def test_what_is_appended_meanwhile_is_shown_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.jsonl"
    write(path, training(0, 2000))
    session = open_session(path)
    session.pump(NOW, PIECE)
    for step in range(2000, 2010):
        write(path, training(step, step + 1))
        with path.open("a") as file:
            file.write('{"step": ')  # torn
        update = session.pump(NOW, PIECE)
        assert update.last_step == step
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - len('{"step": '))
    read_on(session)
    assert_alike(session, forwards(path, monkeypatch))


@pytest.mark.parametrize("again", [0, 900], ids=["a second run", "a run that was resumed"])
def test_a_file_whose_steps_fall_is_read_from_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: int
) -> None:
    path = tmp_path / "run.jsonl"
    write(path, [*training(0, 1000), *training(again, again + 1000)])
    session = open_session(path)
    steps: set[int | None] = set()
    while (update := session.pump(NOW, PIECE)).more:
        steps.add(update.last_step)
    assert steps == {again + 999}  # The newest part stays in sight.
    assert_alike(session, forwards(path, monkeypatch))


def test_records_without_a_step_are_read_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.jsonl"
    write(path, ({"loss": 1 / (1 + step)} for step in range(2000)))
    session = open_session(path)
    read_on(session)
    assert_alike(session, forwards(path, monkeypatch))


def test_a_run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "train_diagnostics.jsonl", training(0, 2000))
    write(tmp_path / "val_diagnostics.jsonl", training(0, 10))
    layers: list[dict[str, object]] = [{"names": ["a", "b", "c"]}]
    layers.extend(
        {"step": step, "train_mode": True, "grad_norm": [1.0, step, None]} for step in range(1000)
    )
    write(tmp_path / "layers.jsonl", layers)
    session = open_session(tmp_path)
    session.pump(NOW, PIECE)
    run = session.run()
    assert run is not None
    assert run.layers is not None
    assert run.layers.step[-1] == 999
    read_on(session)
    expected = forwards(tmp_path, monkeypatch)
    assert_alike(session, expected)
    other = expected.run()
    assert other is not None
    assert other.layers is not None
    np.testing.assert_array_equal(run.layers.step, other.layers.step)
    np.testing.assert_array_equal(run.layers.matrix("grad_norm"), other.layers.matrix("grad_norm"))
    assert run.layers.record(7).train_mode is True


def test_a_file_that_is_replaced_meanwhile_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.jsonl"
    write(path, training(0, 2000))
    session = open_session(path)
    session.pump(NOW, PIECE)
    write(path, training(0, 1500), mode="w")
    session.pump(NOW, PIECE)
    read_on(session)
    assert_alike(session, forwards(path, monkeypatch))


def test_a_file_that_is_rotated_meanwhile_is_read_to_its_start(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    write(path, training(0, 2000))
    session = open_session(path)
    session.pump(NOW, PIECE)
    path.rename(tmp_path / "run.jsonl.1")
    write(path, training(2000, 2100))
    read_on(session)
    run = session.run()
    assert run is not None
    np.testing.assert_array_equal(run.tables["run"].step, np.arange(2100))
