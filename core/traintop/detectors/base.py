"""What a detector is, and what all detectors are told about the run.

A detector is a streaming state machine: it is fed records in the order of their steps, keeps only
what its windows need, and returns findings. It does no I/O, reads no clock and imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from traintop.detectors.context import Context
from traintop.detectors.rank_rounds import Round
from traintop.records import (
    Cause,
    Event,
    Evidence,
    Finding,
    LayerNames,
    LayerStats,
    NextTest,
    NotJudged,
    Row,
    Severity,
)

Findings = tuple[Finding, ...]

MOST_EPISODES = 100
"""The last episode that a detector tells of does not end: what comes and goes so often is there."""


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of a detector's thresholds. Each field is a setting, `detectors.<id>.<field>`."""


T = TypeVar("T", bound=Thresholds)


class Detector(Generic[T]):
    """Base of all detectors; a subclass overrides the feeds that it needs.

    Each feed returns the findings that opened, changed or ended with that record; a finding that
    has the `key` of an earlier one replaces it. At most one episode is open at a time: `open`,
    `update` and `resolve` keep it.

    Attributes:
        context: What is known of the run; shared and read-only.
        thresholds: The limits in force; evidence prints the ones that it used.
        current: The open episode, or None.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[str]
    """The signals that it judges by, in words, for `not_judged`."""
    record: ClassVar[str | None] = None
    """How to record them, in words: the recorder's option, or the key to write."""
    thresholds_type: ClassVar[type[Thresholds]] = Thresholds
    sudden: ClassVar[bool] = False
    """Whether it begins at a step, so that what happened at that step may be behind it."""
    reads_loss_level: ClassVar[bool] = False
    """Whether it takes a falling loss for progress, which is wrong for RL and GANs."""

    def __init__(self, context: Context, thresholds: T) -> None:
        self.context = context
        self.thresholds = thresholds
        self.current: Finding | None = None
        self._episodes = 0

    def on_train(self, row: Row) -> Sequence[Finding]:
        """Take a training record."""
        raise NotImplementedError

    def on_block(self, rows: Sequence[Row]) -> Sequence[Finding]:
        """Take the training records since the last block: up to 8 steps, in order.

        For rules that need not look at each record: a call a record is what a detector costs.
        Evaluations, layer statistics and events end a block before they are fed.
        """
        raise NotImplementedError

    def on_eval(self, row: Row) -> Sequence[Finding]:
        """Take an evaluation."""
        raise NotImplementedError

    def on_layer_names(self, names: LayerNames) -> None:
        """Take the names of the layers, before their first statistics."""
        raise NotImplementedError

    def on_layers(self, stats: LayerStats) -> Sequence[Finding]:
        """Take per-layer statistics."""
        raise NotImplementedError

    def on_ranks(self, found: Round) -> Sequence[Finding]:
        """Take the training records of all ranks at one step."""
        raise NotImplementedError

    def on_event(self, event: Event) -> Sequence[Finding]:
        """Take an event."""
        raise NotImplementedError

    def not_judged(self) -> NotJudged | None:
        """Say what could not be judged so far for want of a signal; None when all was."""
        raise NotImplementedError

    def open(
        self, severity: Severity, onset: int, evidence: Sequence[Evidence], **fields: Any
    ) -> Findings:
        """Begin an episode, which is detected at the last step that has been read.

        What an open finding explains (`precedence`) is advice, and names that as its first cause.

        Args:
            severity: How bad it is.
            onset: The step at which it began, in hindsight.
            evidence: What was measured, with the thresholds used.
            **fields: Any further fields of `Finding`; the title is the detector's unless given.
        """
        self._episodes += 1
        fields.setdefault("title", self.title)
        if self.sudden:
            near = self.context.happenings.near(onset, self.context.stride)
            fields["causes"] = (*fields.get("causes", ()), *near)
        root = self.context.explanation(self.id)
        if root is not None:
            severity = "info"
            because = f"{root.id} since step {root.onset_step}"
            fields["causes"] = (Cause(cause=root.title, because=because), *fields.get("causes", ()))
        self.current = Finding(
            id=self.id,
            severity=severity,
            onset_step=onset,
            detected_step=max(onset, self.context.last_step),
            episode=self._episodes,
            evidence=tuple(evidence),
            **fields,
        )
        return (self.current,)

    def update(self, **fields: Any) -> Findings:
        """Change fields of the open episode.

        Advice (`info`) that becomes a warning is dated anew: `detected_step` is when it was said.
        While an open finding explains it, it stays advice.
        """
        if self.current is None:
            return ()
        severity = fields.get("severity", self.current.severity)
        if self.current.severity == "info" and severity != "info":
            if self.context.explanation(self.id) is not None:
                fields["severity"] = "info"
            else:
                fields.setdefault("detected_step", self.context.last_step)
        self.current = msgspec.structs.replace(self.current, **fields)
        return (self.current,)

    def resolve(self, step: int, **fields: Any) -> Findings:
        """End the open episode; `step` is the first at which it was over."""
        if self._episodes >= MOST_EPISODES:
            return ()
        found = self.update(resolved_step=step, **fields)
        self.current = None
        return found

    def missing(self) -> NotJudged:
        """The entry of `not_judged` that names the missing signals."""
        return NotJudged(id=self.id, needs=self.needs, record=self.record)

    def next_test(self, words: str, analysis: str, onset: int) -> NextTest:
        """A test on the last checkpoint before `onset`; on the model as it begins at the start."""
        path = self.context.checkpoint_before(onset)
        where = f" on the last checkpoint before step {onset}" if onset > 0 else ""
        return NextTest(do=f"{words}{where}", analysis=analysis, checkpoint=path)
