"""The engine: feeds records to all detectors and keeps what they found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from traintop.detectors.base import Detector, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.registry import DETECTORS, resolve_thresholds
from traintop.errors import SettingsError
from traintop.records import (
    DetectorFailure,
    Event,
    Finding,
    LayerNames,
    LayerStats,
    NotJudged,
    Row,
    RunInfo,
)

Feed = Callable[[Any], Sequence[Finding] | None]
FEEDS = (
    *("on_train", "on_block", "on_eval", "on_layer_names", "on_layers", "on_event", "on_ranks"),
)
BLOCK = 8
"""Steps in a block of training records."""


class Engine:
    """All detectors of one run. Several runs have several engines.

    Records are fed one by one in the order of their steps; how they were cut into bursts on the
    way here makes no difference. Nothing is raised into the caller by a detector: one that fails
    is reported in `failures` and switched off, the others go on.

    Args:
        info: `run.json`, as far as it is known yet; see `retarget`.
        thresholds: Settings `detectors.<id>.<field>` that differ from the defaults.
        detectors: The detectors to use, all of them by default.

    Raises:
        SettingsError: A threshold that does not exist.
    """

    def __init__(
        self,
        info: RunInfo | None = None,
        thresholds: Mapping[str, Mapping[str, float]] | None = None,
        detectors: Sequence[type[Detector[Any]]] = DETECTORS,
    ) -> None:
        self.context = Context(info)
        self.failures: list[DetectorFailure] = []
        limits = resolve_thresholds(thresholds)
        self._detectors = [
            self._build(kind, limits.get(kind.id, kind.thresholds_type())) for kind in detectors
        ]
        self._found: dict[tuple[str, int], Finding] = {}
        self._off: set[str] = set()
        self._feeds: dict[str, list[Feed]] = {}
        self._block: list[Row] = []
        self._bind()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The latest state of each finding, in the order in which they were raised."""
        return tuple(self._found.values())

    def not_judged(self) -> tuple[NotJudged, ...]:
        """What could not be judged so far, and which signal was missing."""
        found: list[NotJudged] = []
        for detector in self._detectors:
            if detector.id in self._off:
                continue
            if self._silent(detector):
                task = self.context.info.task
                needs = f"a loss whose level means something, which that of task {task!r} does not"
                found.append(NotJudged(id=detector.id, needs=needs))
                continue
            try:
                missing = detector.not_judged()
            except Exception as error:  # noqa: BLE001 - a faulty detector must not stop the others
                self._fail(detector, error)
                continue
            if missing is not None:
                found.append(missing)
        return tuple(found)

    def retarget(self, info: RunInfo) -> list[Finding]:
        """Take `run.json`, which may come after the first records.

        Returns:
            Findings that the task makes void: they end here.
        """
        self.context.retarget(info)
        self._bind()
        ended: list[Finding] = []
        for detector in self._detectors:
            if self._silent(detector) and detector.current is not None:
                ended.extend(detector.resolve(self.context.last_step))
        for finding in ended:
            self._found[finding.key] = finding
            self.context.observe_finding(finding)
        return ended

    def feed_train(self, row: Row) -> list[Finding]:
        """Take a training record; return the findings that it opened, changed or ended."""
        context = self.context
        context.observe(row)
        news = self._run("on_train", row)
        block = self._block
        block.append(row)
        # A block is a matter of steps, so that a run logged every 10 steps is not judged late.
        if context.averaged or len(block) * context.stride >= BLOCK:
            return news + self._end_block()
        return news

    def feed_eval(self, row: Row) -> list[Finding]:
        """Take an evaluation."""
        news = self._end_block()
        self.context.observe_eval(row)
        return news + self._run("on_eval", row)

    def feed_layer_names(self, names: LayerNames) -> None:
        """Take the names of the layers, before their first statistics."""
        self.context.observe_layer_names(names)
        self._run("on_layer_names", names)

    # Absurd statistics may overflow on the way to a rule, which takes infinities as it must anyway.
    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def feed_layers(self, stats: LayerStats) -> list[Finding]:
        """Take per-layer statistics."""
        news = self._end_block()
        self.context.observe_layers(stats)
        return news + self._run("on_layers", stats)

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def feed_rank(self, rank: int, row: Row) -> list[Finding]:
        """Take a training record of one of several ranks, those of rank 0 included.

        They are judged side by side, apart from the run itself, which is rank 0's: see
        `feed_train`. The order in which ranks come makes no difference.
        """
        news: list[Finding] = []
        context = self.context
        for each in context.ranks.add(rank, row, context.info):
            news += self._run("on_ranks", each)
        return news

    def feed_event(self, event: Event) -> list[Finding]:
        """Take an event."""
        news = self._end_block()
        self.context.observe_event(event)
        return news + self._run("on_event", event)

    def _end_block(self) -> list[Finding]:
        """Hand on the training records since the last block, if there are any."""
        block = self._block
        if not block:
            return []
        self._block = []
        self.context.observe_block(block)
        return self._run("on_block", block)

    def _build(self, kind: type[Detector[Any]], limits: Thresholds) -> Detector[Any]:
        try:
            return kind(self.context, limits)
        except (ValueError, OverflowError) as error:
            raise SettingsError(f"detectors.{kind.id}: {error}") from None

    def _run(self, name: str, record: Any) -> list[Finding]:
        news: list[Finding] = []
        context = self.context
        # `_fail` replaces the lists, so this one is safe to walk.
        for feed in self._feeds[name]:
            try:
                found = feed(record)
            except Exception as error:  # noqa: BLE001 - a faulty detector must not stop the others
                self._fail(feed.__self__, error)  # type: ignore[attr-defined] # all are bound methods
                continue
            if found:
                news.extend(found)
                for finding in found:
                    self._found[finding.key] = finding
                    # At once: the next detector may ask what explains what it sees.
                    context.observe_finding(finding)
        return news

    def _bind(self) -> None:
        """Look up the feeds that detectors override, once: one that has none costs nothing."""
        on = [
            each for each in self._detectors if each.id not in self._off and not self._silent(each)
        ]
        self._feeds = {
            name: [
                getattr(detector, name)
                for detector in on
                if getattr(type(detector), name) is not getattr(Detector, name)
            ]
            for name in FEEDS
        }

    def _silent(self, detector: Detector[Any]) -> bool:
        return detector.reads_loss_level and self.context.task_without_loss_level

    def _fail(self, detector: Detector[Any], error: Exception) -> None:
        self._off.add(detector.id)
        self.failures.append(
            DetectorFailure(id=detector.id, error=f"{type(error).__name__}: {error}")
        )
        self._bind()
