"""The LR range test without its loop: schedule, smoothing, stopping rule, suggestions. All pure.

The four suggestions are those of fastai (`fastai/callback/schedule.py`), so that their values mean
what people know them to mean. They are heuristics that differ by up to two decades and move with
the seed, which is why what is reported is their range and agreement, and not one of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STOP_RATIO = 4.0
"""fastai's and Lightning's: the smoothed loss over its best that ends the test."""
SKIP_LAST = 5
"""Points that fastai drops at the end: the divergence itself."""
AGREEMENT_DECADES = 2.0
"""Suggestions whose middle half is as wide as this do not agree at all."""
DIVERGED_RATIO = 2.0
"""A loss this many times the worst at rest is no chance."""


def schedule(start: float, end: float, steps: int) -> Floats:
    """Learning rates from `start` to `end`, both included, each a fixed factor above the last.

    Returns:
        Shape (steps,).
    """
    return np.geomspace(start, end, steps)


@dataclass
class Average:
    """Exponential moving average, corrected for starting at zero, as in Adam."""

    weight: float
    """Of the past, in [0, 1)."""
    _mean: float = 0.0
    _count: int = 0

    def add(self, value: float) -> float:
        """Take in the next value; returns the average so far."""
        self._count += 1
        self._mean = self.weight * self._mean + (1 - self.weight) * value
        return self._mean / (1 - self.weight**self._count)


def smooth(losses: Floats, weight: float) -> Floats:
    """The `Average` after each of the losses, shape (n,)."""
    average = Average(weight)
    return np.array([average.add(loss) for loss in losses.tolist()], dtype=np.float64)


def skipped(steps: int) -> int:
    """How many points at the start of a test of so many steps are not judged (fastai: a tenth)."""
    return steps // 10


def diverged(smoothed: Floats, steps: int) -> bool:
    """Whether the test is over: the last smoothed loss is above 4 times the best, or not finite.

    The first tenth is not judged, nor is a best taken from it: few batches make a poor mean, and on
    a model that is already trained their losses easily differ by such a factor. Where losses were
    negative (log densities), the rise is held against their range instead of against the best.
    """
    if not len(smoothed):
        return False
    last = float(smoothed[-1])
    if not math.isfinite(last):
        return True
    judged = smoothed[skipped(steps) :]
    if not len(judged):
        return False
    best = float(judged.min())
    scale = best if best > 0 else max(abs(best), float(judged[0]) - best)
    return last - best > (STOP_RATIO - 1) * scale


def trim(lrs: Floats, smoothed: Floats, steps: int) -> tuple[Floats, Floats]:
    """The part of the curve that suggestions are read from.

    Without the first tenth of the planned steps, the last 5 points, and what follows a loss that is
    not finite.
    """
    cut = slice(skipped(steps), max(len(smoothed) - SKIP_LAST, 0))
    lrs, smoothed = lrs[cut], smoothed[cut]
    broken = np.flatnonzero(~np.isfinite(smoothed))
    end = int(broken[0]) if len(broken) else len(smoothed)
    return lrs[:end], smoothed[:end]


def steep(lrs: Floats, losses: Floats) -> float | None:
    """Where the loss falls fastest against the logarithm of the learning rate."""
    if len(losses) < 2:
        return None
    slope = np.diff(losses) / np.diff(np.log(lrs))
    return float(lrs[slope.argmin()])


def valley(lrs: Floats, losses: Floats) -> float | None:
    """A third and a sixth into the longest valley.

    The valley ends where the longest strictly decreasing subsequence does, and is taken to be as
    long as that has members, as fastai does, although its members need not be neighbours.
    """
    n = len(losses)
    if not n:
        return None
    length = np.ones(n, dtype=np.int64)
    for i in range(1, n):
        above = length[:i][losses[:i] > losses[i]]
        length[i] += above.max() if len(above) else 0
    end = int(length.argmax())
    if not end:
        return float(lrs[0])
    start = end - int(length[end])
    third = (end - start) / 3
    return float(lrs[max(start + int(third) + int(third / 2), 0)])


def slide(
    lrs: Floats, losses: Floats, lr_diff: int = 15, threshold: float = 0.005, adjust: float = 1.0
) -> float | None:
    """Walk two points, `lr_diff` apart, in from the right until the slopes at them are alike.

    The slope is that per step, not per learning rate.
    """
    n = len(losses)
    if n <= lr_diff:
        return None
    slope = np.gradient(losses)
    right, left = n - 1, n - 1 - lr_diff
    found = left
    while left >= 0 and abs(slope[right] - slope[left]) > threshold:
        found = left
        right -= 1
        left -= 1
    return float(lrs[found]) * adjust


def minimum(lrs: Floats, losses: Floats) -> float | None:
    """A tenth of the learning rate with the lowest loss."""
    return float(lrs[losses.argmin()]) / 10 if len(losses) else None


def suggest(lrs: Floats, smoothed: Floats, steps: int) -> dict[str, float | None]:
    """All four suggestions of one curve; None where it is too short for one.

    Args:
        lrs: Shape (n,), as tried.
        smoothed: Shape (n,), the smoothed losses.
        steps: Steps planned, n or more.
    """
    lrs, smoothed = trim(lrs, smoothed, steps)
    return {
        "steep": steep(lrs, smoothed),
        "valley": valley(lrs, smoothed),
        "slide": slide(lrs, smoothed),
        "minimum": minimum(lrs, smoothed),
    }


def span(
    suggestions: Iterable[Mapping[str, float | None]],
) -> tuple[float, float, float, float] | None:
    """Low, median (by ratio) and high of the suggestions of all seeds, and their agreement.

    Agreement is 1 where the middle half of them is one value, and falls linearly to 0 where it
    spreads over `AGREEMENT_DECADES` decades. The middle half, since the methods differ by design:
    `minimum` is a tenth of where the loss is lowest, `slide` is near there.

    Returns:
        (low, median, high, agreement), or None where there is no suggestion.
    """
    values = [value for each in suggestions for value in each.values() if value is not None]
    if not values:
        return None
    first, median, third = np.quantile(np.log10(values), (0.25, 0.5, 0.75)).tolist()
    agreement = max(0.0, 1 - (third - first) / AGREEMENT_DECADES)
    return min(values), 10**median, max(values), agreement


def divergence(lrs: Floats, losses: Floats, at_rest: Floats) -> float | None:
    """Where the loss has diverged: the first learning rate with one far above all losses at rest.

    Far above is twice the highest loss that any batch had before training. Measured on small
    classifiers (SGD with momentum and Adam, untrained to converged), learning rates that train well
    lie at most at 0.6 of it; the smoothed loss crosses its own threshold up to a decade later.

    Args:
        lrs: Shape (n,).
        losses: Shape (n,), unsmoothed.
        at_rest: The losses of the batches before training.
    """
    place = _far_above(losses, at_rest)
    return None if place is None else float(lrs[place])


def edge(
    lrs: Floats, losses: Floats, at_rest: Floats, *, ended: bool, momentum: float = 0.0
) -> float | None:
    """The edge of stability, read off how fast the loss grows where it diverges.

    On a quadratic of curvature L gradient descent multiplies the error by 1 - lr L with each step,
    so it is stable below 2 / L. The loss shows that late: while the learning rate passed 1 / L, the
    error along the steepest direction has all but vanished, and it takes steps to grow back above
    what the other directions leave. But from then on its growth tells L: a loss that grows by g^2
    in a step at lr has lr L = 1 + g, so that 2 / L = 2 lr / (1 + g). With heavy-ball momentum b the
    edge is 2 (1 + b) / L and lr L = 1 + b + g + b / g (Polyak 1964; Cohen et al., "Gradient Descent
    on Neural Networks Typically Occurs at the Edge of Stability", 2021, appendix B). Growth is that
    above the lowest loss of the rise.

    Exact for a quadratic without momentum, an estimate otherwise. Measured on a small CNN and a
    small GPT, fresh and trained: SGD trains at half of it and diverges at two to four times of it,
    with momentum at one to four times. AdamW, which has no such edge since it scales each weight,
    often does harm at a quarter of it.

    Args:
        lrs: Shape (n,).
        losses: Shape (n,), unsmoothed, each before the step at its learning rate.
        at_rest: The losses of the batches before training.
        ended: Whether the test was ended by divergence; without, the loss must be far above rest.
        momentum: In [0, 1).

    Returns:
        None where the loss does not diverge. Where it does at once, after no step that would show
        its growth, the learning rate of the step before.
    """
    top = _far_above(losses, at_rest)
    if top is None:
        if not ended or not len(losses):
            return None
        top = len(losses) - 1
    bottom = top
    while bottom and losses[bottom - 1] < losses[bottom]:
        bottom -= 1
    if top - bottom < 2:
        return float(lrs[bottom])
    lowest = float(losses[bottom])
    growth = math.sqrt((float(losses[top]) - lowest) / (float(losses[top - 1]) - lowest))
    rate = 1 + momentum + growth + momentum / growth
    return float(lrs[top - 1]) * 2 * (1 + momentum) / rate


def _far_above(losses: Floats, at_rest: Floats) -> int | None:
    """The place of the first loss that is far above all losses at rest."""
    if at_rest.max() <= 0:
        return None
    over = np.flatnonzero(losses > DIVERGED_RATIO * at_rest.max())
    return int(over[0]) if len(over) else None
