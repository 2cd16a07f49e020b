"""Which run is looked at, as of which step, and the x axis that all charts share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from traintop.catalogue import Catalogue
from traintop.records import DetectorFailure, Floats, NotJudged, RunInfo, Update
from traintop.session import Session
from traintop.settings import Settings
from traintop.store import Axis, AxisMap, LogStore, Run, Table
from traintop_tui.charts.xaxis import XKind
from traintop_tui.gpu_history import GpuHistory
from traintop_tui.view import AXES, Extent, View

if TYPE_CHECKING:
    from traintop.replay import Replay

PATIENCE = 0.03
"""Seconds for which a key that moves a replay may keep the screen; what takes longer is done in a
thread."""


class RunModel:
    """The sessions, and the part of one run that is looked at."""

    def __init__(self, sessions: list[Session], settings: Settings) -> None:
        self.sessions = sessions
        self.settings = settings
        self.gpu_history = GpuHistory()
        self.view = View(
            axis=settings.axis,
            log_y=settings.log_y,
            smoothing=settings.smoothing,
            ascii=settings.ascii,
        )
        self.update = Update()
        self.replay: Replay | None = None
        """The run as it was at a step, while that is looked at; the step cursor is that step."""
        self._session = 0
        self._run: int | None = None

    # --- which run ---------------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """The session that is looked at."""
        return self.sessions[self._session]

    @property
    def whole_run(self) -> Run | None:
        """The run with all that was read of it; None before the first record."""
        return self.session.run(self._run)

    @property
    def run(self) -> Run | None:
        """The run as it is looked at: up to a step while it is replayed."""
        return self.whole_run if self.replay is None else self.replay.run

    @property
    def catalogue(self) -> Catalogue:
        """The names and roles of the series of that run."""
        return self.session.catalogue if self.replay is None else self.replay.catalogue

    @property
    def log(self) -> LogStore:
        """The text log, as far as it is looked at."""
        return self.session.store.log if self.replay is None else self.replay.log

    @property
    def info(self) -> RunInfo:
        """What the run says of itself."""
        return self.session.store.info

    @property
    def judged(self) -> float:
        """Share of what is looked at that is judged."""
        return self.update.judged if self.replay is None else self.replay.judged

    def not_judged(self) -> tuple[NotJudged, ...]:
        """Return what could not be judged, and why."""
        if self.replay is not None:
            return self.replay.not_judged
        return self.session.not_judged(self._run)

    def failures(self) -> Sequence[DetectorFailure]:
        """Return the detectors that failed."""
        if self.replay is not None:
            return self.replay.failures
        return self.session.failures(self._run)

    def go_to_run(self, by: int) -> None:
        """Look at another run of the same files, or of the next path."""
        runs = len(self.session.store.runs)
        at = (runs - 1 if self._run is None else self._run) + by
        if not 0 <= at < runs:
            self._session = (self._session + by) % len(self.sessions)
            runs = len(self.session.store.runs)
            at = 0 if by > 0 else runs - 1
        self._run = None if at >= runs - 1 else at
        self.gpu_history = GpuHistory()
        self.replay = None
        self.view.window = self.view.cursor = None
        self.view.following = True

    @property
    def extent(self) -> Extent:
        """The first and last step of the whole run, also while its history is yet to be read."""
        run, begins = self.whole_run, self.session.begins
        if run is None or run.first_step is None or run.last_step is None:
            return 0.0, 1.0
        first = float(run.first_step)
        return first if begins is None else min(first, begins), float(run.last_step)

    @property
    def growing(self) -> bool:
        """Whether more records are to come."""
        return self.update.state == "running" and self._run is None

    # --- the step cursor ---------------------------------------------------------------------

    @property
    def step(self) -> float:
        """The step of the cursor, or the newest."""
        return self.extent[1] if self.view.cursor is None else self.view.cursor

    def put_cursor(self, step: float) -> None:
        """Put the cursor at a step; of a run that is replayed nothing is seen beyond it."""
        self.view.put_cursor(self.extent, step)
        self._replay_cursor()

    def move_cursor(self, steps: float) -> None:
        """Move the cursor, or put it at the newest step in sight if it is off."""
        self.view.move_cursor(self.extent, steps)
        self._replay_cursor()

    def move_records(self, by: int) -> None:
        """Move the cursor by records."""
        run = self.whole_run
        if run is None or run.main is None:
            return
        steps = run.main.step
        if by > 0:
            row = int(np.searchsorted(steps, self.step, side="right")) + by - 1
        else:
            row = int(np.searchsorted(steps, self.step)) + by
        self.put_cursor(float(steps[min(max(row, 0), len(steps) - 1)]))

    def start_replay(self, step: float) -> bool:
        """Look at the run as it was at a step; False where there is no record yet."""
        from traintop.replay import Replay  # The first picture does not wait for the detectors.

        run = self.whole_run
        if run is None or run.last_step is None:
            return False
        log, settings = self.session.store.log, self.session.settings
        names = self.session.catalogue
        self.replay = Replay(run, log, self.info, settings.detectors, step, settings.profile, names)
        self.put_cursor(step)
        return True

    def stop_replay(self) -> None:
        """Look at all of the run again, with the cursor off."""
        self.replay = None
        self.view.cursor = None

    def _replay_cursor(self) -> None:
        if self.replay is None:
            return
        self.replay.go_to(self.step)
        end = time.monotonic() + PATIENCE
        while self.replay.pending and time.monotonic() < end:
            self.replay.judge()

    # --- the x axis --------------------------------------------------------------------------

    @property
    def axis(self) -> AxisMap | None:
        """The x axis in use; steps where the run has no other."""
        run = self.whole_run
        if run is None or run.main is None:
            return None
        axis = self._axis_of(run, run.main, self.view.axis)
        return axis if axis.available else AxisMap(run.main, "step")

    def _axis_of(self, run: Run, main: Table, axis: Axis) -> AxisMap:
        if axis == "tokens":
            ref = self.session.catalogue.by_role(run, "tokens")
            table = main if ref is None else run.tables[ref.table]
            return AxisMap(table, axis, tokens=None if ref is None else ref.name)
        return AxisMap(main, axis, self.info.steps_per_epoch)

    def cycle_axis(self) -> None:
        """Go to the next axis that the run has."""
        run = self.whole_run
        if run is None or run.main is None:
            return
        main = run.main
        have: list[Axis] = [axis for axis in AXES if self._axis_of(run, main, axis).available]
        at = have.index(self.view.axis) if self.view.axis in have else -1
        self.view.axis = have[(at + 1) % len(have)]

    @property
    def axis_kind(self) -> XKind:
        """What the positions on the x axis are."""
        axis = self.axis
        return "step" if axis is None else axis.axis

    @property
    def window(self) -> Extent:
        """The first and last step that are drawn."""
        return self.view.shown(self.extent, growing=self.growing)

    def positions(self, window: Extent | None = None) -> Extent:
        """Return a window of steps (default: the view's) on the x axis."""
        first, last = window or self.window
        axis = self.axis
        if axis is None:
            return first, last
        low, high = axis.position(first), axis.position(last)
        reached = self.extent[1]
        if last > reached > first and axis.axis != "step":
            # Beyond the newest record an axis knows nothing: go on at the same pace.
            at = axis.position(reached)
            high = low + (at - low) * (last - first) / (reached - first)
        return low, high if high > low else low + 1.0

    def edges(self, columns: int, window: Extent | None = None) -> Floats:
        """Return the steps between pixel columns, shape (columns + 1,)."""
        window = window or self.window
        low, high = self.positions(window)
        positions = np.linspace(low, high, columns + 1)
        axis = self.axis
        steps = positions if axis is None else axis.steps(positions)
        if len(steps) > 1:
            # The last record belongs to the last column, not to one beyond it.
            steps[-1] = np.nextafter(max(steps[-1], min(window[1], self.extent[1])), np.inf)
        return np.maximum.accumulate(steps)
