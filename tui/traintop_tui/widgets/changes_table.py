"""What is another value in the second of two results that are compared."""

from __future__ import annotations

from traintop_tui.charts.cells import Row, cell_width, fit_middle
from traintop_tui.charts.numbers import format_value
from traintop_tui.job_list import JobItem
from traintop_tui.result_changes import Scalar, changes
from traintop_tui.widgets.scroll_text import ScrollText

_VALUE_WIDTH = 14


class ChangesTable(ScrollText):
    """A line a value, the greatest change first."""

    def about(self) -> object:
        """Tell one pair from another."""
        return tuple(self.model.shown_jobs())

    def lines(self, width: int) -> list[Row]:
        """Write what differs between the two."""
        items = self.model.shown_jobs()
        return change_rows(items[0], items[1], width) if len(items) == 2 else []


def change_rows(before: JobItem, after: JobItem, width: int) -> list[Row]:
    """Write what differs between two analyses in lines of at most `width` cells."""
    if before.analysis != after.analysis:
        return [((f"{before.title} and {after.title} have no values in common.", "label"),)]
    if before.result is None or after.result is None:
        return [(("Compared once both have ended.", "label"),)]
    found = changes(before.result.result, after.result.result)
    title = f"before {_where(before)}, after {_where(after)}: {len(found)} values differ"
    rows: list[Row] = [((title, "title"),)]
    longest = max((cell_width(each.what) for each in found), default=0)
    room = max(min(longest, width - 2 * _VALUE_WIDTH - 4), 8)
    rows += [
        (
            (fit_middle(each.what, room), "label"),
            (f"  {_text(each.before):>{_VALUE_WIDTH}}", "text"),
            (f"  {_text(each.after):>{_VALUE_WIDTH}}", "title"),
        )
        for each in found
    ]
    return rows


def _where(item: JobItem) -> str:
    return item.checkpoint_name if item.step is None else f"step {item.step}"


def _text(value: Scalar) -> str:
    if isinstance(value, bool | str | None):
        text = "-" if value is None else str(value)
        return fit_middle(text, _VALUE_WIDTH).rstrip() if len(text) > _VALUE_WIDTH else text
    return format_value(value)
