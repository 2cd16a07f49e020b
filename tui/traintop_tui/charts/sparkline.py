"""A curve in one row."""

from __future__ import annotations

import numpy as np

from traintop.records import Floats
from traintop_tui.charts.canvas import Canvas
from traintop_tui.charts.cells import Row

UNICODE_LEVELS = "▁▂▃▄▅▆▇█"
ASCII_LEVELS = "_.-=+*#@"


def draw_sparkline(
    values: Floats, width: int, *, style: str = "series0", braille: bool = True
) -> Row:
    """Draw values as one row of exactly `width` cells, least to greatest.

    Args:
        values: Shape (n,), oldest first. Each cell shows the greatest of its values; more cells
            than values leave the right end blank. NaN and infinite values are marked where a cell
            holds no other.
        width: Cells.
        style: Style name of the curve.
        braille: False draws with ASCII characters only.
    """
    if width < 1:
        return ()
    canvas = Canvas(width, 1, [style])
    values = np.asarray(values, dtype=np.float64).ravel()
    if len(values):
        cells = min(width, len(values))
        starts = np.arange(cells) * len(values) // cells
        known = np.where(np.isfinite(values), values, np.nan)
        highest = np.fmax.reduceat(known, starts)
        empty = np.isnan(highest)
        ramp = np.array([ord(c) for c in (UNICODE_LEVELS if braille else ASCII_LEVELS)])
        canvas.codes[0, :cells] = ramp[_levels(highest, len(ramp))]
        canvas.styles[0, :cells] = 1
        canvas.codes[0, :cells][empty] = ord("✖" if braille else "x")
        canvas.styles[0, :cells][empty] = canvas.style("nonfinite")
    return canvas.rows()[0]


def _levels(values: Floats, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    known = values[~np.isnan(values)]
    if not len(known):
        return np.zeros(len(values), dtype=np.int64)
    # Divided, so that the distance between two finite numbers cannot overflow.
    low, high = float(known.min()) / 2, float(known.max()) / 2
    share = (values / 2 - low) / (high - low) if high > low else np.full(len(values), 0.5)
    return np.nan_to_num(share * (count - 1)).round().astype(np.int64)
