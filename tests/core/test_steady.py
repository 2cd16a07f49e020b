"""A file that is rewritten whole: what it says again comes once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from traintop.records import Item, Reset, Rows
from traintop.sources import steady
from traintop.sources.jsonl import JsonLines
from traintop.sources.source import FileSource
from traintop.sources.steady import SteadySource
from traintop.sources.tail import FileTail


class Rewritten(JsonLines):
    rewritten = True


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.json"


def source(path: Path) -> SteadySource:
    return SteadySource(FileSource(FileTail(path), lambda _: Rewritten("train")))


def write(path: Path, *losses: float, **more: float) -> None:
    """Write the file anew, as programs that keep it whole in memory do."""
    lines = [json.dumps({"step": step, "loss": loss} | more) for step, loss in enumerate(losses)]
    new = path.with_name("new")
    new.write_text("".join(f"{line}\n" for line in lines))
    new.replace(path)


def shown(items: list[Item]) -> list[float | str]:
    """The steps that came, and `reset`."""
    found: list[float | str] = []
    for item in items:
        if isinstance(item, Reset):
            found.append("reset")
        if isinstance(item, Rows):
            found += item.step.tolist()
    return found


def test_what_is_said_again_comes_once(log: Path) -> None:
    write(log, 3, 2)
    follow = source(log)
    assert shown(follow.read(1000)) == [0, 1]
    write(log, 3, 2, 1)
    assert shown(follow.read(1000)) == [2]
    write(log, 3, 2, 1, np.nan, 5)
    assert shown(follow.read(1000)) == [3, 4]
    write(log, 3, 2, 1, np.nan, 5)
    assert shown(follow.read(1000)) == []
    assert shown(follow.finish()) == []


def test_another_history_is_another_run(log: Path) -> None:
    write(log, 3, 2)
    follow = source(log)
    follow.read(1000)
    write(log, 3, 2.5, 1)
    assert shown(follow.read(1000)) == ["reset", 0, 1, 2]
    write(log, 3, 2.5, 1, lr=0.1)
    assert shown(follow.read(1000)) == ["reset", 0, 1, 2]
    write(log, 3, 2.5, 1, 0, lr=0.1)
    assert shown(follow.read(1000)) == [3]


def test_a_file_that_is_still_being_written_anew(log: Path) -> None:
    write(log, *range(10))
    follow = source(log)
    follow.read(1000)
    text = log.read_text()
    log.write_text(text[:60])
    assert shown(follow.read(1000)) == []
    with log.open("a") as file:
        file.write(text[60:] + '{"step": 10, "loss": 0}\n')
    assert shown(follow.read(1000)) == [10]


def test_a_run_that_was_begun_anew_and_says_the_same(log: Path) -> None:
    write(log, 3, 2, 1)
    follow = source(log)
    follow.read(1000)
    write(log, 3)
    for _ in range(steady.PATIENCE):
        assert shown(follow.read(1000)) == []
    assert shown(follow.read(1000) + follow.read(1000)) == ["reset", 0]
    write(log, 3, 2)
    assert shown(follow.read(1000)) == [1]


def test_in_small_pieces(log: Path) -> None:
    write(log, *range(50))
    follow = source(log)
    items = follow.read(20)
    while follow.pending:
        items += follow.read(20)
    write(log, *range(60))
    items += follow.read(20)
    while follow.pending:
        items += follow.read(20)
    assert shown(items) == list(range(60))


def test_a_large_file_is_read_anew(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady, "MOST_ROWS", 5)
    write(log, *range(10))
    follow = source(log)
    follow.read(1000)
    write(log, *range(11))
    assert shown(follow.read(1000)) == ["reset", *range(11)]
