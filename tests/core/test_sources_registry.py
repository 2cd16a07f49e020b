from __future__ import annotations

import json
import os
import random
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traintop.records import Event, Item, LayerNames, LogLines, Reset, Rows, RunInfo
from traintop.sources.filesystem import _file_system, needs_polling
from traintop.sources.registry import Source, format_of, open_source

ROW = b'{"step": 1, "loss": 2.0}\n'


def drain(source: Source, max_bytes: int = 1 << 20) -> list[Item]:
    items = source.read(max_bytes)
    while source.pending:
        items += source.read(max_bytes)
    return items


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "data", "format_", "kind"),
    [
        ("train_diagnostics.jsonl", ROW, "traintop/1", Rows),
        ("metrics.jsonl", ROW, "jsonl", Rows),
        ("log.txt", ROW, "jsonl", Rows),
        ("metrics.jsonl", b"\xef\xbb\xbf" + ROW, "jsonl", Rows),
        ("metrics.jsonl", b"garbage\n" + ROW * 3, "jsonl", Rows),
        ("a.json", b'{"env_info": "' + b"x" * 9000 + b'"}\n' + ROW, "jsonl", Rows),
        ("layers.jsonl", b'{"names":["a"]}\n', "traintop/1", LayerNames),
        ("events.jsonl", b'{"step":1,"event":"note"}\n', "traintop/1", Event),
        ("structured.jsonl", b'{"step":1,"event":"note"}\n', "jsonl", Rows),
        ("run.json", b'{"seed": 1}', "traintop/1", RunInfo),
        ("train.jsonl", b"plain text\n", "text", LogLines),
        ("train.log", b"step 1\n", "text", LogLines),
        ("hf.log", b"{'loss': 0.2, 'epoch': 0.1}\n", "text", LogLines),
        ("log", b'{\n  "log_history": [{"step": 1, "loss": 2}]\n}\n', "json", Rows),
        ("metrics", b"step,loss\n1,2.0\n", "csv", Rows),
        ("latin1.log", "Größe der Stichprobe: 7 Stück\n".encode("latin-1"), "text", LogLines),
        ("utf16.log", "step 1\n".encode("utf-16"), "text", LogLines),
        ("nul.log", b"text\n" + b"\0" * 500, "text", LogLines),
    ],
)
def test_the_format_is_told_by_the_content(
    tmp_path: Path, name: str, data: bytes, format_: str, kind: type
) -> None:
    source = open_source(write(tmp_path / name, data))
    items = drain(source) + source.finish()
    assert items
    assert isinstance(items[0], kind)
    report = source.report()
    assert (report.format, report.error, report.path) == (format_, None, tmp_path / name)
    assert report.bytes_read == report.bytes_total == len(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PK\x03\x04abc", "zip archive"),
        (b"SQLite format 3\0", "SQLite"),
        (b"\x80\x02}q\0", "pickle"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b'\x40\0\0\0\0\0\0\0{"w":{}}', "safetensors"),
        (os.urandom(0) + bytes(range(256)) * 4, "binary"),
    ],
)
def test_binary_files_are_refused_by_name(tmp_path: Path, data: bytes, words: str) -> None:
    source = open_source(write(tmp_path / "train.log", data))
    assert drain(source) + source.finish() == []
    assert words in str(source.report().error)
    assert not source.pending


def test_an_empty_file_waits(tmp_path: Path) -> None:
    path = write(tmp_path / "m.jsonl", b"")
    source = open_source(path)
    assert drain(source) == []
    assert (source.report().format, source.report().error) == ("unknown", None)
    write(path, b'{"step": 1, "lo')
    assert drain(source) == []
    write(path, ROW * 2)
    assert [type(item) for item in drain(source)] == [Rows]


def test_a_file_that_is_not_there_waits(tmp_path: Path) -> None:
    source = open_source(tmp_path / "m.jsonl")
    assert drain(source) == []
    assert source.report().error == "No such file or directory"
    write(tmp_path / "m.jsonl", ROW * 2)
    assert [type(item) for item in drain(source)] == [Rows]
    assert source.report().error is None


def test_a_reset_comes_before_what_is_new(tmp_path: Path) -> None:
    path = write(tmp_path / "m.jsonl", ROW * 9)
    source = open_source(path)
    drain(source)
    write(path, ROW)
    reset, rows = drain(source)
    assert reset == Reset(path=path, tables=("m",))
    assert isinstance(rows, Rows)
    assert source.report().records == 1
    write(path, b"now it is text\n")
    assert [type(item) for item in drain(source)] == [Reset, LogLines]


def test_the_last_line_is_released_at_the_end(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "m.jsonl", ROW + ROW[:-1]))
    assert sum(len(item.step) for item in drain(source) if isinstance(item, Rows)) == 1
    assert sum(len(item.step) for item in source.finish() if isinstance(item, Rows)) == 1
    assert source.report().records == 2


@pytest.mark.parametrize(
    ("name", "table", "alone", "tables"),
    [
        ("m.jsonl", None, True, {"train", "val", "m"}),
        ("m.jsonl", "sub.m", False, {"sub.m/train", "sub.m/val", "sub.m"}),
        ("m.jsonl", "rank00001/m", True, {"rank00001/train", "rank00001/val", "rank00001/m"}),
        ("train_diagnostics.jsonl", "train_diagnostics", False, {"train"}),
        ("val_diagnostics.jsonl", None, True, {"val"}),
        ("train_diagnostics.jsonl", "rank00002/train_diagnostics", True, {"rank00002/train"}),
    ],
)
def test_tables(
    tmp_path: Path, name: str, table: str | None, alone: bool, tables: set[str]
) -> None:
    rows = [{"step": 1, "mode": mode, "loss": 1} for mode in ("train", "val", "other")]
    data = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    source = open_source(write(tmp_path / name, data), table, alone=alone)
    assert {item.table for item in drain(source) if isinstance(item, Rows)} == tables


def test_a_line_of_ten_megabytes(tmp_path: Path) -> None:
    long = b'{"step": 2, "note": "' + b"x" * 10_000_000 + b'", "loss": 3.0}\n'
    source = open_source(write(tmp_path / "m.jsonl", ROW + long + ROW))
    items = drain(source, 1 << 16)
    assert sum(len(item.step) for item in items if isinstance(item, Rows)) == 3
    assert source.report().skipped_total == 0


def test_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    source = open_source(path)
    arrived = threading.Event()
    source._inner._tail.on_data = arrived.set  # type: ignore[attr-defined]  # only a test looks inside
    with path.open("wb") as pipe:
        pipe.write(ROW + ROW + ROW[:-1])
    items: list[Item] = []
    while not source._inner._tail.ended:  # type: ignore[attr-defined]  # the same
        arrived.wait(10)
        arrived.clear()
    items = drain(source) + source.finish()
    assert sum(len(item.step) for item in items if isinstance(item, Rows)) == 3
    assert source.report().bytes_read == 3 * len(ROW) - 1
    source.close()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.randoms(use_true_random=False))
def test_whatever_is_written_nothing_raises(data: bytes, rng: random.Random) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.jsonl"
        source = open_source(path)
        while data:
            size = rng.randint(1, len(data))
            with path.open("ab") as file:
                file.write(data[:size])
            data = data[size:]
            drain(source, rng.randint(1, 50))
        source.finish()
        report = source.report()
        assert report.error is not None or report.bytes_read == report.bytes_total
        source.close()


def test_half_a_record_does_not_decide() -> None:
    path = Path("m.jsonl")
    assert format_of(path, ROW + b"{") == "jsonl"
    assert format_of(path, ROW + b"loss") == "jsonl"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/a/x", "ext4"),
        ("/data/run", "nfs4"),
        ("/data2/run", "ext4"),
        ("/my disk/x", "cifs"),
        ("/data/local/x", "xfs"),
        ("/", "ext4"),
        ("/sshfs", "fuse.sshfs"),
        ("/auto/x", "lustre"),
    ],
)
def test_the_file_system_of_a_path(path: str, kind: str) -> None:
    mounts = (
        "/dev/sda / ext4 rw 0 0\nserver:/x /data nfs4 rw 0 0\n//s/d /my\\040disk cifs rw 0 0\n"
        "/dev/sdb /data/local xfs rw 0 0\nu@h:/ /sshfs fuse.sshfs rw 0 0\nbroken\n"
        "auto /auto autofs rw 0 0\nx@tcp:/fs /auto lustre rw 0 0\n"
    )
    assert _file_system(Path(path), mounts) == kind


def test_needs_polling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    monkeypatch.setattr("traintop.sources.filesystem.MOUNTS", mounts)
    monkeypatch.setattr("sys.platform", "linux")
    assert not needs_polling(tmp_path)
    for kind, polled in {"ext4": False, "nfs": True, "fuse.sshfs": True, "overlay": True}.items():
        mounts.write_text(f"x / {kind} rw 0 0\n")
        assert needs_polling(tmp_path / "not" / "there") is polled
    monkeypatch.setattr("sys.platform", "darwin")
    assert not needs_polling(tmp_path)


def test_the_last_line_of_a_rotated_file_ends_with_it(tmp_path: Path) -> None:
    path = write(tmp_path / "train.log", b"1\n2\nto")
    source = open_source(path)
    assert lines(drain(source)) == ["1", "2"]
    path.rename(tmp_path / "train.log.1")
    with (tmp_path / "train.log.1").open("ab") as file:
        file.write(b"rn")
    write(path, b"4\n5")
    assert lines(drain(source)) == ["torn", "4"]
    assert lines(source.finish()) == ["5"]


def test_an_endless_line_is_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "train.log", b"z" * (65 << 20) + b"\nend\n")
    cut, end = lines(drain(open_source(path), 8 << 20))
    assert cut.endswith("line too long, the rest is left out]")
    assert len(cut) < 2000
    assert end == "end"


def lines(items: list[Item]) -> list[str]:
    return [line for item in items if isinstance(item, LogLines) for line in item.lines]
