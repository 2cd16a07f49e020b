"""The history of a very long file, read by a process of its own."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from traintop.session import Session
from traintop.settings import Settings
from traintop.sources import source
from traintop.sources.aside import Aside
from traintop.sources.reader_process import Opening
from traintop.sources.registry import choose
from traintop.sources.tail import Jump
from traintop.store import Table

NOW = 1.7e9


def write(path: Path, steps: list[int]) -> None:
    lines = [json.dumps({"step": step, "loss": 1 / (1 + at)}) for at, step in enumerate(steps)]
    lines[100] = "{broken"
    path.write_text("\n".join(lines) + "\n")


def opened(path: Path, *, aside: bool) -> Session:
    return Session(path, Settings(cache=False), judge=False, aside=aside)


def read_on(session: Session) -> Session:
    while session.pump(NOW, 1 << 14).more:
        session.rest(5)
    return session


def table_of(session: Session) -> Table:
    run = session.run()
    assert run is not None
    return run.tables["run"]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is very long for a test."""
    monkeypatch.setattr(source, "SHORT", 1 << 14)
    monkeypatch.setattr(source, "NEWEST", 1 << 12)
    monkeypatch.setattr(source, "LONG", 1 << 13)


@pytest.mark.parametrize(
    "steps",
    [list(range(4000)), [*range(2000), *range(1500, 3000)]],
    ids=["one run", "a run that was resumed"],
)
def test_all_is_there_in_the_end(tmp_path: Path, steps: list[int]) -> None:
    path = tmp_path / "run.jsonl"
    write(path, steps)
    session = opened(path, aside=True)
    update = session.pump(NOW, 1 << 14)
    assert update.last_step == steps[-1]
    assert update.loading
    table = table_of(read_on(session))
    expected = opened(path, aside=False)
    plain = table_of(read_on(expected))
    np.testing.assert_array_equal(table.step, plain.step)
    np.testing.assert_array_equal(table.series["loss"].values(), plain.series["loss"].values())
    assert session.reports() == expected.reports()
    assert [each.line for each in session.reports()[0].skipped] == [101]


def start(path: Path) -> Aside:
    head = path.read_bytes()[:4096]
    size = path.read_bytes().rfind(b"\n") + 1
    jump = Jump(os.open(path, os.O_RDONLY), head, size)
    opening = Opening(str(path), "run", alone=True, only_lines=False)
    history = Aside(jump, opening, lambda: choose(path, head, "run", True))
    history.start()
    return history


def test_a_process_that_cannot_be_started_is_no_end_of_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.jsonl"
    write(path, list(range(4000)))
    session = opened(path, aside=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    assert len(table_of(read_on(session))) == 3999


def test_a_process_that_was_killed_is_no_end_of_the_history(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    write(path, list(range(4000)))
    history = start(path)
    assert history.pid is not None
    os.kill(history.pid, signal.SIGKILL)
    os.waitid(os.P_PID, history.pid, os.WEXITED | os.WNOWAIT)
    while history.failed is None and history.left:
        history.read()
    if history.left:  # It may have been too quick.
        assert history.failed == "the process that read it has ended"
    history.close()


def test_nothing_is_imported_from_the_folder_that_we_are_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.jsonl"
    write(path, list(range(4000)))
    (tmp_path / "json.py").write_text("open('imported', 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert len(table_of(read_on(opened(path, aside=True)))) == 3999
    assert not (tmp_path / "imported").exists()


def test_closing_ends_the_process(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    write(path, list(range(4000)))
    history = start(path)
    assert history.pid is not None
    history.close()
    with pytest.raises(ProcessLookupError):
        os.kill(history.pid, 0)
