"""A horizontal bar for each of some named values."""

from __future__ import annotations

import math
from collections.abc import Sequence

from traintop_tui.charts.cells import Row, Rows, cell_width, fit, fit_middle, fit_runs
from traintop_tui.charts.histogram import bar

_LABEL_SHARE = 0.4


def draw_bars(
    labels: Sequence[str],
    values: Sequence[float],
    notes: Sequence[str],
    width: int,
    height: int,
    *,
    largest: float,
    braille: bool = True,
) -> Rows:
    """Draw bars in exactly `height` rows of `width` cells; a last row counts what has no room.

    Args:
        labels: A name for each bar.
        values: The lengths; what is not finite has no bar.
        notes: What stands behind each bar.
        width: Cells.
        height: Rows.
        largest: The value whose bar fills the room.
        braille: False draws with ASCII characters only.
    """
    if width < 1 or height < 1:
        return ((),) * max(height, 0)
    label_width = min(
        max((cell_width(label) for label in labels), default=0), int(width * _LABEL_SHARE)
    )
    note_width = max((cell_width(note) for note in notes), default=0)
    room = max(width - label_width - note_width - 2, 0)
    shown = len(labels) if len(labels) <= height else height - 1
    rows: list[Row] = []
    for label, value, note in zip(labels[:shown], values[:shown], notes[:shown], strict=True):
        share = value / largest if math.isfinite(value) and largest > 0 else 0.0
        rows.append(
            fit_runs(
                [
                    (fit_middle(label, label_width, ascii_only=not braille) + " ", "label"),
                    (fit(bar(share, room, braille=braille), room), "series0"),
                    (" " + fit(note, note_width, right=True, ascii_only=not braille), "text"),
                ],
                width,
                ascii_only=not braille,
            )
        )
    if shown < len(labels):
        rows.append(fit_runs([(f"{len(labels) - shown} more", "label")], width))
    rows += [fit_runs((), width)] * (height - len(rows))
    return tuple(rows)
