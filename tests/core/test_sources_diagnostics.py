from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traintop.records import Event, LayerNames, LayerStats, RunInfo
from traintop.sources.diagnostics import Events, RunInfoFile
from traintop.sources.layers import Layers

NAMES = {
    "names": ["a", "b"],
    "numel": [4, 2],
    "requires_grad": [True, False],
    "act_names": ["r"],
    "act_kinds": ["relu"],
}


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def test_layers() -> None:
    layers = Layers()
    record = {
        "step": 10,
        "epoch": 1,
        "train_mode": True,
        "grad_norm": [0.5, None],
        "grad_nan": ["NaN", "Infinity"],
        "act_dead_frac": [0.25],
    }
    names, stats = layers.feed(lines(NAMES, record))
    assert names == LayerNames(
        names=("a", "b"),
        numel=(4, 2),
        requires_grad=(True, False),
        act_names=("r",),
        act_kinds=("relu",),
    )
    assert isinstance(stats, LayerStats)
    assert (stats.step, stats.epoch, stats.train_mode) == (10, 1.0, True)
    assert {name: array.tolist() for name, array in stats.stats.items()}["act_dead_frac"] == [0.25]
    np.testing.assert_array_equal(stats.stats["grad_norm"], [0.5, np.nan])
    np.testing.assert_array_equal(stats.stats["grad_nan"], [np.nan, np.inf])
    assert all(array.dtype == np.float64 for array in stats.stats.values())
    assert layers.tally.records == 1


def test_layers_with_bare_nan() -> None:
    layers = Layers()
    layers.feed(lines(NAMES))
    (stats,) = layers.feed(b'{"step": 3, "grad_norm": [NaN, -Infinity]}\n')
    assert isinstance(stats, LayerStats)
    np.testing.assert_array_equal(stats.stats["grad_norm"], [np.nan, -np.inf])
    assert stats.train_mode is None


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"step": 1, "grad_norm": [1, 2, 3]}, "grad_norm has 3 values for 2 layers"),
        ({"step": 1, "act_mean": [1, 2]}, "act_mean has 2 values for 1 layers"),
        ({"grad_norm": [1, 2]}, "no step"),
        ({"step": "x"}, "no step"),
        ({"step": 1, "grad_norm": [1, "abc"]}, "grad_norm holds something that is no number"),
        ({"step": 1, "grad_norm": [1, [2]]}, "grad_norm holds something that is no number"),
        ({"names": 3}, "layer names: Expected `array`"),
        ([1], "not an object"),
    ],
)
def test_layer_lines_that_cannot_be_read(record: object, why: str) -> None:
    layers = Layers()
    layers.feed(lines(NAMES))
    good = {"step": 2, "grad_norm": [1, 2]}
    assert len(layers.feed(lines(record, good))) == 1
    assert [(skip.line, skip.why[: len(why)]) for skip in layers.tally.skipped] == [(2, why)]


def test_statistics_before_their_names() -> None:
    layers = Layers()
    assert layers.feed(lines({"step": 1, "grad_norm": [1]})) == []
    assert layers.tally.skipped_total == 1


def test_events() -> None:
    events = Events()
    found = events.feed(
        lines(
            {"step": 5, "time": 1.7e9, "event": "checkpoint", "path": "a.pt"},
            {"event": "note"},
            {"step": 1},
        )
        + b"broken\n"
    )
    assert found == [
        Event(event="checkpoint", step=5, time=1.7e9, fields={"path": "a.pt"}),
        Event(event="note"),
    ]
    assert [skip.line for skip in events.tally.skipped] == [3, 4]


def test_run_info_is_read_again_when_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    source = RunInfoFile(path)
    assert source.read(100) == []
    assert source.report().error == "No such file or directory"
    path.write_text(
        '{"format": "traintop/1", "batch_size": 32, "grad_clip": null, "seed": "x", "lr": NaN}'
    )
    assert source.read(100) == [RunInfo(batch_size=32)]
    assert source.read(100) == []
    path.write_text('{"batch_si')
    assert source.read(100) == []
    assert source.report().error is not None
    assert "not a run description" in str(source.report().error)
    new = tmp_path / "new"
    new.write_text('{"batch_size": 64, "started": 1.5}')
    new.replace(path)
    assert source.read(100) == [RunInfo(batch_size=64, started=1.5)]
    report = source.report()
    assert (report.error, report.records, report.format) == (None, 1, "traintop/1")
    assert report.bytes_read == report.bytes_total == 34
    assert not source.pending
    assert source.finish() == []


def test_a_huge_run_info_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(b" " * (2 << 20))
    source = RunInfoFile(path)
    assert source.read(100) == []
    assert "larger than" in str(source.report().error)


@given(st.binary(max_size=100), st.recursive(st.none() | st.floats() | st.text(), st.lists))
def test_nothing_raises(data: bytes, value: Any) -> None:
    names = lines(NAMES)
    odd = lines(
        {"step": value}, {"step": 1, "grad_norm": value}, {"names": value}, {"event": value}
    )
    for decoder in (Layers(), Events()):
        decoder.feed(names + data + b"\n" + odd)
        decoder.finish()


def test_steps_that_are_not_finite() -> None:
    events = Events()
    (event,) = events.feed(b'{"event": "note", "step": NaN, "time": "Infinity"}\n')
    assert isinstance(event, Event)
    assert (event.step, event.time) == (None, None)
