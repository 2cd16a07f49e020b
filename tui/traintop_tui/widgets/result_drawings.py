"""Which function draws the result of which analysis: a pure one, in a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from traintop_tui.charts.cells import Rows

Drawing = Callable[[Mapping[str, Any], int, int, bool], Rows]
"""`draw(result, width, height, braille)`: exactly `height` rows of `width` cells; ASCII only where
not `braille`.

Raises:
    msgspec.ValidationError: The result, which comes from a file, is damaged.
"""

DRAWINGS: dict[str, Drawing] = {}
"""By the analysis' id; results of others are drawn by `ResultChart` itself."""
