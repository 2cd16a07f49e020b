"""What the app shows, apart from how: the sessions, the run that is looked at, the shared view."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from traintop.catalogue import SeriesRef
from traintop.gpu import GpuMonitor
from traintop.meaning import Meaning, meanings
from traintop.records import Finding, Floats, Update
from traintop.session import Session
from traintop.settings import Settings
from traintop.store import Reduced, Run, Series, Table
from traintop_tui.analyses_model import AnalysesModel
from traintop_tui.charts.frame import Level, Mark
from traintop_tui.layer_order import LayerChoice, is_share
from traintop_tui.marks import column_of, marks_on_axis
from traintop_tui.panels import (
    FINDING_STATISTICS,
    LAYER_STATISTICS,
    CurveRef,
    GpuRef,
    LayerRef,
    Panel,
    levels_of,
    panels_by_role,
    same_unit,
)
from traintop_tui.view import Extent

MOST_MARKED = 200
"""Series that are looked at for copies and means unasked: a thousand take a tenth of a second."""


class Model(AnalysesModel):
    """The state behind the screens. Knows no widget; everything that a key changes is here."""

    def __init__(self, sessions: list[Session], settings: Settings, gpu: GpuMonitor) -> None:
        super().__init__(sessions, settings)
        self.gpu = gpu
        self.chosen: list[str] | None = None
        """Labels of the series to draw, a chart each; None: by role."""
        self.layers = LayerChoice()
        self._flat: dict[Series, tuple[int, bool]] = {}
        """Series -> its size when it was last looked at, and whether it was flat then."""
        self._labelled: tuple[list[SeriesRef], dict[str, SeriesRef]] = [], {}
        """The series as they were last named, and the same by label."""
        self._meanings: tuple[Run, int, dict[str, Meaning]] | None = None
        """A run, its size when it was last looked at, and what its series were found to be."""

    # --- layers and series ---------------------------------------------------------------------

    def no_layers(self) -> str:
        """Say why there is nothing to show of the layers."""
        if self.run is None:
            return "No run yet; 1 says what is waited for."
        return (
            "No per-layer statistics in this run. The recorder writes them: "
            "Recorder(model, optimizer) in the training script."
        )

    def panels(self) -> list[Panel]:
        """Return the charts to draw: those that were chosen, or by role and then the others."""
        run = self.run
        if run is None:
            return []
        refs = self.catalogue.refs(run)
        if self.chosen is not None:
            by_label = {ref.label: ref for ref in refs}
            return [Panel(label, [by_label[label]]) for label in self.chosen if label in by_label]
        return panels_by_role(refs, self.gpu_history.table.series, self._is_flat)

    def _is_flat(self, ref: SeriesRef) -> bool:
        """Tell whether a series has never changed; looked at anew each time it has doubled.

        What counts the tokens is an axis: as a curve it says nothing either.
        """
        if ref.role == "tokens":
            return True
        table = None if self.whole_run is None else self.whole_run.tables.get(ref.table)
        if table is None:
            return True
        series = table.series[ref.name]
        size, flat = self._flat.get(series, (0, True))
        if flat and len(series) >= 2 * size:
            summary = series.summary()
            flat = summary.min == summary.max
            self._flat[series] = len(series), flat
        return flat

    def give_role(self, label: str, role: str | None) -> str | None:
        """Say what a series means; return why that cannot be kept, None where it is.

        Args:
            label: Of the series.
            role: `none` for none, None for the one that its name gives.
        """
        problem = self.session.give_role(label, role)
        self._meanings = None
        if self.replay is not None:
            self.start_replay(self.replay.step)  # It is judged anew, too.
        return problem

    def mark_of(self, label: str) -> str:
        """Say in a word or two that a series is a copy, a mean or the like; empty where it is not.

        Looked at anew each time the run has doubled.
        """
        run = self.whole_run
        if run is None:
            return ""
        size = len(run.main) if run.main is not None else 0
        known = self._meanings
        if known is None or known[0] is not run or size >= 2 * known[1]:
            found = meanings(run, self.session.catalogue.refs(run), grids=False)
            known = self._meanings = run, size, found
        meaning = known[2].get(label)
        return "" if meaning is None else meaning.mark

    def source_of(self, ref: CurveRef) -> str:
        """Say what a curve is a copy, a mean or a function of, as far as that has been found."""
        known = self._meanings
        meaning = None if known is None else known[2].get(ref.label)
        return "" if meaning is None or meaning.derived_from is None else meaning.mark

    def words_of(self, label: str) -> str:
        """Say of a series what its role is, who says so if not its name, and what it is besides."""
        run = self.run
        refs = [] if run is None else self.catalogue.refs(run)
        if refs is not self._labelled[0]:
            self._labelled = refs, {ref.label: ref for ref in refs}
        ref = self._labelled[1].get(label)
        if ref is None:
            return ""
        by = f" by {ref.role_from}" if ref.role_from in ("you", "settings") else ""
        said = by or (ref.role is not None and ref.role != label)
        role = f"{ref.role or 'no role'}{by}" if said else ""
        return ", ".join(filter(None, (role, self.mark_of(label))))

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
        return self._value_at(ref, np.inf if self.view.cursor is None else self.view.cursor)

    def _value_at(self, ref: CurveRef, step: float) -> tuple[float, float] | None:
        run = self.run
        if run is None:
            return None
        if isinstance(ref, LayerRef):
            return None if run.layers is None else run.layers.value_at(ref.stat, ref.layer, step)
        table = self._table(ref)
        return None if table is None else table.value_at(ref.name, step)

    def _table(self, ref: SeriesRef | GpuRef) -> Table | None:
        if isinstance(ref, GpuRef):
            table = self.gpu_history.table
            return table if self.replay is None else table.until(self.replay.step)
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
                    steps += table.steps_of(np.array(rows, np.int64)).tolist()
        later = [step for step in steps if step > after]
        return min(later or steps, default=None)

    # --- marks and charts of findings ----------------------------------------------------------

    def column(self, step: float, edges: Floats) -> int | None:
        """Return the pixel column of a step; None outside the window."""
        return column_of(step, edges)

    def marks(self, edges: Floats) -> list[Mark]:
        """Return what stands on the x axis of every chart."""
        run = self.run
        analysed = [float(item.step) for item in self.jobs.pinned() if item.step is not None]
        return marks_on_axis(
            run.events if run is not None else (),
            analysed,
            self.told(),
            self._checkpoints_to_test,
            edges,
        )

    def _checkpoints_to_test(self) -> set[float]:
        """Return the steps of the checkpoints that a test would take now."""
        before = [*(finding.onset_step - 1 for finding in self.told()), self.step]
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
                    for ref in self.catalogue.refs(run)
                    if name in (ref.role, ref.label)
                ]
            )
            stat = FINDING_STATISTICS.get(finding.id)
            if stat is not None and run.layers is not None:
                refs = [*(LayerRef(stat, layer) for layer in finding.layers[:6]), *refs[:1]]
        return Panel(finding.title, refs or (self.panels() or [Panel("")])[0].refs)

    def levels_of(self, finding: Finding) -> tuple[Level, ...]:
        """Return the thresholds of a finding that can be drawn with its curves.

        Besides those that are known to be in their unit these are the thresholds that a value of
        the curve itself was held against.
        """
        found = dict.fromkeys(levels_of(finding))
        for evidence in finding.evidence:
            if evidence.threshold is None or evidence.step is None:
                continue
            for ref in self.panel_of(finding).refs:
                at = self._value_at(ref, evidence.step)
                if at is not None and math.isclose(at[1], evidence.value, rel_tol=1e-6):
                    found[Level(evidence.threshold)] = None
        return tuple(found)

    def select_layer_of(self, finding: Finding) -> bool:
        """Select the first layer of a finding and the statistic that shows it, if it has them."""
        stat, run = LAYER_STATISTICS.get(finding.id), self.run
        if stat is None or run is None or run.layers is None or not finding.layers:
            return False
        return self.layers.select(run.layers, stat, finding.layers[0], self.step)

    def window_of(self, finding: Finding) -> Extent:
        """Return the steps that show how a finding came about: around its onset and detection.

        The scale is the time that it took to be seen, but at least a twentieth of the run. Where
        it was over soon, or the run ended, that is in sight too.
        """
        first, last = self.extent
        scale = max(finding.detected_step - finding.onset_step, (last - first) / 20, 10.0)
        begin = max(finding.onset_step - 3 * scale, first)
        end = finding.detected_step + 3 * scale
        over = last if finding.resolved_step is None else finding.resolved_step + scale / 2
        if over <= end + 2 * scale:
            end = over
        return begin, max(min(end, last), begin + 1)

    # --- news --------------------------------------------------------------------------------

    def take(self, updates: Sequence[Update]) -> None:
        """Take the news of all sessions; what is shown is about the one looked at."""
        self.update = updates[self._session]
        if self.replay is not None and self.replay.source is not self.whole_run:
            self.stop_replay()  # Its file was replaced: there is another run now.
        run = self.whole_run
        few = run is not None and len(self.session.catalogue.refs(run)) <= MOST_MARKED
        if few and not self.update.more:
            self.mark_of("")  # Now, and not while a frame is drawn.
        if self.growing:
            self.gpu_history.add(self.gpu.samples, self.extent[1])
