"""Charts that are printed once, drawn by plotext: for reports and analyses without the app.

plotext 5 raises on infinities, on numbers near the largest and on zeros of a logarithmic axis, and
its tick labels lose digits. So it is given places on our own scales, from 0 to 1, with our labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotext  # type: ignore[import-untyped]  # ships no types
from plotext import _figure

from traintop.records import Floats
from traintop_tui.charts.cells import clean, fit
from traintop_tui.charts.scale import Limits, choose_limits, data_range
from traintop_tui.charts.ticks import value_ticks

_COLORS = ("blue+", "orange+", "green+", "red+", "cyan+", "magenta+", "gray+", "white")
_TO_ASCII = str.maketrans("┌┐└┘─│┬┴├┤┼", "++++-|+++++")
_CELLS_PER_X_TICK = 14
_ROWS_PER_Y_TICK = 4


def printed_chart(
    curves: Mapping[str, tuple[Floats, Floats]],
    width: int,
    height: int,
    *,
    title: str = "",
    x_label: str = "",
    log_x: bool = False,
    log_y: bool = False,
    marks: Mapping[str, float] | None = None,
    braille: bool = True,
    color: bool = False,
) -> str:
    """Draw a chart as text.

    Args:
        curves: Name -> positions and values, each of shape (n,). Pairs that cannot be drawn (NaN,
            infinite, not positive on a logarithmic axis) are left out; the title says how many.
        width: Cells; at least 20 are used.
        height: Rows; at least 6 are used.
        title: What stands above.
        x_label: What stands below.
        log_x: Whether the horizontal axis is logarithmic.
        log_y: Whether the vertical axis is.
        marks: Name -> position of a vertical line, e.g. a suggested learning rate.
        braille: False draws with ASCII characters only.
        color: Whether ANSI colours are wanted.

    Returns:
        Lines joined by line breaks, none at the end.
    """
    width, height = max(width, 20), max(height, 6)
    usable = {name: _usable(x, y, log_x, log_y) for name, (x, y) in curves.items()}
    left_out = sum(len(y) for _, y in curves.values()) - sum(len(y) for _, y in usable.values())
    places = [x for x, _ in usable.values()]
    x_range = data_range(places, places, log=log_x)
    values = [y for _, y in usable.values()]
    y_range = data_range(values, values, log=log_y)
    if x_range is None or y_range is None:
        return fit(title, width).rstrip() + "\n" + fit(_nothing(left_out), width).rstrip()
    x_limits = _tight(*x_range, log=log_x)
    y_limits = choose_limits(*y_range, log=log_y)

    # The public figure is one for all threads, which would draw into each other's charts; plotext
    # names no other, and its versions are bounded.
    figure: Any = _figure._figure_class()  # pyright: ignore[reportPrivateUsage]
    figure._limit_size(False, False)
    figure.plot_size(width, height)
    for setting in (figure.canvas_color, figure.axes_color, figure.ticks_color):
        setting("default")
    for index, (name, (x, y)) in enumerate(usable.items()):
        if len(y):
            figure.plot(
                x_limits.unit(x).tolist(),
                y_limits.unit(y).tolist(),
                marker="braille" if braille else "*",
                color=_COLORS[index % len(_COLORS)],
                label=clean(name),
            )
    shown_marks = {
        name: float(x_limits.unit(np.array([at]))[0]) for name, at in (marks or {}).items()
    }
    shown_marks = {name: at for name, at in shown_marks.items() if 0 <= at <= 1}
    for at in shown_marks.values():
        figure.vline(at, "gray")
    figure.xlim(0, 1)
    figure.ylim(0, 1)
    _label_axes(figure, x_limits, y_limits, width, height)
    figure.title(clean(_title(title, left_out, log_y)))
    words = [x_label, *(f"| {name} {(marks or {})[name]:.3g}" for name in shown_marks)]
    figure.xlabel(clean("   ".join(word for word in words if word)))
    text: str = figure.build()
    if not color:
        text = str(plotext.uncolorize(text))  # pyright: ignore[reportUnknownArgumentType] - no types
    text = text.rstrip("\n")
    return text if braille else text.translate(_TO_ASCII)


def _usable(x: Floats, y: Floats, log_x: bool, log_y: bool) -> tuple[Floats, Floats]:
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    if log_x:
        known &= x > 0
    if log_y:
        known &= y > 0
    return x[known], y[known]


def _tight(low: float, high: float, *, log: bool) -> Limits:
    """Return limits that are just the data's, so that no room is lost at the sides."""
    return Limits(low, high, log) if low < high else choose_limits(low, high, log=log)


def _label_axes(figure: Any, x: Limits, y: Limits, width: int, height: int) -> None:
    for limits, count, setting in (
        (x, width // _CELLS_PER_X_TICK, figure.xticks),
        (y, height // _ROWS_PER_Y_TICK, figure.yticks),
    ):
        ticks = value_ticks(limits, max(count, 2))
        units = limits.unit(np.array([tick.at for tick in ticks.ticks])).tolist()
        labels = [f"{tick.label}{ticks.offset}" for tick in ticks.ticks]
        inside = [
            (min(max(unit, 0.0), 1.0), label)
            for unit, label in zip(units, labels, strict=True)
            if math.isfinite(unit) and -1e-6 <= unit <= 1 + 1e-6
        ]
        setting([unit for unit, _ in inside], [label for _, label in inside])


def _title(title: str, left_out: int, log_y: bool) -> str:
    notes = [note for note in ("log" if log_y else "", _left_out(left_out)) if note]
    return f"{title} ({', '.join(notes)})" if notes else title


def _left_out(count: int) -> str:
    return f"{count} value{'s' * (count != 1)} not drawable" if count else ""


def _nothing(left_out: int) -> str:
    return f"nothing to draw: {_left_out(left_out) or 'no values'}"
