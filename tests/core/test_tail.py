from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traintop.sources.tail import Chunk, FileTail


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def drain(tail: FileTail, max_bytes: int = 1 << 20) -> tuple[bytes, bool]:
    """All that is there, and whether something before it is to be forgotten."""
    data, reset = b"", False
    while True:
        chunk = tail.read(max_bytes)
        if chunk.reset:
            data, reset = b"", True
        data += chunk.data
        if not tail.pending:
            return data, reset


def test_a_file_that_comes_later(log: Path) -> None:
    tail = FileTail(log)
    assert tail.read(100) == Chunk(b"")
    assert tail.error == "No such file or directory"
    assert not tail.pending
    append(log, b"1\n2")
    assert tail.read(100) == Chunk(b"1\n2")
    assert not tail.error
    assert tail.head == b"1\n2"


def test_growth(log: Path) -> None:
    log.write_bytes(b"one\ntw")
    tail = FileTail(log)
    assert tail.pending
    assert (tail.bytes_read, tail.bytes_total) == (0, 6)
    assert tail.read(100) == Chunk(b"one\ntw")
    assert tail.read(100) == Chunk(b"")
    append(log, b"o\nthree")
    assert tail.read(100) == Chunk(b"o\nthree")
    assert (tail.bytes_read, tail.bytes_total) == (13, 13)


def test_reading_keeps_to_the_budget(log: Path) -> None:
    log.write_bytes(b"1234\n" * 10)
    tail = FileTail(log)
    assert tail.read(12) == Chunk(b"1234\n1234\n12")
    assert (tail.bytes_read, tail.bytes_total, tail.pending) == (12, 50, True)
    assert drain(tail, 7) == (b"34\n" + b"1234\n" * 7, False)


@pytest.mark.parametrize("new", [b"", b"n\n", b"new\nlines\n"])
def test_truncation(log: Path, new: bytes) -> None:
    log.write_bytes(b"old\nlines\ntorn")
    tail = FileTail(log)
    drain(tail)
    log.write_bytes(new)
    assert drain(tail) == (new, True)
    append(log, b"more\n")
    assert drain(tail) == (b"more\n", False)


def test_rewritten_in_place_and_longer(log: Path) -> None:
    log.write_bytes(b"step,loss\n1,2\n")
    tail = FileTail(log)
    drain(tail)
    with log.open("r+b") as file:
        file.write(b"step,loss,acc\n1,2,\n2,1,0.5\n")
    assert drain(tail) == (b"step,loss,acc\n1,2,\n2,1,0.5\n", True)


def test_rewritten_with_the_same_start(log: Path) -> None:
    head = b"x" * 5000 + b"\n"
    log.write_bytes(head + b"1\n")
    tail = FileTail(log)
    drain(tail)
    with log.open("r+b") as file:
        file.write(head + b"2\n3\n")
    assert drain(tail) == (head + b"2\n3\n", True)


def test_replaced_by_rename(log: Path, tmp_path: Path) -> None:
    log.write_bytes(b"old\n")
    tail = FileTail(log)
    drain(tail)
    new = tmp_path / "new"
    new.write_bytes(b"old\nand new\n")
    new.replace(log)
    assert drain(tail) == (b"old\nand new\n", True)


def test_rotation_reads_the_old_file_to_its_end(log: Path, tmp_path: Path) -> None:
    log.write_bytes(b"1\n2\n")
    tail = FileTail(log)
    assert tail.read(2) == Chunk(b"1\n")
    log.rename(tmp_path / "log.1")
    assert tail.read(1) == Chunk(b"2")  # nothing has the name, but the open file goes on
    append(tmp_path / "log.1", b"3\ntorn")
    log.write_bytes(b"4\n5\n")
    assert tail.read(100) == Chunk(b"\n3\ntorn")
    assert tail.read(100) == Chunk(b"4\n5\n", seam=True)
    assert tail.bytes_read == tail.bytes_total == 14
    append(log, b"6\n")
    assert drain(tail) == (b"6\n", False)


def test_rotated_twice(log: Path, tmp_path: Path) -> None:
    log.write_bytes(b"1\n")
    tail = FileTail(log)
    drain(tail)
    for number in range(2, 5):
        log.rename(tmp_path / f"log.{number}")
        append(log, b"%d\n" % number)
        assert drain(tail) == (b"%d\n" % number, False)


def test_deletion_and_return(log: Path) -> None:
    log.write_bytes(b"1\n")
    tail = FileTail(log)
    drain(tail)
    log.unlink()
    assert tail.read(10) == Chunk(b"")
    assert tail.error is not None
    log.write_bytes(b"2\n")
    assert drain(tail) == (b"2\n", True)
    assert tail.error is None


def test_deletion_before_all_was_read(log: Path) -> None:
    log.write_bytes(b"1\n2\n3\n")
    tail = FileTail(log)
    tail.read(2)
    log.unlink()
    assert tail.read(100) == Chunk(b"2\n3\n")  # the open file still has it


def test_closed_and_read_on(log: Path) -> None:
    log.write_bytes(b"1\n")
    tail = FileTail(log)
    drain(tail)
    tail.close()
    append(log, b"2\n")
    assert drain(tail) == (b"2\n", False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_denied_and_granted(log: Path) -> None:
    log.write_bytes(b"1\n")
    log.chmod(0)
    tail = FileTail(log)
    assert tail.read(10) == Chunk(b"")
    assert tail.error == "Permission denied"
    assert not tail.pending
    log.chmod(0o600)
    assert drain(tail) == (b"1\n", False)


def test_an_error_is_reported_and_retried(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write_bytes(b"1\n2\n")
    tail = FileTail(log)
    assert tail.read(2) == Chunk(b"1\n")
    with monkeypatch.context() as patch:

        def fails(*_: object) -> bytes:
            raise OSError(116, "Stale file handle")

        patch.setattr(os, "pread", fails)
        append(log, b"3\n")
        assert tail.read(10) == Chunk(b"")
        assert tail.error == "Stale file handle"
    assert drain(tail) == (b"2\n3\n", False)


def test_a_folder_is_an_error(tmp_path: Path) -> None:
    tail = FileTail(tmp_path)
    assert tail.read(10) == Chunk(b"")
    assert tail.error == "is a directory"


ACTIONS = st.lists(
    st.sampled_from(["append", "torn", "rotate", "replace", "truncate", "delete", "read", "bit"]),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(ACTIONS, st.randoms(use_true_random=False))
def test_whatever_happens_what_was_read_is_what_is_there(
    actions: list[str], rng: random.Random
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follow(Path(folder), actions, rng)


def follow(folder: Path, actions: list[str], rng: random.Random) -> None:
    """Do things to a file; what was read must be the rotated files and the present one."""
    log = folder / "log"
    tail = FileTail(log)
    held = b""
    rotated = b""
    for number, action in enumerate(actions):
        line = b"%d " % number + rng.randbytes(3).hex().encode() + b"\n"
        match action:
            case "append":
                append(log, line)
            case "torn":
                append(log, line[:-1])
            case "rotate" if log.exists() and log.stat().st_size:
                rotated += log.read_bytes()
                log.rename(folder / f"log.{number}")
                log.write_bytes(line)
            case "replace":
                (folder / "new").write_bytes(line)
                (folder / "new").replace(log)
                rotated = b""
            case "truncate" if log.exists() and log.stat().st_size:
                log.write_bytes(b"")
                rotated = b""
            case "delete" if log.exists() and log.stat().st_size:
                log.unlink()
                log.write_bytes(line)
                rotated = b""
            case _:
                pass
        if action == "bit":
            chunk = tail.read(2)
            held = (b"" if chunk.reset else held) + chunk.data
            chunk_end, reset = drain(tail, 3)
        else:
            chunk_end, reset = drain(tail, 5)
        held = chunk_end if reset else held + chunk_end
    there = log.read_bytes() if log.exists() else b""
    assert held == rotated + there
    tail.close()
