"""What a detector is, and what all detectors are told about the run.

A detector is a streaming state machine: it is fed records in the order of their steps, keeps only
what its windows need, and returns findings. It does no I/O, reads no clock and imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from traintop.records import Event, Finding, LayerNames, LayerStats, NotJudged, Row, RunInfo


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of a detector's thresholds. Each field is a setting, `detectors.<id>.<field>`."""


class Context:
    """What the engine knows of the run; one instance is shared by all detectors, read-only to them.

    Attributes:
        info: `run.json`, or all None.
        last_step: The largest step fed so far.
        regime: Counts changes after which older values are no yardstick (learning rate jump or
            restart, resume, changed batch size); a window that remembers it resets itself.
        regime_reason: What began the present regime, for evidence.
        regime_step: Where the present regime began.
        warming_up: Whether the learning rate is still in its first rise, or, where no learning
            rate is known, the run in its first steps.
        averaged: Whether a record is a mean over several steps (an epoch or a window).
    """

    info: RunInfo
    last_step: int
    regime: int
    regime_reason: str
    regime_step: int
    warming_up: bool
    averaged: bool


class Detector:
    """Base of all detectors; a subclass overrides the feeds that it needs.

    Each feed returns the findings that opened, changed or ended with that record; a finding that
    has the `key` of an earlier one replaces it.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[str]
    """The signals that it judges by, in words, for `not_judged`."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def on_train(self, row: Row) -> Sequence[Finding]:
        """Take a training record."""
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

    def on_event(self, event: Event) -> Sequence[Finding]:
        """Take an event."""
        raise NotImplementedError

    def not_judged(self) -> NotJudged | None:
        """Say what could not be judged so far for want of a signal; None when all was."""
        raise NotImplementedError
