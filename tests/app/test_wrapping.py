"""Text broken into lines: never too wide, and nothing lost but blanks."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traintop_tui.charts.cells import cell_width, clean
from traintop_tui.wrapping import wrap


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("", 10, [""]),
        ("one two three", 7, ["one two", "three"]),
        ("one two", 3, ["one", "two"]),
        ("abcdefgh ij", 3, ["abc", "def", "gh", "ij"]),
        ("a abcdefgh", 3, ["a", "abc", "def", "gh"]),
        ("学习率", 4, ["学习", "率"]),
        ("any", 0, []),
    ],
)
def test_examples(text, width, lines):
    assert wrap(text, width) == lines


@given(st.text(max_size=60), st.integers(2, 20))
def test_lines_fit_and_nothing_is_lost_but_blanks(text, width):
    lines = wrap(text, width)
    assert all(cell_width(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == clean(text).replace(" ", "")


@given(st.lists(st.text("abc", min_size=1, max_size=8), max_size=12), st.integers(8, 30))
def test_no_line_has_room_for_the_word_after_it(words, width):
    lines = wrap(" ".join(words), width)
    for line, after in itertools.pairwise(lines):
        assert len(line) + 1 + len(after.split(" ")[0]) > width
    assert [word for line in lines for word in line.split()] == words
