"""Ranks out of step: replicas that should be equal and no longer are."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.rank_drift import ROW, RankDrift
from traintop.detectors.rank_rounds import Round
from traintop.detectors.windows import sorted_median
from traintop.records import Cause, Evidence, NextTest, NotJudged, Severity

HASH = "param_hash"
SHARED = (HASH, "grad_norm", "loss/train", "lr")
"""What data-parallel ranks may have in common: a hash of the weights, the gradient norm after the
all-reduce, a loss that was averaged over ranks, the learning rate."""

WORDS = {
    HASH: "hash of the weights",
    "grad_norm": "gradient norm",
    "loss/train": "loss",
    "lr": "learning rate",
}


class RankDesyncThresholds(Thresholds, frozen=True):
    """Thresholds of `rank_desync`."""

    tolerance: float = 1e-3
    """Relative difference that is no difference: logs round, and sums over ranks have an order. A
    hash must be equal (Megatron compares hashes of the parameters over data-parallel ranks)."""
    agreed: float = 20
    """Rounds in a row in which a series was the same in all ranks before it is held to that: what
    never agrees is measured per rank or per shard."""
    records: float = 3
    """Rounds in a row that disagree; of a hash, one."""
    drift: float = 0.25
    """Change of a rank's loss against that of the others, as share of the loss, where losses are
    those of different data ..."""
    errors: float = 6.0
    """... and in standard errors of its median over a block of rounds."""


class RankDesync(Detector[RankDesyncThresholds]):
    """Judged by what was the same in all ranks and no longer is, or by a loss that drifts off."""

    id = "rank_desync"
    title = "Ranks are out of step"
    needs = "a hash of the weights, or gradient norm and loss, of several ranks"
    record = "a Recorder in each rank, and recorder.step(loss, param_hash=number)"
    thresholds_type: ClassVar[type[Thresholds]] = RankDesyncThresholds

    def __init__(self, context: Context, thresholds: RankDesyncThresholds) -> None:
        super().__init__(context, thresholds)
        self._agreed: dict[str, int] = dict.fromkeys(SHARED, 0)
        self._apart: dict[str, int] = dict.fromkeys(SHARED, 0)
        self._onset: dict[str, int] = dict.fromkeys(SHARED, -1)
        self._held: set[str] = set()
        self._drift = RankDrift(thresholds.drift, thresholds.errors)
        self._by = ""
        """The series that the open episode is of."""

    def on_ranks(self, found: Round) -> Findings:
        """Compare the ranks at one step."""
        for role in SHARED:
            values = found.values(role)
            finite = [value for value in values if value - value == 0.0]
            if not finite or len(values) < found.expected:
                continue
            news = self._compare(role, found, values, finite)
            if news:
                return news
        if "loss/train" in self._held:
            return ()
        drifted = self._drift.add(found)
        if self.current is not None:
            over = self._by == "loss/train" and self._drift.calm >= ROW
            return self.resolve(found.step) if over else ()
        if drifted is None:
            return ()
        return self._say(
            "loss/train",
            found,
            tuple(np.flatnonzero(drifted.who).tolist()),
            drifted.onset,
            Evidence(
                what="change of the loss against that of the other ranks, as share of it",
                value=drifted.change,
                threshold=self.thresholds.drift,
                step=found.step,
            ),
        )

    def not_judged(self) -> NotJudged | None:
        """A run of several ranks in which nothing is shared by all; one rank needs no judging."""
        seen = len(self.context.ranks.seen)
        several = (self.context.info.world_size or 1) > 1 or seen > 1
        judged = bool(self._held) or self._drift.judged
        return self.missing() if several and not judged else None

    def _compare(
        self, role: str, found: Round, values: list[float], finite: list[float]
    ) -> Findings:
        thresholds = self.thresholds
        low, high = min(finite), max(finite)
        margin = 0.0 if role == HASH else thresholds.tolerance * max(abs(low), abs(high))
        if len(finite) == len(values) and high - low <= margin:
            self._agreed[role] += 1
            self._apart[role] = 0
            if self._agreed[role] >= (1 if role == HASH else thresholds.agreed):
                self._held.add(role)
            if self._by == role and self.current is not None:
                self._by = ""
                return self.resolve(found.step)
            return ()
        self._agreed[role] = 0
        if role not in self._held and role != HASH:
            return ()
        odd = _odd_ranks(found.ranks, values, finite, margin)
        # Replicas that were never equal: most ranks have the same hash, and some have not.
        if role not in self._held and 2 * len(odd) >= len(values):
            return ()
        if not self._apart[role]:
            self._onset[role] = found.step
        self._apart[role] += 1
        needed = 1 if role == HASH else thresholds.records
        if self._apart[role] < needed:
            return ()
        over: Findings = ()
        if self.current is not None:
            # Weights that differ are what matters; all else is said of one series at a time.
            if role != HASH or self._by == HASH:
                return ()
            over = self.resolve(found.step)
        scale = abs(sorted_median(sorted(finite))) or 1.0
        spread = (high - low) / scale if len(finite) == len(values) else math.inf
        measured = Evidence(
            what=f"rounds in a row in which the {WORDS[role]} differs between ranks",
            value=float(self._apart[role]),
            threshold=float(needed),
            step=found.step,
        )
        extent = Evidence(
            what=f"relative spread of the {WORDS[role]} over ranks",
            value=spread,
            threshold=0.0 if role == HASH else thresholds.tolerance,
            step=found.step,
        )
        return (*over, *self._say(role, found, odd, self._onset[role], measured, extent))

    def _say(
        self, role: str, found: Round, ranks: tuple[int, ...], onset: int, *evidence: Evidence
    ) -> Findings:
        self._by = role
        severity: Severity = "critical" if role == HASH else "warning"
        who = f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {', '.join(map(str, ranks[:8]))}"
        because = f"the {WORDS[role]} of {who} is not that of the others since step {onset}"
        drifts = role == "loss/train" and role not in self._held
        causes: tuple[Cause, ...] = (
            Cause(
                cause="gradients are not reduced over all ranks (no_sync, a branch of one rank)",
                because=because,
            ),
            Cause(cause="weights or buffers changed on one rank only", because=because),
            Cause(cause="silent data corruption: a faulty GPU or link", because=because),
        )
        if role == "lr":
            causes = (Cause(cause="schedulers step unequally", because=because, basis="measured"),)
        elif drifts:
            data = Cause(cause="other data on that rank: broken or sorted shards", because=because)
            causes = (data, *causes)
        opened = self.open(
            severity,
            onset,
            evidence,
            title=f"{who.capitalize()} out of step: {WORDS[role]} "
            + ("drifts off" if drifts else "differs"),
            series=(role,),
            ranks=ranks,
            causes=causes,
            next=(
                NextTest(
                    do=f"Compare the weights of {who} with rank 0's, tensor by tensor",
                    analysis="weights",
                ),
                NextTest(
                    do=f"Repeat the steps up to {onset} on another GPU, from the checkpoint before",
                    checkpoint=self.context.checkpoint_before(onset),
                ),
            ),
            fixes=(
                f"restart from a checkpoint before step {onset}",
                "broadcast the weights and buffers of rank 0 at the start and after each resume",
            ),
        )
        # The ranks' files may be read later than the first rank's: it was said of this step.
        return self.update(detected_step=found.step) or opened


def _odd_ranks(
    ranks: tuple[int, ...], values: list[float], finite: list[float], margin: float
) -> tuple[int, ...]:
    """The ranks that differ from most; all where there is no majority that could be right."""
    near = {value: sum(abs(other - value) <= margin for other in finite) for value in set(finite)}
    usual = max(near, key=lambda value: near[value])
    if 2 * near[usual] <= len(values):
        return ranks
    return tuple(
        rank for rank, value in zip(ranks, values, strict=True) if not abs(value - usual) <= margin
    )
