"""The list of layers: which statistic, in which order, which one is selected."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traintop.records import LayerNames, LayerStats
from traintop.store import LayerTable
from traintop_tui.layer_order import STATISTICS, LayerChoice, is_share, relative_change

NAMES = ("a", "b", "c")


def table_of(*grad_norms, **stats):
    table = LayerTable(LayerNames(names=NAMES, act_names=("a.relu",), act_kinds=("relu",)))
    for row, values in enumerate(grad_norms):
        more = {name: np.array(column[row]) for name, column in stats.items()}
        table.append(
            LayerStats(step=10 * row, stats={"grad_norm": np.array(values, dtype=float), **more})
        )
    return table


def test_statistics_come_in_the_order_of_the_screen_and_unknown_ones_last():
    table = table_of([1, 2, 3], mine=[[1.0] * 3], weight_norm=[[1.0] * 3], update_ratio=[[1.0] * 3])
    choice = LayerChoice()
    assert choice.stats(table) == ["grad_norm", "update_ratio", "weight_norm", "mine"]
    seen = []
    for _ in range(4):
        choice.cycle_stat(table)
        seen.append(choice.stat)
    assert seen == ["update_ratio", "weight_norm", "mine", "grad_norm"]


def test_a_statistic_that_the_run_lacks_gives_way_to_the_first_it_has():
    choice = LayerChoice(stat="act_sat_frac")
    choice.cycle_stat(table_of([1, 2, 3]))
    assert choice.stat == "grad_norm"
    choice.cycle_stat(LayerTable(LayerNames(names=())))
    assert choice.stat == "grad_norm"


def test_orders_by_depth_value_and_change():
    table = table_of([1, 5, 2], [1, 5, 2], [4, 5, math.nan])
    choice = LayerChoice()
    assert choice.order(table, 20) == [0, 1, 2]
    choice.cycle_sort()
    assert (choice.sort, choice.order(table, 20)) == ("value", [1, 0, 2])
    assert choice.order(table, 15) == [1, 2, 0]
    choice.cycle_sort()
    assert (choice.sort, choice.order(table, 20)) == ("change", [0, 1, 2])
    choice.cycle_sort()
    assert choice.sort == "depth"


def test_before_the_first_record_there_are_no_values():
    table = table_of([1, 2, 3])
    now, before = LayerChoice().values(table, -1)
    assert np.isnan(now).all()
    assert np.isnan(before).all()
    assert LayerChoice(sort="value").order(table, -1) == [0, 1, 2]


def test_the_selection_stays_in_the_list():
    table = table_of([1, 5, 2])
    choice = LayerChoice(index=99)
    assert choice.selected(table, 0) == "c"
    assert choice.index == 2
    choice.index = -4
    assert choice.selected(table, 0) == "a"
    choice.sort = "value"
    assert choice.selected(table, 0) == "b"
    assert LayerChoice().selected(LayerTable(LayerNames(names=())), 0) is None


def test_activations_have_names_of_their_own():
    table = table_of([1, 2, 3], act_dead_frac=[[0.5]])
    choice = LayerChoice(stat="act_dead_frac", index=2)
    assert choice.selected(table, 0) == "a.relu"


def test_shares_have_a_linear_scale():
    assert [stat for stat in STATISTICS if is_share(stat)] == [
        "act_dead_frac",
        "act_zero_frac",
        "act_sat_frac",
        "grad_zero_frac",
    ]


VALUES = st.floats(allow_nan=True, allow_infinity=True, width=32)


@given(st.lists(st.tuples(VALUES, VALUES), max_size=8))
def test_change_is_relative_to_what_was(pairs):
    now = np.array([pair[0] for pair in pairs], dtype=float)
    before = np.array([pair[1] for pair in pairs], dtype=float)
    changes = relative_change(now, before).tolist()
    for (value, old), change in zip(pairs, changes, strict=True):
        if math.isfinite(value) and math.isfinite(old) and old:
            assert change == pytest.approx(abs((value - old) / old))
        else:
            assert not math.isfinite(change) or change == 0 or math.isinf(old)


@given(st.lists(VALUES, min_size=3, max_size=3))
def test_the_order_by_value_is_that_of_a_sort(values):
    order = LayerChoice(sort="value").order(table_of(values), 0)
    keys = [-math.inf if math.isnan(values[i]) else values[i] for i in order]
    assert sorted(order) == [0, 1, 2]
    assert all(a >= b for a, b in itertools.pairwise(keys))
