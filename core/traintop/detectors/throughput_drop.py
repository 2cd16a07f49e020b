"""Throughput drop: the run has become slower than it was, and stays so."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.windows import RunningMedian, median
from traintop.records import Cause, Evidence, NextTest, NotJudged, Row

CLOCK = 20
"""Times a step that rise in a row are no times a step, but the time since the start."""

HISTORY = 301
"""Accepted records that the usual throughput is the median of."""


class ThroughputDropThresholds(Thresholds, frozen=True):
    """Thresholds of `throughput_drop`.

    Evaluations, checkpoints and the first batch of an epoch are slow steps of a healthy run, so a
    single record says nothing; what counts is the median of the last ones.
    """

    ratio: float = 0.88
    """Median of the last records over the usual. runmedic's 0.8 of quartiles misses a drop by a
    seventh, TraceML's trend of 8 % is within what the length of sequences does."""
    records: float = 14
    """Records in that median (a prototype's value)."""
    records_averaged: float = 3
    """The same where a record is a mean over many steps."""
    below: float = 0.8
    """Share of them that must lie below what seven of eight records of the past exceed."""
    spread: float = 3.0
    """Robust standard deviations of one record by which the median must have fallen at least, over
    the root of the number of records: noise that is as large has shown itself."""
    history: float = 40
    """Records that the usual throughput must rest on."""
    history_averaged: float = 5
    """The same where a record is a mean over many steps."""
    of_slowest: float = 0.95
    """The same over the slowest such median of the past: a run whose speed comes and goes, with the
    length of its sequences or with its neighbours on the machine, has shown how slow it may be."""
    recovered: float = 0.94
    """Share of the usual throughput at which it is over."""


class ThroughputDrop(Detector[ThroughputDropThresholds]):
    """The last records against the run's own past; what is under suspicion is no past."""

    id = "throughput_drop"
    title = "Throughput has dropped"
    needs = "throughput or time per step"
    record = "samples_per_sec in each record (the recorder writes it by itself)"
    sudden = True
    thresholds_type: ClassVar[type[Thresholds]] = ThroughputDropThresholds

    def __init__(self, context: Context, thresholds: ThroughputDropThresholds) -> None:
        super().__init__(context, thresholds)
        self._usual = RunningMedian(HISTORY)
        self._latest: deque[tuple[int, float]] = deque()
        self._rescaled = 0
        self._seen = 0
        self._slowest = math.inf
        self._accepted = 0
        self._seconds = 0.0
        self._rising = 0
        self._calm = 0
        self._judged = False

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Judge the last records."""
        if self.context.rescaled != self._rescaled:
            # Another batch size or process has its own speed.
            self._rescaled = self.context.rescaled
            self._usual.clear()
            self._latest.clear()
            self._seen = 0
            self._slowest = math.inf
        size = self._size()
        latest = self._latest
        for row in rows:
            value = row.values.get("throughput")
            if value is None:
                value = self._speed(row)
            if value is None or not 0.0 < value < math.inf:
                continue
            self._seen += 1
            # The first records compile and warm up.
            if self._seen <= 2:
                continue
            latest.append((row.step, value))
            if len(latest) > size:
                _, value = latest.popleft()
                if self.current is None:
                    self._accept(value, size)
        if len(latest) < size:
            return ()
        return self._judge(size)

    def not_judged(self) -> NotJudged | None:
        """A run without throughput, or one that is too short."""
        return None if self._judged else self.missing()

    def _accept(self, value: float, size: int) -> None:
        """Let the oldest of the last records be past."""
        self._usual.add(value)
        self._accepted += 1
        if self._accepted % size == 0:
            latest = median(self._usual.values()[-size:])
            self._slowest = min(self._slowest, latest)

    def _size(self) -> int:
        thresholds = self.thresholds
        return int(thresholds.records_averaged if self.context.averaged else thresholds.records)

    def _speed(self, row: Row) -> float | None:
        """Steps a second, where only times are logged."""
        seconds = row.values.get("step_time")
        if not seconds or self._rising >= CLOCK:
            return None
        self._rising = self._rising + 1 if seconds > self._seconds else 0
        self._seconds = seconds
        return 1.0 / seconds

    def _judge(self, size: int) -> Findings:
        thresholds = self.thresholds
        averaged = self.context.averaged
        needed = thresholds.history_averaged if averaged else thresholds.history
        if len(self._usual) < needed:
            return ()
        self._judged = True
        usual = self._usual.median
        now = median(value for _, value in self._latest)
        step = self._latest[-1][0]
        if self.current is not None:
            if now < thresholds.recovered * usual:
                self._calm = 0
                return ()
            self._calm += 1
            return self.resolve(step) if self._calm >= 2 else ()
        # The cheapest test first: this runs with every block.
        if now >= thresholds.ratio * usual:
            return ()
        limit = thresholds.ratio * usual
        limit = min(limit, usual - thresholds.spread * self._usual.spread() / math.sqrt(size))
        limit = min(limit, thresholds.of_slowest * self._slowest)
        order = sorted(self._usual.values())
        low = order[len(order) // 8]
        below = sum(value < low for _, value in self._latest) / len(self._latest)
        if now >= limit or below < thresholds.below:
            return ()
        self._calm = 0
        onset = next(step for step, value in self._latest if value < 0.5 * (usual + now))
        return self.open(
            "warning",
            onset,
            (
                Evidence(
                    what="throughput, median of the last records",
                    value=now,
                    threshold=limit,
                    step=step,
                ),
                Evidence(what="usual throughput", value=usual),
                Evidence(
                    what="share of the last records slower than 7 of 8 before",
                    value=below,
                    threshold=thresholds.below,
                ),
            ),
            title=f"Throughput has dropped to {now / usual:.0%} of what was usual",
            series=("throughput",),
            causes=(
                Cause(
                    cause="the data loader, another process on the device, or a throttled clock",
                    because=f"{now:.3g} in the last {len(self._latest)} records and {usual:.3g} "
                    "before, with the same batch size",
                ),
            ),
            next=(
                NextTest(
                    do="Measure the model without its data: is it the loader that is slow?",
                    analysis="latency",
                ),
            ),
        )
