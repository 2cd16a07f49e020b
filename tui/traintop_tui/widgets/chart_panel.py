"""One chart of curves over the steps of a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from textual import events

from traintop.catalogue import SeriesRef
from traintop.records import Finding, Floats
from traintop.store import Reduced
from traintop_tui.charts.cells import Rows, Run, cell_width
from traintop_tui.charts.frame import (
    ASCII,
    UNICODE,
    Curve,
    Layout,
    Level,
    Mark,
    Plot,
    lay_out,
    mark_style,
)
from traintop_tui.charts.line_chart import draw
from traintop_tui.charts.numbers import format_value
from traintop_tui.charts.scale import Limits, choose_limits, data_range
from traintop_tui.charts.smoothing import smooth
from traintop_tui.charts.xaxis import x_ticks
from traintop_tui.host import host_of
from traintop_tui.layer_order import is_share
from traintop_tui.marks import legend_of, marks_of
from traintop_tui.panels import CurveRef, GpuRef, LayerRef, Panel
from traintop_tui.view import Extent
from traintop_tui.widgets.canvas import Canvas

TAGS = "abcdefgh"
"""Letters that tell the curves of one chart apart without colour; t and v: train, validation."""


EXACT_ROLES = frozenset({"lr", "gpu_memory", "loss_scale"})
EVALUATED_ROLES = frozenset({"loss/val", "accuracy/val"})
"""Few and far between, each a mean over many samples: smoothed they would only come late."""


class ChartPanel(Canvas):
    """Draws the curves of a panel in the window of the view, with a cursor and marks."""

    can_focus = True

    def __init__(self, panel: Panel, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.panel = panel
        self.levels: tuple[Level, ...] = ()
        """Thresholds to draw."""
        self.window: Extent | None = None
        """Steps to draw instead of the view's window."""
        self.subject: Finding | None = None
        """The finding whose evidence this is: where it began, was seen and was over is marked."""
        self._limits: Limits | None = None
        self._layout: Layout | None = None
        self._edges: Floats | None = None

    def show(self, panel: Panel) -> None:
        """Draw another panel from now on."""
        if panel != self.panel:
            self.panel = panel
            self._limits = None

    def build(self, width: int, height: int) -> Rows:
        """Draw the frame."""
        model = self.model
        layout = lay_out(width, height)
        edges = model.edges(layout.columns, self.window)
        self._layout, self._edges = layout, edges
        curves: list[Curve] = []
        for index, ref in enumerate(self.panel.refs):
            reduced = model.reduce(ref, edges)
            if reduced is not None:
                exact = is_exact(ref) or is_evaluated(ref) or is_share_of_units(ref)
                weight = 0.0 if exact else model.view.smoothing
                curves += curves_of(ref, reduced, index, weight, self._tag(index))
        self._limits = self._scale(curves)
        cursor = model.view.cursor
        plot = Plot(
            curves=tuple(curves),
            limits=self._limits,
            x_ticks=x_ticks(model.positions(self.window), layout.columns, model.axis_kind),
            marks=tuple(self._marks(edges)),
            levels=self.levels,
            rules=self._rules(edges),
            cursor=None if cursor is None else model.column(cursor, edges),
            title=self._title(),
            braille=not model.view.ascii,
        )
        return draw(plot, layout).rows

    def _scale(self, curves: list[Curve]) -> Limits:
        if self.panel.refs and all(is_share_of_units(ref) for ref in self.panel.refs):
            # Linear in any case: none is the share that all layers should have.
            return Limits(0.0, 1.0)
        # A schedule has no outliers: its warm-up is what one wants to see.
        robust = not all(map(is_exact, self.panel.refs))
        log = self.model.view.log_y
        return limits_of(curves, log, self._limits, self.levels, robust=robust)

    def _marks(self, edges: Floats) -> list[Mark]:
        subject = self.subject
        if subject is None:
            return self.model.marks(edges)
        others = [mark for mark in self.model.marks(edges) if mark.kind != "finding"]
        return others + marks_of(subject, edges)

    def _rules(self, edges: Floats) -> tuple[float, ...]:
        if self.subject is None:
            return ()
        column = self.model.column(self.subject.onset_step, edges)
        return () if column is None else (float(column),)

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the mouse is."""
        column = self._layout.column_at(event.x) if self._layout is not None else None
        if column is not None and self._edges is not None:
            self.model.put_cursor(float(self._edges[column]))
            host_of(self).redraw()

    def on_focus(self) -> None:
        """Show that it has the keys."""
        self.redraw()

    def on_blur(self) -> None:
        """Show that another one has them."""
        self.redraw()

    def _tag(self, index: int) -> str:
        refs = self.panel.refs
        return tag_of(refs[index], index) if len(refs) > 1 else ""

    def _title(self) -> tuple[Run, ...]:
        runs: list[Run] = [
            (
                "▸"
                if self.has_focus and not self.model.view.ascii
                else ">"
                if self.has_focus
                else " ",
                "title",
            )
        ]
        readouts = [self.model.value(ref) for ref in self.panel.refs]
        values = ["" if at is None else f" {format_value(at[1])}" for at in readouts]
        labels = labels_for(self.panel.refs, self.size.width - sum(map(cell_width, values)))
        if len(labels) == 1 and (source := self.model.source_of(self.panel.refs[0])):
            room = self.size.width - cell_width(labels[0] + values[0]) - 6
            labels[0] += f" ({source})" if cell_width(source) <= room else ""
        for index, (label, value) in enumerate(zip(labels, values, strict=True)):
            tag = self._tag(index)
            runs += [
                (f"{tag}:" if tag else "", f"series{index % 8}"),
                (label, f"series{index % 8}"),
                (value if label else value.strip(), "title"),
                ("  ", "title"),
            ]
        glyphs = ASCII if self.model.view.ascii else UNICODE
        runs += [
            (f"{glyphs.level} threshold {level.value:.4g}  ", level.style) for level in self.levels
        ]
        if self.subject is not None:
            for mark, word, step in legend_of(self.subject):
                runs.append((f"{glyphs.of_mark(mark)} {word} {step}  ", mark_style(mark)))
        return tuple(run for run in runs if run[0])


def labels_for(refs: Sequence[CurveRef], room: int) -> list[str]:
    """Return what a title calls its curves: as much as fits, since a cut value would be wrong.

    In the end the first says what is drawn, and the others have only the letters at their curves.
    """
    first = [ref.label for ref in refs[:1]]
    layers = [ref.layer if isinstance(ref, LayerRef) else ref.label for ref in refs[1:]]
    for others in ([ref.label for ref in refs[1:]], layers):
        if sum(map(cell_width, first + others)) + 4 * len(refs) <= room:
            return first + others
    return first + [""] * len(layers)


def tag_of(ref: CurveRef, index: int) -> str:
    """Return the letter of a curve that shares a chart with others."""
    role = (ref.role or "") if isinstance(ref, SeriesRef) else ""
    part = role.rpartition("/")[2]
    return {"train": "t", "val": "v"}.get(part, TAGS[index % len(TAGS)])


def is_evaluated(ref: CurveRef) -> bool:
    """Tell whether a curve is of evaluations."""
    return isinstance(ref, SeriesRef) and ref.role in EVALUATED_ROLES


def is_exact(ref: CurveRef) -> bool:
    """Tell whether a curve has no noise to be smoothed away: a schedule, or memory in use."""
    return isinstance(ref, GpuRef) or (isinstance(ref, SeriesRef) and ref.role in EXACT_ROLES)


def curves_of(
    ref: CurveRef, reduced: Reduced, index: int, smoothing: float, tag: str
) -> list[Curve]:
    """Return the curves of one series: raw alone, or smoothed over a faded raw one."""
    style = index % 8
    if not smoothing:
        return [
            Curve(ref.label, f"series{style}", reduced.lo, reduced.hi, reduced.nonfinite, tag=tag)
        ]
    # An average lies between the extremes; by a rounding error beyond them it would give a constant
    # series a scale on which nothing but that error is seen.
    low = np.fmin.reduce(reduced.lo, initial=np.nan)
    high = np.fmax.reduce(reduced.hi, initial=np.nan)
    smoothed = smooth(reduced.mean, smoothing).clip(low, high)
    return [
        Curve(ref.label, f"faded{style}", reduced.lo, reduced.hi, reduced.nonfinite, faded=True),
        Curve(ref.label, f"series{style}", smoothed, smoothed, tag=tag),
    ]


def is_share_of_units(ref: CurveRef) -> bool:
    """Tell whether a curve lies between 0 and 1 by its nature."""
    return isinstance(ref, LayerRef) and is_share(ref.stat)


def limits_of(
    curves: list[Curve],
    log: bool,
    previous: Limits | None,
    levels: Sequence[Level] = (),
    *,
    robust: bool = True,
) -> Limits:
    """Return the vertical scale, with all thresholds in sight.

    Where it is robust, outliers are marked at the edge and do not flatten the rest.
    """
    lows, highs = [curve.lo for curve in curves], [curve.hi for curve in curves]
    extremes = data_range(lows, highs, log=log, robust=robust)
    if extremes is None:
        return previous or Limits(*((0.1, 1.0) if log else (0.0, 1.0)), log=log)
    values = [level.value for level in levels if level.value > 0 or not log]
    values += extremes
    return choose_limits(min(values), max(values), log=log, previous=previous)
