"""What the app shows, apart from how: the sessions, the run that is looked at, the shared view."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from traintop.catalogue import SeriesRef
from traintop.errors import AnalysisError
from traintop.gpu import GpuMonitor
from traintop.records import Checkpoint, Finding, Floats, Update
from traintop.session import Session
from traintop.settings import Settings
from traintop.store import Axis, AxisMap, Reduced, Run, Series, Table
from traintop_tui.charts.frame import Mark
from traintop_tui.charts.xaxis import XKind
from traintop_tui.finding_words import urgency
from traintop_tui.gpu_history import GpuHistory
from traintop_tui.job_list import JobItem, JobList
from traintop_tui.layer_order import LayerChoice, is_share
from traintop_tui.marks import column_of, marks_on_axis
from traintop_tui.panels import (
    FINDING_STATISTICS,
    CurveRef,
    GpuRef,
    LayerRef,
    Panel,
    panels_by_role,
    same_unit,
)
from traintop_tui.view import AXES, Extent, View

NO_TARGET = (
    "it is not known how to build the model: start traintop with --target FILE.py:FUNCTION, "
    "or record it with Recorder(..., target=...)"
)


class Model:
    """The state behind the screens. Knows no widget; everything that a key changes is here."""

    def __init__(self, sessions: list[Session], settings: Settings, gpu: GpuMonitor) -> None:
        self.sessions = sessions
        self.settings = settings
        self.jobs = JobList(sessions[0].folder)
        self.gpu = gpu
        self.gpu_history = GpuHistory()
        self.view = View(
            axis=settings.axis,
            log_y=settings.log_y,
            smoothing=settings.smoothing,
            ascii=settings.ascii,
        )
        self.update = Update()
        self.chosen: list[str] | None = None
        """Labels of the series to draw, a chart each; None: by role."""
        self.chosen_finding: int | None = None
        """Index of the finding that was chosen; None: the most urgent is selected."""
        self.layers = LayerChoice()
        self.job = 0
        """Index of the selected analysis, the newest first."""
        self.acknowledged: set[tuple[str, int]] = set()
        self._flat: dict[Series, tuple[int, bool]] = {}
        """Series -> its size when it was last looked at, and whether it was flat then."""
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
        self.gpu_history = GpuHistory()
        self.view.window = self.view.cursor = None
        self.view.following = True
        self.chosen_finding = None

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
        have: list[Axis] = [axis for axis in AXES if AxisMap(run.main, axis, per_epoch).available]
        at = have.index(self.view.axis) if self.view.axis in have else -1
        self.view.axis = have[(at + 1) % len(have)]

    @property
    def axis_kind(self) -> XKind:
        """What the positions on the x axis are."""
        axis = self.axis
        return "step" if axis is None else axis.axis

    @property
    def step(self) -> float:
        """The step of the cursor, or the newest."""
        return self.extent[1] if self.view.cursor is None else self.view.cursor

    def no_layers(self) -> str:
        """Say why there is nothing to show of the layers."""
        if self.run is None:
            return "No run yet; 1 says what is waited for."
        return (
            "No per-layer statistics in this run. The recorder writes them: "
            "Recorder(model, optimizer) in the training script."
        )

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

    def column(self, step: float, edges: Floats) -> int | None:
        """Return the pixel column of a step; None outside the window."""
        return column_of(step, edges)

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
        return panels_by_role(refs, self.gpu_history.table.series, self._is_flat)

    def _is_flat(self, ref: SeriesRef) -> bool:
        """Tell whether a series has never changed; looked at anew each time it has doubled."""
        table = self._table(ref)
        if table is None:
            return True
        series = table.series[ref.name]
        size, flat = self._flat.get(series, (0, True))
        if flat and len(series) >= 2 * size:
            summary = series.summary()
            flat = summary.min == summary.max
            self._flat[series] = len(series), flat
        return flat

    def reduce(self, ref: CurveRef, edges: Floats) -> Reduced | None:
        """Reduce a curve to columns."""
        run = self.run
        if run is None:
            return None
        if isinstance(ref, LayerRef):
            layers = run.layers
            reduced = None if layers is None else layers.reduce_layer(ref.stat, ref.layer, edges)
            if reduced is not None and is_share(ref.stat):
                # A share is a count over a count: where it is no number it was not measured.
                reduced = reduced._replace(nonfinite=np.zeros_like(reduced.nonfinite))
            return reduced
        table = self._table(ref)
        if table is None or ref.name not in table.series:
            return None
        return table.series[ref.name].reduce(table.row_edges(edges))

    def value(self, ref: CurveRef) -> tuple[float, float] | None:
        """Return (step, value) at the cursor, or the newest without one."""
        run = self.run
        step = np.inf if self.view.cursor is None else self.view.cursor
        if run is None:
            return None
        if isinstance(ref, LayerRef):
            return None if run.layers is None else run.layers.value_at(ref.stat, ref.layer, step)
        table = self._table(ref)
        return None if table is None else table.value_at(ref.name, step)

    def _table(self, ref: SeriesRef | GpuRef) -> Table | None:
        if isinstance(ref, GpuRef):
            return self.gpu_history.table
        return None if self.run is None else self.run.tables.get(ref.table)

    def next_nonfinite(self) -> float | None:
        """Return where the next NaN or infinite stretch after the cursor begins, else the first."""
        run = self.run
        after = -np.inf if self.view.cursor is None else self.view.cursor
        steps: list[float] = []
        for panel in self.panels():
            for ref in panel.refs:
                if run is not None and isinstance(ref, SeriesRef):
                    table = run.tables[ref.table]
                    rows = table.series[ref.name].nonfinite_rows()
                    steps += [float(table.step[row]) for row in rows]
        later = [step for step in steps if step > after]
        return min(later or steps, default=None)

    # --- findings and marks ------------------------------------------------------------------

    def findings(self) -> list[Finding]:
        """Return the findings of the run, in the order in which they opened."""
        return list(self.session.findings(self._run))

    @property
    def finding(self) -> int:
        """Index of the selected finding; 0 without any."""
        findings = self.findings()
        if self.chosen_finding is None:
            return min(range(len(findings)), key=lambda at: urgency(findings[at]), default=0)
        return max(min(self.chosen_finding, len(findings) - 1), 0)

    @finding.setter
    def finding(self, index: int) -> None:
        self.chosen_finding = index

    def selected_finding(self) -> Finding | None:
        """Return the finding that is selected."""
        findings = self.findings()
        return findings[self.finding] if findings else None

    def marks(self, edges: Floats) -> list[Mark]:
        """Return what stands on the x axis of every chart."""
        run = self.run
        analysed = [float(item.step) for item in self.jobs.pinned() if item.step is not None]
        return marks_on_axis(
            run.events if run is not None else (),
            analysed,
            self.findings(),
            self._checkpoints_to_test,
            edges,
        )

    def _checkpoints_to_test(self) -> set[float]:
        """Return the steps of the checkpoints that a test would take now."""
        before = [*(finding.onset_step - 1 for finding in self.findings()), self.step]
        known = [one.step for one in self.checkpoints() if one.step is not None]
        found = (bisect_right(known, step) - 1 for step in before)
        return {float(known[at]) for at in found if at >= 0}

    def panel_of(self, finding: Finding) -> Panel:
        """Return the chart that shows what a finding speaks of."""
        run = self.run
        refs: list[CurveRef] = []
        if run is not None:
            refs += same_unit(
                [
                    ref
                    for name in finding.series
                    for ref in self.session.catalogue.refs(run)
                    if name in (ref.role, ref.label)
                ]
            )
            stat = FINDING_STATISTICS.get(finding.id)
            if stat is not None and run.layers is not None:
                refs = [*(LayerRef(stat, layer) for layer in finding.layers[:6]), *refs[:1]]
        return Panel(finding.title, refs or (self.panels() or [Panel("")])[0].refs)

    def select_layer_of(self, finding: Finding) -> bool:
        """Select the first layer of a finding and the statistic that shows it, if it has them."""
        stat, run = FINDING_STATISTICS.get(finding.id), self.run
        if stat is None or run is None or run.layers is None or not finding.layers:
            return False
        return self.layers.select(run.layers, stat, finding.layers[0], self.step)

    def window_of(self, finding: Finding) -> Extent:
        """Return the steps around a finding: as much before it as it lasted, and more."""
        first, last = self.extent
        end = finding.resolved_step if finding.resolved_step is not None else last
        length = max(end - finding.onset_step, (last - first) / 20, 10.0)
        begin = max(finding.onset_step - length, first)
        return begin, max(min(end + length / 4, last), begin + 1)

    # --- news and analyses -------------------------------------------------------------------

    def take(self, updates: Sequence[Update]) -> None:
        """Take the news of all sessions; what is shown is about the one looked at."""
        self.update = updates[self._session]
        if self.growing:
            self.gpu_history.add(self.gpu.samples, self.extent[1])

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints that were found, by step."""
        return sorted(self.session.checkpoints(), key=lambda c: -1 if c.step is None else c.step)

    def checkpoint_for(self, step: float | None) -> Checkpoint | None:
        """Return the newest checkpoint at or before a step; without a step the newest."""
        found = [
            checkpoint
            for checkpoint in self.checkpoints()
            if step is None or checkpoint.step is None or checkpoint.step <= step
        ]
        return found[-1] if found else None

    def checkpoint_named(self, name: str | None) -> Path | None:
        """Return a checkpoint that a finding names, if it is still there."""
        if name is None:
            return None
        for checkpoint in self.checkpoints():
            if str(checkpoint.path) == name or checkpoint.path.name == Path(name).name:
                return checkpoint.path
        return None

    def job_items(self) -> list[JobItem]:
        """Return the analyses, the newest first."""
        return self.jobs.items[::-1]

    def selected_job(self) -> JobItem | None:
        """Return the analysis that is selected."""
        items = self.job_items()
        return items[min(self.job, len(items) - 1)] if items else None

    def damaged_results(self) -> list[str]:
        """Return what could not be read of earlier results."""
        return self.jobs.damaged

    @property
    def target(self) -> str | None:
        """What builds the model for an analysis, `FILE.py:FUNCTION`; None where not known."""
        return self.settings.target or self.session.store.info.target

    def start_analysis(self, name: str, checkpoint: Path | None) -> JobItem:
        """Start an analysis on a checkpoint; without one on the newest before the cursor.

        Raises:
            AnalysisError: There is no target, or the analysis cannot be started.
        """
        from traintop.launch import make_request, recorded_target

        target = self.settings.target or recorded_target(self.session.folder)
        if target is None:
            raise AnalysisError(NO_TARGET)
        if checkpoint is None:
            found = self.checkpoint_for(self.view.cursor)
            checkpoint = None if found is None else found.path
        request = make_request(name, target=target, checkpoint=checkpoint)
        item = self.jobs.start(request, self.settings.python)
        self.job = 0
        return item
