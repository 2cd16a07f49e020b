"""Pure statistics of short windows: medians, robust spread, trend, rounding.

No numpy: the windows are short, and a call into numpy costs more than the work. A window holds what
its caller put into it, so a caller that keeps spikes and non-finite values out has a window of
accepted values only.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise

MAD_TO_SIGMA = 1.4826
"""The standard deviation of normal noise, in median absolute deviations."""

DIFFERENCE_TO_SIGMA = math.sqrt(math.pi) / 2
"""The standard deviation of independent normal noise, in mean absolute successive differences."""

DIFFERENCE_MEDIAN = 0.954
"""The median absolute successive difference of such noise, in its standard deviations."""


class RunningMedian:
    """The last `size` values and their order statistics.

    Adding costs O(log size) comparisons and a memmove, about half a microsecond.
    """

    __slots__ = ("_order", "_values", "size")

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"a window holds at least 1 value, not {size}")
        self.size = size
        self._values: deque[float] = deque()
        self._order: list[float] = []

    def __len__(self) -> int:
        return len(self._order)

    def add(self, value: float) -> float:
        """Take a finite value, let the oldest go when the window is full; return the median."""
        order = self._order
        values = self._values
        if len(values) == self.size:
            del order[bisect_left(order, values.popleft())]
        values.append(value)
        insort(order, value)
        # As in `sorted_median`, here without the call: this runs once or twice a record.
        count = len(order)
        middle = count >> 1
        return order[middle] if count & 1 else 0.5 * (order[middle - 1] + order[middle])

    def clear(self) -> None:
        """Forget everything: what comes next has no past."""
        self._values.clear()
        self._order.clear()

    @property
    def median(self) -> float:
        """The median; NaN when empty."""
        return sorted_median(self._order)

    @property
    def minimum(self) -> float:
        """The smallest value; NaN when empty."""
        return self._order[0] if self._order else math.nan

    @property
    def maximum(self) -> float:
        """The largest value; NaN when empty."""
        return self._order[-1] if self._order else math.nan

    def values(self) -> list[float]:
        """The values, oldest first."""
        return list(self._values)

    def spread(self) -> float:
        """Robust standard deviation (MAD x 1.4826), never below `noise_floor`; O(size log size)."""
        if not self._order:
            return math.nan
        median = sorted_median(self._order)
        deviation = sorted_median(sorted([abs(value - median) for value in self._order]))
        return max(MAD_TO_SIGMA * deviation, noise_floor(median, self._order))


def window_size(records: float) -> int:
    """A threshold that is a number of records, as a size.

    Raises:
        ValueError: Less than 1.
    """
    if not records >= 1:
        raise ValueError(f"a window holds at least 1 value, not {records:g}")
    return int(records)


def sorted_median(order: Sequence[float]) -> float:
    """The median of values that are already sorted; NaN of none."""
    count = len(order)
    if not count:
        return math.nan
    middle = count // 2
    return order[middle] if count % 2 else 0.5 * (order[middle - 1] + order[middle])


def median(values: Iterable[float]) -> float:
    """The median of finite values; NaN of none."""
    return sorted_median(sorted(values))


def rounding_step(values: Iterable[float]) -> float:
    """The step that a log's rounding leaves between values: its smallest difference that is not 0.

    Logs print about four digits, so a series at rest has a MAD of exactly 0 and any z-score of it
    is infinite. Where values were not rounded this is a tiny number and does no harm.

    Returns:
        The smallest difference between neighbours in order; 0 where all values are equal.
    """
    order = sorted(values)
    return min(
        (after - before for before, after in pairwise(order) if after > before),
        default=0.0,
    )


def noise_floor(median: float, values: Iterable[float]) -> float:
    """The least spread that is believed: 1e-3 of the median or one rounding step, if larger."""
    return max(1e-3 * abs(median), rounding_step(values))


def theil_sen(values: Sequence[float]) -> float:
    """The median of all pairwise slopes, per record (Theil 1950, Sen 1968); NaN of less than 2."""
    slopes = [
        (later - value) / (distance + 1)
        for start, value in enumerate(values)
        for distance, later in enumerate(values[start + 1 :])
    ]
    return median(slopes)


def mann_kendall(values: Sequence[float]) -> float:
    """The z-score of a monotonic trend, above 0 where values rise (Mann 1945, Kendall 1975).

    Corrected for ties and continuity; O(n^2). 0 of less than 3 values or of equal ones.
    """
    count = len(values)
    score = 0
    for start, value in enumerate(values):
        for later in values[start + 1 :]:
            score += (later > value) - (later < value)
    ties: dict[float, int] = {}
    for value in values:
        ties[value] = ties.get(value, 0) + 1
    variance = (
        count * (count - 1) * (2 * count + 5)
        - sum(t * (t - 1) * (2 * t + 5) for t in ties.values())
    ) / 18
    if count < 3 or variance <= 0:
        return 0.0
    return (score - (score > 0) + (score < 0)) / math.sqrt(variance)


class Ladder:
    """A whole series as a few dozen block means: memory and cost stay bounded, nothing is dropped.

    When `capacity` blocks are full, neighbours are merged and blocks become twice as long, so that
    any late share of a run of any length is described by the same number of points.

    Attributes:
        steps: The mean step of each full block.
        means: The mean value of each full block.
        length: How many records a block holds.
    """

    __slots__ = ("_count", "_step", "_sum", "capacity", "length", "means", "steps")

    def __init__(self, capacity: int, length: int = 1) -> None:
        if capacity < 2 or capacity % 2:
            raise ValueError(f"a ladder has an even number of blocks, not {capacity}")
        self.capacity = capacity
        self.length = length
        self.steps: list[float] = []
        self.means: list[float] = []
        self._count = 0
        self._sum = 0.0
        self._step = 0.0

    def add(self, step: float, value: float) -> bool:
        """Take a finite value; return whether it filled a block."""
        self._sum += value
        self._step += step
        self._count += 1
        if self._count < self.length:
            return False
        self.means.append(self._sum / self._count)
        self.steps.append(self._step / self._count)
        self._count = 0
        self._sum = self._step = 0.0
        if len(self.means) == self.capacity:
            self.means = [
                0.5 * (a + b) for a, b in zip(self.means[::2], self.means[1::2], strict=True)
            ]
            self.steps = [
                0.5 * (a + b) for a, b in zip(self.steps[::2], self.steps[1::2], strict=True)
            ]
            self.length *= 2
        return True

    def since(self, step: float) -> list[float]:
        """The block means from `step` on."""
        return self.means[bisect_left(self.steps, step) :]
