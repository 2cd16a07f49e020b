"""What is written to the terminal is what has changed on the screen."""

from __future__ import annotations

import io
import re

from rich.console import Console
from rich.segment import Segment
from textual.strip import Strip

from traintop_tui.partial_update import PartialUpdate

CONSOLE = Console(file=io.StringIO(), width=20)


def written(spans: list[tuple[int, int, int]]) -> list[tuple[int, int, str]]:
    """Line, column and text of each piece, for lines that two widgets share."""
    line = {0: Strip([Segment("abcdef")]), 6: Strip([Segment("ghij")])}
    update = PartialUpdate([line, line], spans, [[6, 10], [6, 10]])
    data = update.render_segments(CONSOLE)
    moves = re.findall(r"\x1b\[(\d+);(\d+)H([^\x1b]*)", data)
    return [(int(y) - 1, int(x) - 1, text) for y, x, text in moves]


def test_a_span_is_cropped_at_both_ends() -> None:
    assert written([(0, 2, 4)]) == [(0, 2, "cd")]
    assert written([(1, 7, 10)]) == [(1, 7, "hij")]


def test_a_span_over_two_widgets_is_in_two_pieces() -> None:
    assert written([(0, 5, 8)]) == [(0, 5, "f"), (0, 6, "gh")]


def test_whole_lines_are_whole() -> None:
    assert written([(0, 0, 10), (1, 0, 6)]) == [(0, 0, "abcdef"), (0, 6, "ghij"), (1, 0, "abcdef")]


def test_what_is_hidden_is_left_alone() -> None:
    update = PartialUpdate([{0: None, 6: Strip([Segment("ghij")])}], [(0, 0, 10)], [[6, 10]])
    assert "ghij" in update.render_segments(CONSOLE)
