"""The vertical scale of a chart: limits that are round, stay put, and are not ruled by outliers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from traintop.records import Floats

LARGEST = 1.7976931348623157e308
SMALLEST = 5e-324
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_DIVISIONS = 4
"""Limits are multiples of a step that divides the data's range into about so many parts."""

MIN_USED = 0.4
"""Limits shrink once the data fill less than this share of them."""

_OUTLIERS = 0.01
"""Share of the columns at either end that does not count when outliers are left out."""
_EXTENSION = 0.5
"""How far beyond the others, in units of their range, an outlier is still shown."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The values at the bottom and the top of a chart.

    Attributes:
        low: Below `high`; above zero where `log`.
        high: Finite.
        log: Whether equal distances are equal ratios.
    """

    low: float
    high: float
    log: bool = False

    def unit(self, values: Floats) -> Floats:
        """Map values to 0 at `low` and 1 at `high`; beyond them the result lies outside [0, 1].

        On a logarithmic scale zero and negative values become minus infinity.
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.log:
                low, high = math.log10(self.low), math.log10(self.high)
                return (_log10(values) - low) / (high - low)
            half = 1.0 if math.isfinite(self.high - self.low) else 0.5
            low = self.low * half
            return (values * half - low) / (self.high * half - low)


def _log10(values: Floats) -> Floats:
    """Logarithm to base ten; minus infinity for what is not positive, NaN for NaN."""
    logs = np.full(values.shape, np.nan)
    np.log10(values, out=logs, where=values > 0)
    logs[values <= 0] = -np.inf
    return logs


def data_range(
    lows: Iterable[Floats], highs: Iterable[Floats], *, log: bool = False, robust: bool = False
) -> tuple[float, float] | None:
    """Return the range that a chart of these curves should show; None where nothing can be drawn.

    Args:
        lows: For each curve the least value of each column; what is not finite is passed over.
        highs: For each curve the greatest value of each column.
        log: Pass over what is not positive.
        robust: Leave outliers out: the range reaches half its size beyond the first and the last
            percentile of the columns' extremes, and no further than the data.
    """
    low_values, high_values = _usable(lows, log), _usable(highs, log)
    if not len(low_values) or not len(high_values):
        return None
    low, high = float(low_values.min()), float(high_values.max())
    if not robust:
        return low, high
    if log:
        low_values, high_values = np.log10(low_values), np.log10(high_values)
    # Divided, so that the distance between two finite numbers cannot overflow.
    least, most = _ranked(low_values, _OUTLIERS) / 4, _ranked(high_values, 1 - _OUTLIERS) / 4
    reach = max(most - least, 0.0) * _EXTENSION
    floor, ceiling = _finite(4 * (least - reach)), _finite(4 * (most + reach))
    if log:
        floor, ceiling = power10(floor), power10(ceiling)
    if not floor < ceiling:
        return low, high
    return min(max(low, floor), high), max(min(high, ceiling), low)


def _usable(arrays: Iterable[Floats], log: bool) -> Floats:
    parts = [np.asarray(array, dtype=np.float64).ravel() for array in arrays]
    values = np.concatenate(parts) if parts else np.empty(0)
    return values[np.isfinite(values) & (values > 0)] if log else values[np.isfinite(values)]


def _ranked(values: Floats, share: float) -> float:
    """Return the value below which a share of the values lies."""
    rank = round(share * (len(values) - 1))
    return float(np.partition(values, rank)[rank])


def choose_limits(
    low: float, high: float, *, log: bool = False, previous: Limits | None = None
) -> Limits:
    """Return round limits around a range, the previous ones as long as they serve.

    A chart whose limits follow every value changes every cell with every step. These move only when
    the data leave them or fill less than `MIN_USED` of them.

    Args:
        low: Least value to show; finite, above zero where `log`.
        high: Greatest value to show.
        log: Whether the scale is logarithmic.
        previous: The limits of the frame before.
    """
    if (
        previous is not None
        and previous.log == log
        and previous.low <= low <= high <= previous.high
    ):
        first, last = previous.unit(np.array([low, high]))
        if last - first >= MIN_USED:
            return previous
    return _log_limits(low, high) if log else _linear_limits(low, high)


def nice_step(size: float, parts: float) -> tuple[float, int]:
    """Return the least round step that divides `size` into at most `parts` parts.

    Returns:
        The step (1, 2, 2.5 or 5 times a power of ten) and how many decimals its multiples have.
    """
    exponent = math.floor(math.log10(size / parts))
    mantissa = size / parts / 10.0**exponent
    factor = next((step for step in _STEPS if mantissa <= step * (1 + 1e-9)), 10.0)
    decimals = -exponent - (factor == 10.0) + (factor == 2.5)
    return factor * 10.0**exponent, max(decimals, 0)


def is_ordinary(low: float, high: float) -> bool:
    """Whether round steps between two values can be computed without running out of digits."""
    size, largest = high - low, max(abs(low), abs(high))
    return 1e-290 < size < 1e300 and size > largest * 1e-12


def _linear_limits(low: float, high: float) -> Limits:
    if low == high:
        # A constant gets a scale on which it lies in the middle.
        margin = abs(low) * 0.1
        low, high = (_finite(low - margin), _finite(high + margin)) if low else (0.0, 1.0)
    if not is_ordinary(low, high):
        if low < high:
            return Limits(low, high)
        return Limits(min(low, 0.0), max(high, 0.0)) if low else Limits(0.0, 1.0)
    step, _ = nice_step(high - low, _DIVISIONS)
    bottom = math.floor(low / step + 1e-9) * step
    top = math.ceil(high / step - 1e-9) * step
    return Limits(min(_finite(bottom), low), max(_finite(top), high))


def _log_limits(low: float, high: float) -> Limits:
    bottom, top = math.log10(low), math.log10(high)
    if top - bottom > 1:
        bottom, top = math.floor(bottom + 1e-9), math.ceil(top - 1e-9)
        return Limits(min(power10(bottom), low), max(power10(top), high), log=True)
    if top - bottom > 0.05:
        below, above = _mantissa(bottom, down=True), _mantissa(top, down=False)
        if below < above:
            return Limits(min(below, low), max(above, high), log=True)
    linear = _linear_limits(low, high)
    bottom_value = linear.low if linear.low > 0 else low / 2 or low
    if bottom_value < linear.high:
        return Limits(bottom_value, linear.high, log=True)
    return Limits(low, min(low * 10, LARGEST), log=True)


def _mantissa(exponent: float, *, down: bool) -> float:
    """Return the next value below or above that is 1, 2 or 5 times a power of ten."""
    whole = math.floor(exponent)
    steps = (1.0, 2.0, 5.0, 10.0)
    fraction = 10.0 ** (exponent - whole)
    if down:
        return max(s for s in steps if s <= fraction * (1 + 1e-9)) * power10(whole)
    return _finite(min(s for s in steps if s >= fraction * (1 - 1e-9)) * power10(whole))


def power10(exponent: float) -> float:
    """Return a power of ten, the nearest positive finite number where there is none."""
    if exponent > 308:
        return LARGEST
    return max(float(10.0**exponent), SMALLEST)


def _finite(value: float) -> float:
    return min(max(value, -LARGEST), LARGEST)
