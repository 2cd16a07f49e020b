from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traintop.sources import compressed
from traintop.sources.compressed import CompressedTail, unpacked
from traintop.sources.discovery import Discovery
from traintop.sources.registry import format_of, head_of, open_source
from traintop.sources.tail import FileTail, Tail

zstd = importlib.import_module("backports.zstd")

PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd.compress,
}
LINES = b"".join(b'{"step": %d, "loss": %.3f}\n' % (step, 2 / (step + 1)) for step in range(500))


def drain(tail: Tail, most: int = 1 << 20) -> bytes:
    data = tail.read(most).data
    while tail.pending:
        chunk = tail.read(most)
        assert len(chunk.data) <= most
        data += chunk.data
    return data


@pytest.mark.parametrize("suffix", PACK)
def test_the_content_is_what_was_packed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "any name"
    path.write_bytes(PACK[suffix](LINES) + PACK[suffix](b"second\n") + b"\0" * 600)
    for most in (1 << 20, 100):
        tail = unpacked(FileTail(path))
        assert drain(tail, most) == LINES + b"second\n"
        assert tail.error is None
        assert tail.bytes_read == tail.bytes_total
        assert tail.head == LINES[:4096]


def test_a_file_that_grows_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    tail = unpacked(FileTail(path))
    assert isinstance(tail, CompressedTail)
    assert tail.read(100).data == b""
    with gzip.open(path, "wb") as file:
        file.write(b"1\n")
        file.flush()
        assert drain(tail) == b"1\n"
        file.write(b"2\n")
        file.flush()
        assert drain(tail) == b"2\n"
    with gzip.open(path, "ab") as file:
        file.write(b"3\n")
    assert drain(tail) == b"3\n"
    path.write_bytes(gzip.compress(b"new\n"))
    chunk = tail.read(100)
    assert (chunk.reset, chunk.data) == (True, b"new\n")


@pytest.mark.parametrize("suffix", PACK)
def test_what_is_before_the_damage_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"log{suffix}"
    path.write_bytes(PACK[suffix](LINES) + b"damage" * 100)
    tail = unpacked(FileTail(path))
    assert drain(tail) == LINES
    assert "cannot be unpacked" in str(tail.error)


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_a_bomb_is_not_read_to_its_end(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "ALWAYS_ALLOWED", 1 << 20)
    path = tmp_path / f"log{suffix}"
    path.write_bytes(PACK[suffix](b"\n" * (64 << 20)))
    tail = unpacked(FileTail(path))
    read = 0
    while tail.pending:
        read += len(tail.read(1 << 18).data)
    assert read <= 40 << 20
    assert "expands more than 400 times" in str(tail.error)


def test_zstandard_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    path = tmp_path / "log.zst"
    path.write_bytes(zstd.compress(LINES))
    source = open_source(path)
    assert source.read(1000) == []
    assert not source.pending
    assert "pip install 'traintop[zstd]'" in str(source.report().error)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(PACK)), st.binary(max_size=200), st.integers(1, 100))
def test_any_bytes_behind_any_start(suffix: str, rest: bytes, most: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        path.write_bytes(PACK[suffix](LINES)[:100] + rest)
        tail = unpacked(FileTail(path))
        drain(tail, most)
        assert tail.error is not None or tail.bytes_read == tail.bytes_total


def test_a_compressed_log_is_found_in_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl.gz"
    path.write_bytes(gzip.compress(LINES))
    assert format_of(path, head_of(path)) == "jsonl"
    (file,) = Discovery(tmp_path).paths.files
    assert (file.path, file.table) == (path, "metrics")
    source = open_source(path, file.table)
    assert sum(len(getattr(item, "step", ())) for item in source.read(1 << 20)) == 500
