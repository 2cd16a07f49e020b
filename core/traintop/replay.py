"""A run as it was at an earlier step: what had been recorded then, and what was said of it.

The records up to a step are views of those that were read, so moving costs nothing that grows with
the run. Verdicts are not cut but judged again, by the same judge that follows a live run: a finding
that was updated later stands as it stood.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Mapping, Sequence

import numpy as np

from traintop.catalogue import Catalogue
from traintop.judging import Judge
from traintop.profile import Profile
from traintop.records import DetectorFailure, Event, Finding, NotJudged, RunInfo
from traintop.store import LogStore, Run

SLICE = 64
"""Training records judged at a time: few, because a screen may wait for them."""

Thresholds = Mapping[str, Mapping[str, float]]


class Replay:
    """Shows a run up to a step, and judges it anew up to there.

    `go_to` and what is shown belong to one thread; `judge` may be called from another.

    Args:
        source: The run, which may still grow.
        log: The text log beside it.
        info: `run.json`.
        thresholds: Detector id -> threshold -> value, from the settings.
        step: Where to begin.
        profile: What kind of training it is, as the settings say.
        catalogue: That of the whole run, whose given roles hold here too.
    """

    def __init__(
        self,
        source: Run,
        log: LogStore,
        info: RunInfo,
        thresholds: Thresholds,
        step: float,
        profile: Profile = "auto",
        catalogue: Catalogue | None = None,
    ) -> None:
        self.source = source
        self.run = Run(source.index)
        """The run as of `step`; the object stays the same when the step moves."""
        self.log = LogStore()
        given = Catalogue() if catalogue is None else catalogue
        self.catalogue = given.copy()
        self.step = step
        self.judged_until = -np.inf
        """The step up to which the findings are those that would have been said."""
        self.findings: Sequence[Finding] = ()
        """In the order in which they opened."""
        self.not_judged: tuple[NotJudged, ...] = ()
        self.failures: Sequence[DetectorFailure] = ()
        self._source_log = log
        self._info = info
        self._thresholds = thresholds
        self._profile: Profile = profile
        self._judged = Run(source.index)
        """The run up to where it is judged; it has names of its own, for another thread's sake."""
        self._names = given.copy()
        self._judge: Judge | None = None
        self._rewinds = 0
        self._lock = threading.Lock()
        self.go_to(step)

    @property
    def pending(self) -> bool:
        """Whether the findings are not yet those of the step."""
        return self.judged_until != self.step

    @property
    def judged(self) -> float:
        """Share of the way to the step that is judged."""
        first = float(self.source.first_step or 0)
        if not self.pending:
            return 1.0
        way = self.step - first
        return min(max((self.judged_until - first) / way, 0.0), 1.0) if way > 0 else 0.0

    def go_to(self, step: float) -> None:
        """Show the run as of a step."""
        self.step = step
        show_until(self.source, step, self.run)
        lines = bisect_right(self._source_log.steps, step)
        self.log.lines = self._source_log.lines[:lines]
        self.log.steps = self._source_log.steps[:lines]
        self.log.dropped = self._source_log.dropped

    def judge(self) -> bool:
        """Judge a slice of the records on the way to the step; return whether more are left."""
        with self._lock:
            target, rewinds = self.step, len(self.source.rewinds)
            judge = self._judge
            if judge is None or target < self.judged_until or rewinds != self._rewinds:
                self._judged, self._rewinds = Run(self.source.index), rewinds
                self.judged_until = -np.inf
                judge = self._judge = Judge(
                    self._judged, self._names, self._info, self._thresholds, profile=self._profile
                )
            until = self._next(target)
            show_until(self.source, until, self._judged)
            while judge.backlog or self.judged_until != until:
                judge.pump(SLICE)
                self.judged_until = until
            self.findings = judge.findings
            self.not_judged = judge.not_judged
            self.failures = tuple(judge.failures)
            return until != self.step

    def _next(self, target: float) -> float:
        """Return the step at which the next slice ends."""
        main = self.source.main
        if main is None:
            return target
        step = main.step
        row = int(np.searchsorted(step, self.judged_until, side="right")) + SLICE
        return min(float(step[row]), target) if row < len(step) else target


def show_until(source: Run, step: float, into: Run) -> None:
    """Let `into` hold what `source` had recorded up to a step.

    Events and repetitions stand in the order of their steps, so that with a later step new ones
    come after those that were there: who follows `into` takes them for news, as of a live run.
    """
    into.tables = {name: table.until(step) for name, table in list(source.tables.items())}
    into.rearranged = source.rearranged
    into.layers = None if source.layers is None else source.layers.until(step)
    into.rewinds = sorted(
        (rewind for rewind in list(source.rewinds) if rewind.step <= step),
        key=lambda rewind: rewind.step,
    )
    into.events = sorted(
        (event for event in list(source.events) if _step_of(event) <= step), key=_step_of
    )


def _step_of(event: Event) -> float:
    return -np.inf if event.step is None else event.step
