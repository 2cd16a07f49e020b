"""Long dotted names in little room: layers and metrics."""

from __future__ import annotations

from functools import lru_cache

from traintop_tui.charts.cells import cell_width, clean, fit_middle


@lru_cache(maxsize=4096)
def fit_name(name: str, width: int, *, ascii_only: bool = False) -> str:
    """Return a name of exactly `width` cells.

    The parts of a dotted name are abbreviated to a letter from the left, numbers stay whole:
    `transformer.blocks.11.attn.weight` becomes `t.b.11.attn.weight`, which still says which layer
    it is. What is then too long is shortened in the middle.
    """
    name = clean(name)
    parts = name.split(".")
    for index, part in enumerate(parts[:-1]):
        if cell_width(".".join(parts)) <= width:
            break
        if not part.isdigit():
            parts[index] = part[:1]
    return fit_middle(".".join(parts), width, ascii_only=ascii_only)
