"""The line that says that what is seen is not the present: a slider over the steps of the run."""

from __future__ import annotations

from textual import events

from traintop_tui.charts.cells import Row, Rows, Run, cell_width, fit_runs
from traintop_tui.host import host_of
from traintop_tui.widgets.canvas import Canvas
from traintop_tui.widgets.run_header import sign

KEYS = (
    "Space plays  ←→ , . move  n N findings  % step  {} speed  T leaves ",
    "Space plays  ←→ move  n N findings  T leaves ",
    "Space ←→ n N  T leaves ",
    "T leaves ",
)
"""As much as there is room for."""
LEAST_SLIDER = 16
"""Cells."""


class ReplayBar(Canvas):
    """Banner, slider with the findings of the whole run on it, and the keys."""

    def build(self, width: int, height: int) -> Rows:
        """Draw the line; nothing while the present is seen."""
        replay = self.model.replay
        if replay is None:
            return (fit_runs((), width),) * height
        left, right = self._left(), self._right(width)
        _, room = self._slider(width)
        row = (*left, *self._track(room), *right) if room else left
        return (fit_runs(row, width, filler="header"),)

    def on_click(self, event: events.Click) -> None:
        """Go to the step under the mouse."""
        start, room = self._slider(self.size.width)
        if self.model.replay is not None and start <= event.x < start + room:
            first, last = self.model.extent
            share = (event.x - start) / max(room - 1, 1)
            self.model.put_cursor(round(first + share * (last - first)))
            host_of(self).redraw()

    def _left(self) -> tuple[Run, ...]:
        replay, last = self.model.replay, self.model.extent[1]
        if replay is None:
            return ()
        playing = host_of(self).replaying
        end = f"{last:.0f}"
        words = f" step {replay.step:>{len(end)}.0f} of {end} "
        if replay.pending:
            words += f" judging {int(100 * replay.judged)}% "
        elif playing is not None and playing.playing:
            words += f" playing {playing.speed:g}x "
        return ((" REPLAY ", "selected"), (words, "header.name"))

    def _right(self, width: int) -> tuple[Run, ...]:
        room = width - sum(cell_width(text) for text, _ in self._left()) - LEAST_SLIDER
        ascii_only = self.model.view.ascii
        for keys in KEYS:
            words = "  " + (keys.replace("←→", "<- ->") if ascii_only else keys)
            if cell_width(words) <= room:
                return ((words, "header"),)
        return ()

    def _slider(self, width: int) -> tuple[int, int]:
        """Return the first cell of the slider and how many it has."""
        left = sum(cell_width(text) for text, _ in self._left())
        right = sum(cell_width(text) for text, _ in self._right(width))
        return left, max(width - left - right, 0)

    def _track(self, room: int) -> Row:
        model, (first, last) = self.model, self.model.extent
        track, passed, knob = ("-", "=", "@") if model.view.ascii else ("─", "━", "●")

        def cell(step: float) -> int:
            return round((step - first) / max(last - first, 1) * (room - 1))

        at = cell(model.step)
        cells: list[Run] = [(passed if x < at else track, "header") for x in range(room)]
        for finding in sorted(model.whole_findings(), key=lambda each: each.severity == "critical"):
            x = min(max(cell(finding.detected_step), 0), room - 1)
            style = f"severity.{finding.severity}" if x <= at else "label"
            cells[x] = (sign(finding, model.view.ascii), style)
        if 0 <= at < room:
            cells[at] = (knob, "header.name")
        return tuple(cells)
