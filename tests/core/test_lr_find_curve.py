"""The pure parts of the LR range test, against slow implementations of their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traintop.analyses import lr_curve
from traintop.analyses.lr_curve import Floats

CURVES = st.lists(
    st.floats(min_value=1e-3, max_value=1e3, allow_nan=False), min_size=6, max_size=60
).map(np.array)


def lrs_for(losses: Floats) -> Floats:
    return lr_curve.schedule(1e-7, 10.0, len(losses))


def slow_valley(lrs: Floats, losses: Floats) -> float:
    n = len(losses)
    lengths = []
    for i in range(n):
        lengths.append(1 + max((lengths[j] for j in range(i) if losses[j] > losses[i]), default=0))
    if max(lengths) == 1:
        return float(lrs[0])
    end = lengths.index(max(lengths))
    begin = end - max(lengths)
    third = (end - begin) / 3
    index = begin + math.floor(third) + math.floor(third / 2)
    return float(lrs[max(index, 0)])


def slow_slide(lrs: Floats, losses: Floats) -> float | None:
    n = len(losses)
    if n < 16:
        return None
    slope = [
        losses[1] - losses[0],
        *((losses[i + 1] - losses[i - 1]) / 2 for i in range(1, n - 1)),
        losses[-1] - losses[-2],
    ]
    best = n - 16
    for left in range(n - 16, -1, -1):
        if abs(slope[left + 15] - slope[left]) <= 0.005:
            break
        best = left
    return float(lrs[best])


def slow_steep(lrs: Floats, losses: Floats) -> float:
    slopes = [
        (losses[i + 1] - losses[i]) / (math.log(lrs[i + 1]) - math.log(lrs[i]))
        for i in range(len(losses) - 1)
    ]
    return float(lrs[slopes.index(min(slopes))])


def slow_minimum(lrs: Floats, losses: Floats) -> float:
    return float(lrs[list(losses).index(min(losses))]) / 10


@given(CURVES)
def test_suggestions_equal_the_slow_ones(losses: Floats) -> None:
    lrs = lrs_for(losses)
    assert lr_curve.valley(lrs, losses) == slow_valley(lrs, losses)
    assert lr_curve.slide(lrs, losses) == slow_slide(lrs, losses)
    assert lr_curve.minimum(lrs, losses) == slow_minimum(lrs, losses)
    got = lr_curve.steep(lrs, losses)
    index = np.flatnonzero(lrs == got)[0]
    slopes = np.diff(losses) / np.diff(np.log(lrs))
    assert slopes[index] == pytest.approx(slopes.min())
    if len(np.unique(slopes)) == len(slopes):
        assert got == pytest.approx(slow_steep(lrs, losses))


def test_suggestions_on_a_known_curve() -> None:
    # Flat at 2, falling by 0.1 a step from step 40 to 54, then rising.
    losses = np.concatenate([np.full(40, 2.0), 2.0 - 0.1 * np.arange(1, 16), np.linspace(1, 9, 25)])
    lrs = lrs_for(losses)
    assert lr_curve.minimum(lrs, losses) == lrs[54] / 10
    steep = lr_curve.steep(lrs, losses)
    assert steep is not None
    assert lrs[39] <= steep <= lrs[53]
    # The valley: 16 members that end at step 54, so from 38 on: 38 + 5 + 2.
    assert lr_curve.valley(lrs, losses) == lrs[45]


def test_schedule_has_both_ends_and_a_constant_factor() -> None:
    lrs = lr_curve.schedule(1e-7, 10.0, 100)
    assert len(lrs) == 100
    assert (lrs[0], lrs[-1]) == (pytest.approx(1e-7), pytest.approx(10.0))
    assert np.allclose(lrs[1:] / lrs[:-1], (10.0 / 1e-7) ** (1 / 99))


@given(CURVES, st.floats(min_value=0, max_value=0.99))
def test_smoothing_is_the_weighted_mean_of_the_past(losses: Floats, weight: float) -> None:
    for i, value in enumerate(lr_curve.smooth(losses, weight)):
        weights = [weight ** (i - j) for j in range(i + 1)]
        slow = sum(w * loss for w, loss in zip(weights, losses, strict=False)) / sum(weights)
        assert value == pytest.approx(slow, rel=1e-9)


@pytest.mark.parametrize(
    ("smoothed", "over"),
    [
        ([], False),
        ([1.0] * 11, False),
        ([1.0] * 11 + [4.0], False),
        ([1.0] * 11 + [4.01], True),
        ([1.0] * 11 + [math.nan], True),
        ([math.inf], True),
        ([0.01] + [1.0] * 10 + [3.0], False),  # a lucky first batch is no best
        ([1.0, 9.0], False),  # still in the first tenth
        ([-5.0] * 11 + [9.0], False),  # negative losses: a rise of 14 on a scale of 5
        ([-5.0] * 11 + [10.1], True),
    ],
)
def test_stopping_rule(smoothed: list[float], over: bool) -> None:
    assert lr_curve.diverged(np.array(smoothed), 100) is over


def test_trim_drops_the_first_tenth_the_last_five_and_what_follows_a_nan() -> None:
    lrs = lr_curve.schedule(1e-7, 10, 100)
    losses = np.arange(100.0)
    cut, kept = lr_curve.trim(lrs, losses, 100)
    assert kept.tolist() == list(range(10, 95))
    assert cut.tolist() == lrs[10:95].tolist()
    losses[40] = math.nan
    assert lr_curve.trim(lrs, losses, 100)[1].tolist() == list(range(10, 40))
    assert lr_curve.trim(lrs[:8], losses[:8], 100)[1].tolist() == []


def test_a_short_curve_has_no_suggestion() -> None:
    found = lr_curve.suggest(np.array([1e-3]), np.array([1.0]), 100)
    assert set(found.values()) == {None}
    assert lr_curve.span([found]) is None


def test_span_and_agreement() -> None:
    assert lr_curve.span([{"a": 1e-3, "b": 1e-3}]) == (1e-3, pytest.approx(1e-3), 1e-3, 1.0)
    # Five values, the middle half from 1e-4 to 1e-3: one outlier on each side changes nothing.
    five = lr_curve.span([{"a": 1e-7, "b": 1e-4, "c": 10**-3.5}, {"a": 1e-3, "b": 10.0}])
    assert five == (1e-7, pytest.approx(10**-3.5), 10.0, pytest.approx(0.5))
    found = lr_curve.span([{"a": 1e-3, "b": None}, {"a": 1e-2}])
    assert found is not None
    low, median, high, agreement = found
    assert (low, high) == (1e-3, 1e-2)
    assert median == pytest.approx(10**-2.5)
    assert agreement == pytest.approx(0.75)
    wide = lr_curve.span([{"a": 1e-6, "b": 1.0}])
    assert wide == (1e-6, pytest.approx(1e-3), 1.0, 0.0)


def test_divergence_is_the_first_loss_that_no_batch_had_at_rest() -> None:
    lrs = lr_curve.schedule(1e-7, 10.0, 80)
    at_rest = np.tile([0.1, 1.0], 40)
    losses = at_rest.copy()
    assert lr_curve.divergence(lrs, losses, at_rest) is None
    losses[60:] = 2.1
    assert lr_curve.divergence(lrs, losses, at_rest) == lrs[60]
    assert lr_curve.divergence(lrs, losses, -at_rest) is None


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_edge_is_read_off_the_growth_of_the_loss_not_off_when_it_shows(momentum: float) -> None:
    curvature, steps = 50.0, 100
    lrs = lr_curve.schedule(1e-4, 1.0, steps)
    known = 2 * (1 + momentum) / curvature
    error, velocity, losses = 1e-6, 0.0, []
    for lr in lrs.tolist():
        losses.append(curvature * error**2 / 2 + 0.3)  # other directions stay where they are
        velocity = momentum * velocity + curvature * error
        error -= lr * velocity
    curve, rest = np.array(losses), np.array([1.0])
    shows = lr_curve.divergence(lrs, curve, rest)
    edge = lr_curve.edge(lrs, curve, rest, ended=False, momentum=momentum)
    assert shows is not None
    assert shows > 2 * known
    assert edge == pytest.approx(known, rel=0.01 if momentum == 0 else 0.2)


def test_a_loss_that_does_not_diverge_has_no_edge() -> None:
    lrs, losses = lr_curve.schedule(1e-4, 1.0, 50), np.linspace(1.0, 1.5, 50)
    rest = np.array([1.0])
    assert lr_curve.edge(lrs, losses, rest, ended=False) is None
    assert lr_curve.edge(lrs[:0], losses[:0], rest, ended=True) is None
    at_once = np.array([*losses[::-1][:49], 9.0])
    assert lr_curve.edge(lrs, at_once, rest, ended=True) == lrs[48]
