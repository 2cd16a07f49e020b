"""A bar for each of some values that differ by decades: equal ratios are equal lengths."""

from __future__ import annotations

import math
from collections.abc import Sequence

from traintop_tui.charts.bars import draw_bars
from traintop_tui.charts.cells import Rows, fit_runs


def draw_log_bars(
    title: str,
    labels: Sequence[str],
    values: Sequence[float | None],
    notes: Sequence[str],
    width: int,
    height: int,
    *,
    limits: tuple[float, float] | None = None,
    braille: bool = True,
) -> Rows:
    """Draw a title and bars in exactly `height` rows of `width` cells.

    Args:
        title: What is drawn.
        labels: A name for each bar.
        values: The lengths; what is not positive and finite has no bar.
        notes: What stands behind each bar.
        width: Cells.
        height: Rows.
        limits: Values of the empty and of the full bar; None: a tenth of the least value, and the
            greatest.
        braille: False draws with ASCII characters only.
    """
    if width < 1 or height < 1:
        return ((),) * max(height, 0)
    known = [value for value in values if value is not None and 0 < value < math.inf]
    low, high = limits or (min(known, default=1.0) / 10, max(known, default=1.0))
    low, high = math.log10(low), math.log10(high)
    lengths = [
        min(max((math.log10(value) - low) / (high - low), 0.0), 1.0)
        if value is not None and 0 < value < math.inf and high > low
        else math.nan
        for value in values
    ]
    head = fit_runs([(title, "title")], width, ascii_only=not braille)
    bars = draw_bars(labels, lengths, notes, width, height - 1, largest=1.0, braille=braille)
    return (head, *bars)
