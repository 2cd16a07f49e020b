"""What the app shows, apart from how: the sessions, the run that is looked at, the shared view."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from traintop.catalogue import SeriesRef
from traintop.gpu import GpuMonitor
from traintop.jobs import JobQueue
from traintop.records import Finding, Floats, Update
from traintop.session import Session
from traintop.settings import Settings
from traintop.store import AxisMap, Reduced, Run
from traintop_tui.charts.frame import Mark
from traintop_tui.view import AXES, Extent, View

MARKED_EVENTS = {"checkpoint": "checkpoint", "analysis": "analysis", "epoch": "epoch"}


@dataclass
class Panel:
    """One chart: a title and the series in it."""

    title: str
    refs: list[SeriesRef] = field(default_factory=list[SeriesRef])


PANELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("loss", ("loss/train", "loss/val")),
    ("gradient norm", ("grad_norm", "grad_norm_clipped")),
    ("learning rate", ("lr",)),
    ("accuracy", ("accuracy/train", "accuracy/val")),
    ("GPU memory", ("gpu_memory",)),
    ("throughput", ("throughput",)),
    ("update ratio", ("update_ratio",)),
    ("step time", ("step_time",)),
    ("loss scale", ("loss_scale",)),
)
"""The charts of the overview by role, the most telling first."""


class Model:
    """The state behind the screens. Knows no widget; everything that a key changes is here."""

    def __init__(
        self, sessions: list[Session], settings: Settings, jobs: JobQueue, gpu: GpuMonitor
    ) -> None:
        self.sessions = sessions
        self.settings = settings
        self.jobs = jobs
        self.gpu = gpu
        self.view = View(
            axis=settings.axis,
            log_y=settings.log_y,
            smoothing=settings.smoothing,
            ascii=settings.ascii,
        )
        self.update = Update()
        self.chosen: list[str] | None = None
        """Labels of the series to draw, a chart each; None: by role."""
        self.finding = 0
        """Index of the selected finding."""
        self.layer: str | None = None
        """Name of the selected layer."""
        self.acknowledged: set[tuple[str, int]] = set()
        self._session = 0
        self._run: int | None = None

    # --- which run ---------------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """The session that is looked at."""
        return self.sessions[self._session]

    @property
    def run(self) -> Run | None:
        """The run that is looked at; None before the first record."""
        return self.session.run(self._run)

    def go_to_run(self, by: int) -> None:
        """Look at another run of the same files, or of the next path."""
        runs = len(self.session.store.runs)
        at = (runs - 1 if self._run is None else self._run) + by
        if not 0 <= at < runs:
            self._session = (self._session + by) % len(self.sessions)
            runs = len(self.session.store.runs)
            at = 0 if by > 0 else runs - 1
        self._run = None if at >= runs - 1 else at
        self.view.window = self.view.cursor = None
        self.view.following = True
        self.finding = 0

    @property
    def extent(self) -> Extent:
        """The first and last step of the run."""
        run = self.run
        if run is None or run.first_step is None or run.last_step is None:
            return 0.0, 1.0
        return float(run.first_step), float(run.last_step)

    @property
    def growing(self) -> bool:
        """Whether more records are to come."""
        return self.update.state == "running" and self._run is None

    # --- the x axis --------------------------------------------------------------------------

    @property
    def axis(self) -> AxisMap | None:
        """The x axis in use; steps where the run has no other."""
        run = self.run
        if run is None or run.main is None:
            return None
        axis = AxisMap(run.main, self.view.axis, self.session.store.info.steps_per_epoch)
        return axis if axis.available else AxisMap(run.main, "step")

    def cycle_axis(self) -> None:
        """Go to the next axis that the run has."""
        run = self.run
        if run is None or run.main is None:
            return
        per_epoch = self.session.store.info.steps_per_epoch
        have = [axis for axis in AXES if AxisMap(run.main, axis, per_epoch).available]
        at = have.index(self.view.axis) if self.view.axis in have else -1
        self.view.axis = have[(at + 1) % len(have)]

    @property
    def window(self) -> Extent:
        """The first and last step that are drawn."""
        return self.view.shown(self.extent, growing=self.growing)

    def positions(self) -> Extent:
        """Return the window on the x axis."""
        first, last = self.window
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

    def edges(self, columns: int) -> Floats:
        """Return the steps between pixel columns, shape (columns + 1,)."""
        low, high = self.positions()
        positions = np.linspace(low, high, columns + 1)
        axis = self.axis
        steps = positions if axis is None else axis.steps(positions)
        if len(steps) > 1:
            # The last record belongs to the last column, not to one beyond it.
            steps[-1] = np.nextafter(max(steps[-1], min(self.window[1], self.extent[1])), np.inf)
        return np.maximum.accumulate(steps)

    def column(self, step: float, edges: Floats) -> int | None:
        """Return the pixel column of a step; None outside the window."""
        column = int(np.searchsorted(edges, step, side="right")) - 1
        return column if 0 <= column < len(edges) - 1 else None

    # --- series ------------------------------------------------------------------------------

    def panels(self) -> list[Panel]:
        """Return the charts to draw: those that were chosen, or by role and then the others."""
        run = self.run
        if run is None:
            return []
        refs = self.session.catalogue.refs(run)
        if self.chosen is not None:
            by_label = {ref.label: ref for ref in refs}
            return [Panel(label, [by_label[label]]) for label in self.chosen if label in by_label]
        panels: list[Panel] = []
        for title, roles in PANELS:
            found = [ref for role in roles for ref in refs if ref.role == role]
            if found:
                panels.append(Panel(title, found))
        taken = {ref for panel in panels for ref in panel.refs}
        panels += [Panel(ref.label, [ref]) for ref in refs if ref not in taken]
        return panels

    def reduce(self, ref: SeriesRef, edges: Floats) -> Reduced | None:
        """Reduce a series to columns."""
        run = self.run
        table = run.tables.get(ref.table) if run is not None else None
        if table is None or ref.name not in table.series:
            return None
        return table.series[ref.name].reduce(table.row_edges(edges))

    def value(self, ref: SeriesRef) -> tuple[float, float] | None:
        """Return (step, value) at the cursor, or the newest without one."""
        run = self.run
        table = run.tables.get(ref.table) if run is not None else None
        if table is None:
            return None
        step = self.view.cursor
        return table.value_at(ref.name, np.inf if step is None else step)

    def next_nonfinite(self) -> float | None:
        """Return the step of the next NaN or infinite value after the cursor, then from the start."""
        run = self.run
        after = -np.inf if self.view.cursor is None else self.view.cursor
        steps: list[float] = []
        for panel in self.panels():
            for ref in panel.refs:
                table = run.tables[ref.table] if run is not None else None
                if table is not None:
                    series = table.series[ref.name]
                    for index in np.flatnonzero(~np.isfinite(series.values())).tolist():
                        steps.append(float(table.step[series.row_of(index)]))
        later = [step for step in steps if step > after]
        return min(later or steps, default=None)

    # --- findings and marks ------------------------------------------------------------------

    def findings(self) -> list[Finding]:
        """Return the findings of the run, in the order in which they opened."""
        return list(self.session.findings(self._run))

    def selected_finding(self) -> Finding | None:
        """Return the finding that is selected."""
        findings = self.findings()
        return findings[min(self.finding, len(findings) - 1)] if findings else None

    def marks(self, edges: Floats) -> list[Mark]:
        """Return what stands on the x axis of every chart."""
        marks: list[Mark] = []
        run = self.run
        for event in run.events if run is not None else []:
            kind = MARKED_EVENTS.get(event.event)
            if kind is None or event.step is None:
                continue
            column = self.column(event.step, edges)
            if column is not None and kind != "epoch":
                marks.append(Mark(column, kind, label=str(event.fields.get("path", ""))))
        for step in self.session.pinned_steps():
            column = self.column(step, edges)
            if column is not None:
                marks.append(Mark(column, "analysis"))
        for finding in self.findings():
            column = self.column(finding.onset_step, edges)
            if column is not None:
                marks.append(Mark(column, "finding", severity=finding.severity, label=finding.title))
        return marks
