"""Central differences of one number, and whether a derivative agrees with them.

The step is the cube root of the rounding unit, where truncation and rounding meet (Press et al.,
"Numerical Recipes", 5.7). A derivative that differs is tried again with smaller steps: a ReLU or a
maximum that switches within a step bends the function there, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

ROUNDING = 32.0
"""Rounding units by which a loss is off after the many sums of a network; measured 1 to 10."""
FACTORS = (1.0, 0.1, 0.01)
"""Steps that are tried, as multiples of the first."""
SHRINKS = 0.5
"""The gap between the slopes of both sides shrinks with the step where the function is smooth. At
a kink it stays."""
HIDDEN = 10.0
"""Distance of a derivative from the central one, over the gap, up to which the kink explains it.
Units at their kinks (zero biases, residual branches that begin at 0) move the slopes of both sides
both ways, so the gap is less than what they add up to."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A derivative beside the central difference that is nearest to it."""

    analytic: float
    numeric: float
    relative_error: float
    """Their distance over the larger one, or over what rounding leaves of so small ones."""
    kink: bool = False
    """Whether the function has a kink here that explains the distance: nothing can be said."""


def compare(
    shifted: Callable[[float], float],
    analytic: float,
    *,
    at: float,
    loss: float,
    unit: float,
    tolerance: float,
) -> Comparison:
    """Compare a derivative with central differences.

    Args:
        shifted: The loss with the number moved by its argument.
        analytic: The derivative that is checked.
        at: The number.
        loss: The loss where it is not moved.
        unit: Rounding unit of the computation: 2.2e-16 in double precision.
        tolerance: Relative error that is accepted; ends the search.
    """
    best: Comparison | None = None
    first_gap = gap = 0.0
    for factor in FACTORS:
        # A power of two is added without rounding.
        step = 2.0 ** round(math.log2(factor * unit ** (1 / 3) * max(1.0, abs(at))))
        right, left = (shifted(step) - loss) / step, (loss - shifted(-step)) / step
        numeric = (left + right) / 2
        noise = ROUNDING * unit * abs(loss) / step
        scale = max(abs(analytic), abs(numeric), noise / tolerance, math.ulp(0.0))
        error = abs(analytic - numeric) / scale
        if not math.isfinite(error):
            error = math.inf
        if best is None or error < best.relative_error:
            best = Comparison(analytic=analytic, numeric=numeric, relative_error=error)
        if error <= tolerance:
            return best
        gap = abs(right - left)
        first_gap = first_gap or gap
    assert best is not None  # noqa: S101 - there is at least one factor
    if gap > SHRINKS * first_gap and abs(analytic - best.numeric) <= HIDDEN * gap:
        return replace(best, relative_error=0.0, kink=True)
    return best
