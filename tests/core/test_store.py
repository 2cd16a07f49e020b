"""Series, tables, runs: what is taken in comes out, reduced without losing an extreme."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traintop.records import Column, Event, LayerNames, LayerStats, LogLines, Rows
from traintop.store import AxisMap, LayerTable, LogStore, Series, Store, Table
from traintop.store.splitter import Splitter

VALUES = st.floats(allow_nan=True, allow_infinity=True, width=32)


def rows(steps, table="train", epoch=None, time=None, **columns):
    count = len(steps)
    blank = np.full(count, np.nan)
    return Rows(
        table=table,
        step=np.array(steps, dtype=np.float64),
        epoch=blank if epoch is None else np.array(epoch, dtype=np.float64),
        time=blank if time is None else np.array(time, dtype=np.float64),
        columns={
            name: value
            if isinstance(value, Column)
            else Column(values=np.array(value, dtype=np.float64))
            for name, value in columns.items()
        },
    )


def slow_reduce(values, bounds):
    """Reduce by looking at each column by itself."""
    result = []
    for first, last in itertools.pairwise(bounds):
        part = [value for value in values[first:last] if math.isfinite(value)]
        result.append(
            (
                min(part, default=math.nan),
                max(part, default=math.nan),
                (last - first) - len(part),
            )
        )
    return result


@given(st.lists(VALUES, max_size=300), st.integers(1, 40), st.integers(1, 60))
def test_series_reduces_as_the_obvious_way_does(values, columns, burst):
    series = Series("loss", 0)
    for first in range(0, len(values), burst):
        part = np.array(values[first : first + burst])
        series.append(Column(values=part), first, len(part))
    edges = np.linspace(0, len(values), columns + 1).astype(np.int64)

    lo, hi, _, nonfinite = series.reduce(edges)

    expected = slow_reduce(values, edges.tolist())
    np.testing.assert_array_equal(lo, [each[0] for each in expected])
    np.testing.assert_array_equal(hi, [each[1] for each in expected])
    assert nonfinite.tolist() == [each[2] for each in expected]


@pytest.mark.parametrize("sparse", [False, True])
def test_tokens_are_an_axis_where_a_series_counts_them(sparse):
    store = Store()
    counted = np.array([0.0, 100, 300, 300, 500])
    seen = Column(values=counted[::2], rows=np.array([0, 2, 4])) if sparse else counted
    store.add(rows([0, 10, 20, 30, 40], seen=seen, loss=[1.0] * 5))
    table = store.run(0).tables["train"]
    axis = AxisMap(table, "tokens", tokens="seen")
    assert axis.available
    assert [axis.position(step) for step in (0, 20, 40)] == [0, 300, 500]
    assert axis.steps(np.array([0.0, 300, 500])).tolist() == [0, 20, 40]
    assert axis.steps(np.array([501.0]))[0] > 40
    # What is the same in each batch, or falls, is no axis; nor is what is not there.
    assert not AxisMap(table, "tokens", tokens="loss").available
    assert not AxisMap(table, "tokens").available


def test_long_series_keeps_every_spike_and_its_mean():
    random = np.random.default_rng(0)
    values = random.normal(size=300_000)
    spikes = random.integers(0, len(values), 100)
    values[spikes] += 1000
    series = Series("grad_norm", 0)
    for first in range(0, len(values), 777):
        part = values[first : first + 777]
        series.append(Column(values=part), first, len(part))

    edges = np.linspace(0, len(values), 201).astype(np.int64)
    reduced = series.reduce(edges)

    assert np.nanmax(reduced.hi) == values.max()
    assert np.nanmin(reduced.lo) == values.min()
    # A column's border is exact to a quarter of a column, so a spike may stand one column off.
    drawn = np.flatnonzero(reduced.hi > 500)
    for spike in spikes:
        assert np.abs(drawn - np.searchsorted(edges, spike, side="right") + 1).min() <= 1
    assert np.average(reduced.mean) == pytest.approx(values.mean(), abs=1e-2)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60, unique=True), st.integers(1, 7))
def test_sparse_series_gives_each_value_its_row(present, burst):
    present = sorted(present)
    table = Table("metrics")
    for first in range(0, 31, burst):
        steps = list(range(first, min(first + burst, 31)))
        here = [step - first for step in present if step in steps]
        column = Column(values=np.array(here, dtype=float) + first, rows=np.array(here, np.int64))
        table.append(rows(steps, lr=[0.1] * len(steps), **({"val_loss": column} if here else {})))

    series = table.series["val_loss"]
    assert [series.row_of(index) for index in range(len(series))] == present
    assert series.values().tolist() == [float(step) for step in present]
    for step in range(31):
        before = [each for each in present if each <= step]
        expected = (float(before[-1]), float(before[-1])) if before else None
        assert table.value_at("val_loss", step) == expected


def test_rewind_forgets_and_goes_on():
    table = Table("train")
    table.append(rows(range(500), loss=np.arange(500.0)))
    table.rewind(300)
    table.append(rows(range(300, 400), loss=-np.arange(100.0)))

    assert table.step.tolist() == list(range(400))
    assert table.series["loss"].summary().min == -99
    lo = table.series["loss"].reduce(table.row_edges(np.array([0.0, 300.0, 400.0]))).lo
    assert lo.tolist() == [0, -99]


def test_views_stay_valid_while_the_writer_goes_on():
    table = Table("train")
    table.append(rows(range(10), loss=np.arange(10.0)))
    before = table.series["loss"].values()
    table.rewind(5)
    table.append(rows(range(5, 2000), loss=np.full(1995, -1.0)))
    assert before.tolist() == list(range(10))


@pytest.mark.parametrize(
    ("steps", "begins"),
    [
        ([0, 1, 2, 3], []),
        ([*range(100), *range(100)], ["run"]),
        ([*range(100), *range(60, 160)], ["rewind"]),
        ([*range(0, 3001, 20), 3000, 3020], []),
        ([*range(0, 3041, 20), 3000, 3020, 3040], ["late"]),
        ([1, 1, 2, 1, 2, 2, 3, 3], ["late"]),
        ([*range(10), *range(10), *range(10)], ["run", "run"]),
        ([5], []),
        # A checkpoint of long ago is resumed from; a run of few records is begun again.
        ([*range(0, 10_000, 10), *range(500, 900, 10)], ["rewind"]),
        ([*range(0, 10_000, 10), *range(20, 900, 10)], ["run"]),
        ([0, 125, 0, 125, 250], ["run"]),
        ([100, 200, 300, 50, 100], ["run"]),
    ],
)
def test_a_fall_of_the_step_is_a_new_run_or_a_repetition(steps, begins):
    for burst in (1, 3, len(steps)):
        splitter = Splitter()
        pieces = []
        for first in range(0, len(steps), burst):
            pieces += splitter.split(np.array(steps[first : first + burst], dtype=float))
        assert [piece.begins for piece in pieces if piece.begins != "nothing"] == begins


def test_store_splits_runs_and_keeps_their_tables_together():
    store = Store()
    for _ in range(2):
        store.add(rows(range(50), loss=np.ones(50)))
        store.add(rows([9, 19, 29, 39, 49], table="val", loss=np.zeros(5)))
        store.add(LayerNames(names=("a", "b")))
        for step in range(0, 50, 10):
            store.add(LayerStats(step=step, stats={"grad_norm": np.array([1.0, 2.0])}))
        for step in range(0, 50, 5):
            store.add(Event(event="checkpoint", step=step))
    assert len(store.runs) == 2
    for run in store.runs:
        assert (len(run.tables["train"]), len(run.tables["val"])) == (50, 5)
        assert run.layers is not None
        assert len(run.layers) == 5
        assert len(run.events) == 10


def test_evaluations_go_to_the_run_that_reached_them():
    """The first run ended before its first evaluation, or between two of them."""
    store = Store()
    store.add(rows(range(120), loss=np.ones(120)))
    store.add(rows(range(900), loss=np.ones(900)))
    store.add(rows([100, 200, 300], table="val", loss=[1, 2, 3]))
    assert [run.tables["val"].step.tolist() for run in store.runs] == [[100], [200, 300]]

    store = Store()
    store.add(rows(range(50), loss=np.ones(50)))
    store.add(rows(range(900), loss=np.ones(900)))
    store.add(rows([200, 300], table="val", loss=[2, 3]))
    assert [sorted(run.tables) for run in store.runs] == [["train"], ["train", "val"]]
    # An evaluation at the end of an epoch comes after its last training record.
    store = Store()
    store.add(rows(range(0, 1000, 50), loss=np.ones(20)))
    store.add(rows(range(0, 1000, 50), loss=np.ones(20)))
    both = Column(values=np.array([2.0, 4.0]), rows=np.array([0, 2]))
    store.add(rows([1000, 1000, 1000], table="val", loss=both, acc=[1.0, 2.0, 3.0]))
    # The same measure at the same step is the next run's.
    assert [len(run.tables["val"]) for run in store.runs] == [1, 2]


def test_evaluations_of_one_step_each_go_to_their_runs():
    store = Store()
    for _ in range(3):
        store.add(rows(range(50), loss=np.ones(50)))
    for value in range(3):
        store.add(rows([50], table="test", acc=[value]))
    assert [run.tables["test"].series["acc"].values().tolist() for run in store.runs] == [
        [0],
        [1],
        [2],
    ]


def test_evaluations_of_a_resumed_run_stay_in_it():
    store = Store()
    store.add(rows(range(0, 10_000, 10), loss=np.ones(1000)))
    store.add(rows(range(1000, 10_001, 1000), table="val", loss=np.ones(10)))
    store.add(rows(range(500, 3000, 10), loss=np.ones(250)))
    store.add(rows([1000, 2000], table="val", loss=[5, 6]))
    [run] = store.runs
    assert run.tables["val"].step.tolist() == [1000, 2000]
    assert run.tables["train"].step[-1] == 2990


def test_layers_keep_every_extreme_and_say_what_is_missing():
    layers = LayerTable(LayerNames(names=("a", "b"), act_names=("relu",)))
    for step in range(100):
        stats = {"grad_norm": np.array([step == 41, step], dtype=float)}
        if step >= 50:
            stats["act_dead_frac"] = np.array([0.5])
        layers.append(LayerStats(step=step, train_mode=step % 2 == 0, stats=stats))
    reduced = layers.reduce("grad_norm", np.linspace(0, 100, 11))
    assert reduced[0].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    assert reduced[1].tolist() == [9, 19, 29, 39, 49, 59, 69, 79, 89, 99]
    dead = layers.reduce("act_dead_frac", np.linspace(0, 100, 3))
    assert np.isnan(dead[0, 0])
    assert dead[0, 1] == 0.5
    assert layers.record(41).train_mode is False
    assert layers.value_at("grad_norm", "a", 41.5) == (41.0, 1.0)
    assert layers.value_at("grad_norm", "nowhere", 41.5) is None


def test_log_drops_the_oldest_lines_and_counts_them():
    log = LogStore(capacity=100)
    for number in range(250):
        log.append(LogLines(lines=[f"line {number}"], steps=[number]))
    assert log.lines[-1] == "line 249"
    assert len(log) + log.dropped == 250
    assert len(log) <= 100
    at = log.line_at_step(240)
    assert at is not None
    assert log.lines[at] == "line 240"


def test_epoch_axis_has_fractions_inside_an_epoch():
    table = Table("train")
    table.append(rows(range(30), epoch=np.repeat([0, 1, 2], 10), loss=np.ones(30)))
    axis = AxisMap(table, "epoch")
    assert axis.available
    assert [axis.position(step) for step in (0, 5, 10, 25)] == [0, 0.5, 1, 2.5]
    assert axis.steps(np.array([0, 0.5, 1.0, 2.5])).tolist() == [0, 5, 10, 25]
    assert axis.steps(np.array([9.0]))[0] > 29


def test_time_axis_counts_from_the_first_record():
    table = Table("train")
    table.append(rows([0, 10, 20], time=[1000, 1005, 1030], loss=np.ones(3)))
    axis = AxisMap(table, "time")
    assert axis.available
    assert axis.position(20) == 30
    assert axis.steps(np.array([0, 5, 6, 30])).tolist() == [0, 10, 20, 20]
    assert not AxisMap(table, "epoch").available
