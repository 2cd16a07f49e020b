"""Tick values of a vertical axis and their labels, short and never two alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from traintop_tui.charts.scale import LARGEST, Limits, is_ordinary, nice_step, power10

LABEL_WIDTH = 7
"""Cells for a label of the vertical axis."""


class Tick(NamedTuple):
    """A labelled place on an axis: a value on the vertical one, a pixel column on the other."""

    at: float
    label: str


class Ticks(NamedTuple):
    """The ticks of a vertical axis."""

    ticks: tuple[Tick, ...]
    offset: str = ""
    """What is to be added to every label, e.g. `+1000000`; empty as a rule, else at most twice as
    wide as a label."""


@lru_cache(maxsize=256)
def value_ticks(limits: Limits, count: int, width: int = LABEL_WIDTH) -> Ticks:
    """Choose at most about `count` round values between limits.

    Args:
        limits: The scale.
        count: Room for so many labels, at least 1.
        width: The longest label in cells, at least 6. Where no form of the numbers is short enough
            to tell them apart, the labels are differences to `offset`.
    """
    count = max(count, 1)
    if limits.log:
        ticks = _log_ticks(limits, count)
        if len(ticks) >= min(count, 2):
            return Ticks(ticks)
    return _linear_ticks(limits, count, width)


def edge_labels(edges: Sequence[float], width: int) -> list[str]:
    """Write the edges of bins, with as many digits as tell them apart, in `width` cells each."""
    for digits in range(2, 8):
        labels = [_rounded(edge, digits) for edge in edges]
        if len(set(labels)) == len(set(edges)) and max(map(len, labels)) <= width:
            return labels
    return [_exactest(edge, width) for edge in edges]


def _rounded(value: float, digits: int) -> str:
    plain = f"{value:.{digits}g}"
    return plain if "e" not in plain else _scientific(value, digits - 1)


def _log_ticks(limits: Limits, count: int) -> tuple[Tick, ...]:
    first = math.ceil(math.log10(limits.low) - 1e-9)
    last = math.floor(math.log10(limits.high) + 1e-9)
    every = max(math.ceil((last - first + 1) / count), 1)
    # Multiples of `every`, so that the labels stay where they are when the limits move.
    values = [power10(k) for k in range(-(-first // every) * every, last + 1, every)]
    if len(values) < 2 and first < last:
        values = [power10(first), power10(last)]
    elif len(values) < 2:
        whole = math.floor(math.log10(limits.low))
        values = [m * power10(k) for k in range(whole, last + 1) for m in (1.0, 2.0, 5.0)]
    low, high = limits.low * (1 - 1e-9), min(limits.high * (1 + 1e-9), LARGEST)
    ticks = tuple(Tick(value, _short(value)) for value in values if low <= value <= high)
    alike = len({tick.label for tick in ticks}) < len(ticks)
    return () if alike or len(ticks) > count else ticks


def _linear_ticks(limits: Limits, count: int, width: int) -> Ticks:
    low, high = limits.low, limits.high
    if not is_ordinary(low, high):
        return _end_ticks(low, high, count, width)
    parts = max(count - 1, 1)
    step, decimals, values = _multiples(low, high, parts)
    if len(values) < min(count, 2):
        # One label says where the axis is, and only two say what it measures.
        step, decimals, values = _multiples(low, high, 2 * parts)
    labels = _labels(values, step, decimals, width)
    if labels is not None:
        return Ticks(_zip(values, labels))
    base = math.floor(low / _unit_above(high - low)) * _unit_above(high - low)
    offset = _offset(base, width)
    if offset is not None:
        labels = _labels([v - base for v in values], step, decimals, width, sign="+")
        if labels is not None:
            return Ticks(_zip(values, labels), offset)
    return _end_ticks(low, high, count, width)


def _multiples(low: float, high: float, parts: float) -> tuple[float, int, list[float]]:
    step, decimals = nice_step(high - low, parts)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return step, decimals, [k * step for k in range(first, last + 1)]


def _end_ticks(low: float, high: float, count: int, width: int) -> Ticks:
    """Label the two limits as exactly as the width allows, one of them where that is too little."""
    bottom, top = Tick(low, _exactest(low, width)), Tick(high, _exactest(high, width))
    return Ticks((bottom, top) if count > 1 and bottom.label != top.label else (top,))


def _zip(values: Sequence[float], labels: Sequence[str]) -> tuple[Tick, ...]:
    return tuple(Tick(value, label) for value, label in zip(values, labels, strict=True))


def _unit_above(size: float) -> float:
    return 10.0 ** (math.floor(math.log10(size)) + 1)


def _offset(base: float, width: int) -> str | None:
    text = f"{base:.0f}" if base == int(base) else repr(base)
    text = text if text.startswith("-") else f"+{text}"
    return text if len(text) <= 2 * width else None


def _labels(
    values: Sequence[float], step: float, decimals: int, width: int, sign: str = ""
) -> list[str] | None:
    """Write values that lie `step` apart in the first form that fits; None where none does."""
    largest = max(abs(value) for value in values)
    digits = max(math.floor(math.log10(largest / step)) + 1, 0) if largest else 0
    # A step of 2.5 has one digit more than its distance from the value says.
    digits += decimals > max(-math.floor(math.log10(step)), 0)

    def fixed(value: float) -> str:
        return f"{value:{sign}.{decimals}f}"

    def scientific(value: float) -> str:
        return _scientific(value, digits, sign)

    forms: list[Callable[[float], str]] = [fixed, scientific]
    if 0 < largest < 1e-3:
        forms = [scientific, fixed]
    elif 1e4 <= largest < 1e15:
        unit = 10.0 ** (3 * int(math.log10(largest * (1 + 1e-12)) // 3))
        places = max(math.ceil(-math.log10(step / unit) - 1e-9), 0)
        places += round(step / unit * 10**places, 6) % 1 != 0
        suffix = {1e3: "k", 1e6: "M", 1e9: "B", 1e12: "T"}[unit]
        forms.insert(0, lambda value: f"{value / unit:{sign}.{places}f}{suffix}")
    for form in forms:
        labels = ["0" if value == 0 else form(value) for value in values]
        if len(set(labels)) == len(labels) and all(len(label) <= width for label in labels):
            return labels
    return None


def _scientific(value: float, digits: int, sign: str = "") -> str:
    mantissa, exponent = f"{value:{sign}.{max(digits, 0)}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def _short(value: float) -> str:
    """Write a value that has one significant digit."""
    if 1e-3 <= value < 1e4:
        return f"{value:g}"
    if 1e4 <= value < 1e15:
        unit, suffix = next(
            (u, s) for u, s in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")) if value >= u
        )
        return f"{value / unit:g}{suffix}"
    return _scientific(value, 0)


def _exactest(value: float, width: int) -> str:
    """Write a value with as many digits as fit."""
    if value == 0:
        return "0"
    for digits in range(16, -1, -1):
        plain = f"{value:.{digits + 1}g}"
        for text in (_scientific(value, digits), plain):
            if len(text) <= width and (text == plain or "e" in plain):
                return text
    return _scientific(value, 0)
