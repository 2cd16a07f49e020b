"""What another process reads of a file from its start is what would have been read here."""

import gzip
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.event_files import event, event_file, output, row, simple, stats, wandb_file

from traintop.records import Begins, LayerBlock, LayerStats, LogLines, News, Reread, Rows
from traintop.session import Session
from traintop.settings import Settings
from traintop.sources import preview, registry, source
from traintop.sources.ahead import Part, parts_of
from traintop.sources.mark import Marking
from traintop.sources.reader_process import ReaderProcess
from traintop.sources.registry import open_source
from traintop.sources.source import Source
from traintop.sources.tail import FileTail
from traintop.sources.tfevents import folder as event_folder
from traintop.store.layers import as_block

NOW = 1.7e9
Make = Callable[[int, int], bytes]


def csv(first: int, last: int) -> bytes:
    head = b"step,loss,note\n" if not first else b""
    return head + b"".join(b"%d,%f,warm\n" % (at, 1 / (1 + at)) for at in range(first, last))


def numbered(first: int, last: int) -> bytes:
    head = b"loss\n" if not first else b""
    return head + b"".join(b"%f\n" % (1 / (1 + at)) for at in range(first, last))


def text(first: int, last: int) -> bytes:
    return b"".join(
        b"INFO step=%d loss=%f lr=%f\nsome words\n" % (at, 1 / (1 + at), 0.1)
        for at in range(first, last)
    )


def epochs(first: int, last: int) -> bytes:
    """JSON lines that cannot be read from their end."""
    return b"".join(
        json.dumps({"epoch": at // 20, "iter": at % 20, "loss": at}).encode() + b"\n"
        for at in range(first, last)
    )


def layers(first: int, last: int) -> bytes:
    head = b'{"names": ["a", "b"]}\n' if not first else b""
    return head + b"".join(
        json.dumps({"step": at, "grad_norm": [at, 1.0]}).encode() + b"\n"
        for at in range(first, last)
    )


def tfevents(first: int, last: int) -> bytes:
    events = [event(at, simple("loss", at)) for at in range(first, last)]
    data = event_file(events)
    return data if not first else data[len(event_file([])) :]


def wandb(first: int, last: int) -> bytes:
    # A file is made whole, for its blocks.
    def made(count: int) -> bytes:
        records: list[bytes] = []
        for at in range(count):
            records.append(row(at, {"loss": at, "_step": at, "_timestamp": NOW + at}))
            if at % 10 == 0:
                records.append(stats(at, 1_700_000_000 + at, {"cpu": at}))
                records.append(output(at, f"said {at}\n"))
        return wandb_file(records)

    return made(last)[len(made(first)) if first else 0 :]


FORMATS: dict[str, Make] = {
    "run.csv": csv,
    "numbered.csv": numbered,
    "run.log": text,
    "run.jsonl": epochs,
    "layers.jsonl": layers,
    "events.out.tfevents.1700000000.host": tfevents,
    "run.wandb": wandb,
}


def read_on(read: Source, size: int = 1000) -> list[News]:
    items: list[News] = []
    while True:
        items += read.read(size)
        if not read.pending:
            return items


Tables = dict[str, list[tuple[object, ...]]]


def everything(items: list[News]) -> tuple[Tables, list[tuple[str, int]], list[object]]:
    """What was read, whatever the bursts that it came in."""
    tables: Tables = {}
    others: list[object] = []
    lines: list[tuple[str, int]] = []
    for each in items:
        if isinstance(each, Rows):
            for at in range(len(each.step)):
                one = each.part(at, at + 1)
                values = {name: repr(column.values[0]) for name, column in one.columns.items()}
                place = (one.axis, repr(one.step), repr(one.epoch), repr(one.time))
                tables.setdefault(each.table, []).append((*place, sorted(values.items())))
        elif isinstance(each, LayerStats | LayerBlock):
            block = as_block(each)
            rows = zip(block.step.tolist(), block.stats["grad_norm"].tolist(), strict=True)
            others += list(rows)
        elif isinstance(each, LogLines):
            lines += zip(each.lines, each.steps, strict=True)
        else:
            others.append(repr(each))
    return tables, lines, others


@pytest.mark.parametrize("name", FORMATS)
def test_a_source_goes_on_after_its_journey(tmp_path: Path, name: str) -> None:
    path, make = tmp_path / name, FORMATS[name]
    torn = 7  # bytes of a record that is not whole yet
    data = make(0, 300)
    path.write_bytes(data[:-torn])
    plain = open_source(path)
    expected = read_on(plain)
    parts: list[Part] = []
    parts_of(open_source(path), 1500, parts.append)
    items = [item for part in parts for item in part.items]
    assert [part.source is None for part in parts] == [True] * (len(parts) - 1) + [False]
    assert len(parts) > 1
    assert parts[-1].report == plain.report()
    assert parts[-1].source is not None
    other: Source = pickle.loads(parts[-1].source)  # noqa: S301 - made above
    assert isinstance(plain, Marking)
    assert parts[-1].tables == plain.tables
    with path.open("ab") as file:
        file.write(data[-torn:] + make(300, 330))
    expected += [*read_on(plain), *plain.finish()]
    items += [*read_on(other), *other.finish()]
    assert everything(items) == everything(expected)
    assert other.report() == plain.report()
    path.write_bytes(make(0, 40))
    assert everything(read_on(other)) == everything(read_on(plain))


def test_a_compressed_log_travels_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.log.gz"
    path.write_bytes(gzip.compress(text(0, 500)))
    parts: list[Part] = []
    parts_of(open_source(path), 1500, parts.append)
    items = [item for part in parts for item in part.items]
    assert everything(items) == everything(read_on(open_source(path)))


# --- in a session -----------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is long for a test."""
    for module in (source, event_folder):
        monkeypatch.setattr(module, "SHORT", 1 << 12)
        monkeypatch.setattr(module, "HEAD_SIZE", 1 << 10)
    monkeypatch.setattr(source, "NEWEST", 1 << 10)
    monkeypatch.setattr(preview, "NEWEST", 1 << 10)
    monkeypatch.setattr(preview, "GRAIN", 1 << 9)
    monkeypatch.setattr(registry, "LONG", 1 << 13)
    monkeypatch.setattr(source, "LONG", 1 << 13)


def opened(path: Path, *, aside: bool = True) -> Session:
    return Session(path, Settings(cache=False), judge=False, aside=aside)


def filled(session: Session) -> Session:
    while session.pump(NOW, 1 << 13).more:
        session.rest(5)
    return session


def assert_alike(one: Session, other: Session) -> None:
    assert one.store.log.lines == other.store.log.lines
    assert one.store.log.steps == other.store.log.steps
    mine, theirs = one.run(), other.run()
    assert mine is not None
    assert theirs is not None
    assert list(mine.tables) == list(theirs.tables)
    for name, table in mine.tables.items():
        np.testing.assert_array_equal(table.step, theirs.tables[name].step)
        for key, series in theirs.tables[name].series.items():
            np.testing.assert_array_equal(table.series[key].values(), series.values())
    assert one.reports() == other.reports()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["run.csv", "run.log", "folder"])
def test_the_newest_part_is_shown_at_once(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
        (path / "events.out.tfevents.1700000000.host").write_bytes(tfevents(0, 2000))
    else:
        path.write_bytes(FORMATS[name](0, 2000))
    session = opened(path)
    update = session.pump(NOW, 1 << 13)
    assert update.last_step == 1999
    assert session.begins == 0
    assert update.loading
    run = session.run()
    assert run is not None
    assert run.first_step is not None
    assert run.first_step > 1000
    steps: set[int | None] = set()
    while (update := session.pump(NOW, 1 << 13)).more:
        steps.add(update.last_step)
        session.rest(5)
    assert steps == {1999}  # It stays in sight until all is there.
    assert_alike(session, filled(opened(path, aside=False)))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["numbered.csv", "run.jsonl"])
def test_records_that_do_not_say_where_they_stand_are_read_first(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FORMATS[name](0, 2000))
    session = opened(path)
    steps: list[int | None] = []
    while (update := session.pump(NOW, 1 << 13)).more:
        steps.append(update.last_step)
        session.rest(5)
    assert steps[0] in (None, 0)
    assert_alike(session, filled(opened(path, aside=False)))


@pytest.mark.usefixtures("small")
def test_of_a_long_log_the_newest_lines_are_shown_at_once(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.write_bytes(text(0, 2000))
    session = opened(path)
    session.pump(NOW, 1 << 13)
    assert session.store.log.lines[-1] == "some words"
    assert session.store.log.steps[-1] == 1999


@pytest.mark.usefixtures("small")
def test_a_process_that_cannot_be_started_is_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.log"
    path.write_bytes(text(0, 2000))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    assert_alike(filled(opened(path)), filled(opened(path, aside=False)))


@pytest.mark.usefixtures("small")
def test_a_process_that_dies_is_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.log"
    path.write_bytes(text(0, 2000))
    parts: list[Part] = []
    parts_of(open_source(path), 1500, parts.append)
    left = [*parts[:2], None]

    def gathered(_: ReaderProcess[Part]) -> bool:
        return True

    def dying(process: ReaderProcess[Part]) -> Part | None:
        part = left.pop(0) if left else None
        process.failed = None if part else "killed"
        return part

    monkeypatch.setattr(ReaderProcess, "gather", gathered)
    monkeypatch.setattr(ReaderProcess, "take", dying)
    assert_alike(filled(opened(path)), filled(opened(path, aside=False)))
    assert not left


# --- previews ---------------------------------------------------------------------------------


def test_a_preview_of_wandb_begins_at_a_block(tmp_path: Path) -> None:
    path = tmp_path / "run.wandb"
    path.write_bytes(wandb(0, 3000))
    ends = preview.Ends(*FileTail(path).ends(1 << 12, 1 << 14, preview.GRAIN))
    assert ends.offset % preview.GRAIN == 0
    assert ends.offset
    found = preview.read_newest(ends, lambda head: registry.choose(path, head, "run", True))
    rows = [item for item in found if isinstance(item, Rows) and item.table == "run"]
    assert rows[-1].step[-1] == 2999
    assert rows[0].step[0] > 1000
    assert [item for item in found if isinstance(item, Begins)] == [Begins(step=0)]


@pytest.mark.parametrize("name", FORMATS)
def test_any_cut_has_a_preview_or_none(tmp_path: Path, name: str) -> None:
    path, data = tmp_path / name, FORMATS[name](0, 200)
    whole = open_source(path)
    path.write_bytes(data)
    known = everything([*read_on(whole), *whole.finish()])[0]
    table = next(iter(known), "run")
    for cut in range(0, len(data), max(len(data) // 12, 1)):
        ends = preview.Ends(data[:2000], data[cut:], cut)
        found = preview.read_newest(ends, lambda head: registry.choose(path, head, table, True))
        assert not any(isinstance(item, Reread) for item in found)
        for each, rows in everything(found)[0].items():
            steps = {place[1] for place in known.get(each, [])}
            assert {place[1] for place in rows} <= steps
