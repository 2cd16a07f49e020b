"""The checkpoints of a run: from its events and its folder, each once, with step, loss and size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from traintop.catalogue import Catalogue
from traintop.checkpoints import Checkpoints
from traintop.records import Column, Event, Rows
from traintop.store import Store


@dataclass(frozen=True)
class Found:
    path: Path
    step: int | None


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A run two folders deep, in whose place and beside which checkpoints may lie."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results" / "diagnostics"
    folder.mkdir(parents=True)
    return folder


def run_of(*events, steps=500):
    store = Store()
    store.add(
        Rows(
            table="train",
            step=np.arange(steps, dtype=float),
            epoch=np.full(steps, np.nan),
            time=np.full(steps, np.nan),
            columns={"loss": Column(values=1.0 / np.arange(1, steps + 1))},
        )
    )
    for event in events:
        store.add(event)
    return store.run(0)


def checkpoint(path, step=None):
    return Event(event="checkpoint", step=step, fields={"path": path})


def known(run, folder, found=()):
    return Checkpoints().known(run, Catalogue(), folder, found, settled=True)


def test_step_loss_and_size(folder):
    file = folder / "ckpt-99.pt"
    file.write_bytes(b"12345")
    [one] = known(run_of(), folder, [Found(file, 99)])
    assert (one.path, one.step, one.loss, one.size) == (file, 99, 1 / 100, 5)


@pytest.mark.parametrize("where", [".", "..", "../.."])
def test_a_path_of_an_event_is_looked_for_beside_the_run_and_above_it(folder, where):
    file = (folder / where / "x.pt").resolve()
    file.write_bytes(b"1")
    [one] = known(run_of(checkpoint("x.pt", 7)), folder)
    assert (one.path.resolve(), one.step) == (file, 7)


def test_a_file_that_is_named_and_found_is_one_and_the_event_knows_better(folder):
    file = folder / "best.pt"
    file.write_bytes(b"1")
    found = [Found(file, 12)]
    assert [each.step for each in known(run_of(checkpoint("best.pt", 40)), folder, found)] == [40]
    assert [each.step for each in known(run_of(checkpoint(str(file))), folder, found)] == [12]
    again = run_of(checkpoint("best.pt", 40), checkpoint("best.pt", 80))
    assert [each.step for each in known(again, folder, found)] == [80]


def test_they_come_by_step_and_those_without_one_last(folder):
    found = []
    for name, step in (("c", 300), ("none", None), ("a", 0), ("b", 20)):
        (folder / name).write_bytes(b"")
        found.append(Found(folder / name, step))
    assert [each.path.name for each in known(run_of(), folder, found)] == ["a", "b", "c", "none"]


@pytest.mark.parametrize(
    "event",
    [
        checkpoint("gone.pt", 3),
        Event(event="checkpoint", step=3),
        Event(event="checkpoint", step=3, fields={"path": 17}),
        Event(event="note", step=3, fields={"path": "there.pt"}),
    ],
)
def test_what_is_not_there_or_no_checkpoint_is_left_out(folder, event):
    (folder / "there.pt").write_bytes(b"1")
    assert known(run_of(event), folder) == []


def test_a_folder_is_a_checkpoint_without_a_size(folder):
    (folder / "checkpoint-5").mkdir()
    [one] = known(run_of(checkpoint("checkpoint-5", 5)), folder)
    assert (one.step, one.size) == (5, None)


def test_without_a_run_or_a_folder(folder):
    file = folder / "x.pt"
    file.write_bytes(b"1")
    [one] = known(None, folder, [Found(file, 4)])
    assert (one.step, one.loss) == (4, None)
    Path("here.pt").write_bytes(b"1")
    [one] = known(run_of(checkpoint("here.pt", 4)), None)
    assert one.path.name == "here.pt"


def test_a_checkpoint_before_the_first_loss_has_none(folder):
    (folder / "x.pt").write_bytes(b"1")
    run = run_of(checkpoint("x.pt", -1))
    assert [each.loss for each in known(run, folder)] == [None]


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "", "no/such/../folder"])
def test_a_name_that_no_file_can_have_is_left_out(folder, name):
    found = known(run_of(checkpoint(name, 3)), folder)
    assert all(each.path.exists() for each in found)


def test_the_disk_is_asked_again_only_where_there_may_be_news(folder):
    for name in ("a.pt", "b.pt"):
        (folder / name).write_bytes(b"1")
    run, catalogue, checkpoints = run_of(checkpoint("a.pt", 4)), Catalogue(), Checkpoints()

    def ask(*, settled=True):
        return checkpoints.known(run, catalogue, folder, (), settled=settled)

    assert ask(settled=False) is not ask(settled=False)
    first = ask()
    (folder / "a.pt").write_bytes(b"12345")
    assert ask() is first
    run.events.append(checkpoint("b.pt", 8))
    assert [(each.step, each.size) for each in ask()] == [(4, 5), (8, 1)]


def test_a_checkpoint_ahead_of_the_records_is_looked_at_again(folder):
    (folder / "a.pt").write_bytes(b"1")
    run, catalogue, checkpoints = run_of(checkpoint("a.pt", 600)), Catalogue(), Checkpoints()
    [before] = checkpoints.known(run, catalogue, folder, (), settled=True)
    run.tables["train"].append(
        Rows(
            table="train",
            step=np.array([600.0]),
            epoch=np.array([np.nan]),
            time=np.array([np.nan]),
            columns={"loss": Column(values=np.array([0.5]))},
        )
    )
    [after] = checkpoints.known(run, catalogue, folder, (), settled=True)
    assert (before.loss, after.loss) == (1 / 500, 0.5)
