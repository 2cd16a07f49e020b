"""The chart of an analysis: what it has brought so far, then its result."""

from __future__ import annotations

import msgspec

from traintop_tui.charts.cells import Rows, row_text
from traintop_tui.charts.point_chart import draw_points
from traintop_tui.job_list import JobItem
from traintop_tui.widgets.canvas import Canvas, pad_rows
from traintop_tui.widgets.lr_find_drawing import in_sight
from traintop_tui.widgets.result_drawings import DRAWINGS

LIVE_TITLES = {
    "lr_find": "loss over learning rate",
    "overfit_one_batch": "loss on one batch, by step",
    "loss_landscape": "loss around the weights",
    "batch_size": "samples per second by batch size",
    "latency": "ms by batch size",
}
"""What the points are that an analysis tells while it runs; others are called by their series."""
LOGARITHMIC = frozenset(("lr_find", "batch_size", "latency"))
"""Whose points lie decades apart."""
PLANES = frozenset(("lr_find", "overfit_one_batch", "loss_landscape"))
"""Whose drawings gain by any room; others are lists that have so many rows."""
MOST_ROWS = 200
"""Rows of a list that are looked at."""


class ResultChart(Canvas):
    """Draws one of the analyses that are looked at.

    Args:
        place: 0, or 1 for the second of two that are compared.
    """

    def __init__(self, place: int = 0, *, id: str | None = None) -> None:  # noqa: A002 - Textual's
        super().__init__(id=id)
        self._place = place

    def build(self, width: int, height: int) -> Rows:
        """Draw the chart that the analysis wants."""
        items = self.model.shown_jobs()
        if self._place >= len(items):
            return pad_rows([], width, height)
        return draw_item(items[self._place], width, height, braille=not self.model.view.ascii)

    def wanted_height(self, width: int) -> int:
        """Take the rows that are written, where the drawing is a list."""
        items = self.model.shown_jobs()
        if self._place >= len(items) or not is_list(items[self._place]):
            return MOST_ROWS
        rows = draw_item(items[self._place], width, MOST_ROWS, braille=False)
        return max((y for y, row in enumerate(rows, 1) if row_text(row).strip()), default=1)


def is_list(item: JobItem) -> bool:
    """Whether the drawing of an analysis is a list of a certain length."""
    drawn = item.result is not None and bool(item.result.result)
    return drawn and item.analysis in DRAWINGS and item.analysis not in PLANES


def draw_item(item: JobItem, width: int, height: int, *, braille: bool) -> Rows:
    """Draw an analysis in exactly `height` rows of `width` cells."""
    drawing = DRAWINGS.get(item.analysis)
    if drawing is None or item.result is None or not item.result.result:
        title = LIVE_TITLES.get(item.analysis, ", ".join(item.points))
        log = item.analysis in LOGARITHMIC
        losses = [y for _, y in item.points.values()]
        shown = in_sight(*losses) if item.analysis == "lr_find" else None
        return draw_points(
            item.points, title, width, height, log_x=log, shown=shown, braille=braille
        )
    try:
        return drawing(item.result.result, width, height, braille)
    except msgspec.ValidationError as error:
        return pad_rows([((f"Cannot be drawn: {error}", "label"),)], width, height)
