"""What part of a run is looked at, and how: the state that all charts share."""

from __future__ import annotations

from dataclasses import dataclass

from traintop.store import Axis
from traintop_tui.charts.xaxis import x_window

AXES: tuple[Axis, ...] = ("step", "epoch", "tokens", "time")
SMOOTHINGS = (0.0, 0.3, 0.6, 0.9, 0.97, 0.99)
LEAST_WINDOW = 4.0
"""Steps: zooming in ends here."""

Extent = tuple[float, float]
"""First and last step of what is drawn."""


@dataclass
class View:
    """A window of steps, a cursor in it, and how curves are drawn. All positions are steps."""

    axis: Axis = "step"
    window: Extent | None = None
    """None: the whole run."""
    following: bool = True
    """Whether a window moves on with the newest step."""
    cursor: float | None = None
    log_y: bool = False
    smoothing: float = 0.6
    """Weight of the exponential moving average; 0: none."""
    ascii: bool = False

    _whole: Extent | None = None

    def shown(self, run: Extent, *, growing: bool = False) -> Extent:
        """Return the steps to draw, given those of the run and whether more are to come."""
        if self.window is None:
            whole = x_window(*run, self._whole, following=growing)
            if growing:
                # Asked in between as if nothing were to come, the next frame has the same window.
                self._whole = whole
            return whole
        first, last = self.window
        if self.following and not first <= run[1] <= last:
            # In jumps of a tenth: a window that moves with each record would redraw every cell.
            # Back, too: a run that is resumed repeats its steps.
            jump = (last - first) / 10
            shift = -(-(run[1] - last) // jump) * jump if jump > 0 else run[1] - last
            self.window = first, last = first + shift, last + shift
        return first, last

    def move_cursor(self, run: Extent, steps: float) -> None:
        """Move the cursor, or put it at the newest step in sight if it is off."""
        _, last = self.shown(run)
        at = min(last, run[1]) if self.cursor is None else self.cursor + steps
        self.put_cursor(run, at)

    def put_cursor(self, run: Extent, step: float) -> None:
        """Put the cursor at a step and move the window there if it is elsewhere."""
        self.cursor = min(max(step, run[0]), run[1])
        first, last = self.shown(run)
        if self.window is not None and not first <= self.cursor <= last:
            width = last - first
            begin = min(max(self.cursor - width / 2, run[0]), max(run[1] - width, run[0]))
            self.window = begin, begin + width
            self.following = begin + width >= run[1]

    def zoom(self, run: Extent, factor: float) -> None:
        """Scale the window about the cursor, or about its newest step; factor < 1 zooms in."""
        first, last = self.shown(run)
        width = (last - first) * factor
        if width >= run[1] - run[0]:
            self.window, self.following = None, True
            return
        width = max(width, min(LEAST_WINDOW, run[1] - run[0]))
        centre = self.cursor
        if centre is None or not first <= centre <= last:
            centre = min(last, run[1])
        share = (centre - first) / (last - first) if last > first else 0.5
        begin = min(max(centre - share * width, run[0]), run[1] - width)
        self.window = begin, begin + width
        self.following = begin + width >= run[1]

    def pan(self, run: Extent, windows: float) -> None:
        """Move the window by a share of its width, staying in the run."""
        if self.window is None:
            return
        first, last = self.shown(run)
        width = last - first
        begin = min(max(first + windows * width, run[0]), max(run[1] - width, run[0]))
        self.window = begin, begin + width
        self.following = begin + width >= run[1]

    def follow(self, run: Extent) -> None:
        """Let the window go to the newest step and stay there; the cursor goes off."""
        self.cursor = None
        self.following = True
        if self.window is not None:
            width = self.window[1] - self.window[0]
            self.window = run[1] - width, run[1]

    def smoother(self, by: int) -> None:
        """Go to the next smoothing weight up (1) or down (-1)."""
        nearest = min(range(len(SMOOTHINGS)), key=lambda i: abs(SMOOTHINGS[i] - self.smoothing))
        self.smoothing = SMOOTHINGS[min(max(nearest + by, 0), len(SMOOTHINGS) - 1)]
