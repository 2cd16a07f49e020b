"""Sends to the terminal only the cells that changed.

Textual 8 crops a part of a line that is to be repainted at its right end alone, so that a chart
whose last column has changed costs the bytes of the whole row.
"""

from __future__ import annotations

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate, Compositor


class PartialUpdate(ChopsUpdate):
    """Repaints spans of lines, cropped at both ends."""

    def render_segments(self, console: Console) -> str:
        """Return what is written to the terminal."""
        written: list[str] = []
        for y, first, last in self.spans:
            for end, (begin, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                left, right = max(first, begin), min(last, end)
                if strip is None or left >= right:
                    continue
                if (left, right) != (begin, end):
                    strip = strip.crop(left - begin, right - begin)
                written += (Control.move_to(left, y).segment.text, strip.render(console))
        return "".join(written)


class PartialCompositor(Compositor):
    """Textual's compositor, with updates of that kind."""

    def render_partial_update(self) -> ChopsUpdate | None:
        """Return the update, if there is anything to repaint."""
        update = super().render_partial_update()
        if not isinstance(update, ChopsUpdate):
            return update
        return PartialUpdate(update.chops, update.spans, update.chop_ends)
