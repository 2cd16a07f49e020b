"""A progress bar: how much is done, and how long the rest will take at the same pace."""

from __future__ import annotations

from traintop_tui.charts.cells import Row, fit_runs
from traintop_tui.charts.histogram import bar

_NOTE_WIDTH = 16
_WIDEST = 40


def draw_progress(
    done: int, total: int, seconds_left: float | None, width: int, *, braille: bool = True
) -> Row:
    """Draw a bar with its share and the time left in `width` cells.

    Args:
        done: Of `total`.
        total: 0: not known.
        seconds_left: None: not known.
        width: Cells.
        braille: False draws with ASCII characters only.
    """
    if total <= 0:
        return fit_runs([("...", "label")], width)
    share = min(max(done / total, 0.0), 1.0)
    room = max(min(width - _NOTE_WIDTH - 2, _WIDEST), 0)
    drawn = bar(share, room, braille=braille)
    left = "" if seconds_left is None else f"  {duration(seconds_left)} left"
    rest = "." if not braille else "·"
    return fit_runs(
        [
            (drawn, "series0"),
            (rest * (room - len(drawn)), "label"),
            (f" {share:4.0%}{left}", "text"),
        ],
        width,
        ascii_only=not braille,
    )


def duration(seconds: float) -> str:
    """Write a time roughly: `8 s`, `3 min`, `1.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
