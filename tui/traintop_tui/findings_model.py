"""The findings of the run that is looked at: their order, which one is selected, what is muted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from traintop.records import SEVERITIES, Finding
from traintop.session import Session
from traintop.settings import Settings
from traintop.triage import Triage
from traintop_tui.finding_words import joined, urgency
from traintop_tui.run_model import RunModel

if TYPE_CHECKING:
    from traintop.diagnosis import Episode


class FindingsModel(RunModel):
    """A run with its findings."""

    def __init__(self, sessions: list[Session], settings: Settings) -> None:
        super().__init__(sessions, settings)
        self._chosen: tuple[str, int] | None = None
        """The finding that was chosen; None: the most urgent is selected."""
        self._triages: dict[Path | None, Triage] = {}
        self._listed_for: object = None
        self._listed: list[Finding] = []
        self._stories: tuple[Episode, ...] = ()

    def findings(self) -> list[Finding]:
        """Return the findings story by story, the worst first, and then those that are muted."""
        self._list()
        return self._listed

    def stories(self) -> tuple[Episode, ...]:
        """Return what is told, joined into episodes, in the order of the list."""
        self._list()
        return self._stories

    def story_of(self, finding: Finding) -> Episode | None:
        """Return the episode that a finding is part of together with others."""
        together = (each for each in self.stories() if finding in each.findings)
        return next((each for each in together if len(each.findings) > 1), None)

    def _list(self) -> None:
        """Put the findings in order, if others are there than when this was last done."""
        if self.replay is not None:
            found = tuple(self.replay.findings)
        else:
            found = tuple(self.session.findings(self._run))
        state = found, self.triage.changes
        if state == self._listed_for:
            return
        told = [finding for finding in found if not self.is_muted(finding)]
        self._stories = joined(told)
        self._listed = [finding for story in self._stories for finding in story.findings]
        self._listed += [finding for finding in found if self.is_muted(finding)]
        self._listed_for = state

    def told(self) -> list[Finding]:
        """Return the findings that are not muted."""
        return [finding for finding in self.findings() if not self.is_muted(finding)]

    def whole_findings(self) -> list[Finding]:
        """Return what is said of the whole run, also while it is replayed, less what is muted."""
        found = self.session.findings(self._run)
        return [finding for finding in found if not self.is_muted(finding)]

    def worst(self) -> Finding | None:
        """Return the worst finding that is open and not muted."""
        open_now = [finding for finding in self.told() if finding.resolved_step is None]
        return max(open_now, key=lambda each: SEVERITIES.index(each.severity), default=None)

    def go_to_run(self, by: int) -> None:
        """Look at another run of the same files, or of the next path."""
        super().go_to_run(by)
        self._chosen = None

    # --- which is selected -------------------------------------------------------------------

    @property
    def finding(self) -> int:
        """Index of the selected finding; 0 without any."""
        findings = self.findings()
        for index, finding in enumerate(findings):
            if finding.key == self._chosen:
                return index
        return min(
            range(len(findings)),
            key=lambda at: (self.is_muted(findings[at]), *urgency(findings[at])),
            default=0,
        )

    @finding.setter
    def finding(self, index: int) -> None:
        findings = self.findings()
        if findings:
            self._chosen = findings[max(min(index, len(findings) - 1), 0)].key

    def selected_finding(self) -> Finding | None:
        """Return the finding that is selected."""
        findings = self.findings()
        return findings[self.finding] if findings else None

    def choose(self, finding: Finding) -> None:
        """Select a finding."""
        self._chosen = finding.key

    def choose_next(self, by: int) -> Finding | None:
        """Select the finding that began next (1) or before (-1) the selected one, going round.

        Returns:
            The one that is selected now; None where there is none that is not muted.
        """
        told = sorted(self.told(), key=lambda each: (each.onset_step, each.detected_step))
        if not told:
            return None
        selected = self.selected_finding()
        at = told.index(selected) if selected in told else -by
        chosen = told[(at + by) % len(told)]
        self.choose(chosen)
        return chosen

    # --- what a person has decided -----------------------------------------------------------

    @property
    def triage(self) -> Triage:
        """The decisions on the findings of the session that is looked at, kept by its folder."""
        folder = self.session.folder
        if folder not in self._triages:
            self._triages[folder] = Triage.load(folder, self.settings.mutes)
        return self._triages[folder]

    def is_muted(self, finding: Finding) -> bool:
        """Tell whether a finding is not to be told of."""
        return self.triage.is_muted(finding)

    def is_acknowledged(self, finding: Finding) -> bool:
        """Tell whether somebody has seen a finding."""
        return self.triage.is_acknowledged(finding, *self._which_run())

    def toggle_acknowledged(self, finding: Finding) -> bool:
        """Mark a finding as seen, or unmark it; return whether it is marked now."""
        return self.triage.toggle_acknowledged(finding, *self._which_run())

    def _which_run(self) -> tuple[int, str]:
        """Return what tells the run from others of its folder: its index, and its file if one."""
        run, path = self.whole_run, self.session.path
        alone = path.parent == self.session.folder
        return (0 if run is None else run.index), (path.name if alone else "")
