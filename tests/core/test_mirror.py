"""Remote logs, with fsspec's file system in memory standing in for a remote one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from traintop.errors import PathError
from traintop.opening import open_paths, open_run, read_whole
from traintop.settings import Settings
from traintop.sources import mirror
from traintop.sources.mirror import Mirror
from traintop.sources.remote_path import is_remote

ROW = b'{"step": %d, "loss": 1.5}\n'


@pytest.fixture
def store() -> fsspec.AbstractFileSystem:
    store = fsspec.filesystem("memory")
    store.store.clear()
    return store


@pytest.mark.parametrize(
    ("path", "remote"),
    [
        ("s3://b/run", True),
        ("ssh://host/run", True),
        ("runs/a", False),
        ("a:/b", False),
        ("-", False),
    ],
)
def test_what_is_remote(path: str, remote: bool) -> None:
    assert is_remote(path) is remote


def test_a_folder_is_copied_and_kept_up_to_date(
    tmp_path: Path, store: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.pipe("/runs/a/metrics.jsonl", ROW % 0 + ROW % 1)
    store.pipe("/runs/a/sub/val.jsonl", ROW % 1)
    store.pipe("/runs/a/model.safetensors", b"heavy")
    copy = Mirror("memory://runs/a/", tmp_path)
    assert copy.sync()
    assert not copy.sync()
    files = sorted(file.name for file in copy.local.rglob("*") if file.is_file())
    assert files == ["metrics.jsonl", "val.jsonl"]
    assert copy.local.name == "a"

    fetched: list[int | None] = []
    cat = store.cat_file

    def counted(path: str, start: int | None = None, end: int | None = None) -> bytes:
        fetched.append(start)
        data: bytes = cat(path, start=start, end=end)
        return data

    monkeypatch.setattr(type(store), "cat_file", lambda _, *args, **more: counted(*args, **more))
    store.pipe("/runs/a/metrics.jsonl", b"".join(ROW % step for step in range(9)))
    assert copy.sync()
    assert min(start or 0 for start in fetched if start is not None) >= 2 * len(ROW % 0) - 64
    assert (copy.local / "metrics.jsonl").read_bytes() == store.cat("/runs/a/metrics.jsonl")

    store.pipe("/runs/a/metrics.jsonl", b"".join(ROW % step for step in range(100, 120)))
    assert copy.sync()
    assert (copy.local / "metrics.jsonl").read_bytes() == store.cat("/runs/a/metrics.jsonl")
    store.pipe("/runs/a/metrics.jsonl", ROW % 7)
    assert copy.sync()
    assert (copy.local / "metrics.jsonl").read_bytes() == ROW % 7


def test_a_copy_is_continued_by_another_session(
    tmp_path: Path, store: fsspec.AbstractFileSystem
) -> None:
    store.pipe("/log.jsonl", ROW % 0)
    assert Mirror("memory://log.jsonl", tmp_path).sync()
    store.pipe("/log.jsonl", ROW % 0 + ROW % 1)
    copy = Mirror("memory://log.jsonl", tmp_path)
    assert copy.sync()
    run = open_run(copy.local).run()
    assert run is not None
    assert run.last_step == 1


def test_what_is_not_there(tmp_path: Path, store: fsspec.AbstractFileSystem) -> None:
    with pytest.raises(PathError, match="no such file or folder"):
        Mirror("memory://nothing", tmp_path)
    with pytest.raises(PathError, match="nosuchprotocol"):
        Mirror("nosuchprotocol://x", tmp_path)
    store.pipe("/a.jsonl", ROW % 0)
    copy = Mirror("memory://a.jsonl", tmp_path)
    copy.sync()
    store.rm("/a.jsonl")
    with pytest.raises(PathError, match=r"memory://a\.jsonl: cannot be read at the moment"):
        copy.sync()
    assert copy.local.read_bytes() == ROW % 0


def test_without_fsspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(PathError, match=r"pip install 'traintop\[remote\]'"):
        Mirror("memory://x", tmp_path)


def test_a_session_is_named_after_the_place(
    tmp_path: Path, store: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    store.pipe("/runs/a/metrics.jsonl", ROW % 0 + ROW % 1)
    whole = read_whole("memory://runs/a", Settings())
    assert whole.name == "memory://runs/a"
    assert whole.store.records == 2
    (opened,) = open_paths(["memory://runs/a"], Settings())
    assert opened.name == "memory://runs/a"
    assert opened.mirror is not None
    opened.mirror.error = "cannot be read at the moment: gone"
    assert opened.problems() == ["memory://runs/a: cannot be read at the moment: gone"]
    opened.mirror.close()


def test_following_goes_on_after_a_failure(
    tmp_path: Path, store: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "PERIOD", 0.01)
    store.pipe("/log.jsonl", ROW % 0)
    copy = Mirror("memory://log.jsonl", tmp_path)
    copy.sync()
    store.rm("/log.jsonl")
    copy.follow()
    _wait(lambda: copy.error is not None)
    store.pipe("/log.jsonl", ROW % 0 + ROW % 1)
    _wait(lambda: copy.local.stat().st_size == 2 * len(ROW % 0))
    copy.close()
    assert copy.error is None


def _wait(holds: Callable[[], bool]) -> None:
    for _ in range(1000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come about")
