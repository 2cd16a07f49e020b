"""Numbers of a result file: those that are not finite are strings, for JSON has none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Number = float | Literal["NaN", "Infinity", "-Infinity"] | None
"""None: not measured."""


def as_float(value: Number) -> float:
    """Return a number as Python has it; NaN for what was not measured."""
    return float("nan") if value is None else float(value)


def as_floats(values: Iterable[Number]) -> list[float]:
    """Return numbers as Python has them."""
    return [as_float(value) for value in values]
