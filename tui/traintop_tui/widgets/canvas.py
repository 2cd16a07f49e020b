"""The base of all our widgets: rows of cells in, and to the terminal only those that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from traintop_tui.charts.cells import Row, Rows, changed_spans, fit_runs
from traintop_tui.host import host_of

if TYPE_CHECKING:
    from traintop_tui.model import Model


class Canvas(Widget):
    """Draws what `build` returns. `redraw` builds a new frame and repaints the spans that differ.

    Textual repaints whole regions, so the regions must be small: a chart whose last column has
    changed costs the bytes of that column.
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name for it
        super().__init__(id=id)
        self._rows: Rows = ()
        self._strips: list[Strip | None] = []

    def build(self, width: int, height: int) -> Rows:
        """Return the frame: `height` rows of exactly `width` cells."""
        raise NotImplementedError

    @property
    def model(self) -> Model:
        """What the app shows."""
        return host_of(self).model

    def redraw(self) -> None:
        """Build a new frame and repaint what differs from the one on the screen."""
        if not self.size.width or not self.size.height or not self.is_attached:
            return
        rows = self.build(self.size.width, self.size.height)
        if len(rows) != len(self._rows):
            self._rows = rows
            self._strips = [None] * len(rows)
            self.refresh()
            return
        spans = changed_spans(self._rows, rows)
        self._rows = rows
        for y, _, _ in spans:
            self._strips[y] = None
        if spans:
            self.refresh(*(Region(x, y, width, 1) for y, x, width in spans))

    def restyle(self) -> None:
        """Draw everything again: the theme has changed."""
        self._rows = ()
        self.redraw()

    def on_resize(self) -> None:
        """Draw at the new size."""
        self._rows = ()
        self.redraw()

    def render_line(self, y: int) -> Strip:
        """Give Textual one line."""
        if y >= len(self._rows):
            return Strip.blank(self.size.width, self.rich_style)
        strip = self._strips[y]
        if strip is None:
            strip = self._strips[y] = self._strip(self._rows[y])
        return strip

    def _strip(self, row: Row) -> Strip:
        styles = host_of(self).chart_styles
        return Strip(
            [Segment(text, styles[name]) for text, name in row],
            self.size.width,
        )

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Take one line unless the style sheet says otherwise."""
        return 1


def blank_rows(width: int, height: int) -> Rows:
    """Return an empty frame."""
    return (((" " * width, "background"),) if width else (),) * height


def pad_rows(rows: list[Row], width: int, height: int) -> Rows:
    """Cut or fill up rows of any width to a whole frame."""
    fitted = [fit_runs(row, width) for row in rows[:height]]
    return (*fitted, *blank_rows(width, height - len(fitted)))
