"""Comparing two samples of data: distributions, classes, and samples that are in both.

Pure numpy. Kolmogorov-Smirnov after Smirnov (1948) with Stephens' correction (1970), the intrinsic
dimension after Facco et al., "Estimating the intrinsic dimension of datasets by a minimal
neighborhood information" (2017), chi-squared tails after Wilson and Hilferty (1931).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]

NEIGHBOURS = 5
"""A copy is told from a neighbour by the distance of the fifth: up to three copies are allowed."""
CHANCE = 0.01
"""Near copies that are expected by chance among all samples that are compared."""
LARGEST_RATIO = 0.5
"""However high the dimension, a copy is at most half as far away as a neighbour."""
BLOCK = 256


def kolmogorov_smirnov(a: Floats, b: Floats) -> tuple[float, float]:
    """The largest distance of two distribution functions, and its two-sided asymptotic p-value.

    Args:
        a: Shape (n,), finite.
        b: Shape (m,), finite.
    """
    if not len(a) or not len(b):
        return 0.0, 1.0
    joint = np.concatenate([a, b])
    below_a = np.searchsorted(np.sort(a), joint, side="right") / len(a)
    below_b = np.searchsorted(np.sort(b), joint, side="right") / len(b)
    distance = float(np.abs(below_a - below_b).max())
    root = math.sqrt(len(a) * len(b) / (len(a) + len(b)))
    return distance, _kolmogorov_tail((root + 0.12 + 0.11 / root) * distance)


def _kolmogorov_tail(x: float) -> float:
    if x < 0.2:  # 1 to more digits than there are; the series does not converge there
        return 1.0
    terms = ((-1) ** (k - 1) * math.exp(-2.0 * k * k * x * x) for k in range(1, 101))
    return min(max(2.0 * math.fsum(terms), 0.0), 1.0)


def label_shift(a: Ints, b: Ints) -> tuple[float, float]:
    """Total variation of two class distributions, and how sure it is in standard deviations.

    Args:
        a: Shape (C,), counts of the classes.
        b: The same of the other sample.

    Returns:
        Half the sum of the differences of the shares, 0 to 1; the chi-squared statistic of
        homogeneity as the normal deviate of the same tail.
    """
    if not a.sum() or not b.sum():
        return 0.0, 0.0
    distance = 0.5 * float(np.abs(a / a.sum() - b / b.sum()).sum())
    seen = (a + b) > 0
    degrees = int(seen.sum()) - 1
    if degrees < 1:
        return distance, 0.0
    table = np.stack([a[seen], b[seen]]).astype(np.float64)
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    spread = 2.0 / (9.0 * degrees)
    return distance, ((statistic / degrees) ** (1 / 3) - (1.0 - spread)) / math.sqrt(spread)


@dataclass(frozen=True, kw_only=True)
class NearCopies:
    """Samples that are all but the same as one of the other split."""

    pairs: list[tuple[int, int]]
    """(index in the one, index in the other)."""
    dimension: float
    """Intrinsic dimension of the other."""
    ratio: float
    """Distance of the nearest over that of the fifth neighbour, below which it is a copy."""


def near_copies(of: Floats, among: Floats) -> NearCopies:
    """Find samples whose nearest neighbour is nearer than neighbours are.

    In d dimensions the nearest of uniform points lies within r times the distance of the fifth with
    a probability of about 4 r^d, so that the ratio follows from the dimension and from how many
    samples are compared. Nothing depends on scale or density.

    Args:
        of: Shape (n, D).
        among: Shape (m, D).
    """
    if len(among) < 4 * NEIGHBOURS or not len(of):
        return NearCopies(pairs=[], dimension=0.0, ratio=0.0)
    dimension = intrinsic_dimension(among[:: max(len(among) // 1000, 1)], among)
    if dimension <= 0:
        return NearCopies(pairs=[], dimension=0.0, ratio=0.0)
    ratio = (CHANCE / (len(of) * (NEIGHBOURS - 1))) ** (1.0 / dimension)
    ratio = min(ratio, LARGEST_RATIO)
    index, distance = nearest(of, among, NEIGHBOURS)
    copy = distance[:, 0] < ratio * distance[:, -1]
    found = [(int(i), int(index[i, 0])) for i in np.flatnonzero(copy)]
    return NearCopies(pairs=found, dimension=dimension, ratio=ratio)


def intrinsic_dimension(of: Floats, among: Floats) -> float:
    """From the ratio of the distances of the second and the first neighbour; `of` is in `among`."""
    _, distance = nearest(of, among, 3)
    first, second = distance[:, 1], distance[:, 2]  # the nearest of all is the point itself
    known = first > 0
    if not known.any():
        return 0.0
    median = float(np.median(second[known] / first[known]))
    return math.log(2.0) / math.log(median) if median > 1.0 else 0.0


def nearest(of: Floats, among: Floats, k: int) -> tuple[Ints, Floats]:
    """The k nearest neighbours, nearest first: indexes and Euclidean distances, shape (n, k)."""
    squares = (among * among).sum(1)
    indexes = np.zeros((len(of), k), dtype=np.int64)
    distances = np.zeros((len(of), k))
    for start in range(0, len(of), BLOCK):
        block = of[start : start + BLOCK]
        rough = squares - 2.0 * (block @ among.T)
        chosen = np.argpartition(rough, k - 1, axis=1)[:, :k]
        # Products of large numbers lose what tells near copies apart.
        exact = np.linalg.norm(
            among[chosen].astype(np.float64) - block[:, None].astype(np.float64), axis=2
        )
        order = np.argsort(exact, axis=1, kind="stable")
        indexes[start : start + BLOCK] = np.take_along_axis(chosen, order, axis=1)
        distances[start : start + BLOCK] = np.take_along_axis(exact, order, axis=1)
    return indexes, distances


def neighbour_agreement(rows: Floats, labels: Ints) -> tuple[float, float, int]:
    """How often the nearest neighbour has the same label.

    Returns:
        The share; what chance would give, the sum of squared shares of the classes; and of how many
        samples it is.
    """
    at = np.arange(0, len(rows), max(len(rows) // 1000, 1))
    if len(rows) < 2:
        return 0.0, 1.0, 0
    index, _ = nearest(rows[at], rows, 2)
    other = np.where(index[:, 0] == at, index[:, 1], index[:, 0])
    share = np.bincount(labels - labels.min()) / len(labels)
    return float((labels[other] == labels[at]).mean()), float((share**2).sum()), len(at)
