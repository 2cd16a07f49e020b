"""Stragglers: a rank that is slower than the others, for which all of them wait."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.rank_rounds import Round, side_by_side
from traintop.records import Cause, Evidence, Floats, NextTest, NotJudged, Severity

BLOCK = 10
"""Rounds in a block, of which each rank's median is taken: a checkpoint or a slow batch is out."""

TIMES = {"compute_time": "work time", "step_time": "step time", "throughput": "time a sample"}
"""What each series gives in seconds."""


class StragglerThresholds(Thresholds, frozen=True):
    """Thresholds of `straggler`."""

    score: float = 0.75
    """Time of the usual rank over that of the slow one (NVIDIA's resiliency extension, NVRx, whose
    relative score is below 0.75 for a straggler)."""
    blocks: float = 3
    """Blocks of 10 steps in a row."""
    coverage: float = 0.8
    """Share of the ranks that must have recorded a step (TraceML)."""
    recovered: float = 0.85
    """Score of all ranks at which the episode is over."""
    waits: float = 0.02
    """Relative spread of step times below which all ranks wait for one another, so that only the
    time of their own work can tell who is slow."""
    many: float = 0.25
    """Share of the ranks from which on those that are slow from the beginning are taken for a stage
    of a pipeline, which differs by design."""


class Straggler(Detector[StragglerThresholds]):
    """Judged by the ranks' own work where it is recorded, else by step time or throughput."""

    id = "straggler"
    title = "A rank is slower than the others"
    needs = "the time of each rank's own work per step, without waiting for other ranks"
    record = "a Recorder in each rank, and recorder.step(loss, compute_time=seconds)"
    thresholds_type: ClassVar[type[Thresholds]] = StragglerThresholds

    def __init__(self, context: Context, thresholds: StragglerThresholds) -> None:
        super().__init__(context, thresholds)
        self._block: list[Round] = []
        self._kind = ""
        self._runs: Floats = np.zeros(0)
        self._onset = -1
        self._first = -1
        self._skipped = False
        self._judged = False

    def on_ranks(self, found: Round) -> Findings:
        """Collect a block of rounds, and judge it."""
        if len(found.ranks) < max(2.0, self.thresholds.coverage * found.expected):
            return ()
        self._block.append(found)
        if len(self._block) < BLOCK:
            return ()
        block, self._block = self._block, []
        if not self._skipped:
            self._skipped = True  # Compilation, caches and the first allocations.
            return ()
        kind, times = _times(block)
        if kind != self._kind or times.shape[1] != len(self._runs):
            self._kind, self._runs = kind, np.zeros(times.shape[1])
        known = np.isfinite(times).sum(axis=0) > 0
        if known.sum() < max(2.0, self.thresholds.coverage * found.expected):
            return ()
        usual = np.full(len(known), np.nan)
        usual[known] = np.nanmedian(times[:, known], axis=0)
        return self._judge(block[0].step, found.step, usual)

    def not_judged(self) -> NotJudged | None:
        """A run of several ranks whose own times are not known; one rank has nobody to wait for."""
        several = (self.context.info.world_size or 1) > 1 or len(self.context.ranks.seen) > 1
        return self.missing() if several and not self._judged else None

    def _judge(self, first: int, step: int, times: Floats) -> Findings:
        thresholds = self.thresholds
        known = times[np.isfinite(times)]
        if len(known) < 2:
            return ()
        usual = float(np.median(known)) if len(known) > 3 else float(known.min())
        if not usual > 0:
            return ()
        if self._kind == "compute_time" or np.ptp(known) > thresholds.waits * usual:
            self._judged = True
        scores = usual / times
        slow = scores < thresholds.score
        self._runs = np.where(slow, self._runs + 1, 0)
        if self._first < 0:
            self._first = first
        if not slow.any():
            self._onset = -1
        elif self._onset < 0:
            self._onset = first
        sure = self._runs >= thresholds.blocks
        if not sure.any():
            if self.current is not None and not (scores < thresholds.recovered).any():
                return self.resolve(step)
            return ()
        ranks = tuple(np.flatnonzero(sure).tolist())
        if self.current is not None:
            return () if ranks == self.current.ranks else self.update(ranks=ranks)
        return self._slow(step, times, ranks, usual)

    def _slow(self, step: int, times: Floats, ranks: tuple[int, ...], usual: float) -> Findings:
        thresholds = self.thresholds
        worst = max(ranks, key=lambda rank: float(times[rank]))
        time = float(times[worst])
        since_start = self._onset <= self._first
        count = int(np.isfinite(times).sum())
        staged = since_start and len(ranks) > max(1.0, thresholds.many * count)
        severity: Severity = "info" if staged else "warning"
        who = f"Rank {worst} is" if len(ranks) == 1 else f"Ranks {', '.join(map(str, ranks))} are"
        what = TIMES[self._kind]
        because = f"{what} {time:.3g} s, of the others {usual:.3g} s" + (
            ", since the first steps" if since_start else f", since step {self._onset}"
        )
        causes = [
            Cause(cause="a GPU that is throttled, shared or of another kind", because=because),
            Cause(cause="a data loader or host that is slower there", because=because),
        ]
        if staged:
            causes.insert(0, Cause(cause="stages of a pipeline, by design", because=because))
        opened = self.open(
            severity,
            self._onset,
            (
                Evidence(
                    what=f"{what} of the usual rank over that of rank {worst}",
                    value=usual / time,
                    threshold=thresholds.score,
                    step=step,
                ),
                Evidence(what="share of a step that the others wait", value=1.0 - usual / time),
            ),
            title=f"{who} slow: {time / usual:.2g}x the {what} of the others",
            series=(self._kind,),
            ranks=ranks,
            causes=causes,
            next=(
                NextTest(
                    do=f"nvidia-smi -q -d CLOCK,TEMPERATURE,POWER,PIDS on the host of rank {worst}"
                ),
                NextTest(do="Latency of the model alone on that GPU", analysis="latency"),
            ),
            fixes=(
                f"move rank {worst} to another GPU: {what} {usual:.3g} s instead of {time:.3g} s",
            ),
        )
        # The ranks' files may be read later than the first rank's: it was said of this step.
        return self.update(detected_step=step) or opened


def _times(block: list[Round]) -> tuple[str, Floats]:
    """The best measure of the ranks' time that a block has: its name, and seconds."""
    for role in ("compute_time", "step_time"):
        times = side_by_side(block, role)
        if np.isfinite(times).any():
            return role, np.where((times > 0) & np.isfinite(times), times, np.nan)
    throughput = side_by_side(block, "throughput")
    usable = (throughput > 0) & np.isfinite(throughput)
    return "throughput", 1.0 / np.where(usable, throughput, np.nan)
