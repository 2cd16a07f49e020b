"""Text that may be longer than its place: it is scrolled, and says that there is more."""

from __future__ import annotations

from traintop_tui.charts.cells import Row, Rows, fit
from traintop_tui.widgets.canvas import Canvas, pad_rows


class ScrollText(Canvas):
    """Draws the lines of a text from some line on."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name for it
        super().__init__(id=id)
        self._top = 0
        self._about: object = None

    def lines(self, width: int) -> list[Row]:
        """Return the whole text, broken into lines of `width` cells."""
        raise NotImplementedError

    def about(self) -> object:
        """Return what the text is about: another one is read from its beginning."""
        return None

    def build(self, width: int, height: int) -> Rows:
        """Draw what fits; the last line says how much does not."""
        lines = self.lines(width)
        if self.about() != self._about:
            self._about, self._top = self.about(), 0
        self._top = max(min(self._top, len(lines) - height), 0)
        shown = lines[self._top : self._top + height]
        more = len(lines) - self._top - height
        if more > 0 and height > 1:
            shown[-1] = ((fit(f"{more + 1} more lines: PgDn", width, right=True), "label"),)
        return pad_rows(shown, width, height)

    def scroll_by(self, pages: int) -> None:
        """Go on (1) or back (-1) by as much as is in sight."""
        self._top += pages * max(self.size.height - 1, 1)
        self.redraw()

    def on_mouse_scroll_down(self) -> None:
        """Scroll."""
        self._top += 1
        self.redraw()

    def on_mouse_scroll_up(self) -> None:
        """Scroll."""
        self._top -= 1
        self.redraw()

    def wanted_height(self, width: int) -> int:
        """Return how many lines the text has."""
        return len(self.lines(width))
