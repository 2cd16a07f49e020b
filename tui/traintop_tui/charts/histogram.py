"""Histograms with horizontal bars: a row a bin, its lower edge before it, its count after it."""

from __future__ import annotations

import numpy as np

from traintop.records import Floats
from traintop_tui.charts.cells import Row, Rows, fit, fit_runs
from traintop_tui.charts.numbers import format_count
from traintop_tui.charts.ticks import edge_labels

EIGHTHS = " ▏▎▍▌▋▊▉█"

_EDGE_WIDTH = 9
_COUNT_WIDTH = 6


def draw_histogram(
    counts: Floats,
    edges: Floats,
    width: int,
    height: int,
    *,
    style: str = "series0",
    braille: bool = True,
) -> Rows:
    """Draw a histogram of exactly `height` rows of `width` cells.

    Args:
        counts: Shape (bins,), how many values each bin holds; what is not finite counts as none.
            Neighbouring bins are added up where there are more bins than rows.
        edges: Shape (bins + 1,), rising.
        width: Cells.
        height: Rows.
        style: Style name of the bars.
        braille: False draws with ASCII characters only.
    """
    if width < 1 or height < 1:
        return ((),) * max(height, 0)
    # No true count comes near this bound, below which sums cannot overflow.
    counts = np.where(np.isfinite(counts), np.clip(counts, 0, 1e300), 0.0)
    starts = np.arange(0, len(counts), max(-(-len(counts) // height), 1))
    bars = np.add.reduceat(counts, starts) if len(counts) else counts
    labels = edge_labels(edges[:-1][starts].tolist(), _EDGE_WIDTH - 1) if len(counts) else []
    wide = width >= 24
    room = width - _EDGE_WIDTH - _COUNT_WIDTH if wide else width
    largest = float(bars.max(initial=0.0))
    rows: list[Row] = []
    for count, label in zip(bars.tolist(), labels, strict=True):
        drawn = fit(bar(count / largest if largest else 0.0, room, braille=braille), room)
        if wide:
            number = fit(format_count(count), _COUNT_WIDTH, right=True)
            edge = fit(label, _EDGE_WIDTH - 1, right=True)
            row: Row = ((f"{edge} ", "label"), (drawn, style), (number, "label"))
        else:
            row = ((drawn, style),)
        rows.append(row)
    rows += [fit_runs((), width)] * (height - len(rows))
    return tuple(rows)


def bar(share: float, room: int, *, braille: bool) -> str:
    """Return a bar; what is not zero is never drawn as nothing."""
    parts = 8 if braille else 2
    filled = round(share * room * parts)
    filled = max(filled, 1) if share > 0 else 0
    whole, rest = divmod(filled, parts)
    if not braille:
        return "#" * whole + ("-" if rest else "")
    return EIGHTHS[8] * whole + (EIGHTHS[rest] if rest else "")
