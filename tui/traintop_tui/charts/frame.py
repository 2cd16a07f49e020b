"""What a line chart is made from and what comes out: curves, marks, layout, frame.

A chart is drawn in two steps, because the series must be reduced to just as many pixel columns as
there is room for: `lay_out` says how many, `traintop_tui.charts.line_chart.draw` takes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traintop.records import Floats, Severity
from traintop_tui.charts.cells import Row, Rows
from traintop_tui.charts.scale import Limits
from traintop_tui.charts.ticks import LABEL_WIDTH, Tick

MarkKind = Literal["finding", "seen", "over", "checkpoint", "analysis", "epoch"]

GUTTER = LABEL_WIDTH + 1
"""Cells left of the plot: the labels of the vertical axis and its line."""

_NARROW = 24
"""Charts of fewer cells have no gutter: the curve needs the room."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One series reduced to pixel columns, in the order of the horizontal axis.

    Attributes:
        name: What is plotted; curves of one name are one series (raw and smoothed), and where one
            of them has values that are not finite all of them break.
        style: Style name, `series0` to `series7` or `faded0` to `faded7`.
        lo: Shape (columns,): least value of each column, NaN where it is empty.
        hi: Shape (columns,): greatest value.
        nonfinite: Shape (columns,): how many values of the column are NaN or infinite; None: none.
        faded: Drawn behind the others, which displace it cell by cell.
        tag: One ASCII character drawn at the curve's end, so that it can be told without colour.
    """

    name: str
    style: str
    lo: Floats
    hi: Floats
    nonfinite: NDArray[np.int64] | None = None
    faded: bool = False
    tag: str = ""


class Mark(NamedTuple):
    """Something that happened at a step, shown on the horizontal axis."""

    column: float
    """Pixel column."""
    kind: MarkKind
    severity: Severity = "info"
    """Of a finding, and of where it was seen and was over; the others have none."""
    until: float | None = None
    """Pixel column where it ended; what lies between is underlined."""


class Level(NamedTuple):
    """A horizontal line at a value, such as a threshold."""

    value: float
    style: str = "level"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plot:
    """A line chart.

    Attributes:
        curves: In drawing order, the last on top.
        limits: The vertical scale.
        x_ticks: Ticks of the horizontal axis, `at` in pixel columns.
        marks: Findings, checkpoints, analyses and epochs.
        levels: Thresholds.
        rules: Pixel columns of vertical lines, such as where a finding began.
        cursor: Pixel column of the step cursor.
        title: What stands above the plot.
        grid: Whether the ticks of the vertical axis are dotted through the plot.
        braille: False draws with ASCII characters only.
    """

    curves: tuple[Curve, ...]
    limits: Limits
    x_ticks: tuple[Tick, ...] = ()
    marks: tuple[Mark, ...] = ()
    levels: tuple[Level, ...] = ()
    rules: tuple[float, ...] = ()
    cursor: float | None = None
    title: Row = ()
    grid: bool = True
    braille: bool = True


class Layout(NamedTuple):
    """Where the parts of a chart are, in cells from its upper left corner."""

    width: int
    height: int
    plot_x: int
    plot_y: int
    plot_width: int
    plot_height: int
    axis: bool
    """Whether there is a row for the horizontal axis and its marks, under the plot."""
    x_labels: bool
    """Whether there is a row for the labels of that axis, under it."""

    @property
    def columns(self) -> int:
        """How many pixel columns the plot has: two a cell."""
        return 2 * self.plot_width

    def column_at(self, x: int) -> int | None:
        """Return the left pixel column of the cell at `x`; None outside the plot."""
        inside = self.plot_x <= x < self.plot_x + self.plot_width
        return 2 * (x - self.plot_x) if inside else None


def lay_out(width: int, height: int, *, title: bool = True, x_labels: bool = True) -> Layout:
    """Divide a chart of any size into its parts; the plot keeps what small sizes leave.

    Args:
        width: Cells; less than one gives a chart of empty rows.
        height: Rows.
        title: Whether a title is wanted; it needs four rows.
        x_labels: Whether labels of the horizontal axis are wanted; they need five rows.
    """
    width, height = max(width, 0), max(height, 0)
    gutter = GUTTER if width >= _NARROW else 0
    above = int(title and height >= 4)
    axis = height >= 3
    labels = x_labels and height >= 5
    plot_height = height - above - axis - labels
    return Layout(width, height, gutter, above, width - gutter, plot_height, axis, labels)


class Frame(NamedTuple):
    """A drawn chart."""

    rows: Rows
    """`layout.height` rows of `layout.width` cells."""
    layout: Layout
    nonfinite: int
    """NaN and infinite values of all series."""
    above: int
    """Columns in which a curve leaves the chart at the top; an edge mark stands there."""
    below: int
    """Columns in which a curve leaves it at the bottom; on a logarithmic scale those too that hold
    a zero or a negative value."""


class Glyphs(NamedTuple):
    """The characters of a chart other than its curves, each of width one."""

    point: str
    above: str
    below: str
    nonfinite: str
    cursor: str
    grid: str
    level: str
    side: str
    side_tick: str
    corner: str
    base: str
    base_tick: str
    base_cursor: str
    underline: str
    info: str
    warning: str
    critical: str
    seen: str
    over: str
    checkpoint: str
    analysis: str
    epoch: str

    def of_mark(self, mark: Mark) -> str:
        """Return the character of a mark; no two kinds or severities share one."""
        if mark.kind == "finding":
            return {"info": self.info, "warning": self.warning, "critical": self.critical}[
                mark.severity
            ]
        other: str = getattr(self, mark.kind)
        return other


UNICODE = Glyphs(*"•▲▼✖│·╌│┤└─┬┴━▵△▲◉○◆★┊")
ASCII = Glyphs(*"o^vx|.=|++-++=iw!sec*:")


def mark_style(mark: Mark) -> str:
    """Return the style name of a mark: `mark.critical`, `mark.checkpoint` ..."""
    of_finding = mark.kind in ("finding", "seen", "over")
    return f"mark.{mark.severity if of_finding else mark.kind}"


_RANKS = {
    "epoch": 0, "checkpoint": 1, "over": 2, "seen": 3, "info": 4,
    "analysis": 5, "warning": 6, "critical": 7,
}  # fmt: skip
"""An answer that somebody asked for is not hidden by advice."""


def mark_rank(mark: Mark) -> int:
    """Return which of two marks in one cell is seen: the one of the higher rank."""
    return _RANKS[mark.severity if mark.kind == "finding" else mark.kind]
