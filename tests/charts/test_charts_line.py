"""Line charts as text. `|` at the ends of a line are its edges, so that blanks are seen."""

from __future__ import annotations

from textwrap import dedent

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from traintop.records import Floats
from traintop_tui.charts.cells import row_text, row_width
from traintop_tui.charts.frame import (
    ASCII,
    UNICODE,
    Curve,
    Frame,
    Layout,
    Level,
    Mark,
    Plot,
    lay_out,
)
from traintop_tui.charts.line_chart import draw
from traintop_tui.charts.scale import Limits, choose_limits, data_range
from traintop_tui.charts.ticks import Tick

LAYOUT = lay_out(32, 9)
COLUMNS = LAYOUT.columns
RISING = np.linspace(0, 4, COLUMNS)
X_TICKS = (Tick(0, "0"), Tick(24, "50"), Tick(47, "100"))
MARKS = (
    Mark(4, "epoch"),
    Mark(8, "checkpoint"),
    Mark(12, "analysis"),
    Mark(16, "finding", "info"),
    Mark(20, "finding", "warning"),
    Mark(30, "finding", "critical", 40),
)


def picture(frame: Frame) -> str:
    return "".join(f"|{row_text(row)}|\n" for row in frame.rows)


def style_at(frame: Frame, x: int, y: int) -> str:
    for text, style in frame.rows[y]:
        x -= len(text)
        if x < 0:
            return style
    raise IndexError(x)


def curve(values: Floats, nonfinite: list[int] | None = None, style: str = "series0") -> Curve:
    counts = np.zeros(len(values), dtype=np.int64)
    counts[nonfinite or []] = 1
    return Curve("loss", style, values, values, counts)


def flat_with_spike_and_gap() -> Curve:
    values = np.full(COLUMNS, 1.0)
    values[10] = 9.0
    values[30:34] = np.nan
    return curve(values, [30, 31, 32, 33])


def test_a_line() -> None:
    frame = draw(
        Plot(
            curves=(curve(RISING),),
            limits=Limits(0, 4),
            x_ticks=X_TICKS,
            title=(("loss", "title"),),
        ),
        LAYOUT,
    )
    assert picture(frame) == dedent("""\
        |loss                            |
        |      4┤· · · · · · · · · · ⣀⠤⠒⠉|
        |       │                ⣀⠤⠒⠉    |
        |      2┤· · · · · · ⣀⠤⠒⠉· · · · |
        |       │        ⣀⠤⠒⠉            |
        |       │    ⣀⠤⠒⠉                |
        |      0┤⣀⠤⠒⠉· · · · · · · · · · |
        |       └┬───────────┬──────────┬|
        |        0          50        100|
    """)
    assert style_at(frame, 0, 0) == "title"
    assert style_at(frame, 6, 1) == "label"
    assert style_at(frame, 7, 1) == "axis"
    assert style_at(frame, 8, 1) == "grid"
    assert style_at(frame, 31, 1) == "series0"


def test_a_line_in_ascii() -> None:
    plot = Plot(curves=(curve(RISING),), limits=Limits(0, 4), x_ticks=X_TICKS, braille=False)
    assert picture(draw(plot, LAYOUT)) == dedent("""\
        |                                |
        |      4+                    .:-'|
        |       |                .:-''   |
        |       |            .:-'        |
        |      2+        .-:'            |
        |       |   ..-:'                |
        |      0+.-:'                    |
        |       ++-----------+----------+|
        |        0          50        100|
    """)


def test_outlier_nan_cursor_and_marks() -> None:
    plot = Plot(curves=(flat_with_spike_and_gap(),), limits=Limits(0, 4), marks=MARKS, cursor=24)
    frame = draw(plot, LAYOUT)
    assert picture(frame) == dedent("""\
        |                           ▲1 ✖4|
        |       │            │  ✖✖       |
        |      4┤· · ·▲· · · │ · · · · · |
        |       │     ⡇      │           |
        |      2┤· · ·⡇· · · │ · · · · · |
        |       │⠤⠤⠤⠤⠤⠣⠤⠤⠤⠤⠤⠤⠤⠤⠤  ⠤⠤⠤⠤⠤⠤⠤|
        |      0┤· · · · · · │ · · · · · |
        |       └──┊─◆─★─▵─△─┴──▲━━━━━───|
        |                                |
    """)
    assert (frame.nonfinite, frame.above, frame.below) == (4, 1, 0)
    assert style_at(frame, 23, 1) == "nonfinite"
    assert style_at(frame, 13, 2) == "series0"
    assert style_at(frame, 20, 5) == "cursor"
    base = [style_at(frame, x, 7) for x in (10, 12, 14, 16, 18, 20, 23, 25)]
    assert base == [
        *("mark.epoch", "mark.checkpoint", "mark.analysis", "mark.info", "mark.warning"),
        *("cursor", "mark.critical", "mark.critical"),
    ]


def test_the_same_in_ascii() -> None:
    plot = Plot(
        curves=(flat_with_spike_and_gap(),),
        limits=Limits(0, 4),
        marks=MARKS,
        cursor=24,
        title=(("Verlust je Schritt über alles", "title"),),
        braille=False,
    )
    frame = draw(plot, LAYOUT)
    assert picture(frame) == dedent("""\
        |Verlust je Schritt ?ber a~ ^1 x4|
        |       |            |  xx       |
        |      4+     ^      |           |
        |       |     :      |           |
        |      2+     :      |           |
        |       |-----:---------  -------|
        |      0+            |           |
        |       +--:-c-*-i-w-+--!=====---|
        |                                |
    """)
    assert picture(frame).isascii()


def test_sparse_series_are_joined_and_single_points_seen() -> None:
    one, two = np.full(COLUMNS, np.nan), np.full(COLUMNS, np.nan)
    one[20] = 2
    two[[4, 28]] = 1, 3
    plot = Plot(
        curves=(
            Curve("a", "series0", one, one, tag="a"),
            Curve("b", "series1", two, two, tag="b"),
        ),
        limits=Limits(0, 4),
        levels=(Level(2),),
        grid=False,
    )
    frame = draw(plot, LAYOUT)
    assert picture(frame) == dedent("""\
        |                                |
        |      4┤                        |
        |       │            ⢀⡠⠄b        |
        |      2┤╌╌╌╌╌╌╌╌⣀⡠•a⠁╌╌╌╌╌╌╌╌╌╌╌|
        |       │    ⣀⠤⠒⠉                |
        |       │  ⠒⠉                    |
        |      0┤                        |
        |       └────────────────────────|
        |                                |
    """)
    assert style_at(frame, 18, 3) == "series0"
    assert style_at(frame, 23, 2) == "series1"
    assert style_at(frame, 9, 3) == "level"


def test_a_smoothed_curve_is_seen_inside_its_noise() -> None:
    low, high, line = np.full(COLUMNS, 0.0), np.full(COLUMNS, 4.0), np.full(COLUMNS, 2.0)
    counts = np.zeros(COLUMNS, dtype=np.int64)
    counts[24] = 2
    plot = Plot(
        curves=(
            Curve("loss", "faded0", low, high, counts, faded=True),
            Curve("loss", "series0", line, line, counts),
        ),
        limits=Limits(0, 4),
    )
    frame = draw(plot, LAYOUT)
    # Its column of 24 has a value too, and so a place in the curve.
    assert [row_text(row)[8:] for row in frame.rows[2:7]] == [
        *["⣿" * 24] * 2,
        "⠒" * 24,
        *["⣿" * 24] * 2,
    ]
    assert style_at(frame, 8, 4) == "series0"
    assert style_at(frame, 8, 5) == "faded0"
    assert frame.nonfinite == 2  # The two curves are one series.


def test_zero_and_negative_values_of_a_logarithmic_scale_are_marked() -> None:
    values = np.full(COLUMNS, 1.0)
    values[6:8] = 0.0
    values[20:24] = -3.0
    frame = draw(Plot(curves=(curve(values),), limits=Limits(0.1, 10, log=True)), LAYOUT)
    assert frame.below == 6
    assert row_text(frame.rows[6])[8:] == "· ·▼· · · ▼▼· · · · · · "
    assert row_text(frame.rows[0]).endswith(" ▼6")


def test_interpolation_is_straight_on_the_logarithmic_scale() -> None:
    sparse = np.full(COLUMNS, np.nan)
    sparse[0], sparse[-1] = 1e-4, 1.0
    dense = np.logspace(-4, 0, COLUMNS)
    frames = [
        draw(Plot(curves=(curve(values),), limits=Limits(1e-4, 1, log=True)), LAYOUT)
        for values in (sparse, dense)
    ]
    assert picture(frames[0]) == picture(frames[1])


def test_a_long_number_is_not_shortened_to_nothing() -> None:
    values = np.linspace(1e6 + 0.001, 1e6 + 0.003, COLUMNS)
    plot = Plot(curves=(curve(values),), limits=Limits(1e6 + 0.001, 1e6 + 0.003))
    rows = [row_text(row) for row in draw(plot, LAYOUT).rows]
    assert rows[1].startswith(" +0.003┤")
    assert rows[6].startswith(" +0.001┤")
    assert rows[8].startswith("+1000000 ")


def test_the_gravest_of_two_marks_in_a_cell_is_seen() -> None:
    marks = (Mark(10, "finding", "critical"), Mark(11, "epoch"), Mark(10, "finding", "warning"))
    frame = draw(Plot(curves=(), limits=Limits(0, 1), marks=marks), LAYOUT)
    assert row_text(frame.rows[7])[13] == "▲"


def test_no_two_marks_share_a_character() -> None:
    for glyphs in (UNICODE, ASCII):
        assert len({glyphs.of_mark(mark) for mark in MARKS}) == len(MARKS)


def test_a_curve_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="'loss' has 5 columns, the layout has 48"):
        draw(Plot(curves=(curve(np.zeros(5)),), limits=Limits(0, 1)), LAYOUT)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (32, 9, Layout(32, 9, 8, 1, 24, 6, True, True)),
        (20, 4, Layout(20, 4, 0, 1, 20, 2, True, False)),
        (32, 2, Layout(32, 2, 8, 0, 24, 2, False, False)),
        (1, 1, Layout(1, 1, 0, 0, 1, 1, False, False)),
        (-1, 5, Layout(0, 5, 0, 1, 0, 2, True, True)),
        (0, 0, Layout(0, 0, 0, 0, 0, 0, False, False)),
    ],
)
def test_layouts(width: int, height: int, expected: Layout) -> None:
    assert lay_out(width, height) == expected


def test_cells_and_columns() -> None:
    assert LAYOUT.column_at(7) is None
    assert LAYOUT.column_at(8) == 0
    assert LAYOUT.column_at(31) == 46
    assert LAYOUT.column_at(32) is None


@settings(max_examples=200)
@given(st.data(), st.integers(-1, 40), st.integers(-1, 12), st.booleans(), st.booleans())
def test_any_numbers_in_any_size(
    data: st.DataObject, width: int, height: int, braille: bool, log: bool
) -> None:
    layout = lay_out(width, height)
    drawn = data.draw(arrays(np.float64, (4, layout.columns), elements=st.floats()))
    nonfinite = np.isnan(drawn[0]).astype(np.int64)
    curves = (
        Curve("raw", "faded0", drawn[0], drawn[1], nonfinite, faded=True),
        Curve("学習率", "series0", drawn[2], drawn[3], tag=data.draw(st.sampled_from(["", "學"]))),
    )
    extremes = data_range(drawn, drawn, log=log, robust=True) or (1.0, 2.0)
    number = st.floats()
    plot = Plot(
        curves=curves,
        limits=choose_limits(*extremes, log=log),
        x_ticks=(Tick(data.draw(number), data.draw(st.text())),),
        marks=(Mark(data.draw(number), "finding", "critical", data.draw(number)),),
        levels=(Level(data.draw(number)),),
        cursor=data.draw(number),
        title=((data.draw(st.text()), "title"),),
        braille=braille,
    )
    frame = draw(plot, layout)
    assert len(frame.rows) == max(height, 0)
    assert all(row_width(row) == max(width, 0) for row in frame.rows)
    assert braille or picture(frame).isascii()
