"""How finely a series was written: logs print 4 digits, or 6 decimals, of what was computed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traintop.records import Floats

MOST_DECIMALS = 9
MOST_DIGITS = 7
"""More than these are taken for values in full: a float32 has 7 or 8 digits."""
MOST_PLACES = 9
"""Places of the largest number before and after its point, beyond which a grid is none: a float32
written out falls onto any fine one."""
LEAST_VALUES = 5
"""Fewer different values tell nothing."""
_EXACT = 1e-9
"""Relative difference below which a value lies on a grid: doubles have 16 digits."""


class Quantum(NamedTuple):
    """The grid that the values of a series lie on."""

    step: float
    """Distance of the grid's lines; of a number of digits: at the newest value."""
    digits: int | None
    """Significant digits, where it is these that were cut; else decimals were, or it counts."""


def quantum_of(values: Floats) -> Quantum | None:
    """Return the coarsest decimal grid that the finite values lie on, None where there is none.

    Args:
        values: Shape (n,), oldest first.
    """
    known = values[np.isfinite(values)]
    known = known[(np.abs(known) < 1e15) & (np.abs(known) > 1e-100)]
    if len(np.unique(known)) < LEAST_VALUES:
        return None
    size = np.abs(known)
    needed = _decimals(known)
    large = size >= size.max() / 10
    most, of_large = int(needed.max()), int(needed[large].max())
    if most > of_large or most > MOST_DECIMALS:
        # Small values are written more finely than large ones: digits, rather than decimals.
        for digits in range(1, MOST_DIGITS + 1):
            if _on_digits(known, digits):
                newest = float(np.floor(np.log10(size[-1])))
                return Quantum(10.0 ** (newest - digits + 1), digits)
    if size.max() * 10.0**most >= 10.0**MOST_PLACES:
        return None
    return Quantum(10.0**-most, None)


def _decimals(values: Floats) -> NDArray[np.int64]:
    """Return how many decimals each value needs; one more than the most where that is not enough.

    Shape (n,).
    """
    needed = np.full(len(values), MOST_DECIMALS + 1, np.int64)
    for decimals in range(MOST_DECIMALS, -1, -1):
        scaled = values * 10.0**decimals
        fits = np.abs(scaled - np.round(scaled)) <= _EXACT * np.maximum(np.abs(scaled), 1e-3)
        needed[fits & (needed == decimals + 1)] = decimals
    return needed


def _on_digits(values: Floats, digits: int) -> bool:
    """Tell whether so many significant digits are enough for all values."""
    scaled = values / 10.0 ** (np.floor(np.log10(np.abs(values))) - digits + 1)
    return bool((np.abs(scaled - np.round(scaled)) <= 1e-8 * np.abs(scaled)).all())
