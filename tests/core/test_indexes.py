"""Large files open by an index the next time; whatever happens to it, what is shown is the file."""

from __future__ import annotations

import itertools
import json
import os
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from traintop import indexes, run_index
from traintop.run_index import prune, write_index
from traintop.session import Session
from traintop.settings import Settings

SMALL = 20_000


@pytest.fixture(params=["local", "network"])
def cache(request, tmp_path, monkeypatch):
    """A cache folder; files of some kilobytes are large."""
    monkeypatch.setattr(indexes, "needs_polling", lambda _: request.param == "network")
    monkeypatch.setattr(indexes, "LEAST", 1000)
    monkeypatch.setattr("traintop.sources.source.SHORT", SMALL)
    return tmp_path / "cache"


def lines(first, last):
    return "".join(
        json.dumps({"step": step, "loss": step**0.5, "lr": 0.1, **_sparse(step)}) + "\n"
        for step in range(first, last)
    )


def _sparse(step):
    return {"val/loss": step * 2.0} if step % 50 == 49 else {}


def opened(path, cache, **kwargs):
    return Session(path, Settings(cache_folder=str(cache)), judge=False, **kwargs)


def only_index(cache):
    [file] = (cache / "indexes").iterdir()
    return file


def drained(session):
    for tick in itertools.count():
        if not session.pump(1000.0 + tick).more:
            session.pump(1001.0 + tick)  # What is not for the screen comes behind it.
            session.indexes.wait()
            return session
    raise AssertionError


def read(path, cache):
    return drained(opened(path, cache))


def _extremes(reduced):
    return reduced.lo.tolist(), reduced.hi.tolist(), reduced.nonfinite.tolist()


def content(session):
    """All that a session shows of its run."""
    run = session.run()
    if run is None:
        return None
    tables = {
        name: (
            table.step.tolist(),
            {
                label: (
                    table.points(label)[0].tolist(),
                    series.values().tolist(),
                    series.summary(),
                    _extremes(series.reduce(table.row_edges(np.array([0, 1e9])))),
                )
                for label, series in table.series.items()
            },
        )
        for name, table in run.tables.items()
    }
    layers = run.layers
    stats = {} if layers is None else {s: layers.matrix(s).tolist() for s in layers.stats}
    return tables, stats, session.store.records


def test_a_large_file_is_shown_before_it_is_read(tmp_path, cache):
    path = tmp_path / "log.jsonl"
    path.write_text(lines(0, 3000))
    first = read(path, cache)
    again = opened(path, cache)
    table = again.run().tables["log"]
    assert len(table) == 3000, "shown before the first pump"
    drained(again)
    assert content(again) == content(first)
    assert [r.records for r in again.reports()] == [3000]
    index = only_index(cache)
    assert index.stat().st_mode & 0o777 == 0o600
    assert index.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("more", [1, 700, 20_000])
def test_what_was_appended_is_read_on(tmp_path, cache, more):
    path = tmp_path / "log.jsonl"
    whole = lines(0, 3000)
    path.write_text(whole + '{"step": 3000, "lo')  # A line that was being written.
    read(path, cache)
    with path.open("a") as file:
        file.write('ss": 1}\n' + lines(3001, 3000 + more))
    again = opened(path, cache)
    assert len(again.run().tables["log"]) == 3000
    drained(again)
    assert content(again) == content(read(path, tmp_path / "nothing"))
    with path.open("a") as file:
        file.write(lines(30_000, 30_100))
    assert content(drained(again)) == content(read(path, tmp_path / "nothing 2"))


def test_an_index_is_of_what_the_file_was_opened_as(tmp_path, cache):
    """Alone its table is called as its records say; beside another one it has the file's name."""
    run = tmp_path / "run"
    run.mkdir()
    for name in ("train.jsonl", "other.jsonl"):
        text = lines(0, 3000).replace('"step"', '"split": "train", "step"')
        (run / name).write_text(text)
    inside, alone = read(run, cache), read(run / "train.jsonl", cache)
    assert content(opened(run, cache)) == content(inside)
    assert content(opened(run / "train.jsonl", cache)) == content(alone)
    assert set(inside.run().tables) == {"train", "train/train"}
    assert set(alone.run().tables) == {"train"}


def test_layers_open_by_their_index(tmp_path, cache):
    run = tmp_path / "run"
    run.mkdir()
    names = {"names": ["a", "b"], "act_names": ["relu"]}
    records = [
        {"step": step, "train_mode": True, "grad_norm": [step, "NaN"], "act_dead_frac": [0.5]}
        for step in range(2000)
    ]
    text = "".join(json.dumps(record) + "\n" for record in [names, *records])
    (run / "layers.jsonl").write_text(text)
    (run / "train_diagnostics.jsonl").write_text(lines(0, 2000))
    first = read(run, cache)
    again = opened(run, cache)
    assert len(again.run().layers) == 2000
    with (run / "layers.jsonl").open("a") as file:
        file.write(json.dumps({"step": 2000, "grad_norm": [7, 8]}) + "\n")
    drained(again)
    assert again.run().layers.record(2000).stats["grad_norm"].tolist() == [7, 8]
    assert again.run().layers.record(7).train_mode is True
    assert len(first.run().layers) == 2000


@pytest.mark.parametrize("change", ["replaced", "rewritten", "shorter", "touched", "gone"])
def test_an_index_of_another_file_is_deleted(tmp_path, cache, change):
    path = tmp_path / "log.jsonl"
    path.write_text(lines(0, 3000))
    read(path, cache)
    index = only_index(cache)
    before = index.read_bytes()
    text = path.read_text()
    if change == "replaced":
        (tmp_path / "new").write_text(lines(5, 3000))
        (tmp_path / "new").replace(path)
    elif change == "rewritten":
        path.write_text(text.replace('"step": 1500, "loss"', '"step": 1500, "lose"'))
        os.utime(path, ns=(1, 1))
    elif change == "shorter":
        path.write_text(text[: len(text) // 2 - 20])
    elif change == "touched":
        os.utime(path, ns=(1, 1))
    else:
        path.unlink()
        path.write_text(lines(100, 2500))
    again = opened(path, cache)
    assert again.run() is None
    assert content(drained(again)) == content(read(path, tmp_path / "nothing"))
    assert index.read_bytes() != before


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["flip", "truncate", "zeros", "version"]))
def test_damage_is_harmless(tmp_path, cache, seed, kind):
    chance = random.Random(seed)  # noqa: S311 - damage is no secret
    path = tmp_path / "log.jsonl"
    if not path.exists():
        path.write_text(lines(0, 1500))
    whole = content(read(path, cache))
    index = only_index(cache)
    data = bytearray(index.read_bytes())
    at = chance.randrange(len(data))
    if kind == "flip":
        # Half of them where the description and the header are.
        at = chance.choice([at, chance.randrange(40), len(data) - chance.randrange(1, 2000)])
        data[at] ^= 1 << chance.randrange(8)
    elif kind == "truncate":
        del data[at:]
    elif kind == "zeros":
        data[at : at + 4096] = bytes(len(data[at : at + 4096]))
    else:
        data[16] += 1
    index.unlink()  # Who has it open keeps it.
    index.write_bytes(data)
    assert content(read(path, cache)) == whole


@pytest.mark.parametrize(("more", "kept"), [((3000, 9000), True), ((2500, 2700), False)])
def test_a_run_may_go_on_while_its_index_is_written(tmp_path, cache, more, kept):
    """What comes meanwhile is read on the next time; what was overwritten is not kept."""
    path = tmp_path / "log.jsonl"
    path.write_text(lines(0, 3000))
    session = opened(path, cache)
    session.indexes.writing = False
    drained(session)
    mark = session._sources[0].mark()
    streams = session.store.streams(mark.tables)
    with path.open("a") as file:
        file.write(lines(*more))
    drained(session)
    file = session.indexes.file_of(path)
    assert write_index(file, path, mark, streams, 1 << 30) == kept
    again = opened(path, cache)
    assert (again.run() is not None and len(again.run().tables["log"]) == 3000) == kept
    assert content(drained(again)) == content(read(path, tmp_path / "nothing"))


def test_an_index_of_another_version_is_written_anew(tmp_path, cache, monkeypatch):
    path = tmp_path / "log.jsonl"
    path.write_text(lines(0, 3000))
    read(path, cache)
    monkeypatch.setattr(run_index, "__version__", "99.0")
    assert opened(path, cache).run() is None
    read(path, cache)
    assert opened(path, cache).run() is not None


def test_an_index_is_written_where_files_need_a_name_from_the_start(tmp_path, cache, monkeypatch):
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    path = tmp_path / "log.jsonl"
    path.write_text(lines(0, 3000))
    read(path, cache)
    assert only_index(cache).stat().st_mode & 0o777 == 0o600
    assert opened(path, cache).run() is not None


def test_nothing_is_kept_where_that_is_switched_off_or_impossible(tmp_path, cache):
    path = tmp_path / "log.jsonl"
    path.write_text(lines(0, 3000))
    cache.write_text("a file where the folder should be")
    assert len(read(path, cache).run().tables["log"]) == 3000
    off = Settings(cache=False, cache_folder=str(tmp_path / "off"))
    drained(Session(path, off, judge=False))
    assert not (tmp_path / "off").exists()


def test_the_indexes_used_last_stay(tmp_path):
    folder = tmp_path / "indexes"
    folder.mkdir()
    for age in range(5):
        file = folder / f"{age}{run_index.SUFFIX}"
        file.write_bytes(b"x" * 4096)
        os.utime(file, (1e9 - age, 1e9 - age))
    (folder / f"old{run_index.UNFINISHED}").write_bytes(b"")
    os.utime(folder / f"old{run_index.UNFINISHED}", (1, 1))
    prune(folder, 2 * 4096)
    assert sorted(file.stem for file in folder.iterdir()) == ["0", "1"]
