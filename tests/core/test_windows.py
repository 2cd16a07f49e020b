"""The window statistics, against slow and obvious ones."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traintop.detectors.windows import (
    DIFFERENCE_MEDIAN,
    DIFFERENCE_TO_SIGMA,
    MAD_TO_SIGMA,
    Ladder,
    RunningMedian,
    mann_kendall,
    median,
    noise_floor,
    rounding_step,
    theil_sen,
)

finite = st.floats(-1e6, 1e6)
series = st.lists(finite, min_size=1, max_size=60)


@given(series, st.integers(1, 20))
def test_a_running_median_is_the_median_of_the_last_values(values: list[float], size: int) -> None:
    window = RunningMedian(size)
    past: deque[float] = deque(maxlen=size)
    for value in values:
        past.append(value)
        assert window.add(value) == statistics.median(past)
        assert window.median == statistics.median(past)
        assert (window.minimum, window.maximum) == (min(past), max(past))
        assert window.values() == list(past)
        assert len(window) == len(past)


@given(series)
def test_the_spread_is_the_mad_with_a_floor(values: list[float]) -> None:
    window = RunningMedian(100)
    for value in values:
        window.add(value)
    deviation = float(np.median(np.abs(np.array(values) - np.median(values))))
    steps = np.diff(np.unique(values))
    floor = max(1e-3 * abs(float(np.median(values))), float(steps.min()) if len(steps) else 0.0)
    assert window.spread() == pytest.approx(max(MAD_TO_SIGMA * deviation, floor))


def test_an_empty_window_knows_nothing() -> None:
    window = RunningMedian(3)
    window.add(1.0)
    window.clear()
    assert len(window) == 0
    for value in (window.median, window.minimum, window.maximum, window.spread(), median([])):
        assert math.isnan(value)


def test_a_window_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RunningMedian(0)
    with pytest.raises(ValueError, match="even"):
        Ladder(capacity=3)


def test_a_flat_rounded_series_has_the_rounding_step_as_spread() -> None:
    window = RunningMedian(20)
    for value in [0.12] * 18 + [0.13]:
        window.add(value)
    assert rounding_step(window.values()) == pytest.approx(0.01)
    assert window.spread() == pytest.approx(0.01)
    assert noise_floor(100.0, [100.0, 100.0]) == pytest.approx(0.1)
    assert rounding_step([5.0, 5.0]) == 0.0


@given(st.lists(finite, min_size=2, max_size=25))
def test_theil_sen_is_the_median_of_all_slopes(values: list[float]) -> None:
    slopes = [
        (values[j] - values[i]) / (j - i) for i, j in itertools.combinations(range(len(values)), 2)
    ]
    assert theil_sen(values) == pytest.approx(float(np.median(slopes)))


def test_theil_sen_ignores_a_third_of_outliers() -> None:
    values = [2.0 + 0.5 * index for index in range(30)]
    values[3:27:3] = [1e9] * 8
    assert theil_sen(values) == pytest.approx(0.5)
    assert math.isnan(theil_sen([1.0]))


def slow_mann_kendall(values: list[float]) -> float:
    array = np.array(values)
    score = sum(
        float(np.sign(array[j] - array[i]))
        for i, j in itertools.combinations(range(len(values)), 2)
    )
    n = len(values)
    _, ties = np.unique(array, return_counts=True)
    variance = (n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    if variance <= 0:
        return 0.0
    return float((score - np.sign(score)) / math.sqrt(variance))


@given(st.lists(st.integers(-5, 5).map(float), min_size=3, max_size=25))
def test_mann_kendall_agrees_with_the_definition(values: list[float]) -> None:
    assert mann_kendall(values) == pytest.approx(slow_mann_kendall(values))


def test_mann_kendall_sees_direction() -> None:
    rising = [float(value) for value in range(12)]
    assert mann_kendall(rising) > 4
    assert mann_kendall(rising[::-1]) < -4
    assert mann_kendall([1.0, 2.0]) == 0.0


def test_sigma_from_differences_of_normal_noise() -> None:
    noise = np.random.default_rng(0).normal(0, 3, 200_000)
    differences = np.abs(np.diff(noise))
    assert float(differences.mean()) * DIFFERENCE_TO_SIGMA == pytest.approx(3, rel=0.01)
    assert float(np.median(differences)) / DIFFERENCE_MEDIAN == pytest.approx(3, rel=0.01)


@given(st.integers(1, 700), st.sampled_from([4, 8, 16]))
def test_a_ladder_holds_the_means_of_equal_blocks(count: int, capacity: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    ladder = Ladder(capacity)
    for step, value in enumerate(values):
        ladder.add(step, float(value))
    length, blocks = ladder.length, len(ladder.means)
    assert blocks < capacity
    assert blocks == count // length
    expected = values[: blocks * length].reshape(blocks, length).mean(axis=1)
    assert np.allclose(ladder.means, expected)
    steps = np.arange(blocks * length).reshape(blocks, length).mean(axis=1)
    assert np.allclose(ladder.steps, steps)
    half = count / 2
    assert ladder.since(half) == [
        m for s, m in zip(ladder.steps, ladder.means, strict=True) if s >= half
    ]
