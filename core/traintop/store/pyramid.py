"""Minimum, maximum, sum and count of blocks of a series, kept as it grows.

A frame then costs by the width of the screen and not by the length of the run, and no extreme is
lost: the minimum and the maximum of a block survive every level.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from traintop.records import Floats
from traintop.store.growing import Growing

FANOUT = 64
"""Values a block of the first level; blocks of one level a block of the next."""


class Blocks(NamedTuple):
    """Aggregates in order, each of shape (blocks,)."""

    lo: Floats
    """Least finite value, NaN where there is none."""
    hi: Floats
    total: Floats
    """Sum of the finite values."""
    finite: Floats
    """How many values are finite."""
    nonfinite: Floats


def of_values(values: Floats) -> Blocks:
    """See each value as a block of its own."""
    finite = np.isfinite(values)
    if finite.all():
        return Blocks(values, values, values, np.ones(len(values)), np.zeros(len(values)))
    known = np.where(finite, values, np.nan)
    count = finite.astype(np.float64)
    return Blocks(known, known, np.where(finite, values, 0.0), count, 1.0 - count)


def reduce_blocks(blocks: Blocks, starts: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Blocks:
    """Join neighbouring blocks.

    Args:
        blocks: At least one.
        starts: Shape (groups,), strictly rising: where each group begins. The last one ends with
            the blocks.
    """
    return Blocks(
        np.fmin.reduceat(blocks.lo, starts),
        np.fmax.reduceat(blocks.hi, starts),
        np.add.reduceat(blocks.total, starts),
        np.add.reduceat(blocks.finite, starts),
        np.add.reduceat(blocks.nonfinite, starts),
    )


class _Level:
    __slots__ = ("columns",)

    def __init__(self) -> None:
        self.columns = tuple(Growing() for _ in Blocks._fields)

    def __len__(self) -> int:
        return len(self.columns[-1])

    def extend(self, blocks: Blocks) -> None:
        for column, values in zip(self.columns, blocks, strict=True):
            column.extend(values)

    def view(self, first: int, last: int) -> Blocks:
        return Blocks(*(column.view()[first:last] for column in self.columns))


class Pyramid:
    """The levels above one series; level `k` (from 1) has a block for each `FANOUT**k` values."""

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        self._levels: list[_Level] = []

    def grow(self, values: Floats) -> None:
        """Take in the blocks that have become complete.

        Args:
            values: The whole series so far, shape (n,).
        """
        below: Blocks | None = None
        size = len(values)
        for depth in range(1, 12):
            complete = size // FANOUT
            if complete == 0:
                return
            if depth > len(self._levels):
                self._levels.append(_Level())
            level = self._levels[depth - 1]
            known = len(level)
            if known == complete:
                return
            first, last = known * FANOUT, complete * FANOUT
            if depth == 1:
                below = of_values(values[first:last])
            else:
                below = self._levels[depth - 2].view(first, last)
            level.extend(reduce_blocks(below, np.arange(0, last - first, FANOUT)))
            size = complete

    def truncate(self, size: int) -> None:
        """Forget the blocks that reach beyond the first `size` values."""
        for level in self._levels:
            size //= FANOUT
            for column in level.columns:
                column.truncate(size)

    def first(self, size: int) -> Pyramid:
        """Return the blocks of the first `size` values, without a copy and for reading only."""
        past = Pyramid()
        for level in self._levels:
            size //= FANOUT
            if not size:
                break
            shorter = _Level()
            shorter.columns = tuple(column.first(size) for column in level.columns)
            past._levels.append(shorter)
        return past

    def level_for(self, values_per_column: float) -> int:
        """Return the highest level whose blocks are no more than a quarter of a column wide."""
        level = 0
        while level < len(self._levels) and 4 * FANOUT ** (level + 1) <= values_per_column:
            level += 1
        return level

    def view(self, level: int, first: int, last: int) -> Blocks:
        """Return blocks [first, last) of a level, which may be fewer than asked for."""
        return self._levels[level - 1].view(first, last)

    def complete(self, level: int) -> int:
        """Return how many blocks a level holds."""
        return len(self._levels[level - 1])
