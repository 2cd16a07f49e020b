"""The search for the largest batch size that fits, apart from what tries one. Pure.

Doubling, then bisection, as Lightning's `scale_batch_size` in its mode `binsearch`, to the same
margin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

MARGIN = 0.05
"""Lightning's: the search is over when what fits and what does not are closer than this share."""
KNEE = 0.9
"""Beyond the knee all further samples of a batch together win less than a tenth of throughput."""

Limit = Literal["memory", "time", "most"]
"""Why no larger size was tried or fits."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A batch size that was tried, or that was known not to fit."""

    batch_size: int
    ok: bool
    samples_per_sec: float | None = None
    peak_memory_mb: float | None = None
    seconds: float | None = None
    """Of one step."""
    limit: Limit | None = None
    """What it went over, where it is not ok."""


def search(attempt: Callable[[int], Trial], start: int, most: int) -> list[Trial]:
    """Try sizes until the largest that fits is known to within `MARGIN`.

    Args:
        attempt: Tries a size.
        start: The first size; where it does not fit, smaller ones are tried.
        most: No larger size is tried.

    Returns:
        All trials, in the order in which they were made.
    """
    trials: list[Trial] = []
    size, fits, too_large = min(start, most), 0, most + 1
    while size < too_large:
        trials.append(attempt(size))
        if not trials[-1].ok:
            too_large = size
            break
        fits = size
        if size == most:
            return trials
        size = min(2 * size, most)
    while too_large - fits > max(1, int(MARGIN * fits)):
        middle = (fits + too_large) // 2
        trials.append(attempt(middle))
        if trials[-1].ok:
            fits = middle
        else:
            too_large = middle
    return trials


def largest(trials: Sequence[Trial]) -> int | None:
    """The largest size that fits; None where none does."""
    return max((trial.batch_size for trial in trials if trial.ok), default=None)


def knee(trials: Sequence[Trial]) -> int | None:
    """The smallest size whose throughput is at least `KNEE` of the best."""
    known = [
        (trial.batch_size, trial.samples_per_sec)
        for trial in trials
        if trial.samples_per_sec is not None
    ]
    best = max((rate for _, rate in known), default=0.0)
    return min((size for size, rate in known if rate >= KNEE * best), default=None)


def limit_of(trials: Sequence[Trial]) -> Limit:
    """What keeps the batch from being larger."""
    failed = [trial for trial in trials if trial.limit is not None]
    if not failed:
        return "most"
    return min(failed, key=lambda trial: trial.batch_size).limit or "memory"


def expected(trials: Sequence[Trial], size: int, what: str) -> float | None:
    """What a size will take of `seconds` or `peak_memory_mb`, on a line through the two largest.

    Returns:
        None where fewer than two sizes are known; never less than what the largest took.
    """
    known = sorted(
        (trial.batch_size, float(getattr(trial, what)))
        for trial in trials
        if trial.ok and getattr(trial, what) is not None
    )
    if len(known) < 2:
        return None
    (low, at_low), (high, at_high) = known[-2:]
    slope = max((at_high - at_low) / (high - low), 0.0)
    return at_high + slope * (size - high)
