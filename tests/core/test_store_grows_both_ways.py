"""What comes newest first, or in any order, stands as what came in order."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from traintop.catalogue import Catalogue
from traintop.records import Column, Event, LayerBlock, LayerNames, LayerStats, LogLines, Rows
from traintop.store import LayerTable, LogStore, Storage, Store, Table
from traintop.store.growing import Growing
from traintop.store.pyramid import Pyramid

VALUES = st.floats(allow_nan=True, allow_infinity=True, width=32)
NAN = math.nan


def rows(steps, table="train", **columns):
    blank = np.full(len(steps), NAN)
    return Rows(
        table=table,
        step=np.array(steps, dtype=np.float64),
        epoch=blank,
        time=blank,
        columns={
            name: value if isinstance(value, Column) else Column(values=np.array(value, float))
            for name, value in columns.items()
        },
    )


@pytest.fixture(params=["memory", "file"])
def storage(request, tmp_path, monkeypatch):
    """Storage that keeps columns in memory, or in a file as soon as there is more than one."""
    if request.param == "memory":
        return Storage()
    monkeypatch.setattr("traintop.store.storage.LEAST_IN_FILE", 1)
    return Storage(tmp_path, in_memory=0)


class GrowingModel(RuleBasedStateMachine):
    """An array against a list; views of long ago still hold what they held."""

    def __init__(self):
        super().__init__()
        self.growing = Growing(start=3)
        self.model, self.start = [], 3
        self.seen = []

    @rule(values=st.lists(VALUES, max_size=200))
    def append(self, values):
        self.growing.append(np.array(values))
        self.model += values

    @rule(values=st.lists(VALUES, max_size=200))
    def prepend(self, values):
        self.growing.prepend(np.array(values))
        self.model[:0] = values
        self.start -= len(values)

    @rule(share=st.floats(0, 1))
    def truncate(self, share):
        end = self.start + int(share * len(self.model))
        self.growing.truncate(end)
        del self.model[end - self.start :]
        self.seen.clear()  # Later appends may overwrite what was cut off.

    @rule()
    def look(self):
        self.seen.append((self.growing.view(), list(self.model)))

    @invariant()
    def is_the_model(self):
        np.testing.assert_array_equal(self.growing.view(), self.model)
        assert self.growing.bounds == (self.start, self.start + len(self.model))
        for view, held in self.seen:
            np.testing.assert_array_equal(view, held)

    @precondition(lambda self: self.model)
    @rule(share=st.floats(0, 0.999), length=st.integers(0, 40))
    def part(self, share, length):
        at = int(share * len(self.model))
        found = self.growing.between(self.start + at, self.start + at + length)
        np.testing.assert_array_equal(found, self.model[at : at + length])
        np.testing.assert_array_equal(self.growing.at(self.start + at), self.model[at])


GrowingModel.TestCase.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)
TestGrowing = GrowingModel.TestCase


def aggregates(values, bounds):
    """Reduce by looking at each column by itself."""
    for first, last in itertools.pairwise(bounds):
        part = [value for value in values[first:last] if math.isfinite(value)]
        yield min(part, default=NAN), max(part, default=NAN), (last - first) - len(part)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["append", "prepend", "truncate"]), st.integers(1, 120)),
        max_size=12,
    ),
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
    st.data(),
)
def test_a_pyramid_that_grows_at_both_ends_loses_no_extreme(moves, columns, seed, data):
    """With blocks of 4 values there are several levels of them."""
    random = np.random.default_rng(seed)
    values, pyramid, model = Growing(), Pyramid(fanout=4), []
    for move, count in moves:
        part = random.normal(size=count)
        part[random.random(count) < 0.1] = random.choice([np.nan, np.inf, -np.inf])
        if move == "append":
            values.append(part)
            model += part.tolist()
        elif move == "prepend":
            values.prepend(part)
            model[:0] = part.tolist()
        else:
            kept = max(len(model) - count, 0)
            pyramid.truncate(values.start + kept)
            values.truncate(values.start + kept)
            del model[kept:]
        pyramid.grow(values)
    ends = sorted(data.draw(st.tuples(*[st.integers(0, len(model))] * 2)))
    bounds = np.linspace(*ends, columns + 1).astype(np.int64)

    reduced = pyramid.reduce(values, bounds + values.start)

    # The outermost borders are exact, those between columns to a quarter of one.
    lo, hi, nonfinite = next(aggregates(model, ends))
    np.testing.assert_array_equal(np.fmin.reduce(reduced.lo), lo)
    np.testing.assert_array_equal(np.fmax.reduce(reduced.hi), hi)
    assert reduced.nonfinite.sum() == nonfinite
    most = max(np.diff(bounds).max(), 1) // 4
    for column, (first, last) in enumerate(itertools.pairwise(bounds.tolist())):
        wide = next(aggregates(model, [max(first - most, 0), last + most]))
        near = next(aggregates(model, [min(first + most, last), max(last - most, first)]))
        if not math.isnan(reduced.hi[column]):
            assert wide[0] <= reduced.lo[column] <= reduced.hi[column] <= wide[1]
        if not math.isnan(near[0]):
            assert reduced.lo[column] <= near[0] <= near[1] <= reduced.hi[column]
    bad = [not math.isfinite(value) for value in model]
    begins = [at for at, each in enumerate(bad) if each and not (at and bad[at - 1])]
    assert (pyramid.nonfinite(values) - values.start).tolist() == begins


PIECES = st.lists(
    st.tuples(
        st.booleans(),
        st.integers(1, 30),
        st.sampled_from(["both", "sparse", "one", "late"]),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(PIECES, st.floats(-0.1, 1.1), st.integers(1, 12))
def test_a_table_from_both_ends_is_the_table_in_order(pieces, share, columns):
    made = []
    first = last = 500
    for before, count, kind in pieces:
        steps = range(first - count, first) if before else range(last, last + count)
        first, last = min(first, steps[0]), max(last, steps[-1] + 1)
        values = np.array(steps, float) * 3
        here = np.flatnonzero(np.array(steps) % 3 == 0)
        parts = {
            "both": {"loss": values, "lr": -values},
            "sparse": {"loss": values, "val": Column(values=values[here], rows=here)},
            "one": {"loss": values},
            "late": {"lr": -values, "extra": values},
        }[kind]
        made.append((before, rows(steps, **parts)))
    both, forward = Table("train"), Table("train")
    for before, part in made:
        (both.prepend if before else both.append)(part)
    for _, part in sorted(made, key=lambda each: each[1].step[0]):
        forward.append(part)

    step = first + share * (last - first)
    for one, other in ((both, forward), (both.until(step), forward.until(step))):
        assert one.step.tolist() == other.step.tolist()
        assert np.isnan(one.epoch).all()
        assert len(one.time) == len(one)
        filled = {name for name, series in other.series.items() if len(series)}
        assert {name for name, series in one.series.items() if len(series)} == filled
        edges = np.linspace(first - 3, last + 3, columns + 1)
        for name in filled:
            series, same = one.series[name], other.series[name]
            assert series.values().tolist() == same.values().tolist()
            assert series.summary() == same.summary()
            found = one.steps_of(series.rows_between(0, len(series)))
            assert found.tolist() == other.steps_of(same.rows_between(0, len(same))).tolist()
            for mine, theirs in zip(
                series.reduce(one.row_edges(edges)),
                same.reduce(other.row_edges(edges)),
                strict=True,
            ):
                np.testing.assert_array_equal(mine, theirs)
            for at in (first, step, last):
                assert one.value_at(name, at) == other.value_at(name, at)
    assert list(both.series) == list(forward.series) or len({kind for *_, kind in pieces}) > 1


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 40), st.booleans()), max_size=10),
    st.integers(0, 600),
)
def test_layers_from_both_ends_are_the_layers_in_order(pieces, back):
    names = LayerNames(names=("a", "b", "c"), act_names=("relu",))
    both, forward = LayerTable(names), LayerTable(names)
    made = []
    first = last = 500
    for before, count, acts in pieces:
        steps = np.arange(first - count, first) if before else np.arange(last, last + count)
        first, last = min(first, steps[0]), max(last, steps[-1] + 1)
        stats = {"grad_norm": np.stack([steps, -steps, steps % 7], axis=1).astype(float)}
        if acts:
            stats["act_dead_frac"] = (steps % 5)[:, None].astype(float)
        mode = (steps % 3 - 1).astype(np.int8)
        made.append((before, LayerBlock(step=steps.astype(float), train_mode=mode, stats=stats)))
    for before, part in made:
        (both.prepend if before else both.append)(part)
    for _, part in sorted(made, key=lambda each: each[1].step[0]):
        forward.append(part)
    for layers in (both, forward):
        layers.rewind(last - back)

    assert both.step.tolist() == forward.step.tolist()
    edges = np.array([first - 2, last + 2])
    for stat in forward.stats:
        np.testing.assert_array_equal(both.matrix(stat), forward.matrix(stat))
        np.testing.assert_array_equal(both.reduce(stat, edges), forward.reduce(stat, edges))
    for row in range(0, len(both), 17):
        mine, theirs = both.record(row), forward.record(row)
        assert (mine.step, mine.train_mode) == (theirs.step, theirs.train_mode)


def test_the_heat_map_shows_infinities_and_only_the_layers_in_sight():
    layers = LayerTable(LayerNames(names=("a", "b")))
    values = np.tile([1.0, 2.0], (5000, 1))
    values[1234, 0], values[10, 1] = np.inf, np.nan
    layers.append(
        LayerBlock(
            step=np.arange(5000.0),
            train_mode=np.full(5000, -1, np.int8),
            stats={"grad_norm": values},
        )
    )
    edges = np.linspace(0, 5000, 6)
    assert layers.reduce("grad_norm", edges, [1, 0]).tolist() == [
        [2, 2, 2, 2, 2],
        [1, np.inf, 1, 1, 1],
    ]
    reduced = layers.reduce_layer("grad_norm", "a", edges)
    assert reduced is not None
    assert reduced.hi.tolist() == [1, 1, 1, 1, 1]
    assert reduced.nonfinite.tolist() == [0, 1, 0, 0, 0]


def test_a_sample_of_a_layer_is_spread_over_the_window():
    layers = LayerTable(LayerNames(names=("a", "b")))
    for first in (500, 0):
        steps = np.arange(first, first + 500.0)
        stats = {"grad_norm": np.stack([steps, -steps], axis=1)}
        layers.prepend(LayerBlock(step=steps, train_mode=np.full(500, 1, np.int8), stats=stats))
    values, records = layers.sample("grad_norm", "b", 100, 899, 100)
    assert records == 800
    assert values.tolist() == [-step for step in range(100, 900, 8)]
    assert layers.sample("grad_norm", "a", 10, 12, 100)[0].tolist() == [10, 11, 12]
    assert layers.sample("grad_norm", "nowhere", 10, 12, 100)[1] == 0


def test_newest_first_is_the_run_in_order(storage):
    """Tables, layers, events and log, in pieces that come newest first."""

    def items(first, last):
        steps = range(first, last)
        yield rows(steps, loss=np.sqrt(steps), lr=np.ones(len(steps)))
        yield rows(steps[9::10], table="val", loss=np.zeros(len(steps[9::10])))
        for step in steps[::20]:
            yield LayerStats(step=step, stats={"grad_norm": np.array([step, 1.0])})
            yield Event(event="checkpoint", step=step)
        yield LogLines(lines=["?", f"step {last - 1}"], steps=[-1, last - 1])

    names = LayerNames(names=("a", "b"))
    backward, forward = Store(storage), Store()
    for store in (backward, forward):
        store.add(names)
    pieces = [list(items(first, first + 500)) for first in range(0, 5000, 500)]
    for item in pieces[-1]:
        backward.add(item)
    shown = backward.runs[0].tables["train"].row_edges(np.array([4600.0, 4900.0]))
    drawn = backward.runs[0].tables["train"].series["loss"].reduce(shown)
    for piece in reversed(pieces[:-1]):
        for item in reversed(piece):
            assert backward.prepend(item)
    for item in itertools.chain.from_iterable(pieces):
        forward.add(item)
    steps = range(5000, 5100)
    for store in (backward, forward):
        store.add(rows(steps, loss=np.sqrt(steps), lr=np.ones(100)))

    one, other = backward.runs[0], forward.runs[0]
    assert list(one.tables) == list(other.tables)
    assert one.events == other.events
    assert (one.first_step, one.last_step) == (0, 5099)
    assert backward.log.lines == forward.log.lines
    assert backward.log.steps[2:] == [
        step for last in range(999, 5000, 500) for step in (last - 500, last)
    ]
    assert backward.records == forward.records
    for name, table in one.tables.items():
        np.testing.assert_array_equal(table.step, other.tables[name].step)
        for label, series in table.series.items():
            same = other.tables[name].series[label]
            np.testing.assert_array_equal(series.values(), same.values())
            assert series.summary() == same.summary()
    assert one.layers is not None
    assert other.layers is not None
    np.testing.assert_array_equal(one.layers.matrix("grad_norm"), other.layers.matrix("grad_norm"))
    # What was drawn before the older records came stands where it stood.
    again = one.tables["train"].series["loss"].reduce(shown)
    assert (drawn.lo, drawn.hi) == (again.lo, again.hi)


def test_which_of_two_series_has_a_role_does_not_depend_on_what_was_read_first():
    """Of equally good names the first in the file has it; the newest piece has them otherwise."""
    backward, forward = Store(), Store()
    old = rows(range(10), train_loss=[1] * 10, training_loss=[2] * 10)
    new = rows(range(10, 20), training_loss=[2] * 10, train_loss=[1] * 10)
    catalogue = Catalogue()
    backward.add(new)
    catalogue.refs(backward.runs[0])
    assert backward.prepend(old)
    for item in (old, new):
        forward.add(item)
    assert catalogue.refs(backward.runs[0]) == Catalogue().refs(forward.runs[0])


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (rows([5, 6, 7], loss=[1, 1, 1]), "rises above the first step"),
        (rows([1, 3, 2], loss=[1, 1, 1]), "falls"),
        (LayerStats(step=7, stats={"grad_norm": np.ones(1)}), "layers above the first step"),
        (Event(event="checkpoint", step=7), "an event above the first step"),
    ],
)
def test_what_cannot_stand_before_the_others_is_refused(item, why):
    store = Store()
    store.add(LayerNames(names=("a",)))
    store.add(rows([6, 7, 8], loss=[1, 2, 3]))
    store.add(LayerStats(step=6, stats={"grad_norm": np.ones(1)}))
    store.add(Event(event="checkpoint", step=6))
    assert not store.prepend(item), why
    assert store.records == 4
    assert store.prepend(rows([5, 6], loss=[0, 0]))
    assert store.runs[0].tables["train"].step.tolist() == [5, 6, 6, 7, 8]


def test_older_records_of_a_file_with_several_runs_are_refused():
    store = Store()
    store.add(rows([*range(50), *range(50)], loss=np.ones(100)))
    assert len(store.runs) == 2
    assert not store.prepend(rows([0], loss=[1]))


def test_a_rewind_into_older_records_forgets_what_it_repeats():
    store = Store()
    store.add(rows(range(1000, 2000), loss=np.ones(1000)))
    assert store.prepend(rows(range(1000), loss=np.zeros(1000)))
    store.add(rows(range(900, 950), loss=np.full(50, 2.0)))
    table = store.runs[0].tables["train"]
    assert table.step.tolist() == list(range(950))
    assert [rewind.step for rewind in store.runs[0].rewinds] == [900]


def test_log_keeps_the_newest_lines_whichever_came_first():
    log = LogStore(capacity=100)
    log.append(LogLines(lines=["?", "b"], steps=[-1, 9]))
    log.prepend(LogLines(lines=[str(at) for at in range(200)], steps=list(range(200))))
    assert (len(log), log.dropped) == (100, 102)
    assert log.lines[0] == "102"
    assert log.steps[-2:] == [199, 9]
