"""The horizontal axis: which window is shown, which ticks it has, where a position falls."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal

from traintop_tui.charts.scale import is_ordinary, nice_step
from traintop_tui.charts.ticks import Tick

XKind = Literal["step", "epoch", "tokens", "time", "clock"]

HEADROOM = 0.1
"""Share of the window by which its right edge jumps ahead of a growing run."""

_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
_DAY = 86400


def x_window(
    first: float,
    last: float,
    previous: tuple[float, float] | None = None,
    *,
    following: bool = True,
) -> tuple[float, float]:
    """Return the window of the horizontal axis that shows `first` to `last`.

    While the run is followed the right edge jumps ahead by a tenth instead of moving with every
    step: a frame that scrolls changes every cell (measured: 27 times the bytes to the terminal).

    Args:
        first: Position of the first value to show.
        last: Position of the last one.
        previous: The window of the frame before, kept as long as it serves.
        following: Whether more is to come; if not, the window is just what is to be shown.
    """
    if not following:
        return (first, last) if last > first else (first, first + 1)
    size = max(last - first, 0.0) or 1.0
    if (
        previous is not None
        and previous[0] <= first
        and last <= previous[1]
        and size >= (previous[1] - previous[0]) * (1 - 2 * HEADROOM)
    ):
        return previous
    return first, first + size * (1 + HEADROOM)


def column_of(position: float, window: tuple[float, float], columns: int) -> int | None:
    """Return the pixel column that a position falls into; None outside the window."""
    first, last = window
    if not (columns > 0 and first <= position <= last and first < last):
        return None
    return min(int((position - first) / (last - first) * columns), columns - 1)


def position_of(column: float, window: tuple[float, float], columns: int) -> float:
    """Return the position of the middle of a pixel column."""
    return window[0] + (column + 0.5) / max(columns, 1) * (window[1] - window[0])


@lru_cache(maxsize=256)
def x_ticks(
    window: tuple[float, float], columns: int, kind: XKind = "step", *, utc_offset: float = 0.0
) -> tuple[Tick, ...]:
    """Choose ticks for a window, as many as fit without their labels touching.

    Args:
        window: First and last position: steps, epochs, tokens, seconds since the start (`time`) or
            seconds since 1970 (`clock`).
        columns: Pixel columns, two a cell.
        kind: What the positions are.
        utc_offset: For `clock`, seconds east of Greenwich of the clock on the wall.

    Returns:
        Ticks whose `at` is a pixel column.
    """
    first, last = window
    if columns < 1 or not is_ordinary(first, last):
        return ()
    cells, scale = columns / 2, columns / (last - first)
    count = max(int(cells / 8), 1)
    while True:
        values, step, decimals = _values(first + utc_offset, last + utc_offset, count, kind)
        if kind in ("step", "tokens"):
            labels = _counts(values, step) if values else []
        else:
            labels = [_label(value, step, decimals, kind) for value in values]
        needed = max(map(len, labels), default=0) + 2
        if count == 1 or needed <= step * scale / 2:
            return tuple(
                Tick(min(max((value - utc_offset - first) * scale, 0.0), columns - 1.0), label)
                for value, label in zip(values, labels, strict=True)
            )
        count = max(min(count - 1, int(cells / needed)), 1)


def _values(first: float, last: float, count: int, kind: XKind) -> tuple[list[float], float, int]:
    size = last - first
    if kind in ("time", "clock") and size / count > 0.5:
        step = next((float(s) for s in _SECONDS if size / s <= count), 0.0)
        step = step or math.ceil(size / count / _DAY) * float(_DAY)
        decimals = 0
    else:
        step, decimals = nice_step(size, count)
        if kind in ("step", "tokens") and step < 2.5:
            step, decimals = max(math.ceil(step), 1.0), 0
        elif kind in ("step", "tokens") and step % 1:
            step, decimals = step * 2, 0
    start, stop = math.ceil(first / step - 1e-9), math.floor(last / step + 1e-9)
    return [k * step for k in range(start, stop + 1)], step, decimals


def _label(value: float, step: float, decimals: int, kind: XKind) -> str:
    if kind == "epoch":
        return f"{value:.{decimals}f}"
    if kind == "clock":
        return _clock(value, step)
    return _elapsed(value, step, decimals)


def _counts(values: list[float], step: float) -> list[str]:
    """Write steps or tokens, all in one unit: the largest in which they have few decimals."""
    largest = max(abs(value) for value in values)
    for unit, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if largest >= max(unit, 10_000) and step * 100 % unit == 0:
            return [f"{value / unit:.7g}{suffix}" if value else "0" for value in values]
    return [f"{value:.0f}" for value in values]


def _elapsed(seconds: float, step: float, decimals: int) -> str:
    """Write seconds since the start as exactly as the step needs: `30s`, `5m`, `1h05`, `2d`."""
    if step < 1:
        return f"{seconds:.{decimals}f}s" if seconds else "0"
    minutes, rest = divmod(round(abs(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    sign = "-" if seconds < 0 else ""
    head = f"{sign}{days}d" if days else sign
    if days and not hours and not minutes and not rest:
        return head
    if days or hours:
        return f"{head}{hours}h{minutes:02d}" + (f":{rest:02d}" if rest else "")
    if minutes:
        return f"{head}{minutes}m" + (f"{rest:02d}" if rest else "")
    return f"{head}{rest}s" if rest else "0"


def _clock(seconds: float, step: float) -> str:
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return f"{seconds:.0f}"
    if step >= _DAY:
        return f"{moment:%m-%d}"
    return f"{moment:%H:%M:%S}" if step < 60 else f"{moment:%H:%M}"
