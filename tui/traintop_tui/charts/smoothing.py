"""Exponential smoothing of a drawn curve.

The formula is that of TensorBoard's scalar charts: an exponential moving average that starts at
zero, divided by the sum of its weights (the same correction as Adam's), so that the first values
are not pulled to zero. Non-finite values are passed over and keep their place.
"""

from __future__ import annotations

import math

import numpy as np

from traintop.records import Floats


def smooth(values: Floats, weight: float) -> Floats:
    """Smooth one value a column.

    Args:
        values: Shape (n,), the mean of each pixel column; NaN or infinite where there is none.
        weight: Share of the past in each value, 0 (no smoothing) to below 1.

    Returns:
        Shape (n,), NaN where `values` is not finite.

    Raises:
        ValueError: `weight` is outside [0, 1).
    """
    if not 0 <= weight < 1:
        raise ValueError(f"smoothing weight must be at least 0 and below 1, not {weight}")
    smoothed = [math.nan] * len(values)
    last, total = 0.0, 0.0
    for index, value in enumerate(values.tolist()):
        if math.isfinite(value):
            last = weight * last + (1 - weight) * value
            total = weight * total + (1 - weight)
            smoothed[index] = last / total
    return np.array(smoothed, dtype=np.float64)


def weight_of_window(columns: float) -> float:
    """Return the weight whose average reaches as far back as a window of so many columns.

    The usual correspondence for exponential averages: a share of 2 / (n + 1) for the newest value.
    """
    return 1 - 2 / (max(columns, 1) + 1)
