from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from traintop_tui.charts.cells import (
    Row,
    cell_width,
    changed_spans,
    clean,
    cut,
    fit,
    fit_middle,
    fit_runs,
    row_text,
    row_width,
    to_rows,
)
from traintop_tui.charts.names import fit_name


@given(st.text())
def test_clean_text_is_as_wide_as_textual_thinks(text: str) -> None:
    cleaned = clean(text)
    assert cell_width(cleaned) == cell_len(cleaned)
    assert cleaned.isprintable()


@given(st.text(), st.integers(-2, 30), st.booleans(), st.booleans())
def test_fitted_text_has_exactly_the_width(
    text: str, width: int, right: bool, ascii_only: bool
) -> None:
    fitted = fit(text, width, right=right, ascii_only=ascii_only)
    assert cell_width(fitted) == max(width, 0)
    assert not ascii_only or fitted.isascii()
    assert cell_width(fit_middle(text, width, ascii_only=ascii_only)) == max(width, 0)
    assert cell_width(fit_name(text, width, ascii_only=ascii_only)) == max(width, 0)


@given(st.lists(st.tuples(st.text(), st.sampled_from(["title", "series0"]))), st.integers(-2, 30))
def test_fitted_runs_have_exactly_the_width(runs: list[tuple[str, str]], width: int) -> None:
    assert row_width(fit_runs(runs, width)) == max(width, 0)


def test_escape_sequences_do_not_reach_the_terminal() -> None:
    assert clean("loss\x1b[2J\x07") == "loss?[2J?"


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [("学習率", 5, "学習…"), ("学習率", 4, "学… "), ("loss", 6, "loss  "), ("loss", 3, "lo…")],
)
def test_wide_characters_are_never_halved(text: str, width: int, expected: str) -> None:
    assert fit(text, width) == expected


def test_cut_keeps_what_fits() -> None:
    assert cut("学習率", 3) == "学"
    assert cut("loss", -1) == ""


@pytest.mark.parametrize(
    ("name", "width", "expected"),
    [
        ("fc.weight", 12, "fc.weight   "),
        ("transformer.blocks.11.attn.weight", 26, "t.blocks.11.attn.weight   "),
        ("transformer.blocks.11.attn.weight", 18, "t.b.11.attn.weight"),
        ("transformer.blocks.11.attn.weight", 14, "t.b.11.…weight"),
        ("averyveryverylongname", 8, "aver…ame"),
    ],
)
def test_names_keep_the_number_of_the_layer(name: str, width: int, expected: str) -> None:
    assert fit_name(name, width) == expected


def test_rows_are_split_where_the_style_changes() -> None:
    codes = np.array([[ord(char) for char in line] for line in ("ab c", "dddd")], dtype=np.uint32)
    styles = np.array([[1, 1, 0, 2], [2, 2, 2, 2]], dtype=np.int16)
    assert to_rows(codes, styles, ["background", "x", "y"]) == (
        (("ab", "x"), (" ", "background"), ("c", "y")),
        (("dddd", "y"),),
    )


def test_blanks_join_the_run_of_a_curve_but_not_of_the_cursor() -> None:
    codes = np.array([[ord(char) for char in " a  | b "]], dtype=np.uint32)
    styles = np.array([[0, 1, 0, 0, 2, 0, 1, 0]], dtype=np.int16)
    assert to_rows(codes, styles, ["background", "series0", "cursor"], spreading=2) == (
        (
            (" ", "background"),
            ("a  ", "series0"),
            ("|", "cursor"),
            (" ", "background"),
            ("b ", "series0"),
        ),
    )


def test_no_columns_and_no_rows() -> None:
    empty = np.empty((3, 0), dtype=np.uint32)
    assert to_rows(empty, empty.astype(np.int16), ["background"]) == ((), (), ())
    assert to_rows(np.empty((0, 3), dtype=np.uint32), np.empty((0, 3), dtype=np.int16), ["x"]) == ()


def test_only_changed_cells_are_drawn_again() -> None:
    old: tuple[Row, ...] = (
        (("ab", "x"), ("cd", "y"), ("ef", "x")),
        (("same", "x"),),
        (("学習", "x"), ("z", "y")),
    )
    new: tuple[Row, ...] = (
        (("ab", "x"), ("CD", "y"), ("ef", "x")),
        (("same", "x"),),
        (("学習", "x"), ("Z", "y")),
    )
    assert changed_spans(old, new) == [(0, 2, 2), (2, 4, 1)]
    assert changed_spans(old, old) == []
    assert changed_spans(((("abcde", "x"),),), ((("abXde", "x"),),)) == [(0, 2, 1)]
    assert changed_spans(((("ab", "x"), ("  ", "y")),), ((("abc", "x"), (" ", "y")),)) == [
        (0, 2, 1)
    ]
    assert changed_spans(((("学a", "x"),),), ((("学b", "x"),),)) == [(0, 0, 3)]
    assert changed_spans(old[:1], new) == [(0, 0, 6), (1, 0, 4), (2, 0, 5)]


@given(st.data())
def test_changed_spans_cover_every_difference(data: st.DataObject) -> None:
    run = st.tuples(st.text("ab", min_size=1, max_size=3), st.sampled_from(["x", "y"]))
    cells = [
        [(char, style) for text, style in runs for char in text]
        for runs in (data.draw(st.lists(run)), data.draw(st.lists(run)))
    ]
    width = min(len(row) for row in cells)
    old, new = ((tuple((c, s) for c, s in row[:width]),) for row in cells)
    differing = {x for x in range(width) if old[0][x] != new[0][x]}
    covered = {x for _, at, size in changed_spans(old, new) for x in range(at, at + size)}
    assert differing <= covered
    assert bool(differing) == bool(covered)
    assert row_text(new[0]) == "".join(char for char, _ in cells[1][:width])
