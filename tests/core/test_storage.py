"""Long columns lie in a file; where that is not possible they stay in memory, and it is said."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from traintop.cache import storage_for
from traintop.records import Column, Rows
from traintop.session import Session
from traintop.settings import Settings, SettingsError, load_settings
from traintop.store import Storage, Store
from traintop.store.growing import Growing

LONG = np.arange(100_000.0)


def filled(storage):
    column = Growing(storage=storage)
    for first in range(0, len(LONG), 3000):
        column.append(LONG[first : first + 3000])
    column.prepend(-LONG)
    return column


def is_whole(column):
    return bool((column.view() == np.concatenate([-LONG, LONG])).all())


def test_a_long_column_takes_no_memory_of_ours(tmp_path):
    storage = Storage(tmp_path, in_memory=0)
    column = filled(storage)
    assert is_whole(column)
    assert not column.view().flags.writeable
    assert list(tmp_path.iterdir()) == [], "the file has no name"
    storage.trim()
    assert is_whole(column)
    column.truncate(50_000)
    column.append([7.0])
    assert column.view()[-2:].tolist() == [49_999, 7]


def test_short_columns_stay_in_memory(tmp_path):
    column = filled(Storage(tmp_path / "cache"))
    assert is_whole(column)
    assert not (tmp_path / "cache").exists()


def test_without_a_folder_to_write_to_columns_stay_in_memory(tmp_path):
    (tmp_path / "file").write_text("")
    storage = Storage(tmp_path / "file" / "folder", in_memory=0)
    assert is_whole(filled(storage))
    assert storage.problem is not None
    assert "kept in memory" in storage.problem


@pytest.mark.parametrize("after", [0, 1, 7, 40])
def test_a_full_disk_loses_nothing(tmp_path, monkeypatch, after):
    """Wherever it happens, also while a column is copied to a larger place."""
    writes = 0

    def write(fd, data, offset):
        nonlocal writes
        writes += 1
        if writes > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.pwritev(fd, [data[:40_000]], offset)  # Writes may be short, too.

    monkeypatch.setattr("traintop.store.storage.os.pwrite", write)
    storage = Storage(tmp_path, in_memory=0)
    assert is_whole(filled(storage))
    assert storage.problem is not None
    assert "No space left" in storage.problem


def test_what_is_nan_throughout_takes_no_room(tmp_path):
    column = Growing(storage=Storage(tmp_path / "never made", in_memory=0), blank=True)
    column.append(np.full(1_000_000, np.nan))
    column.prepend(np.full(10, np.nan))
    assert column.blank
    assert len(column) == 1_000_010
    assert np.isnan(column.view()[[0, -1]]).all()
    column.append([1.0])
    assert not column.blank
    assert np.isnan(column.view()[:-1]).all()
    assert column.bounds == (-10, 1_000_001)


def test_a_reader_sees_no_torn_column(tmp_path):
    """Its view is of one moment, whatever is added at either end meanwhile."""
    storage = Storage(tmp_path, in_memory=0)
    store = Store(storage)

    def piece(first, last):
        steps = np.arange(first, last, dtype=float)
        blank = np.full(len(steps), np.nan)
        columns = {"loss": Column(values=steps)}
        return Rows(table="train", step=steps, epoch=blank, time=blank, columns=columns)

    store.add(piece(50_000, 50_010))
    table = store.runs[0].tables["train"]
    series = table.series["loss"]
    rows, values = table.row_edges(np.array([50_000.0, 50_010])), series.values()
    for at in range(1, 50):
        assert store.prepend(piece(50_000 - 1000 * at, 50_000 - 1000 * (at - 1)))
        store.add(piece(50_000 + 10 * at, 50_010 + 10 * at))
        assert series.reduce(rows).lo.tolist() == [50_000]
        assert series.reduce(rows).hi.tolist() == [50_009]
    assert values.tolist() == list(range(50_000, 50_010))


def test_settings_say_where(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setattr("traintop.cache.needs_polling", lambda path: "caches" in str(path))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "local"))
    for given, expected in (
        (Settings(cache=False), None),
        (Settings(cache_folder=str(tmp_path / "own")), tmp_path / "own"),
        (Settings(), tmp_path / "local"),
    ):
        assert storage_for(given).folder == expected
    (tmp_path / "traintop.toml").write_text('cache_folder = "/"')
    with pytest.raises(SettingsError, match="cache_folder"):
        load_settings(tmp_path)


def test_a_session_says_that_series_stay_in_memory(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n')
    session = Session(path, Settings(cache_folder=str(tmp_path / "log.jsonl" / "x")), judge=False)
    session.pump(1.0)
    session.store.storage.give_up(OSError(errno.EROFS, os.strerror(errno.EROFS)))
    assert any("Read-only" in problem for problem in session.problems())
