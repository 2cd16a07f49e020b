"""The statistics that compare splits, against scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from traintop.analyses.split_statistics import (
    intrinsic_dimension,
    kolmogorov_smirnov,
    label_shift,
    near_copies,
    nearest,
    neighbour_agreement,
)


@pytest.mark.parametrize(("n", "m"), [(40, 60), (300, 200), (1000, 1000)])
@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5])
def test_kolmogorov_smirnov_is_scipys(n: int, m: int, shift: float) -> None:
    random = np.random.default_rng(n + m)
    a, b = random.normal(size=n).round(2), (random.normal(size=m) + shift).round(2)
    distance, p = kolmogorov_smirnov(a, b)
    expected = stats.ks_2samp(a, b, method="asymp")
    assert distance == pytest.approx(expected.statistic)
    assert p == pytest.approx(expected.pvalue, rel=0.25, abs=0.02)


def test_kolmogorov_smirnov_of_little() -> None:
    empty = np.zeros(0)
    assert kolmogorov_smirnov(empty, np.ones(3)) == (0.0, 1.0)
    assert kolmogorov_smirnov(np.ones(5), np.ones(9)) == (0.0, 1.0)
    assert kolmogorov_smirnov(np.zeros(500), np.ones(500))[0] == 1.0


def test_label_shift_is_the_chi_squared_test() -> None:
    random = np.random.default_rng(0)
    for shares in ([0.2, 0.3, 0.5], [0.25, 0.25, 0.5], [0.5, 0.3, 0.2]):
        a, b = random.multinomial(400, [0.2, 0.3, 0.5]), random.multinomial(300, shares)
        distance, deviate = label_shift(a, b)
        assert distance == pytest.approx(0.5 * np.abs(a / 400 - b / 300).sum())
        p = stats.chi2_contingency(np.stack([a, b]), correction=False).pvalue
        assert stats.norm.sf(deviate) == pytest.approx(p, rel=0.15, abs=2e-3)
    assert label_shift(np.array([5]), np.array([0])) == (0.0, 0.0)
    assert label_shift(np.array([5, 0]), np.array([3, 0])) == (0.0, 0.0)


def test_neighbours_are_scikit_learns() -> None:
    random = np.random.default_rng(1)
    of, among = random.normal(size=(300, 7)), random.normal(size=(500, 7))
    index, distance = nearest(of, among, 4)
    expected, where = NearestNeighbors(n_neighbors=4).fit(among).kneighbors(of)
    np.testing.assert_array_equal(index, where)
    np.testing.assert_allclose(distance, expected)


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_the_dimension_is_that_of_the_points_not_of_the_space(dimension: int) -> None:
    random = np.random.default_rng(2)
    points = random.uniform(size=(1000, dimension)) @ random.normal(size=(dimension, 20))
    assert intrinsic_dimension(points, points) == pytest.approx(dimension, rel=0.25)
    assert intrinsic_dimension(np.zeros((50, 3)), np.zeros((50, 3))) == 0.0


@pytest.mark.parametrize("dimension", [1, 2, 8, 40])
def test_copies_are_told_from_neighbours_in_any_dimension(dimension: int) -> None:
    random = np.random.default_rng(3)
    among = random.normal(size=(1500, dimension)) * 1e3
    of = random.normal(size=(500, dimension)) * 1e3
    assert near_copies(of, among).pairs == []
    of[7] = among[11] + 1e-9
    assert near_copies(of, among).pairs == [(7, 11)]
    # Three copies of one sample are still seen as such.
    of[7], among[12], among[13] = among[11], among[11] + 1e-9, among[11] - 1e-9
    assert [pair[0] for pair in near_copies(of, among).pairs] == [7]
    assert near_copies(of, among[:5]).pairs == []


def test_agreement_of_neighbours() -> None:
    random = np.random.default_rng(4)
    labels = random.integers(3, 7, 400)
    rows = np.eye(4)[labels - 3] + 0.01 * random.normal(size=(400, 4))
    share, chance, samples = neighbour_agreement(rows, labels)
    assert (share, samples) == (1.0, 400)
    assert chance == pytest.approx(0.25, abs=0.02)
    share, _, _ = neighbour_agreement(rows, random.permutation(labels))
    assert share == pytest.approx(0.25, abs=0.08)
