"""The judges of the runs of a session, one a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traintop.records import Finding, RunInfo

if TYPE_CHECKING:
    from traintop.catalogue import Catalogue
    from traintop.judging import Judge
    from traintop.settings import Settings
    from traintop.store import Run, Store

JUDGED_RECORDS = 2000
"""Training records judged in one pump, after everything has been read."""


class Verdicts:
    """Has every run of a store judged.

    Args:
        settings: Thresholds, and what kind of training it is.
        until: Judge as if the run had ended at this step.
    """

    def __init__(self, settings: Settings, until: int | None) -> None:
        self._settings = settings
        self._until = until
        self._judges: dict[int, Judge] = {}

    @property
    def backlog(self) -> int:
        """How many records wait to be judged."""
        return sum(judge.backlog for judge in self._judges.values())

    def of(self, run: Run) -> Judge | None:
        """The judge of a run, None before it was first judged."""
        return self._judges.get(run.index)

    def pump(self, store: Store, catalogue: Catalogue, records: int) -> list[Finding]:
        """Judge about so many waiting training records; return what opened, changed or ended."""
        # Imported when there is something to judge: the first picture does not wait for it.
        from traintop.judging import Judge

        news: list[Finding] = []
        for run in store.runs:
            if run.index not in self._judges:
                self._judges[run.index] = Judge(
                    run,
                    catalogue,
                    store.info,
                    self._settings.detectors,
                    self._until,
                    self._settings.profile,
                )
            if records > 0:
                judge = self._judges[run.index]
                waiting = judge.backlog
                news += judge.pump(records)
                records -= waiting - judge.backlog
        return news

    def pump_rest(self, store: Store, catalogue: Catalogue) -> None:
        """Judge all that waits."""
        self.pump(store, catalogue, JUDGED_RECORDS)
        while self.backlog:
            self.pump(store, catalogue, JUDGED_RECORDS)

    def retarget(self, info: RunInfo) -> None:
        """Take a `run.json` that came or changed after the first records."""
        for judge in self._judges.values():
            judge.retarget(info)

    def forget(self) -> None:
        """Judge all anew with the next pump."""
        self._judges.clear()

    def forget_out_of_order(self) -> None:
        """Judge those runs anew that were not fed as they would be from their whole files."""
        self._judges = {run: judge for run, judge in self._judges.items() if judge.in_order}
