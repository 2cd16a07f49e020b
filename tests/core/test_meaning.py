"""Averages, copies, perplexities, errors, constants, grids: what a series is besides its role."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traintop.catalogue import Catalogue
from traintop.meaning import meanings
from traintop.quantum import quantum_of
from traintop.records import Column, Rows
from traintop.store import Store
from traintop.units import factor_of

LOSS = 0.5 + 3 * np.exp(-np.arange(60) / 20) + 0.01 * np.sin(np.arange(60) * 1.7)


def run_of(**columns):
    store = Store()
    count = max(len(each) for each in columns.values())
    blank = np.full(count, np.nan)
    store.add(
        Rows(
            table="train",
            step=np.arange(count, dtype=float),
            epoch=blank,
            time=blank,
            columns={name: column_of(values, count) for name, values in columns.items()},
        )
    )
    return store.run(0)


def column_of(values, count):
    rows = None if len(values) == count else np.arange(0, count, count // len(values))
    return Column(values=np.asarray(values, float), rows=rows)


def of(run):
    return meanings(run, Catalogue().refs(run))


def test_a_perplexity_is_derived_where_it_is_the_exponential_of_a_loss():
    found = of(run_of(loss=LOSS, train_ppl=np.round(np.exp(LOSS), 2), ppl_of_what=np.cos(LOSS)))
    assert (found["train_ppl"].derived_from, found["train_ppl"].how) == ("loss", "exp")
    assert found["train_ppl"].mark == "exp loss"
    assert found["ppl_of_what"].derived_from is None
    assert found["loss"].unit is None


def test_a_loss_in_bits_is_known_by_its_perplexity():
    found = of(run_of(loss=LOSS, ppl=np.round(2**LOSS, 2)))
    assert (found["ppl"].derived_from, found["ppl"].how) == ("loss", "2^")
    assert found["loss"].unit == "bits"


@pytest.mark.parametrize(("whole", "how"), [(1.0, "1 -"), (100.0, "100 -")])
def test_an_error_beside_its_accuracy_is_derived(whole, how):
    accuracy = whole * (1 - LOSS / 5)
    found = of(run_of(acc=accuracy, err=whole - accuracy, other_error=LOSS))
    assert (found["err"].derived_from, found["err"].how) == ("acc", how)
    assert found["other_error"].derived_from is None


def test_a_copy_names_the_series_that_has_the_role():
    found = of(run_of(mine=LOSS, loss=LOSS, other=LOSS + 1e-9))
    assert (found["mine"].derived_from, found["mine"].mark) == ("loss", "= loss")
    assert found["loss"].derived_from is None
    assert found["other"].derived_from is None


def test_a_mean_names_what_it_is_the_mean_of():
    run = run_of(loss=LOSS, avg_loss=np.cumsum(LOSS) / np.arange(1, 61), ep_rew_mean=LOSS * 2)
    found = of(run)
    assert (found["avg_loss"].derived_from, found["avg_loss"].averaged) == ("loss", "avg")
    assert found["avg_loss"].mark == "mean of loss"
    # It has the role, for want of anything better, and is known to be an average.
    assert (found["ep_rew_mean"].derived_from, found["ep_rew_mean"].mark) == (None, "average")


def test_constants():
    found = of(run_of(n_parameters=[5.0] * 60, loss=LOSS, nan=[math.nan] * 60, once=[1.0]))
    assert {name for name, each in found.items() if each.constant} == {"n_parameters"}
    assert found["n_parameters"].mark == "constant"


def test_sparse_series_are_compared_where_both_have_a_value():
    found = of(run_of(val_loss=LOSS[::4], val_ppl=np.exp(LOSS[::2]), other=LOSS))
    assert found["val_ppl"].derived_from == "val_loss"


@pytest.mark.parametrize(
    ("written", "step", "digits"),
    [
        ([f"{value:.4g}" for value in LOSS * np.geomspace(1, 1e-3, 60)], 1e-7, 4),
        ([f"{value:.6f}" for value in LOSS], 1e-6, None),
        ([f"{value:.2f}" for value in LOSS], 1e-2, None),
        ([f"{value:.6f}" for value in 1e-4 * LOSS], 1e-6, None),
        ([str(value) for value in range(60)], 1.0, None),
        ([f"{value:.3e}" for value in 1e-5 * LOSS * np.geomspace(1, 1e-3, 60)], 1e-12, 4),
        ([repr(value) for value in LOSS.tolist()], None, None),
        ([repr(float(value)) for value in LOSS.astype(np.float32)], None, None),
        (["2.5"] * 60, None, None),
        ([], None, None),
    ],
)
def test_the_grid_that_values_were_written_on(written, step, digits):
    found = quantum_of(np.array([float(text) for text in written]))
    if step is None:
        assert found is None
    else:
        assert found is not None
        assert (found.step, found.digits) == (pytest.approx(step), digits)


@given(st.lists(st.floats(width=64), max_size=50))
def test_any_values_have_an_answer(values):
    found = quantum_of(np.array(values))
    assert found is None or found.step > 0
    of(run_of(loss=[*values, 1.0], ppl=[*values, 1.0], acc=[*values, 1.0], err=[*values, 1.0]))


@pytest.mark.parametrize(
    ("name", "values", "factor"),
    [
        ("memory/max_active (GiB)", [2.5, 3.5], 1024),
        ("memory", [10762.0, 10763.0], 1),
        ("memory", [120.0, 121.0], 1),
        ("peak_memory_active", [16.2, 16.3], 1024),
        ("memory_allocated", [2.0**34], 2.0**-20),
        ("gpu_memory_mb", [16.2], 1),
        ("step_avg_ms", [94.8], 1e-3),
        ("time", [0.3], 1),
        ("acc", [0.3, 0.9], 1),
        ("acc", [0.3, 90.0], 0.01),
        ("loss", [1000.0], 1),
        ("gpu_memory", [math.nan], 1),
    ],
)
def test_values_are_brought_to_the_unit_of_their_role(name, values, factor):
    run = run_of(**{name: values})
    [ref] = Catalogue().refs(run)
    assert factor_of(ref, run.tables["train"].series[name]) == factor
