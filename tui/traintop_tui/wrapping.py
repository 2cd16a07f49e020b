"""Text broken into lines of cells."""

from __future__ import annotations

from traintop_tui.charts.cells import cell_width, clean, cut


def wrap(text: str, width: int) -> list[str]:
    """Break text at blanks into lines of at most `width` cells; a longer word is cut into parts."""
    if width < 1:
        return []
    lines: list[str] = []
    line = ""
    for word in clean(text).split(" "):
        joined = f"{line} {word}" if line else word
        if cell_width(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        while cell_width(word) > width:
            part = cut(word, width) or word[:1]
            lines.append(part)
            word = word[len(part) :]
        line = word
    return [*lines, line] if line or not lines else lines
