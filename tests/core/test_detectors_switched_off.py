"""NaN that is no fault, beside NaN that is one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from detector_driver import learning, of, watch
from traintop.records import RunInfo

NAN = math.nan


def said(engine):
    return [*of(engine, "nan_inf", least="info"), *of(engine, "masked_nan", least="info")]


def test_a_gradient_norm_that_is_never_computed_is_no_fault():
    assert said(watch({"loss/train": learning(200), "grad_norm": np.full(200, NAN)})) == []


def test_a_gradient_norm_that_turns_nan_is_one():
    norms = np.ones(200)
    norms[100:] = NAN
    ids = {each.id for each in said(watch({"loss/train": learning(200), "grad_norm": norms}))}
    assert ids == {"nan_inf", "masked_nan"}


@pytest.mark.parametrize("loss", [0.0, 2.5])
def test_a_loss_that_stands_still_beside_it_proves_nothing(loss):
    losses = learning(200)
    losses[5:] = loss
    engine = watch({"loss/train": losses, "grad_norm": np.full(200, NAN)})
    assert of(engine, "nan_inf") != []


def test_where_no_mixed_precision_is_in_use_each_is_a_fault():
    columns = {"loss/train": learning(200), "grad_norm": np.full(200, NAN)}
    assert of(watch(columns, RunInfo(amp=False)), "nan_inf") != []


def test_first_records_of_mixed_precision_without_a_word_of_it():
    norms = np.ones(200)
    norms[[0, 1, 60]] = NAN, math.inf, NAN
    engine = watch({"loss/train": learning(200), "grad_norm": norms})
    assert of(engine, "nan_inf") == []


def evaluated(values, between=1):
    """An evaluation with every so many training records."""
    losses = learning(len(values) * between)
    evals = {at * between: {"loss/val": value} for at, value in enumerate(values)}
    return watch({"loss/train": losses}, evals=evals)


@pytest.mark.parametrize(
    "values",
    [
        [NAN] * 60,  # no validation data
        [NAN, NAN, NAN, NAN, 2.0] * 12,  # each fifth epoch
        [2.0, NAN, NAN, NAN, NAN] * 12,  # the same, from the first on
        [2.0, *[NAN] * 9] * 5,
        [NAN, 2.0] * 30,
    ],
)
def test_evaluations_that_were_not_made_are_no_fault(values):
    assert said(evaluated(values)) == []


@pytest.mark.parametrize(
    ("values", "onset"),
    [
        ([2.0, 1.9, 1.8, *[NAN] * 20], 3),
        ([NAN, 2.0] * 5 + [NAN] * 20, 11),
        ([2.0, *[NAN] * 40], 11),
        ([2.0, 1.9, math.inf], 2),
    ],
)
def test_evaluations_that_turn_nan_are_one(values, onset):
    (finding,) = of(evaluated(values), "nan_inf")
    assert (finding.onset_step, finding.series) == (onset, ("loss/val",))


def test_evaluations_apart_from_the_training_records_were_made_each():
    (finding,) = of(evaluated([2.0, NAN, NAN], between=20), "nan_inf")
    assert finding.onset_step == 20


def test_beside_a_training_loss_that_is_nan_too_it_is_one_finding():
    losses = learning(100)
    losses[50:] = NAN
    evals = {at: {"loss/val": 2.0 if at < 50 else NAN} for at in range(0, 100, 10)}
    (finding,) = of(watch({"loss/train": losses}, evals=evals), "nan_inf")
    assert (finding.onset_step, set(finding.series)) == (50, {"loss/train", "loss/val"})
