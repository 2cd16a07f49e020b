"""The base of all our widgets: rows of cells in, and to the terminal only those that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from traintop_tui.charts.cells import (
    ASCII_ELLIPSIS,
    ELLIPSIS,
    Row,
    Rows,
    cell_width,
    changed_spans,
    fit_runs,
)
from traintop_tui.host import host_of

if TYPE_CHECKING:
    from traintop_tui.model import Model

_ASCII = {ELLIPSIS: ASCII_ELLIPSIS, "→": ">", "·": "."}


class Canvas(Widget):
    """Draws what `build` returns. `redraw` builds a new frame and repaints the spans that differ.

    Textual repaints whole regions, so the regions must be small: a chart whose last column has
    changed costs the bytes of that column.
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name for it
        super().__init__(id=id)
        self._rows: Rows = ()
        self._strips: list[Strip | None] = []
        self._wanted = 0

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
        wanted = self.wanted_height(self.size.width)
        if wanted != self._wanted:
            self._wanted = wanted
            if self.styles.is_auto_height:
                self.refresh(layout=True)
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

    def render_lines(self, crop: Region) -> list[Strip]:
        """Give Textual the lines of a region.

        Without what it puts around the lines of other widgets: a canvas has no border, padding or
        tint, and looking for them takes longer than drawing.
        """
        filters, (_, background) = self.get_line_filters(), self.background_colors
        strips = [self.render_line(y) for y in crop.line_range]
        for each in filters:
            strips = [strip.apply_filter(each, background) for strip in strips]
        if crop.column_span == (0, self.size.width):
            return strips
        return [strip.crop(*crop.column_span) for strip in strips]

    def _strip(self, row: Row) -> Strip:
        styles = host_of(self).chart_styles
        if self.model.view.ascii:
            row = tuple((to_ascii(text), name) for text, name in row)
        return Strip(
            [Segment(text, styles[name]) for text, name in row],
            self.size.width,
        )

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Take what is wanted, where the style sheet leaves it to the widget."""
        return self.wanted_height(width)

    def wanted_height(self, width: int) -> int:
        """Return how many lines the widget would fill."""
        return 1


def to_ascii(text: str) -> str:
    """Return text of the same width for a terminal that has only ASCII."""
    if text.isascii():
        return text
    return "".join(
        char if char.isascii() else _ASCII.get(char, "?" * cell_width(char)) for char in text
    )


def blank_rows(width: int, height: int) -> Rows:
    """Return an empty frame."""
    return (((" " * width, "background"),) if width else (),) * height


def pad_rows(rows: list[Row], width: int, height: int) -> Rows:
    """Cut or fill up rows of any width to a whole frame."""
    fitted = [fit_runs(row, width) for row in rows[:height]]
    return (*fitted, *blank_rows(width, height - len(fitted)))
