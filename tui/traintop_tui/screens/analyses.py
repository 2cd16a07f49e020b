"""Screen 5: analyses that run, their results, one beside another, and the checkpoints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from traintop.analyses import ANALYSES
from traintop.errors import AnalysisError
from traintop_tui.action import Where
from traintop_tui.host import host_of
from traintop_tui.job_list import NO_CHECKPOINT
from traintop_tui.screens.analysis_picker import AnalysisPicker, Choice
from traintop_tui.screens.run_screen import RunScreen, bindings_of
from traintop_tui.widgets.changes_table import ChangesTable
from traintop_tui.widgets.job_table import CheckpointTable, JobTable
from traintop_tui.widgets.result_chart import ResultChart, is_list
from traintop_tui.widgets.result_text import ResultText


class AnalysesScreen(RunScreen):
    """Jobs and checkpoints at the left; at the right the selected job, or two side by side."""

    PLACES: ClassVar[tuple[Where, ...]] = ("analyses",)
    BINDINGS = bindings_of("replay", *PLACES, also=("next_finding", "previous_finding"))

    def body(self) -> Iterable[Widget]:
        """Lists at the left, chart and text at the right."""
        with Horizontal(id="columns"):
            with Vertical(id="left"):
                yield JobTable(id="job-table")
                yield CheckpointTable(id="checkpoint-table")
            with Vertical(id="right"):
                with Horizontal(id="results"):
                    for place in (0, 1):
                        with Vertical(id=f"result-{place}", classes="result"):
                            yield ResultChart(place, id=f"result-chart-{place}")
                            yield ResultText(place, id=f"result-text-{place}")
                yield ChangesTable(id="result-changes")

    def redraw(self) -> None:
        """Give the lists all the room while there is no job."""
        shown = self.model.shown_jobs()
        self.query_one("#left").set_class(not shown, "-alone")
        self.query_one("#right").display = bool(shown)
        self.query_one("#right").set_class(len(shown) == 2, "-pair")
        for place, item in enumerate(shown):
            box = self.query_one(f"#result-{place}")
            # What has nothing to draw, yet or at all, leaves the room to its words.
            drawn = item.points or (item.result is not None and item.result.result)
            box.set_class(not drawn, "-text-only")
            box.set_class(is_list(item), "-list")
        super().redraw()

    def choose(self) -> None:
        """Ask which analysis to run."""
        found = self.model.checkpoint_for(self.model.view.cursor)
        name = NO_CHECKPOINT if found is None else found.path.name
        reasons = {each: self.model.why_not(each) for each in ANALYSES}
        why_not = {each: why for each, why in reasons.items() if why is not None}
        self.app.push_screen(AnalysisPicker(name, why_not), self._start)

    def _start(self, choice: Choice | None) -> None:
        if choice is None:
            return
        if choice.ask:
            host_of(self).ask_analysis(choice.name)
        else:
            host_of(self).start_analysis(choice.name)

    def _select(self, by: int) -> None:
        count = len(self.model.job_items())
        self.model.job = min(max(self.model.job + by, 0), max(count - 1, 0))
        self.redraw()

    def action_job_down(self) -> None:
        self._select(1)

    def action_job_up(self) -> None:
        self._select(-1)

    def action_result_down(self) -> None:
        self._scroll(1)

    def action_result_up(self) -> None:
        self._scroll(-1)

    def _scroll(self, pages: int) -> None:
        for text in (*self.query(ResultText), *self.query(ChangesTable)):
            text.scroll_by(pages)

    def action_compare_job(self) -> None:
        marked = self.model.toggle_marked()
        if marked is None:
            self._say("There is no result to compare yet.")
        elif marked and len(self.model.marked) == 1:
            self._say("Marked: c on another sets it beside this one; Esc unmarks")
        self.redraw()

    def action_compare_off(self) -> None:
        self.model.marked.clear()
        self.redraw()

    def action_export_result(self) -> None:
        item = self.model.selected_job()
        if item is None:
            self._say("There is no result to export yet.")
            return
        from traintop_tui.result_export import export

        host, braille = host_of(self), not self.model.view.ascii
        try:
            made = export(item, self.model.session.folder, host.chart_styles, braille=braille)
        except AnalysisError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        first, *others = made.paths
        names = ", ".join(path.suffix for path in others)
        said = f"{first}, {names}" + (f"; {made.remark}" if made.remark else "")
        self.notify(said, title="Exported", markup=False, timeout=10)

    def action_cancel_job(self) -> None:
        item = self.model.selected_job()
        if item is None or item.result is not None:
            self.notify("The selected analysis is not running.")
            return
        self.model.jobs.cancel(item)
        self.notify(f"Cancelling {item.title} on {item.checkpoint_name}.", markup=False)
