"""Screen 5: analyses that run, their results, and the checkpoints that there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from traintop_tui.actions import Where
from traintop_tui.host import host_of
from traintop_tui.job_list import NO_CHECKPOINT
from traintop_tui.screens.analysis_picker import AnalysisPicker
from traintop_tui.screens.run_screen import RunScreen, bindings_of
from traintop_tui.widgets.job_table import CheckpointTable, JobTable
from traintop_tui.widgets.result_chart import ResultChart
from traintop_tui.widgets.result_text import ResultText


class AnalysesScreen(RunScreen):
    """Jobs and checkpoints at the left, the selected job at the right."""

    PLACES: ClassVar[tuple[Where, ...]] = ("analyses",)
    BINDINGS = bindings_of("replay", *PLACES, also=("next_finding", "previous_finding"))

    def body(self) -> Iterable[Widget]:
        """Lists at the left, chart and text at the right."""
        with Horizontal(id="columns"):
            with Vertical(id="left"):
                yield JobTable(id="job-table")
                yield CheckpointTable(id="checkpoint-table")
            with Vertical(id="right"):
                yield ResultChart(id="result-chart")
                yield ResultText(id="result-text")

    def redraw(self) -> None:
        """Give the lists all the room while there is no job."""
        self.query_one("#left").set_class(not self.model.job_items(), "-alone")
        self.query_one("#right").display = bool(self.model.job_items())
        # One that has ended with nothing to draw leaves the room to the reason.
        item = self.model.selected_job()
        ended = item is not None and item.state in ("failed", "cancelled") and not item.points
        self.query_one("#right").set_class(ended, "-text-only")
        super().redraw()

    def choose(self) -> None:
        """Ask which analysis to run."""
        found = self.model.checkpoint_for(self.model.view.cursor)
        name = NO_CHECKPOINT if found is None else found.path.name
        self.app.push_screen(AnalysisPicker(name), self._start)

    def _start(self, name: str | None) -> None:
        if name is not None:
            host_of(self).start_analysis(name)

    def _select(self, by: int) -> None:
        count = len(self.model.job_items())
        self.model.job = min(max(self.model.job + by, 0), max(count - 1, 0))
        self.redraw()

    def action_job_down(self) -> None:
        self._select(1)

    def action_job_up(self) -> None:
        self._select(-1)

    def action_result_down(self) -> None:
        self.query_one(ResultText).scroll_by(1)

    def action_result_up(self) -> None:
        self.query_one(ResultText).scroll_by(-1)

    def action_cancel_job(self) -> None:
        item = self.model.selected_job()
        if item is None or item.result is not None:
            self.notify("The selected analysis is not running.")
            return
        self.model.jobs.cancel(item)
        self.notify(f"Cancelling {item.title} on {item.checkpoint_name}.", markup=False)
