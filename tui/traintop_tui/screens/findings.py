"""Screen 3: every finding with its evidence, and what could not be judged."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from traintop_tui.action import Where
from traintop_tui.finding_words import runnable
from traintop_tui.host import host_of
from traintop_tui.panels import Panel
from traintop_tui.screens.run_screen import RunScreen, bindings_of
from traintop_tui.widgets.blind_spots import BlindSpots
from traintop_tui.widgets.chart_panel import ChartPanel
from traintop_tui.widgets.finding_detail import FindingDetail
from traintop_tui.widgets.finding_list import FindingList
from traintop_tui.widgets.scroll_text import ScrollText


class FindingsScreen(RunScreen):
    """The list at the left; the selected finding, drawn on its window, at the right."""

    PLACES: ClassVar[tuple[Where, ...]] = ("findings", "charts")
    BINDINGS = bindings_of("replay", *PLACES)

    def body(self) -> Iterable[Widget]:
        """List and blind spots at the left, evidence at the right."""
        with Horizontal(id="columns"):
            with Vertical(id="left"):
                yield FindingList(id="finding-list")
                yield BlindSpots(id="blind-spots")
            with Vertical(id="right"):
                yield ChartPanel(Panel(""), id="evidence-chart")
                yield FindingDetail(id="finding-detail")

    def redraw(self) -> None:
        """Draw the evidence of the selected finding on its window, with its thresholds."""
        finding = self.model.selected_finding()
        self.query_one("#left").set_class(finding is None, "-alone")
        self.query_one("#right").display = finding is not None
        if finding is not None:
            chart = self.query_one("#evidence-chart", ChartPanel)
            chart.show(self.model.panel_of(finding))
            chart.window = self.model.window_of(finding)
            chart.levels = self.model.levels_of(finding)
            chart.subject = finding
        super().redraw()

    def _select(self, by: int) -> None:
        count = len(self.model.findings())
        self.model.finding = min(max(self.model.finding + by, 0), max(count - 1, 0))
        self.redraw()

    def action_finding_down(self) -> None:
        self._select(1)

    def action_finding_up(self) -> None:
        self._select(-1)

    def action_detail_down(self) -> None:
        self._scroll(1)

    def action_detail_up(self) -> None:
        self._scroll(-1)

    def _scroll(self, pages: int) -> None:
        for text in self.query(ScrollText):
            text.scroll_by(pages)

    def action_acknowledge(self) -> None:
        finding = self.model.selected_finding()
        if finding is not None:
            self.model.choose(finding)
            self.model.toggle_acknowledged(finding)
            self._decided()

    def action_mute(self) -> None:
        finding = self.model.selected_finding()
        if finding is None:
            return
        self.model.choose(finding)  # It stays selected where it now stands in the list.
        muted = self.model.triage.toggle_mute(finding)
        where = f" on {', '.join(finding.layers[:3])}" if finding.layers else ""
        if muted is None:
            self._say(f"The settings mute {finding.id}; take it out of `mutes` there.")
        elif muted:
            self._say(f"Muted {finding.id}{where}; U takes it back")
        self._decided()

    def action_undo_triage(self) -> None:
        if not self.model.triage.undo():
            self._say("Nothing has been muted or acknowledged since traintop was started.")
        self._decided()

    def _decided(self) -> None:
        """Say what went wrong with keeping a decision, and draw."""
        problem = self.model.triage.problem
        if problem is not None:
            self.notify(problem, severity="warning", markup=False)
        self.redraw()

    def action_next_finding(self) -> None:
        self._choose_next(1)

    def action_previous_finding(self) -> None:
        self._choose_next(-1)

    def _choose_next(self, by: int) -> None:
        """Go to the finding that began next; the charts show where, so the cursor stays."""
        self.model.choose_next(by)
        self.redraw()

    def action_go_to_finding(self) -> None:
        finding = self.model.selected_finding()
        if finding is not None:
            self.model.put_cursor(finding.onset_step)
            self.app.switch_mode("layers" if self.model.select_layer_of(finding) else "overview")

    def action_open_finding_layer(self) -> None:
        finding = self.model.selected_finding()
        if finding is None:
            return
        if not self.model.select_layer_of(finding):
            self._say("This finding names no layer that has statistics.")
            return
        self.model.layers.open = True
        self.app.switch_mode("layers")

    def action_start_test(self) -> None:
        finding = self.model.selected_finding()
        if finding is None:
            return
        test = runnable(finding)
        if test is None:
            self.notify("No analysis of this program answers this finding; see what comes next.")
            return
        checkpoint = self.model.checkpoint_named(test.checkpoint)
        if checkpoint is None and test.checkpoint is not None:
            found = self.model.checkpoint_for(finding.onset_step)
            checkpoint = None if found is None else found.path
            name = Path(test.checkpoint).name
            self.notify(f"{name} is not there any more: another is taken.", markup=False)
        host_of(self).start_analysis(test.analysis or "", checkpoint)
