"""Reducing values, and blocks of them, to columns of a screen."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traintop.records import Floats

BLOCK = np.dtype(
    [("lo", "f8"), ("hi", "f8"), ("total", "f8"), ("finite", "i4"), ("infinite", "i4")]
)
"""Least and greatest finite value, NaN where there is none; the sum of the finite values; how many
are finite, and how many infinite."""

Bounds = NDArray[np.int64]


class Columns(NamedTuple):
    """Aggregates of columns, each of shape (columns, ...), NaN where a column is empty."""

    lo: Floats
    """Least finite value."""
    hi: Floats
    mean: Floats
    """Of the finite values."""
    nonfinite: NDArray[np.int64]
    """How many values are NaN or infinite."""


class Sums:
    """Aggregates per column, merged from pieces.

    Args:
        columns: How many.
        shape: Of a value.
    """

    def __init__(self, columns: int, shape: tuple[int, ...]) -> None:
        self._lo = np.full((columns, *shape), np.nan)
        self._hi = np.full((columns, *shape), np.nan)
        self._total = np.zeros((columns, *shape))
        self._finite = np.zeros((columns, *shape), np.int64)
        self._size = np.zeros((columns, *[1] * len(shape)), np.int64)

    def take(self, data: NDArray[Any], bounds: Bounds, size: int) -> None:
        """Take in a piece.

        Args:
            data: Values, or blocks of `size` values.
            bounds: Shape (columns + 1,), never falling: where in the data each column begins.
            size: How many values a block is of.
        """
        filled, starts, data = _grouped(data, bounds)
        if not len(filled):
            return
        count = np.diff(np.append(starts, len(data))).reshape(-1, *[1] * (data.ndim - 1))
        self._size[filled] += count * size
        if data.dtype == BLOCK:
            lo, hi, total = data["lo"], data["hi"], data["total"]
            self._finite[filled] += np.add.reduceat(data["finite"], starts, dtype=np.int64)
        else:
            lo, finite, total = finite_parts(data)
            hi = lo
            if finite is None:
                self._finite[filled] += count
            else:
                self._finite[filled] += np.add.reduceat(finite, starts, dtype=np.int64)
        self._lo[filled] = np.fmin(self._lo[filled], np.fmin.reduceat(lo, starts))
        self._hi[filled] = np.fmax(self._hi[filled], np.fmax.reduceat(hi, starts))
        self._total[filled] += np.add.reduceat(total, starts)

    def columns(self) -> Columns:
        """Return what came together."""
        mean = np.full(self._total.shape, np.nan)
        np.divide(self._total, self._finite, out=mean, where=self._finite > 0)
        return Columns(self._lo, self._hi, mean, self._size - self._finite)


def take_maxima(found: Floats, data: NDArray[Any], bounds: Bounds) -> None:
    """Take the maxima of a piece into those found so far, infinite where any value is infinite.

    The arguments are those of `Sums.take`.
    """
    filled, starts, data = _grouped(data, bounds)
    if not len(filled):
        return
    hi, infinite = (data["hi"], data["infinite"] > 0) if data.dtype == BLOCK else (data, None)
    if infinite is None and not np.isfinite(finite_sum(data)):
        infinite = np.isinf(data)
    maxima = np.fmax.reduceat(hi, starts)
    if infinite is not None and infinite.any():
        maxima[np.logical_or.reduceat(infinite, starts)] = np.inf
    found[filled] = np.fmax(found[filled], maxima)


def reduce_values(values: Floats, bounds: Bounds) -> Columns:
    """Reduce plain values to columns.

    Args:
        values: Shape (n,).
        bounds: Shape (columns + 1,), never falling: where each column begins.
    """
    sums = Sums(len(bounds) - 1, ())
    sums.take(values, bounds, 1)
    return sums.columns()


def finite_parts(values: Floats) -> tuple[Floats, NDArray[np.bool_] | None, Floats]:
    """Return values with NaN for infinite ones; which are finite, None for all; 0 for the others.

    Args:
        values: Any shape, which that of the three is.
    """
    if np.isfinite(finite_sum(values)):
        return values, None, values
    finite = np.isfinite(values)
    return np.where(finite, values, np.nan), finite, np.where(finite, values, 0.0)


def finite_sum(values: Floats) -> float:
    """Return the sum, which is finite only where all values are; and that is cheap to know.

    A sum that overflows costs its caller no more than the longer way.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return float(values.sum())


def _grouped(data: NDArray[Any], bounds: Bounds) -> tuple[Bounds, Bounds, NDArray[Any]]:
    """Return the columns that hold anything, where they begin, and the data up to their end."""
    # A rewind in the thread that reads may have cut off some after the bounds were found.
    bounds = np.clip(bounds, 0, len(data))
    filled = np.flatnonzero(bounds[1:] > bounds[:-1])
    return filled, bounds[:-1][filled], data[: bounds[-1]]
