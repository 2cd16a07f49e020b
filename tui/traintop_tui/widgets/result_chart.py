"""The chart of an analysis: what it has brought so far, then its result."""

from __future__ import annotations

import msgspec

from traintop_tui.charts.cells import Rows
from traintop_tui.charts.point_chart import draw_points
from traintop_tui.job_list import JobItem
from traintop_tui.widgets.canvas import Canvas, pad_rows
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


def draw_item(item: JobItem, width: int, height: int, *, braille: bool) -> Rows:
    """Draw an analysis in exactly `height` rows of `width` cells."""
    drawing = DRAWINGS.get(item.analysis)
    if drawing is None or item.result is None or not item.result.result:
        title = LIVE_TITLES.get(item.analysis, ", ".join(item.points))
        log = item.analysis in LOGARITHMIC
        return draw_points(item.points, title, width, height, log_x=log, braille=braille)
    try:
        return drawing(item.result.result, width, height, braille)
    except msgspec.ValidationError as error:
        return pad_rows([((f"Cannot be drawn: {error}", "label"),)], width, height)
