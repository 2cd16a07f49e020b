"""A grid of cells that the parts of a chart are written on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from traintop_tui.charts.cells import BLANK, Codes, Rows, StyleIds, clean, to_rows


class Canvas:
    """Cells with a character and a style each, blank at first.

    Attributes:
        codes: Code points, shape (height, width).
        styles: Indexes of style names, same shape.
    """

    def __init__(self, width: int, height: int, spreading: Sequence[str] = ()) -> None:
        """Make an empty canvas.

        Args:
            width: Cells.
            height: Rows.
            spreading: Styles that colour nothing but the glyph; blanks after one join its run. They
                are numbered from 1.
        """
        self.codes: Codes = np.full((height, width), BLANK, dtype=np.uint32)
        self.styles: StyleIds = np.zeros((height, width), dtype=np.int16)
        self._names = ["background", *spreading]
        self._spreading = len(self._names)
        self._ids: dict[str, int] = {}

    def style(self, name: str) -> int:
        """Return the number of a style that does not spread."""
        number = self._ids.get(name)
        if number is None:
            number = self._ids[name] = len(self._names)
            self._names.append(name)
        return number

    def put(self, x: int, y: int, char: str, style: int) -> None:
        """Write one character of width one."""
        self.codes[y, x] = ord(char)
        self.styles[y, x] = style

    def write(self, x: int, y: int, text: str, style: int) -> None:
        """Write text that is known to fit; what is not ASCII becomes `?`, and so one cell."""
        cells = clean(text).encode("ascii", "replace")
        self.codes[y, x : x + len(cells)] = np.frombuffer(cells, dtype=np.uint8)
        self.styles[y, x : x + len(cells)] = style

    def rows(self) -> Rows:
        """Return what was written."""
        spreading = self._spreading if self._spreading > 1 else None
        return to_rows(self.codes, self.styles, self._names, spreading)
